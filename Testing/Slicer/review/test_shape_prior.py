"""The shape prior's shape prior on Slicer's own core: shown as what it is, measured in mm, used as a whole or inside a brush, undone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

import vtk
from vtk.util.numpy_support import vtk_to_numpy

from focusnet.errors import InputError
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Geometry
from focusnet.io.seg_nrrd import write_seg_nrrd
from FocusNetSegmentationLib.review.shape_prior import (
    add_shape_priors,
    is_outdated,
    shape_prior_node,
    shape_priors_of,
    show_shape_prior,
    use_shape,
)
from FocusNetSegmentationLib.review.shape_prior_distance import (
    ARRAY,
    color_by_distance,
    distance_node,
    hide_distance,
    signed_distances_mm,
)
from FocusNetSegmentationLib.review.states import Review
from FocusNetSegmentationLib.scene.as_segmentation import segmentation_on
from FocusNetSegmentationLib.scene.labelmaps import LABELMAP
from FocusNetSegmentationLib.scene.nodes import import_result, organ_segments, remove_orphans
from FocusNetSegmentationLib.scene.volumes import world_geometry

from ...Core.helpers_outputs import GRIDS, segmentation
from ..helpers_nodes import (
    TURNED,
    World,
    erase_a_bit,
    load_mrb,
    paint,
    points_lps,
    save_segmentation,
    segmentation_of,
)
from ..helpers_review import approve
from ..helpers_slicer import open_segmentation

EDGE_MM = 40.0
CUBE = Geometry((40, 60, 60), (2.0, 2.0, 3.0), (-60.0, -60.0, -60.0))


def ball(radius_mm: float, center_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    z, y, x = np.indices(CUBE.shape_zyx)
    points = CUBE.index_to_mm(np.stack([z, y, x], axis=-1))
    return ((points - np.array(center_mm)) ** 2).sum(axis=-1) <= radius_mm**2


def drawn(mask: np.ndarray, geometry: Geometry = CUBE, name: str = "Brainstem") -> Segmentation:
    return segmentation(mask.astype(np.uint8), geometry, (name,))


def write_shape_priors(result: Segmentation, folder: Path) -> Path:
    path = folder / "shape-priors.seg.nrrd"
    write_seg_nrrd(result, path, overwrite=True)
    return path


def balls(world: World, tmp_path: Path, radius_mm: float, shape_prior_mm: float) -> Any:
    """A segmentation with a ball for a brainstem, whose shape prior is another ball."""
    node = import_result(world.scene, drawn(ball(radius_mm)), None).node
    assert add_shape_priors(world.scene, node, write_shape_priors(drawn(ball(shape_prior_mm)), tmp_path)) == [
        "Brainstem"
    ]
    return node


def node_mask(node: Any, geometry: Geometry = CUBE, name: str = "Brainstem") -> np.ndarray:
    return segmentation_on(geometry, node)[0].mask(name)


# --- shown


def test_a_shape_prior_is_hidden_at_first_named_as_a_prior_and_kept_out_of_every_list(
    world: World, tmp_path: Path
) -> None:
    node = balls(world, tmp_path, 20, 16)
    shape_prior = shape_prior_node(node)
    assert shape_prior.GetName() == f"{node.GetName()} (shape prior, not truth)"
    assert shape_prior.GetSegmentation().GetNthSegment(0).GetName() == "Brainstem (shape prior, not truth)"
    assert shape_prior.GetHideFromEditors()
    display = shape_prior.GetDisplayNode()
    assert not display.GetVisibility()
    assert (display.GetVisibility2DFill(), display.GetVisibility2DOutline()) == (0, 1)
    assert "Brainstem (shape prior, not truth)" not in Review(node).states()


def test_one_shape_prior_is_shown_at_a_time_in_2d_and_3d(world: World, tmp_path: Path) -> None:
    both = ball(20).astype(np.uint8)
    both[ball(10, (45, 0, 0))] = 2
    two = segmentation(both, CUBE, ("Brainstem", "Larynx"))
    node = import_result(world.scene, two, None).node
    add_shape_priors(world.scene, node, write_shape_priors(two, tmp_path))
    ids, display = shape_priors_of(node), shape_prior_node(node).GetDisplayNode()
    show_shape_prior(node, "Larynx")
    assert display.GetVisibility()
    assert [bool(display.GetSegmentVisibility(ids[n])) for n in ("Brainstem", "Larynx")] == [False, True]
    surface = shape_prior_node(node).GetSegmentation().GetSegment(ids["Larynx"]).GetRepresentation("Closed surface")
    assert surface.GetNumberOfPoints() > 0
    show_shape_prior(node, None)
    assert not display.GetVisibility()


@pytest.mark.parametrize("grid", GRIDS)
def test_a_shape_prior_lies_on_its_organ_on_any_grid_and_follows_the_patient(
    world: World, tmp_path: Path, grid: str
) -> None:
    """Written in the scan's world space, as the worker does, while the scan is under a transform that is changed afterwards."""
    ct, imported, result = world.result(grid)
    transform = world.transform(TURNED, ct, imported.node, imported.frozen)
    in_world = replace(result, geometry=world_geometry(ct))
    add_shape_priors(world.scene, imported.node, write_shape_priors(in_world, tmp_path))
    shape_prior = shape_prior_node(imported.node)
    np.testing.assert_allclose(points_lps(shape_prior, "Parotid_R"), points_lps(imported.node, "Parotid_R"), atol=1e-2)
    transform.SetMatrixTransformToParent(vtk.vtkMatrix4x4())
    np.testing.assert_allclose(points_lps(shape_prior, "Parotid_R"), points_lps(imported.node, "Parotid_R"), atol=1e-2)


