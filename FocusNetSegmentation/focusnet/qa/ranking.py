"""Rank the organs of one segmentation: every organ measured, scored, and sorted worst first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import InputError
from ..image.drawn_by import caution_of, cautions
from ..image.organs import Organ
from ..image.orientation import to_upright
from ..image.segmentation import OrganResult, Segmentation
from ..image.volume import Geometry, Volume
from ..nets.bundle import ModelBundle
from ..nets.several import bundle_of
from ..progress import Progress, ProgressCallback, silent
from .localization_scores import both_networks_score, second_peak_score, spread_score
from .measure import Measured, measure_all
from .organ_scores import LOOK_AT, NO_SIGN, NOT_JUDGED, OrganRanking, Ranking, Score, ranked
from .quality.model import QualityModel, load_quality_model
from .quality.score import beside_prediction, quality_scores
from .reference_statistics import ReferenceStatistics, load_reference_statistics
from .rough_models import NOTE as ROUGH_NOTE
from .rough_models import at_wider_limits
from .shape_model import ShapeModel
from .size_scores import edges_score, extent_score, gaps_score, holes_score, hu_score, parts_score, volume_score
from .spatial_relations import (
    asymmetry_score,
    chiasm_score,
    localization_score,
    position_score,
    roi_edge_score,
    sides_score,
    touch_score,
)

LOCATION_THRESHOLD = 0.6  # of a segmentation whose model is not at hand


@dataclass(frozen=True)
class OrganScored(Progress):
    """``organ``: one organ with all its scores; its rank among the others is not known yet."""

    organ: OrganRanking | None = None


def rank_organs(
    segmentation: Segmentation,
    volume: Volume | None = None,
    bundle: ModelBundle | Sequence[ModelBundle] | None = None,
    statistics: ReferenceStatistics | None = None,
    shape_model: ShapeModel | None = None,
    progress: ProgressCallback = silent,
    quality: QualityModel | None = None,
) -> Ranking:
    """Score every organ of ``segmentation``, worst first.

    ``volume``: the CT, for HU; without it those scores do not apply. ``bundle``: the model that segmented, whose own volume
    statistics and localization threshold are then used; of a merged result a list of its models, each of
    which counts for the organs that it drew. ``statistics``: instead of those that ship. ``shape_model``:
    ``load_shape_model()``; without it the shapes of small organs are not scored. ``progress`` gets an OrganScored for each organ as
    soon as its scores are there. ``quality``: predicts the DSC of the organs that it knows,
    by default the one that ships; it needs the CT. Raises InputError if the grids differ.
    """
    if volume is not None:
        check_same_grid(segmentation, volume)
    statistics = statistics or load_reference_statistics()
    own = {r.organ.name: _own_bundle(bundle, segmentation, r.organ.name) for r in segmentation.results}
    statistics = statistics.with_volumes(_usual_volumes(own))
    labels, upright, _, _ = to_upright(segmentation.labels, segmentation.geometry)
    hu = to_upright(volume.array, volume.geometry)[0] if volume is not None else None
    progress(Progress("Measuring organs", 0.05))
    organs = measure_all(labels, upright, segmentation)
    predicted = (
        {}
        if hu is None
        else quality_scores(
            labels,
            hu,
            upright,
            segmentation,
            quality or load_quality_model(),
            bundle.name if isinstance(bundle, ModelBundle) else None,
        )
    )
    cautious = {name: caution_of(segmentation.provenance, name) for name in own}
    # an organ is not judged by neighbours whose model carries a caution, unless it is one of theirs
    trusted = {name: found for name, found in organs.items() if not cautious[name]}
    rankings = []
    for number, result in enumerate(_torch_last(segmentation.results, shape_model)):
        fraction = 0.1 + 0.8 * number / len(segmentation.results)
        name = result.organ.name
        shape = shape_model is not None and shape_model.knows(name)
        progress(Progress("Comparing shapes" if shape else "Scoring", fraction, name))
        found = organs.get(name)
        caution = cautious[name]
        around = organs if caution else trusted
        scores = _empty(result) if found is None else _scores(found, result, around, hu, upright, statistics, own[name])
        if found is not None:
            scores += shape_scores(found, result.organ, upright, shape_model)
        if name in predicted:
            scores = [*predicted[name], *beside_prediction(scores)]
        if caution:
            scores = at_wider_limits(scores)
        ranking = organ_ranking(result, found, scores, statistics.knows(name))
        rankings.append(replace(ranking, caution=caution))
        progress(OrganScored("Scoring", fraction, name, rankings[-1]))
    progress(Progress("Done", 1.0))
    notes = [] if volume is not None else ["No CT was given: HU were not looked at."]
    if hu is not None and not predicted:
        notes.append("No DSC was predicted: that is done for the organs and models that docs/qa.md names.")
    if shape_model is None and any(r.organ.small for r in segmentation.results):
        notes.append("No shape model: the shapes of small organs were not looked at.")
    known = segmentation.provenance
    notes += cautions(known)
    if any(ranking.caution for ranking in rankings):
        notes.append(ROUGH_NOTE)
    model = {"name": known.get("model"), "version": known.get("model_version"), "sha256": known.get("bundle_sha256")}
    used = shape_model.describe() if shape_model is not None else None
    return Ranking(ranked(rankings), model, used, str(known.get("source", "")), tuple(notes))


def _own_bundle(
    bundle: ModelBundle | Sequence[ModelBundle] | None, segmentation: Segmentation, organ: str
) -> ModelBundle | None:
    """Return the model that counts for an organ: the only one, of several the one that drew it."""
    if bundle is None or isinstance(bundle, ModelBundle):
        return bundle
    return bundle_of(bundle, segmentation.provenance, organ)


def _usual_volumes(own: Mapping[str, ModelBundle | None]) -> dict[str, Any]:
    """Return the volume statistics of each organ's own model, by organ, for all that the models know where there is but one."""
    bundles = {bundle.digest: bundle for bundle in own.values() if bundle is not None}
    volumes: dict[str, Any] = {}
    for bundle in bundles.values():
        usual = bundle.manifest.get("volume_statistics", {})
        volumes |= (
            usual if len(bundles) == 1 else {organ: row for organ, row in usual.items() if own.get(organ) is bundle}
        )
    return volumes


