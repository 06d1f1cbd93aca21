"""Which model drew an organ of a result, why that one, and what must be said of it, from the result's provenance.

A result of one model names it at the top of its provenance (``model``, ``model_version``, ``bundle_sha256``, ``caution``). A result that was
merged from several models lists them under MODELS, each with the organs that were taken from it; at the top then stand their names
together and one hash made of all, so that two merged results are of the same models exactly if the hashes are the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

MODELS = "models"  # in a merged result's provenance: one mapping a model, with the keys below
TAKEN = "organs"  # in one of them: organ -> why it was taken from this model, in words
FAILED = "failed_models"  # in the provenance: [{"model", "reason", "organs"}] of models that were asked for and could not be used
CHOSEN = "chosen_because"  # in ``run_of``: that sentence
IDENTITY = ("model", "model_version", "bundle_sha256")
BETWEEN = " + "  # names in a merged result's "model"


def models_of(provenance: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return every model that drew a part of the result, with the keys IDENTITY and, where it has one, ``caution``; [] where none is named."""
    several = provenance.get(MODELS)
    if isinstance(several, Sequence) and not isinstance(several, str):
        return [model for model in several if isinstance(model, Mapping) and model.get("model")]
    return [provenance] if provenance.get("model") else []


def is_merged(provenance: Mapping[str, Any]) -> bool:
    """Return whether the organs come from more than one model."""
    return bool(provenance.get(MODELS))


def run_of(provenance: Mapping[str, Any], organ: str) -> dict[str, Any]:
    """Return the provenance as it holds for one organ: of a merged result that of the model that drew it, with CHOSEN; {} for an organ that
    none of its models drew."""
    if not is_merged(provenance):
        return dict(provenance)
    for model in models_of(provenance):
        taken = model.get(TAKEN)
        if isinstance(taken, Mapping) and organ in taken:
            shared = {key: value for key, value in provenance.items() if key not in (MODELS, FAILED, *IDENTITY)}
            own = {key: value for key, value in model.items() if key != TAKEN}
            return {**shared, **own, CHOSEN: str(taken[organ])}
    return {}


def model_of(provenance: Mapping[str, Any], organ: str) -> str:
    """Return the name of the model that drew an organ, "" where no model did."""
    return str(run_of(provenance, organ).get("model") or "")


def caution_of(provenance: Mapping[str, Any], organ: str) -> str:
    """Return what must stand beside an organ because of the model that drew it, "" where there is nothing."""
    return str(run_of(provenance, organ).get("caution") or "")


def chosen_because(provenance: Mapping[str, Any], organ: str) -> str:
    """Return why an organ of a merged result is from its model, "" for any other."""
    return str(run_of(provenance, organ).get(CHOSEN) or "")


def cautions(provenance: Mapping[str, Any]) -> list[str]:
    """Return the sentences that must stand beside a result, one for each model that has one, with the model and its organs."""
    told = []
    for model in models_of(provenance):
        caution = str(model.get("caution") or "")
        if caution and is_merged(provenance):
            told.append(f"{', '.join(model.get(TAKEN) or ())} by {model['model']}: {caution}")
        elif caution:
            told.append(f"Model {model['model']}: {caution}")
    return told


def origins(provenance: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each model of a merged result and each reason: which organs were taken from it, and why; [] for any other."""
    told = []
    for model in models_of(provenance) if is_merged(provenance) else []:
        reasons: dict[str, list[str]] = {}
        for organ, why in (model.get(TAKEN) or {}).items():
            reasons.setdefault(str(why), []).append(organ)
        told += [f"From {model['model']}: {', '.join(organs)}. {why}".strip() for why, organs in reasons.items()]
    return told


def failures(provenance: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each model that was asked for and could not be used."""
    told = []
    for failed in provenance.get(FAILED) or ():
        missing = f" Not drawn: {', '.join(failed['organs'])}." if failed.get("organs") else ""
        told.append(f"Model {failed['model']} could not be used: {failed['reason']}{missing}")
    return told


def merged_identity(models: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the keys IDENTITY of a result of several models: names and versions one after the other, and the sha256 of their hashes, whose order
    says nothing."""
    names, versions, hashes = ([str(model.get(key) or "") for model in models] for key in IDENTITY)
    together = hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()
    return dict(zip(IDENTITY, (BETWEEN.join(names), BETWEEN.join(versions), together), strict=True))


def by_several_models(runs: Collection[Mapping[str, Any]]) -> bool:
    """Return whether the organs whose runs (``run_of``) these are were drawn by more than one model, in one merged run or one run after the other."""
    return any(CHOSEN in run for run in runs) or len({str(run.get("bundle_sha256")) for run in runs}) > 1


def merged_from_runs(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the provenance of a merged result from what each organ's own tag says of its run (``run_of``): the inverse of that function."""
    models: dict[str, dict[str, Any]] = {}
    for organ, run in runs.items():
        if run.get("model"):
            own = {key: value for key, value in run.items() if key != CHOSEN}
            models.setdefault(str(run.get("bundle_sha256")), {**own, TAKEN: {}})[TAKEN][organ] = str(
                run.get(CHOSEN, "")
            )
    shared = {
        key: value for key, value in next(iter(runs.values())).items() if key not in (*IDENTITY, "caution", CHOSEN)
    }
    return {**shared, **merged_identity(list(models.values())), MODELS: list(models.values())}


def same_model(one: Mapping[str, Any], other: Mapping[str, Any], organs: Collection[str]) -> bool:
    """Return whether two results are of the same model, as far as both say which: of merged ones, organ by organ for ``organs``."""
    pairs = [(one, other)]
    if is_merged(one) or is_merged(other):
        pairs = [(run_of(one, organ), run_of(other, organ)) for organ in organs]
    return all(str(a[key]) == str(b[key]) for a, b in pairs for key in IDENTITY if a.get(key) and b.get(key))
