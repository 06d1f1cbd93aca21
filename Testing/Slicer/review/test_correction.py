"""Correction tools on Slicer's own core: the editor set up for an organ, slices filled in, outlines smoothed; neighbours keep their voxels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from focusnet.errors import InputError
from focusnet.image.volume import Geometry
from FocusNetSegmentationLib.review.correction import (
    brush_mm,
    fill_between_slices,
    keeps_neighbours,
    set_keep_neighbours,
    set_up_editor,
    smooth,
)
from FocusNetSegmentationLib.scene.as_segmentation import segmentation_on
from FocusNetSegmentationLib.scene.labelmaps import LABELMAP, voxels
from FocusNetSegmentationLib.scene.nodes import import_result, organ_segments

from ...Core.helpers_outputs import segmentation
from ..helpers_nodes import World, segment
from ..helpers_views import lps_rotation

GRID = Geometry((40, 60, 60), (1.5, 1.5, 3.0), (-40.0, -40.0, -60.0), tuple(map(tuple, lps_rotation(x=10.0))))


def node_of(world: World, labels: np.ndarray, names: tuple[str, ...] = ("Parotid_L", "Bone_Mandible")) -> Any:
    return import_result(world.scene, segmentation(labels, GRID, names), None).node


def mask_of(node: Any, name: str = "Parotid_L") -> np.ndarray:
    return segmentation_on(GRID, node)[0].mask(name)


def ellipsoid(center: tuple[float, float, float], radii: tuple[float, float, float]) -> np.ndarray:
    index = np.indices(GRID.shape_zyx)
    return sum(((index[i] - center[i]) / radii[i]) ** 2 for i in range(3)) <= 1.0  # type: ignore[return-value]


def history_of(node: Any) -> Any:
    history = slicer.vtkSegmentationHistory()
    history.SetSegmentation(node.GetSegmentation())
    return history


# --- the editor


def test_the_brush_is_a_ball_whose_size_in_mm_follows_the_organs() -> None:
    assert brush_mm("Lens_L", 0.2) == pytest.approx(2.0)
    assert 10 <= brush_mm("Parotid_L", 30.0) <= 13
    assert brush_mm("Brain", 1400.0) == 16.0
    assert 10 <= brush_mm("Parotid_L", 0.0) <= 13, "an empty organ: by its usual size"
    assert brush_mm("GTV", 0.0) == 5.0
    node = slicer.vtkMRMLSegmentEditorNode()
    node.SetAttribute("Erase.BrushAbsoluteDiameter", "99")
    diameter = set_up_editor(node, None, "Parotid_L", 30.0)
    read = {
        name: node.GetAttribute(name) for name in ("BrushDiameterIsRelative", "BrushAbsoluteDiameter", "BrushSphere")
    }
    assert read == {"BrushDiameterIsRelative": "0", "BrushAbsoluteDiameter": f"{diameter:g}", "BrushSphere": "1"}
    assert node.GetAttribute("Erase.BrushAbsoluteDiameter") == f"{diameter:g}", "the effect's own would come first"


def test_strokes_stop_at_neighbours_unless_they_are_allowed_to_overwrite(world: World) -> None:
    """As Slicer's Paint effect asks: where may a stroke on this segment change voxels?"""
    labels = np.zeros(GRID.shape_zyx, np.uint8)
    labels[5:15, 10:20, 10:20], labels[5:15, 10:20, 20:30] = 1, 2
    node = node_of(world, labels)
    editor = world.scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    assert editor.GetOverwriteMode() == editor.OverwriteAllSegments, "Slicer's default eats the mandible"
    set_up_editor(editor, None, "Parotid_L", 3.0)
    assert editor.GetOverwriteMode() == editor.OverwriteNone
    forbidden, image = slicer.vtkOrientedImageData(), segment(node, "Parotid_L").GetRepresentation(LABELMAP)
    node.GenerateEditMask(forbidden, editor.GetMaskMode(), image, organ_segments(node)["Parotid_L"])
    assert np.array_equal(voxels(forbidden) > 0, labels == 2), (
        "the neighbour only: background and the organ itself can be painted"
    )
    assert keeps_neighbours(editor)
    set_keep_neighbours(editor, False)
    node.GenerateEditMask(forbidden, editor.GetMaskMode(), image, organ_segments(node)["Parotid_L"])
    assert not voxels(forbidden).any()
    assert not keeps_neighbours(editor)
    set_up_editor(editor, None, "Lens_L", 0.2)
    assert not keeps_neighbours(editor), "a lens takes from its eye"


# --- fill between slices