def test_shape_priors_of_another_scoring_replace_the_old_ones(world: World, tmp_path: Path) -> None:
    node = balls(world, tmp_path, 20, 16)
    add_shape_priors(world.scene, node, write_shape_priors(drawn(ball(12)), tmp_path))
    assert list(shape_priors_of(node)) == ["Brainstem"]
    assert shape_prior_node(node).GetSegmentation().GetNumberOfSegments() == 1
    use_shape(node, "Brainstem")
    assert np.array_equal(node_mask(node), ball(12))


def test_a_shape_prior_tells_when_its_organ_was_changed_after_it_was_made(world: World, tmp_path: Path) -> None:
    node = balls(world, tmp_path, 20, 16)
    assert not is_outdated(node, "Brainstem")
    paint(node, "Brainstem", erase_a_bit)
    assert is_outdated(node, "Brainstem")


def test_a_file_that_is_no_shape_prior_is_refused_and_nothing_is_added(world: World, tmp_path: Path) -> None:
    node = import_result(world.scene, drawn(ball(20)), None).node
    count = world.scene.GetNumberOfNodes()
    bad = tmp_path / "bad.seg.nrrd"
    bad.write_bytes(b"NRRD0004\nrubbish")
    with pytest.raises(InputError, match=r"bad\.seg\.nrrd"):
        add_shape_priors(world.scene, node, bad)
    with pytest.raises(InputError, match=r"none\.seg\.nrrd"):
        add_shape_priors(world.scene, node, tmp_path / "none.seg.nrrd")
    with pytest.raises(InputError, match="shape priors of none"):
        add_shape_priors(world.scene, node, write_shape_priors(drawn(ball(20), name="Lens_L"), tmp_path))
    with pytest.raises(InputError, match="no shape prior of Brainstem; score"):
        show_shape_prior(node, "Brainstem")
    with pytest.raises(InputError, match="no shape prior"):
        use_shape(node, "Brainstem")
    assert world.scene.GetNumberOfNodes() == count
    assert shape_prior_node(node) is None
    show_shape_prior(node, None)


def test_a_shape_prior_goes_with_its_segmentation(world: World, tmp_path: Path) -> None:
    node = balls(world, tmp_path, 20, 16)
    color_by_distance(world.scene, node, "Brainstem")
    assert remove_orphans(world.scene) == 0
    world.scene.RemoveNode(node)
    assert remove_orphans(world.scene) == 3, "the frozen copy, the shape prior, the coloured surface"
    assert world.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_shape_prior_and_distances_are_in_a_saved_scene(world: World, tmp_path: Path) -> None:
    node = balls(world, tmp_path, 20, 16)
    color_by_distance(world.scene, node, "Brainstem")
    show_shape_prior(node, "Brainstem")
    assert world.scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    scene = load_mrb(tmp_path / "scene.mrb", tmp_path / "unpacked")
    back = segmentation_of(scene)
    assert list(shape_priors_of(back)) == ["Brainstem"]
    assert shape_prior_node(back).GetHideFromEditors()
    assert not is_outdated(back, "Brainstem")
    assert distance_node(back).GetPolyData().GetPointData().GetArray(ARRAY).GetRange()[1] == pytest.approx(4, abs=1.2)
    use_shape(back, "Brainstem")
    assert np.array_equal(node_mask(back), ball(16))


