"""Segment one scan with several models, one after the other, and take each organ from the model that knows it best.

The rule which model that is lies in the bundles (``nets.known_organs``). A model that cannot be used on a scan does not lose what the
others draw: its organs are taken from the next best, and the result says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import FocusNetError
from ..image.drawn_by import FAILED, IDENTITY, MODELS, TAKEN, failures, merged_identity
from ..image.orientation_doubt import DOUBT
from ..image.segmentation import Segmentation
from ..image.volume import Volume
from ..nets.bundle import ModelBundle
from ..nets.known_organs import Choice, best_models
from ..progress import Progress, ProgressCallback
from .merge_labels import Part, merge_labels
from .options import SegmentOptions
from .orientation_check import CHECK

RunOne = Callable[[Volume, SegmentOptions, ProgressCallback], Segmentation]
OF_ONE_MODEL = (*IDENTITY, "caution", "device", "precision", "backend", "seconds", "chunk_slices", "retries", CHECK)
SHARED = (
    "device",
    "precision",
    "backend",
    CHECK,
)  # stand at the top of a merged provenance too, joined where they differ


@dataclass(frozen=True)
class _Failure:
    bundle: ModelBundle
    problem: FocusNetError


def segment_with_several(
    volume: Volume, options: SegmentOptions, report: ProgressCallback, run_one: RunOne
) -> Segmentation:
    """Return the merged result of the models of ``options``; ``run_one`` segments with one model.

    Only models that draw a wanted organ are run. Where all of them but one are left out or fail, the result is that of the one, as if it had
    been asked alone, with FAILED in its provenance. Raises what the first model raised where none could be used.
    """
    drawn: list[tuple[ModelBundle, Segmentation]] = []
    failed: list[_Failure] = []
    choices = {organ: choice for organ, choice in options.choices.items() if organ in options.wanted}
    checker = _checker(choices)
    while (waiting := _next(options.bundles, choices, drawn)) is not None:
        bundle, organs = waiting
        one = replace(
            options,
            model=bundle,
            organs=organs,
            seeds={organ: place for organ, place in options.seeds_mm.items() if organ in organs},
            check_orientation=options.check_orientation and bundle is checker,
        )
        share = _share(options.bundles, choices, bundle, report)
        try:
            drawn.append((bundle, run_one(volume, one, share)))
        except FocusNetError as problem:
            failed.append(_Failure(bundle, problem))
            if any(organ in options.seeds_mm for organ in organs):
                raise  # a place that was given to this model means nothing to another
            usable = best_models(options.bundles, [failure.bundle for failure in failed])
            choices = {organ: usable[organ] for organ in choices if organ in usable}
    if not drawn:
        raise failed[0].problem
    report(Progress("Done", 1.0))
    return _joined(volume, drawn, choices, failed, options)


def _next(
    bundles: Sequence[ModelBundle],
    choices: dict[str, Choice[ModelBundle]],
    drawn: Sequence[tuple[ModelBundle, Segmentation]],
) -> tuple[ModelBundle, list[str]] | None:
    """Return the next model to run and its organs that are not drawn yet."""
    for bundle in bundles:
        done = {result.organ.name for other, part in drawn if other is bundle for result in part.results}
        organs = [organ for organ, choice in choices.items() if choice.bundle is bundle and organ not in done]
        if organs:
            return bundle, organs
    return None


def _checker(choices: dict[str, Choice[ModelBundle]]) -> ModelBundle | None:
    """Return the model that checks the scan's orientation: the first that knows how large organs usually are, so that it was made from contours
    of patients. One model is enough, and one that knows real scans badly would doubt headers that are right."""
    chosen = [choice.bundle for choice in choices.values()]
    return next(
        (bundle for bundle in chosen if bundle.manifest.get("volume_statistics")), chosen[0] if chosen else None
    )


def _share(
    bundles: Sequence[ModelBundle],
    choices: dict[str, Choice[ModelBundle]],
    bundle: ModelBundle,
    report: ProgressCallback,
) -> ProgressCallback:
    """Return a callback that tells one model's progress as a part of the whole run's."""
    running = [b for b in bundles if any(choice.bundle is b for choice in choices.values())]
    if len(running) == 1:
        return report
    place = running.index(bundle)

    def tell(progress: Progress) -> None:
        fraction = (place + progress.fraction) / len(running)
        message = f"{bundle.name}, {progress.message}" if progress.message else bundle.name
        report(Progress(progress.step, min(fraction, 0.99), message))

    return tell


def _joined(
    volume: Volume,
    drawn: Sequence[tuple[ModelBundle, Segmentation]],
    choices: dict[str, Choice[ModelBundle]],
    failed: Sequence[_Failure],
    options: SegmentOptions,
) -> Segmentation:
    parts = []
    for bundle, part in drawn:
        taken = tuple(r for r in part.results if choices[r.organ.name].bundle is bundle)
        parts.append(Part(bundle.name, replace(part, results=taken)))
    missing = [organ for organ in options.wanted if organ not in choices]
    told = [
        {
            "model": failure.bundle.name,
            "reason": str(failure.problem),
            "organs": [organ for organ in failure.bundle.config.organs if organ in missing],
        }
        for failure in failed
    ]
    about: dict[str, Any] = {FAILED: told} if told else {}
    if len(drawn) == 1:
        alone = parts[0].segmentation
        return replace(alone, provenance=_with_notes({**alone.provenance, **about}, about))
    order = [organ.name for organ in options.organs_in_order]
    labels, results = merge_labels(parts, order, volume.geometry)
    made = _provenance(drawn, choices, options)
    if len({bundle.digest for bundle, _ in drawn}) == 1:  # it was run again for the organs of one that failed
        made = {**drawn[0][1].provenance, "seconds": _seconds(drawn)}
    return Segmentation(labels, volume.geometry, results, _with_notes({**made, **about}, about))


def _seconds(drawn: Sequence[tuple[ModelBundle, Segmentation]]) -> float:
    return round(sum(float(part.provenance["seconds"]) for _, part in drawn), 2)


def _with_notes(made: dict[str, Any], about: dict[str, Any]) -> dict[str, Any]:
    """Return the provenance with what must be told of failed models among its notes, which every report shows."""
    return {**made, "notes": [*made.get("notes", ()), *failures(about)]} if about else made


def _provenance(
    drawn: Sequence[tuple[ModelBundle, Segmentation]], choices: dict[str, Choice[ModelBundle]], options: SegmentOptions
) -> dict[str, Any]:
    """Return the provenance of the merged result: each model's own under MODELS, what they share at the top."""
    models: dict[str, dict[str, Any]] = {}
    for bundle, part in drawn:
        own = {key: part.provenance[key] for key in OF_ONE_MODEL if key in part.provenance}
        own[TAKEN] = {organ: choice.reason for organ, choice in choices.items() if choice.bundle is bundle}
        own["seconds"] = _seconds([(other, p) for other, p in drawn if other is bundle])
        models[bundle.digest] = own
    every = [part.provenance for _, part in drawn]
    first = {key: value for key, value in every[0].items() if key not in OF_ONE_MODEL and key != "seeds_mm_lps"}
    made = {**merged_identity(list(models.values())), **first, MODELS: list(models.values())}
    for key in SHARED:
        values = list(dict.fromkeys(str(p[key]) for p in every if key in p))
        if values:
            made[key] = "; ".join(values)
    made["seconds"] = _seconds(drawn)
    made["retries"] = [f"{p['model']}: {retry}" for p in every for retry in p.get("retries", ())]
    doubted = next((p[DOUBT] for p in every if p.get(DOUBT)), None)
    if doubted is not None:
        made[DOUBT] = doubted
    if options.seeds_mm:
        made["seeds_mm_lps"] = {organ: list(point) for organ, point in options.seeds_mm.items()}
    return made
