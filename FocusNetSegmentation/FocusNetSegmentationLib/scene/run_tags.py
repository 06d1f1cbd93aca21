"""Which model drew each organ of a segmentation in the scene: the run that each segment's tag names, and the whole node's provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from focusnet.image.drawn_by import (
    CHOSEN,
    MODELS,
    by_several_models,
    caution_of,
    is_merged,
    merged_from_runs,
    models_of,
    run_of,
)
from focusnet.io.segment_tags import ORGAN_TAG, RUN_KEYS, RUN_TAG, tag_value

from .labelmaps import get_tag
from .types import SegmentationNode

FEW = 3  # organs that a narrow panel has room to name
PROVENANCE = "FocusNet.Provenance"  # attribute of a segmentation node: JSON


def run_tag(provenance: Mapping[str, Any], organ: str) -> dict[str, Any]:
    """Return what RUN_TAG of an organ's segment says; {} for an organ that no model drew."""
    run = run_of(provenance, organ)
    return {key: run[key] for key in RUN_KEYS if key in run} if run.get("model") else {}


def runs_of(segmentation_node: SegmentationNode | None) -> dict[str, dict[str, Any]]:
    """Return organ -> its segment's RUN_TAG, for the organs that a model drew."""
    found: dict[str, dict[str, Any]] = {}
    segmentation = segmentation_node.GetSegmentation() if segmentation_node is not None else None
    for index in range(segmentation.GetNumberOfSegments() if segmentation is not None else 0):
        segment = segmentation.GetNthSegment(index)  # type: ignore[union-attr]
        run = tag_value(get_tag(segment, RUN_TAG))
        if run.get("model"):
            found[get_tag(segment, ORGAN_TAG) or segment.GetName()] = run
    return found


def node_provenance(segmentation_node: SegmentationNode) -> dict[str, Any]:
    """Return the provenance of the node as its segments are now: of organs by several models that of each."""
    try:
        known = json.loads(segmentation_node.GetAttribute(PROVENANCE) or "{}")
    except ValueError:
        known = {}
    known = known if isinstance(known, dict) else {}
    runs = runs_of(segmentation_node)
    if by_several_models(runs.values()):
        rest = {key: value for key, value in known.items() if key not in (MODELS, "caution")}
        return {**rest, **merged_from_runs(runs)}
    return known


def provenance_to_keep(segmentation_node: SegmentationNode, new: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the provenance of a node into which a run's result comes: that of the run, unless one model of a merged result has drawn some of its
    organs anew."""
    before = node_provenance(segmentation_node)
    if is_merged(before) and not is_merged(new):
        known = {model.get("bundle_sha256") for model in models_of(before)}
        if new.get("bundle_sha256") in known:
            return before
    return new


def caution_text(segmentation_node: SegmentationNode | None) -> str:
    """Return what must stand beside the result, in one line; with the organs, or how many by which model, where it does not hold for all."""
    runs = runs_of(segmentation_node)
    told: dict[tuple[str, str], list[str]] = {}
    for organ, run in runs.items():
        caution = caution_of(run, organ)
        if caution:
            told.setdefault((caution, str(run["model"])), []).append(organ)
    return " ".join(
        caution if len(organs) == len(runs) else f"{_which(organs, len(runs), model)}: {caution}"
        for (caution, model), organs in told.items()
    )


def _which(organs: Sequence[str], total: int, model: str) -> str:
    return ", ".join(organs) if len(organs) <= FEW else f"{len(organs)} of {total} organs, by {model}"


def origin_text(run: Mapping[str, Any]) -> str:
    """Return by which model an organ of a merged result was drawn, and why, from its segment's RUN_TAG; "" for any other."""
    return f"By {run['model']}. {run[CHOSEN]}" if run.get(CHOSEN) and run.get("model") else ""