# --- measured


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


def test_an_empty_organ_has_no_surface_to_colour(world: World, tmp_path: Path) -> None:
    node = import_result(world.scene, drawn(np.zeros(CUBE.shape_zyx)), None).node
    add_shape_priors(world.scene, node, write_shape_priors(drawn(ball(16)), tmp_path))
    with pytest.raises(InputError, match="Brainstem is empty: there is no surface"):
        color_by_distance(world.scene, node, "Brainstem")
    assert use_shape(node, "Brainstem") == np.count_nonzero(ball(16))
    assert np.array_equal(node_mask(node), ball(16))


# --- used


def test_the_whole_shape_replaces_the_segment_and_can_be_undone(world: World, tmp_path: Path) -> None:
    node = balls(world, tmp_path, 20, 16)
    history = slicer.vtkSegmentationHistory()
    history.SetSegmentation(node.GetSegmentation())
    changed = use_shape(node, "Brainstem", save_state=history.SaveState)
    assert np.array_equal(node_mask(node), ball(16))
    assert changed == np.count_nonzero(ball(20) & ~ball(16))
    assert Review(node).states() == {"Brainstem": "edited"}
    assert history.RestorePreviousState()
    assert np.array_equal(node_mask(node), ball(20))
    assert Review(node).states() == {"Brainstem": "draft"}


@pytest.mark.parametrize("turned", [False, True])
def test_the_brush_takes_the_shape_only_inside_its_sphere(world: World, tmp_path: Path, turned: bool) -> None:
    node = balls(world, tmp_path, 20, 16)
    center_lps = np.array([20.0, 0.0, 0.0])
    center_ras = center_lps * (-1, -1, 1)
    if turned:
        world.transform(TURNED, node, shape_prior_node(node))
        center_ras = (TURNED @ [*center_ras, 1.0])[:3]
    use_shape(node, "Brainstem", tuple(center_ras), 9.0)
    if turned:
        node.SetAndObserveTransformNodeID(None)
    inside = ball(9.0, tuple(center_lps))
    expected = np.where(inside, ball(16), ball(20))
    assert np.array_equal(node_mask(node), expected)
    assert not np.array_equal(expected, ball(20))


def test_the_shape_reaches_beyond_the_segments_own_box(world: World, tmp_path: Path) -> None:
    """Slicer may have cropped a segment's voxels to their box, and the prior may lie on another grid."""
    node = import_result(world.scene, drawn(ball(12)), None).node
    cropped = open_segmentation(save_segmentation(node, tmp_path / "s.seg.nrrd", crop=True))
    add_shape_priors(cropped.scene, cropped.node, write_shape_priors(drawn(ball(20)), tmp_path))
    use_shape(cropped.node, "Brainstem")
    assert np.array_equal(node_mask(cropped.node), ball(20))
    fine = Geometry((60, 80, 80), (1.5, 1.5, 2.0), (-60.0, -60.0, -60.0))
    z, y, x = np.indices(fine.shape_zyx)
    points = fine.index_to_mm(np.stack([z, y, x], axis=-1))
    smooth = (points**2).sum(axis=-1) <= 26**2
    add_shape_priors(cropped.scene, cropped.node, write_shape_priors(drawn(smooth, fine), tmp_path))
    use_shape(cropped.node, "Brainstem")
    assert np.count_nonzero(node_mask(cropped.node) ^ ball(26)) < 0.05 * np.count_nonzero(ball(26))


def test_neighbours_keep_their_voxels_where_the_shape_reaches_into_them(world: World, tmp_path: Path) -> None:
    both = ball(16).astype(np.uint8)
    neighbour = ball(12, (24, 0, 0)) & (both == 0)
    both[neighbour] = 2
    node = import_result(world.scene, segmentation(both, CUBE, ("Brainstem", "Larynx")), None).node
    add_shape_priors(world.scene, node, write_shape_priors(drawn(ball(22)), tmp_path))
    review = Review(node)
    approve(review, "Larynx")
    use_shape(node, "Brainstem")
    assert review.states() == {"Brainstem": "edited", "Larynx": "approved"}
    assert np.array_equal(node_mask(node), ball(22) & ~neighbour), "the shape ends where the neighbour begins"
    assert node.GetSegmentation().GetNumberOfLayers(LABELMAP) == 1, "no voxel belongs to two organs"