@pytest.mark.parametrize("step", [2, 3, 4])
def test_slices_between_drawn_ones_are_filled_as_the_organ_is(world: World, step: int) -> None:
    whole = ellipsoid((20, 30, 30), (15.5, 14.0, 10.0))
    drawn = whole.copy()
    keep = list(range(5, 36, step))
    drawn[[z for z in range(40) if z not in keep]] = False
    node = node_of(world, drawn.astype(np.uint8), ("Parotid_L",))
    history = history_of(node)
    added = fill_between_slices(node, "Parotid_L", history.SaveState)
    filled = mask_of(node)
    assert added == np.count_nonzero(filled) - np.count_nonzero(drawn)
    assert np.array_equal(filled[keep], drawn[keep]), "drawn slices stay"
    inside = whole[: keep[-1] + 1]
    dice = 2 * np.count_nonzero(filled & whole) / (np.count_nonzero(filled) + np.count_nonzero(inside))
    assert dice > 0.95
    assert history.RestorePreviousState()
    assert np.array_equal(mask_of(node), drawn)


def test_outlines_that_do_not_overlap_are_joined_by_an_oblique_tube(world: World) -> None:
    labels = np.zeros(GRID.shape_zyx, np.uint8)
    labels[10, 10:16, 10:16] = labels[14, 34:40, 34:40] = 1
    node = node_of(world, labels, ("Parotid_L",))
    fill_between_slices(node, "Parotid_L")
    for z, middle in ((11, 18.5), (12, 24.5), (13, 30.5)):
        found = np.argwhere(mask_of(node)[z])
        assert len(found) > 16
        np.testing.assert_allclose(found.mean(axis=0), [middle, middle], atol=1.0)


def test_filling_takes_nothing_from_neighbours(world: World) -> None:
    labels = np.zeros(GRID.shape_zyx, np.uint8)
    labels[10, 10:30, 10:30] = labels[14, 10:30, 10:30] = 1
    labels[11:14, 15:20, 15:20] = 2
    node = node_of(world, labels)
    fill_between_slices(node, "Parotid_L")
    assert np.array_equal(mask_of(node, "Bone_Mandible"), labels == 2)
    assert mask_of(node)[12, 10:30, 10:30].sum() == 400 - 25
    assert node.GetSegmentation().GetNumberOfLayers(LABELMAP) == 1


def test_without_a_gap_nothing_is_filled_and_the_sentence_says_what_to_do(world: World) -> None:
    labels = np.zeros(GRID.shape_zyx, np.uint8)
    labels[10:14, 10:30, 10:30] = 1
    node = node_of(world, labels)
    with pytest.raises(InputError, match="Parotid_L has no empty slice between drawn ones: erase"):
        fill_between_slices(node, "Parotid_L", lambda: pytest.fail("nothing to undo"))
    with pytest.raises(InputError, match="Bone_Mandible is empty: draw it"):
        fill_between_slices(node, "Bone_Mandible")
    with pytest.raises(InputError, match="Larynx is not in"):
        fill_between_slices(node, "Larynx")


# --- smooth


def test_smoothing_takes_steps_away_and_keeps_volume_and_place(world: World) -> None:
    rng = np.random.default_rng(5)
    whole = ellipsoid((20, 30, 30), (12, 14.0, 10.0))
    rough = whole ^ (
        (rng.random(whole.shape) < 0.3) & (ellipsoid((20, 30, 30), (13, 16, 12)) ^ ellipsoid((20, 30, 30), (11, 12, 8)))
    )
    node = node_of(world, rough.astype(np.uint8), ("Parotid_L",))
    history = history_of(node)
    changed = smooth(node, "Parotid_L", history.SaveState)
    smoothed = mask_of(node)
    assert changed == np.count_nonzero(smoothed ^ rough)
    assert np.count_nonzero(smoothed) == pytest.approx(np.count_nonzero(rough), rel=0.01)
    assert edges(smoothed) < 0.75 * edges(rough)
    assert np.count_nonzero(smoothed & whole) / np.count_nonzero(whole) > 0.95
    assert history.RestorePreviousState()
    assert np.array_equal(mask_of(node), rough)


def edges(mask: np.ndarray) -> int:
    """Faces between a voxel of the organ and one that is none."""
    return sum(int(np.count_nonzero(np.diff(mask.astype(np.int8), axis=axis))) for axis in range(3))


def test_smoothing_takes_nothing_from_neighbours(world: World) -> None:
    labels = ellipsoid((20, 30, 30), (12, 14.0, 10.0)).astype(np.uint8)
    labels[:, :, 35:45] = 2 * (labels[:, :, 35:45] == 0)
    node = node_of(world, labels)
    smooth(node, "Parotid_L", sigma_mm=3.0)
    assert np.array_equal(mask_of(node, "Bone_Mandible"), labels == 2)
    assert node.GetSegmentation().GetNumberOfLayers(LABELMAP) == 1


def test_a_lens_is_not_smoothed_away(world: World) -> None:
    labels = np.zeros(GRID.shape_zyx, np.uint8)
    labels[20:22, 30:34, 30:35] = 1
    node = node_of(world, labels, ("Lens_L",))
    smooth(node, "Lens_L")
    assert np.count_nonzero(mask_of(node, "Lens_L")) >= 36
