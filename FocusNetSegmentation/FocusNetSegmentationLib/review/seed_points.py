"""Localization seeds: one draggable point per small organ, at the place where the model found it, from which that organ is run again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from focusnet.errors import InputError
from focusnet.io.segment_tags import RESULT_TAG, tagged_peak_mm_xyz

from ..scene.labelmaps import get_tag
from ..scene.nodes import SEED_ROLE
from ..scene.types import Node, Scene, SegmentationNode
from ..scene.volumes import LPS_RAS
from .places import middle_ras
from .shape_prior import segment_id_of

COLOR = (1.0, 0.85, 0.0)


def why_no_seed(manifest: Mapping[str, Any], organ: str) -> str:
    """Return why a model (its bundle.json) cannot look for ``organ`` at a given place; "" if it can."""
    network = manifest.get("network") or {}
    name = manifest.get("name") or "This model"
    if not network.get("has_sos"):
        return f"{name} has no SOS-Nets (its training ended with S-Net and SOL-Net): it cannot look for an organ at a given place."
    if organ not in (network.get("small_organs") or ()):
        return f"{name} has no SOS-Net for {organ}: seeds are for its small organs, {', '.join(network.get('small_organs') or ())}."
    return ""


def place_seed(
    scene: Scene, segmentation_node: SegmentationNode, organ: str, fallback_ras: Sequence[float] | None = None
) -> Node:
    """Return the organ's seed, made if it is not there: where the model found the organ, else in the middle of its voxels, else at ``fallback_ras``
    (world). Raises InputError if there is none of them."""
    known = seed_of(segmentation_node, organ)
    if known is not None:
        return known
    place = first_place_ras(segmentation_node, segment_id_of(segmentation_node, organ))
    if place is None:
        if fallback_ras is None:
            raise InputError(
                f"{organ} was found nowhere, so there is no place for its seed. Show the place in the slice views first."
            )
        place = np.asarray(fallback_ras, float)
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", scene.GenerateUniqueName(f"{organ} seed"))
    node.SetAttribute(SEED_ROLE, organ)
    node.SetAndObserveTransformNodeID(segmentation_node.GetTransformNodeID())  # it goes where the patient goes
    node.SetMaximumNumberOfControlPoints(1)
    node.AddControlPointWorld([float(v) for v in place], f"{organ} seed")
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetSelectedColor(*COLOR)
    node.GetDisplayNode().SetVisibility(False)
    segmentation_node.AddNodeReferenceID(SEED_ROLE, node.GetID())
    return node


def seed_of(segmentation_node: SegmentationNode, organ: str) -> Node | None:
    """Return the organ's seed, None if there is none."""
    for node in _seeds(segmentation_node):
        if node.GetAttribute(SEED_ROLE) == organ:
            return node
    return None


def show_seed(segmentation_node: SegmentationNode, organ: str | None) -> None:
    """Show one organ's seed and hide all others; None hides them all."""
    for node in _seeds(segmentation_node):
        node.GetDisplayNode().SetVisibility(node.GetAttribute(SEED_ROLE) == organ)


def seed_mm_lps(segmentation_node: SegmentationNode, organ: str) -> tuple[float, float, float]:
    """Return where the organ's seed is now, in the world's LPS mm, as ``focusnet segment --seed-point`` wants it. Raises InputError without a seed."""
    node = seed_of(segmentation_node, organ)
    if node is None or node.GetNumberOfControlPoints() == 0:
        raise InputError(f"{organ} has no seed. Press Seed and drag it to the organ.")
    x, y, z = node.GetNthControlPointPositionWorld(0)
    return (-float(x), -float(y), float(z))


def first_place_ras(segmentation_node: SegmentationNode, segment_id: str) -> np.ndarray | None:
    """Return where the model found the organ, else the middle of its voxels, in world RAS; None if neither is known."""
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
    peak_mm = tagged_peak_mm_xyz(get_tag(segment, RESULT_TAG))
    if peak_mm is not None:
        return np.asarray((LPS_RAS @ [*peak_mm, 1.0])[:3])
    return middle_ras(segmentation_node, segment_id)


def _seeds(segmentation_node: SegmentationNode) -> list[Node]:
    found = [
        segmentation_node.GetNthNodeReference(SEED_ROLE, i)
        for i in range(segmentation_node.GetNumberOfNodeReferences(SEED_ROLE))
    ]
    return [node for node in found if node is not None]