def _torch_last(results: Sequence[OrganResult], shape_model: ShapeModel | None) -> list[OrganResult]:
    """Return the organs in the order of scoring: those for which PyTorch has to be loaded, which takes seconds, come last."""
    return sorted(results, key=lambda r: shape_model is not None and shape_model.knows(r.organ.name))


def check_same_grid(segmentation: Segmentation, volume: Volume) -> None:
    """Raise InputError if the CT is not on the segmentation's grid: it may be another scan."""
    a, b = segmentation.geometry, volume.geometry
    if not a.same_grid_as(b):
        raise InputError(
            f"The segmentation lies on another grid ({_grid(a)}) than the CT ({_grid(b)}); give the CT that it was made from, "
            "or resample it to this CT in Slicer first."
        )


def organ_ranking(result: OrganResult, found: Measured | None, scores: Sequence[Score], known: bool) -> OrganRanking:
    """Return one organ's group and severity, that of its highest score. ``known``: whether there are statistics for it."""
    ordered = sorted(scores, key=lambda s: (not s.counts, -(s.severity if s.severity is not None else -1.0)))
    applied = [s.severity for s in ordered if s.counts and s.severity is not None]
    severity = max(applied, default=None)
    if severity is not None and severity >= 1.0:
        group = LOOK_AT
    else:
        group = NO_SIGN if known else NOT_JUDGED
        severity = severity if known else None
    return OrganRanking(
        organ=result.organ,
        label=result.label,
        group=group,
        severity=severity,
        scores=tuple(ordered),
        volume_ml=0.0 if found is None else found.volume_ml,
        center_mm_xyz=None if found is None else found.center_mm_xyz,
    )


def _empty(result: OrganResult) -> list[Score]:
    """Return the one score of an organ without voxels: that it is missing."""
    reason = "Empty: no voxel of it is there. It was not found, was deleted, or lies outside the scan."
    return [Score("empty", "Empty", reason, 1.0, 0.0, "voxels", None, result.peak_mm_xyz)]


def _scores(
    m: Measured,
    result: OrganResult,
    organs: dict[str, Measured],
    hu: np.ndarray | None,
    geometry: Geometry,
    statistics: ReferenceStatistics,
    bundle: ModelBundle | None,
) -> list[Score]:
    mirrored = result.organ.mirrored_name
    threshold = LOCATION_THRESHOLD if bundle is None else bundle.config.location_threshold
    scores: list[Score | None] = [
        volume_score(m, statistics),
        extent_score(m, statistics, geometry),
        parts_score(m, statistics),
        holes_score(m, statistics),
        gaps_score(m, statistics, geometry),
        edges_score(m, statistics),
        hu_score(m, hu, statistics),
        sides_score(m, organs, mirrored),
        asymmetry_score(m, organs, mirrored, statistics),
        position_score(m, organs, statistics),
        touch_score(m, organs, statistics, geometry),
        chiasm_score(m, organs),
        localization_score(m, result, threshold),
        second_peak_score(result),
        spread_score(result, bundle),
        both_networks_score(result),
        roi_edge_score(m, result, geometry, bundle),
    ]
    return [s for s in scores if s is not None]


def shape_scores(m: Measured, organ: Organ, geometry: Geometry, shape_model: ShapeModel | None) -> list[Score]:
    """Return the shape model's scores of a small organ; nothing for large ones."""
    if shape_model is not None and shape_model.knows(m.name):
        return shape_model.scores(m.name, shape_model.reconstruct(m, geometry))
    if not organ.small:
        return []
    why = "no shape model" if shape_model is None else "the shape model does not know this organ"
    return [Score("shape_latent", "Latent distance", f"Does not apply: {why}.")]


def _grid(geometry: Geometry) -> str:
    shape = " x ".join(str(n) for n in geometry.shape_zyx[::-1])
    spacing = " x ".join(f"{s:.3g}" for s in geometry.spacing_mm_xyz)
    origin = ", ".join(f"{o:.1f}" for o in geometry.origin_mm_xyz)
    return f"{shape} voxels of {spacing} mm from ({origin})"