def test_a_smaller_shape_leaves_no_unassigned_rim_between_organs_that_touched(world: World, tmp_path: Path) -> None:
    """A lens in its eye: what the lens gives up is eye where the eye is next to it, and background where it was in front of the eye."""
    eye, lens, small = ball(20, (0, 10, 0)), ball(10, (0, -10, 0)), ball(6, (0, -10, 0))
    labels = np.where(lens, 2, eye.astype(np.uint8)).astype(np.uint8)
    node = import_result(world.scene, segmentation(labels, CUBE, ("Eye_L", "Lens_L")), None).node
    add_shape_priors(world.scene, node, write_shape_priors(drawn(small, name="Lens_L"), tmp_path))
    history = slicer.vtkSegmentationHistory()
    history.SetSegmentation(node.GetSegmentation())
    use_shape(node, "Lens_L", save_state=history.SaveState)
    now_lens, now_eye = node_mask(node, name="Lens_L"), node_mask(node, name="Eye_L")
    assert np.array_equal(now_lens, small)
    given_up = lens & ~small
    rim = given_up & ball(18, (0, 10, 0))  # well inside of the eye's old outline
    assert rim.sum() > 50
    assert now_eye[rim].mean() > 0.9, "no gap between lens and eye"
    assert not now_eye[given_up & ~ball(24, (0, 10, 0))].any(), "nothing in front of the eye"
    assert now_eye[eye & ~lens].all()
    assert history.RestorePreviousState()
    assert np.array_equal(node_mask(node, name="Lens_L"), lens)
    assert np.array_equal(node_mask(node, name="Eye_L"), eye & ~lens)


def test_a_large_part_that_is_given_up_becomes_background_not_its_neighbours(world: World, tmp_path: Path) -> None:
    neighbour, organ = np.zeros(CUBE.shape_zyx, bool), np.zeros(CUBE.shape_zyx, bool)
    neighbour[5:30, 20:40, 5:15], organ[5:30, 20:40, 15:50] = True, True
    prior = organ.copy()
    prior[:, :, :45] = False
    labels = organ.astype(np.uint8) + 2 * neighbour.astype(np.uint8)
    node = import_result(world.scene, segmentation(labels, CUBE, ("Parotid_L", "Bone_Mandible")), None).node
    add_shape_priors(world.scene, node, write_shape_priors(drawn(prior, name="Parotid_L"), tmp_path))
    use_shape(node, "Parotid_L")
    gained = node_mask(node, name="Bone_Mandible") & ~neighbour
    assert np.flatnonzero(gained.any(axis=(0, 1))).tolist() == [15, 16], "4 mm, not the whole of it"


def test_a_larger_lens_takes_its_voxels_from_the_eye_around_it(world: World, tmp_path: Path) -> None:
    eye, lens, large = ball(20), ball(6), ball(10)
    labels = np.where(lens, 2, eye.astype(np.uint8)).astype(np.uint8)
    node = import_result(world.scene, segmentation(labels, CUBE, ("Eye_L", "Lens_L")), None).node
    add_shape_priors(world.scene, node, write_shape_priors(drawn(large, name="Lens_L"), tmp_path))
    use_shape(node, "Lens_L")
    assert np.array_equal(node_mask(node, name="Lens_L"), large)
    assert np.array_equal(node_mask(node, name="Eye_L"), eye & ~large)


def test_nothing_is_saved_for_undo_where_the_shape_changes_nothing(world: World, tmp_path: Path) -> None:
    node = balls(world, tmp_path, 16, 16)
    assert use_shape(node, "Brainstem", save_state=lambda: pytest.fail("there is nothing to undo")) == 0
    with pytest.raises(InputError, match="radius of -1 mm"):
        use_shape(node, "Brainstem", (0, 0, 0), -1)
    with pytest.raises(InputError, match="radius of None mm"):
        use_shape(node, "Brainstem", (0, 0, 0))
    with pytest.raises(InputError, match="Larynx is not in"):
        use_shape(node, "Larynx")
