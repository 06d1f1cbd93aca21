"""Distances to the shape prior on Slicer's own core: measured in mm, as colours in 3D and in the slices, with one small legend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

import vtk
from vtk.util.numpy_support import vtk_to_numpy

from focusnet.errors import InputError
from FocusNetSegmentationLib.review.display import Display
from FocusNetSegmentationLib.review.shape_prior import (
    add_shape_priors,
    use_shape,
)
from FocusNetSegmentationLib.review.shape_prior_distance import (
    ARRAY,
    color_by_distance,
    hide_distance,
    signed_distances_mm,
)
from FocusNetSegmentationLib.review.states import Review
from FocusNetSegmentationLib.review.surfaces import Surfaces
from FocusNetSegmentationLib.scene.helper_nodes import hide_helpers
from FocusNetSegmentationLib.scene.nodes import import_result, organ_segments

from ...Core.helpers_outputs import segmentation
from ..helpers_nodes import World, load_mrb, segmentation_of
from ..helpers_rendering import Screen
from ..helpers_shapes import CUBE, ball, balls, drawn, node_mask, write_shape_priors


@pytest.mark.parametrize(("radius", "shape_prior", "expected"), [(20, 16, 4.0), (16, 20, -4.0), (18, 18, 0.0)])
def test_distances_are_positive_outside_the_prior_negative_inside_and_in_mm(
    world: World, tmp_path: Path, radius: float, shape_prior: float, expected: float
) -> None:
    node = balls(world, tmp_path, radius, shape_prior)
    model = color_by_distance(world.scene, node, "Brainstem")
    values = vtk_to_numpy(model.GetPolyData().GetPointData().GetArray(ARRAY))
    assert float(values.mean()) == pytest.approx(expected, abs=0.3)
    assert np.abs(values - expected).max() < 1.6  # half a slice of the voxel grid
    display = model.GetDisplayNode()
    low, high = display.GetScalarRange()
    assert (low, high) == (-high, max(1.0, np.ceil(np.abs(values).max() - 1e-3)))
    assert display.GetScalarVisibility()
    assert display.GetActiveScalarName() == ARRAY
    assert "not truth" in model.GetName()
    table = display.GetColorNode()
    rgba = [0.0] * 4
    table.GetColor(255, rgba)
    assert rgba[0] > 0.6 > rgba[2], "beyond the prior is red"
    table.GetColor(0, rgba)
    assert rgba[2] > 0.6 > rgba[0], "inside of it is blue"
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(model)
    assert "mm outside (+) or inside (-)" in legend.GetTitleText()
    hide_distance(node)
    assert not display.GetVisibility()
    assert not legend.GetVisibility()


def test_distances_agree_with_a_sphere_that_vtk_makes() -> None:
    """Against spheres whose distances are known exactly: no voxels between."""
    spheres = []
    for radius in (10.0, 7.0):
        source = vtk.vtkSphereSource()
        source.SetRadius(radius)
        source.SetThetaResolution(40)
        source.SetPhiResolution(40)
        source.Update()
        spheres.append(source.GetOutput())
    np.testing.assert_allclose(signed_distances_mm(spheres[0], spheres[1]), 3.0, atol=0.1)
    np.testing.assert_allclose(signed_distances_mm(spheres[1], spheres[0]), -3.0, atol=0.1)


def test_colouring_another_organ_renews_the_one_model_and_leaves_the_segmentation_alone(
    world: World, tmp_path: Path
) -> None:
    node = balls(world, tmp_path, 20, 16)
    first = color_by_distance(world.scene, node, "Brainstem")
    add_shape_priors(world.scene, node, write_shape_priors(drawn(ball(20)), tmp_path))
    again = color_by_distance(world.scene, node, "Brainstem")
    assert again is first
    assert world.scene.GetNumberOfNodesByClass("vtkMRMLModelNode") == 1
    assert not node.GetSegmentation().ContainsRepresentation("Closed surface")
    assert Review(node).states() == {"Brainstem": "draft"}


def test_the_segments_own_surface_is_hidden_while_the_coloured_one_is_shown(world: World, tmp_path: Path) -> None:
    node = balls(world, tmp_path, 20, 16)
    display, segment_id = node.GetDisplayNode(), organ_segments(node)["Brainstem"]
    for was_shown in (True, False):
        display.SetSegmentVisibility3D(segment_id, was_shown)
        for _ in range(2):
            color_by_distance(world.scene, node, "Brainstem")
            assert not display.GetSegmentVisibility3D(segment_id)
        hide_distance(node)
        assert bool(display.GetSegmentVisibility3D(segment_id)) is was_shown


def test_the_distances_are_the_only_outline_of_the_organ_in_the_slices(world: World, tmp_path: Path) -> None:
    """As pixels: the organ's own fill and outline would hide the colours, in the bold outline of a review too."""
    node = balls(world, tmp_path, 20, 16)
    node.CreateDefaultDisplayNodes()
    screen, display = Screen(world.scene), Display(world.scene)
    for reviewed in (False, True):
        if reviewed:
            display.highlight(node, organ_segments(node)["Brainstem"])
        before = screen.drawn()
        color_by_distance(world.scene, node, "Brainstem")
        pixels = screen.pixels().astype(int)
        drawn = pixels.max(axis=2) > 30
        red = drawn & (pixels[..., 0] > pixels[..., 1] + 40) & (pixels[..., 0] > pixels[..., 2] + 40)
        assert red.sum() > 900, "an outline of 3 pixels around a ball of 80 pixels' radius"
        own = drawn & (pixels[..., 1] > pixels[..., 0])  # a brainstem is green
        assert not own.any(), "and nothing of the organ's own"
        hide_distance(node)
        assert np.array_equal(screen.drawn(), before), "then as before"


