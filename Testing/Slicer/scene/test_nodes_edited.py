"""Edits of a result on Slicer's own core: found against the frozen copy, and told in DICOM export."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from FocusNetSegmentationLib.scene.labelmaps import get_tag
from FocusNetSegmentationLib.scene.nodes import (
    edited_segments,
    frozen_copy,
    mark_edited,
    organ_segments,
    remove_orphans,
)
from FocusNetSegmentationLib.scene.volumes import LPS_RAS

from ...Core.helpers_outputs import NAMES, UPRIGHT
from ..helpers_nodes import TURNED, World, erase_a_bit, mask, paint, segment
from ..helpers_slicer import BINARY_LABELMAP


def test_nothing_is_edited_after_import_and_what_is_changed_is_found(world: World) -> None:
    _, imported, _ = world.result()
    assert edited_segments(imported.node) == []
    paint(imported.node, "Parotid_L", erase_a_bit)
    assert edited_segments(imported.node) == ["Parotid_L"]
    imported.node.GetSegmentation().RemoveSegment(organ_segments(imported.node)["SpinalCord"])
    assert edited_segments(imported.node) == ["SpinalCord", "Parotid_L"]
    assert mask(imported.frozen, "Parotid_L").sum() == mask(imported.node, "Parotid_L").sum() + 1


def test_an_edit_in_a_layer_of_its_own_with_another_extent_is_found(world: World) -> None:
    _, imported, _ = world.result("oblique")
    ids = organ_segments(imported.node)
    segmentation_ = imported.node.GetSegmentation()
    segmentation_.SeparateSegmentLabelmap(ids["Parotid_L"])
    image = segment(imported.node, "Parotid_L").GetRepresentation(BINARY_LABELMAP)
    cropped = slicer.vtkOrientedImageData()
    extent = [0, 0, 0, 0, 0, 0]
    slicer.vtkOrientedImageDataResample.CalculateEffectiveExtent(image, extent)
    slicer.vtkOrientedImageDataResample.CopyImage(image, cropped, extent)
    segment(imported.node, "Parotid_L").AddRepresentation(BINARY_LABELMAP, cropped)
    assert cropped.GetNumberOfPoints() < image.GetNumberOfPoints()
    assert edited_segments(imported.node) == [], "cropped is not edited"
    paint(imported.node, "Parotid_L", erase_a_bit)
    assert edited_segments(imported.node) == ["Parotid_L"]


def test_a_moved_segmentation_is_edited(world: World) -> None:
    _, imported, _ = world.result()
    world.transform(TURNED, imported.node)
    imported.node.HardenTransform()
    assert edited_segments(imported.node) == list(NAMES[:-1]), "all but the empty one"


def test_a_shift_by_less_than_a_voxel_is_an_edit(world: World) -> None:
    _, imported, _ = world.result()
    shift = np.eye(4)
    shift[0, 3] = 0.4 * UPRIGHT.spacing_mm_xyz[0]
    world.transform(shift, imported.node)
    imported.node.HardenTransform()
    assert edited_segments(imported.node) == list(NAMES[:-1])


def test_a_label_map_cut_out_with_an_origin_of_its_own_is_no_edit(world: World) -> None:
    """Another program's way of cropping: the extent starts at 0 and the origin moves."""
    _, imported, result = world.result("oblique and flipped")
    from FocusNetSegmentationLib.scene.labelmaps import oriented_image

    start = np.array([1, 2, 3])  # z, y, x
    affine = result.geometry.affine_xyz.copy()
    affine[:3, 3] = result.geometry.index_to_mm(start)
    part = result.labels[1:, 2:, 3:]
    assert (part > 0).sum() == (result.labels > 0).sum()
    image = oriented_image(part, LPS_RAS @ affine)
    for name in NAMES:
        segment(imported.node, name).AddRepresentation(BINARY_LABELMAP, image)
    assert edited_segments(imported.node) == []
    paint(imported.node, "Parotid_L", erase_a_bit)
    assert edited_segments(imported.node) == ["Parotid_L"]


def test_renaming_and_recolouring_are_no_edits(world: World) -> None:
    _, imported, _ = world.result()
    segment(imported.node, "Brainstem").SetName("Hirnstamm")
    segment(imported.node, "Brainstem").SetColor(1, 0, 0)
    assert edited_segments(imported.node) == []


def test_dicom_export_tells_automatic_from_corrected_contours(world: World) -> None:
    _, imported, _ = world.result()
    paint(imported.node, "Brainstem", erase_a_bit)
    assert mark_edited(imported.node) == ["Brainstem"]
    tag = "DICOM.SegmentAlgorithmType"
    assert get_tag(segment(imported.node, "Brainstem"), tag) == "SEMIAUTOMATIC"
    assert get_tag(segment(imported.node, "SpinalCord"), tag) == "AUTOMATIC"
    assert get_tag(segment(imported.node, "SpinalCord"), "DICOM.SegmentAlgorithmName") == "FocusNetv2 han7-test"


# --- the frozen copy


def test_the_frozen_copy_is_hidden_from_every_list(world: World) -> None:
    _, imported, _ = world.result()
    assert imported.frozen.GetHideFromEditors()
    assert not imported.frozen.GetSelectable()
    assert not imported.frozen.GetDisplayNode().GetVisibility()
    assert frozen_copy(imported.node) is imported.frozen


def test_the_frozen_copy_goes_with_its_segmentation(world: World) -> None:
    _, imported, _ = world.result()
    world.scene.RemoveNode(imported.node)
    assert remove_orphans(world.scene) == 1
    assert world.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
