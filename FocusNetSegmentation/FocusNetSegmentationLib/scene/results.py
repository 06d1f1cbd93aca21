"""Which results a scene holds for a CT, and what has happened to them since."""

from __future__ import annotations

from collections.abc import Mapping

from .fingerprints import Fingerprint, Fingerprints
from .helper_nodes import nodes_of
from .nodes import organ_segments, provenance_of
from .types import SegmentationNode, VolumeNode


def volume_of(segmentation_node: SegmentationNode | None) -> VolumeNode | None:
    """Return the CT that a segmentation was made on, None if it is not known or no longer in the scene."""
    if segmentation_node is None:
        return None
    return segmentation_node.GetNodeReference(segmentation_node.GetReferenceImageGeometryReferenceRole())


def results_of(volume_node: VolumeNode | None) -> list[SegmentationNode]:
    """Return a CT's results in its scene, the oldest first: segmentations that a model made on it, without helper nodes."""
    if volume_node is None or volume_node.GetScene() is None:
        return []
    return [
        node
        for node in nodes_of(volume_node.GetScene(), "vtkMRMLSegmentationNode")
        if not node.GetHideFromEditors() and volume_of(node) is volume_node and provenance_of(node)
    ]


def organ_fingerprints(segmentation_node: SegmentationNode | None) -> dict[str, Fingerprint]:
    """Return what each of a node's organs looks like now, by its name; empty without a node."""
    if segmentation_node is None:
        return {}
    segmentation, marks = segmentation_node.GetSegmentation(), Fingerprints()
    return {n: marks.of(segmentation.GetSegment(s)) for n, s in organ_segments(segmentation_node).items()}


def changed_organs(segmentation_node: SegmentationNode | None, before: Mapping[str, Fingerprint]) -> list[str]:
    """Return the organs that a person has changed since ``organ_fingerprints`` returned ``before``; a new one counts if it has voxels."""
    now = organ_fingerprints(segmentation_node)
    return [name for name, mark in now.items() if not mark.same_as(before.get(name, Fingerprint()))]