def test_the_legend_is_small_and_in_one_view_the_3d_one_if_there_is_one(world: World, tmp_path: Path) -> None:
    slices = [world.scene.AddNewNodeByClass("vtkMRMLSliceNode") for _ in range(3)]
    node = balls(world, tmp_path, 20, 16)
    model = color_by_distance(world.scene, node, "Brainstem")
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(model)
    assert legend.GetViewNodeIDs() == (slices[0].GetID(),), "not four of them over the anatomy"
    assert max(legend.GetSize()) < 0.35
    view = world.scene.AddNewNodeByClass("vtkMRMLViewNode")
    color_by_distance(world.scene, node, "Brainstem")
    assert legend.GetViewNodeIDs() == (view.GetID(),)


def test_choosing_another_organ_while_one_is_coloured_leaves_every_organ_as_it_was(
    world: World, tmp_path: Path
) -> None:
    both = ball(20).astype(np.uint8)
    both[ball(10, (45, 0, 0))] = 2
    two = segmentation(both, CUBE, ("Brainstem", "Larynx"))
    node = import_result(world.scene, two, None).node
    add_shape_priors(world.scene, node, write_shape_priors(two, tmp_path))
    ids, display, surfaces = organ_segments(node), Display(world.scene), Surfaces(world.scene)
    before = as_shown(node)
    for organ in ("Brainstem", "Larynx", "Brainstem"):
        display.highlight(node, ids[organ])
        surfaces.show(node, ids[organ])
        hide_distance(node)
        color_by_distance(world.scene, node, organ)
        while surfaces.step():
            pass
    hide_distance(node)
    display.restore()
    surfaces.restore()
    assert as_shown(node) == before


def as_shown(node: Any) -> list[tuple[object, ...]]:
    display = node.GetDisplayNode()
    names = (
        "Visibility",
        "Visibility3D",
        "Visibility2DFill",
        "Visibility2DOutline",
        "Opacity2DFill",
        "Opacity2DOutline",
    )
    return [tuple(getattr(display, f"GetSegment{n}")(s) for n in names) for s in organ_segments(node).values()]


def test_an_empty_organ_has_no_surface_to_colour(world: World, tmp_path: Path) -> None:
    node = import_result(world.scene, drawn(np.zeros(CUBE.shape_zyx)), None).node
    add_shape_priors(world.scene, node, write_shape_priors(drawn(ball(16)), tmp_path))
    with pytest.raises(InputError, match="Brainstem is empty: there is no surface"):
        color_by_distance(world.scene, node, "Brainstem")
    assert use_shape(node, "Brainstem") == np.count_nonzero(ball(16))
    assert np.array_equal(node_mask(node), ball(16))


def test_a_scene_saved_while_an_organ_is_coloured_shows_its_own_outline_again_when_it_is_loaded(
    world: World, tmp_path: Path
) -> None:
    node = balls(world, tmp_path, 20, 16)
    node.CreateDefaultDisplayNodes()
    before = as_shown(node)
    color_by_distance(world.scene, node, "Brainstem")
    assert as_shown(node) != before
    assert world.scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    scene = load_mrb(tmp_path / "scene.mrb", tmp_path / "unpacked")
    assert hide_helpers(scene)
    assert as_shown(segmentation_of(scene)) == before
