"""Slice views of the review on Slicer's own core: on the CT's own slices, on an organ's largest slice, zoomed view by view, given back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from focusnet.image.organs import find_organ
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Geometry, Volume
from FocusNetSegmentationLib.review import windows as review_windows
from FocusNetSegmentationLib.review.places import Boxes, largest_place, usual_place_ras
from FocusNetSegmentationLib.review.planes import grid_to_world
from FocusNetSegmentationLib.review.views import Views
from FocusNetSegmentationLib.review.windows import window_for
from FocusNetSegmentationLib.scene.labelmaps import LABELMAP, voxels
from FocusNetSegmentationLib.scene.nodes import organ_segments
from FocusNetSegmentationLib.scene.volumes import from_vtk

from ...Core.helpers_outputs import GRIDS, segmentation
from ..helpers_nodes import TURNED, World, points_lps, segment
from ..helpers_views import (
    AXES,
    IDENTITY,
    center_of,
    ct_with,
    indices_at_center,
    lps_rotation,
    show,
    slice_views,
    with_layers,
)

ODD = (0.977, 0.977, 2.53)  # mm: no slice lies on a round number
NAMES = ("Brainstem", "Parotid_L", "SpinalCord", "Larynx", "Esophagus", "Bone_Mandible", "Lens_R")


def seven_organs(shape: tuple[int, int, int] = (41, 60, 60)) -> np.ndarray:
    """Seven boxes of odd and even sizes, so that half of their middles lie between two slices."""
    labels = np.zeros(shape, np.uint8)
    for label in range(1, 8):
        z, y, x = 2 + 5 * (label - 1), 5 + 6 * (label - 1), 4 + 7 * (label - 1)
        labels[z : z + 2 + label % 3, y : y + 3 + label % 2, x : x + 4 + label % 2] = label
    return labels


def tube() -> np.ndarray:
    """A cord: 10 mm across and 270 mm long, on ``LONG``."""
    labels = np.zeros((92, 60, 60), np.uint8)
    for z in range(1, 91):
        y = 26 + int(6 * np.sin(z / 25))
        labels[z, y : y + 5, 28:33] = 1
    return labels


LONG = Geometry((92, 60, 60), (2.0, 2.0, 3.0), (-60.0, -60.0, -138.0))


# --- on a slice of the CT (whole k)


@pytest.mark.parametrize("grid", ["axial, odd spacing", "tilted", "oblique", "tilted under a transform", "left-handed"])
def test_every_view_stops_on_a_slice_of_the_ct_for_all_organs(world: World, grid: str) -> None:
    directions = {
        "axial, odd spacing": IDENTITY,
        "tilted": lps_rotation(x=14.0),
        "oblique": lps_rotation(x=14.0, y=-9.0, z=6.0),
        "tilted under a transform": lps_rotation(x=14.0),
        "left-handed": IDENTITY * (1, 1, -1),
    }
    geometry = Geometry((41, 60, 60), ODD, (-31.7, 12.3, -77.7), tuple(map(tuple, directions[grid])))
    ct, node = ct_with(world, segmentation(seven_organs(), geometry, NAMES))
    if "transform" in grid:
        world.transform(TURNED, ct, node)
    nodes, views = slice_views(world), Views(world.scene)
    for organ in NAMES:
        assert show(views, node, organ, ct)
        for view in nodes:
            index, axis = indices_at_center(view, ct)
            assert index[axis] == pytest.approx(round(index[axis]), abs=1e-4), f"{organ} in {view.GetName()}: {index}"


def test_a_tilted_ct_is_shown_in_its_own_planes_and_the_users_come_back(world: World) -> None:
    geometry = Geometry((41, 60, 60), ODD, (-31.7, 12.3, -77.7), tuple(map(tuple, lps_rotation(x=14.0, z=4.0))))
    ct, node = ct_with(world, segmentation(seven_organs(), geometry, NAMES))
    nodes, views = slice_views(world), Views(world.scene)
    before = [from_vtk(view.GetSliceToRAS()) for view in nodes]
    show(views, node, "Larynx", ct)
    units = grid_to_world(ct)[:3, :3] / ODD
    for view, old in zip(nodes, before, strict=True):
        axes = from_vtk(view.GetSliceToRAS())[:3, :3]
        along = np.abs(units.T @ axes)
        np.testing.assert_allclose(along.max(axis=0), 1.0, atol=1e-6)  # each axis is one of the CT's
        assert (np.diag(old[:3, :3].T @ axes) > 0.9).all(), "and the nearest one"
        assert np.linalg.det(axes) == pytest.approx(np.linalg.det(old[:3, :3])), "not mirrored"
    views.restore()
    for view, old, name in zip(nodes, before, AXES, strict=True):
        np.testing.assert_allclose(from_vtk(view.GetSliceToRAS()), old, atol=1e-9)
        assert view.GetOrientation() == name


def test_snapping_is_that_of_slicers_own_slice_logic(world: World) -> None:
    geometry = Geometry((41, 60, 60), ODD, (-31.7, 12.3, -77.7))
    ct, node = ct_with(world, segmentation(seven_organs(), geometry, NAMES))
    view = slice_views(world)[0]
    composite = world.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    composite.SetLayoutName(view.GetLayoutName())
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLScene(world.scene)
    logic.SetSliceNode(view)
    logic.SetSliceCompositeNode(composite)
    for organ in NAMES:
        show(Views(world.scene), node, organ, ct)
        offset = view.GetSliceOffset()
        logic.SnapSliceOffsetToIJK()
        assert view.GetSliceOffset() == pytest.approx(offset, abs=1e-3), organ


# --- the largest slice of the largest part


def test_an_organ_in_two_fragments_is_shown_in_the_larger_one_not_in_the_air_between(world: World) -> None:
    labels = np.zeros((40, 60, 60), np.uint8)
    labels[2:5, 10:13, 10:13] = 1
    labels[20:30, 40:50, 40:48] = 1
    labels[26, 38:52, 38:50] = 1  # its largest slice
    ct, node = ct_with(world, segmentation(labels, Geometry(labels.shape, (1.0, 1.0, 2.5)), ("Esophagus",)))
    axial, sagittal, coronal = slice_views(world)
    show(Views(world.scene), node, "Esophagus", ct)
    for view in (axial, sagittal, coronal):
        index, axis = indices_at_center(view, ct)
        x, y, z = np.round(index).astype(int)
        assert labels[z, y, x] == 1, f"{view.GetName()} is centred in air"
        areas = (labels[18:] == 1).sum(axis=tuple(a for a in range(3) if a != 2 - axis))
        assert areas[round(index[axis]) - (18 if axis == 2 else 0)] >= 0.97 * areas.max()
    assert round(indices_at_center(axial, ct)[0][2]) == 26


def test_the_largest_part_of_a_large_organ_is_found_on_a_coarser_grid(world: World) -> None:
    labels = np.zeros((60, 240, 240), np.uint8)
    labels[2:50, 20:220, 20:220] = 1
    labels[33, 12:228, 12:228] = 1
    labels[58, 2:8, 2:8] = 1
    _, node = ct_with(world, segmentation(labels, Geometry(labels.shape, (1.0, 1.0, 2.5)), ("Brain",)))
    place = largest_place(node, organ_segments(node)["Brain"])
    assert place is not None
    assert place.index_xyz[2] == 33
    np.testing.assert_allclose(place.box, [[12, 12, 2], [227, 227, 49]], atol=2)


def test_boxes_are_those_of_every_voxel_and_follow_a_stroke(world: World) -> None:
    rng, labels = np.random.default_rng(3), np.zeros((30, 90, 90), np.uint8)
    for label in range(1, 8):
        z, y, x = rng.integers(0, 20), *rng.integers(0, 70, 2)
        labels[z : z + rng.integers(1, 9), y : y + rng.integers(1, 19), x : x + rng.integers(1, 19)] = label
    _, node = ct_with(world, segmentation(labels, Geometry(labels.shape, (1.0, 1.0, 2.5)), NAMES))
    boxes = Boxes()
    for _ in range(2):
        for name in NAMES:
            drawn = segment(node, name)
            image = drawn.GetRepresentation(LABELMAP)
            mask = voxels(image) == drawn.GetLabelValue()
            box = boxes.box(image, drawn.GetLabelValue())
            assert (box is None) == (not mask.any())
            if box is not None:
                assert [(s.start, s.stop) for s in box] == [(w.min(), w.max() + 1) for w in np.nonzero(mask)], name
        voxels(image)[:, :50] = 0
        image.Modified()


def test_zoom_is_of_each_view_so_that_a_cords_length_does_not_set_its_axial_view(world: World) -> None:
    ct, node = ct_with(world, segmentation(tube(), LONG, ("SpinalCord",)))
    axial, sagittal, coronal = slice_views(world)
    show(Views(world.scene), node, "SpinalCord", ct)
    assert 70 <= min(axial.GetFieldOfView()[:2]) <= 100
    for view in (sagittal, coronal):
        assert 230 <= view.GetFieldOfView()[1] <= 340, "its length"
    for view in (axial, sagittal, coronal):
        width, height = view.GetFieldOfView()[:2]
        assert width / height == pytest.approx(400 / 300), "pixels stay square"


def test_a_lens_is_shown_70_mm_wide(world: World) -> None:
    labels = np.zeros((40, 60, 60), np.uint8)
    labels[20:22, 30:36, 30:38] = 1
    ct, node = ct_with(world, segmentation(labels, Geometry(labels.shape, (1.0, 1.0, 2.5)), ("Lens_R",)))
    views = slice_views(world)
    show(Views(world.scene), node, "Lens_R", ct)
    assert [min(view.GetFieldOfView()[:2]) for view in views] == pytest.approx([70.0] * 3)


@pytest.mark.parametrize("grid", GRIDS)
def test_every_view_shows_the_organ_whole_with_its_surroundings(world: World, grid: str) -> None:
    ct, imported, _ = world.result(grid)
    world.transform(TURNED, ct, imported.node, imported.frozen)
    nodes = slice_views(world)
    assert show(Views(world.scene), imported.node, "Parotid_L", ct)
    points = points_lps(imported.node, "Parotid_L") * (-1, -1, 1)
    for view in nodes:
        axes = from_vtk(view.GetSliceToRAS())[:3, :2]
        across = np.abs((points - center_of(view)) @ axes).max(axis=0)
        assert (across < np.array(view.GetFieldOfView()[:2]) / 2 - 8).all()
        assert view.GetFieldOfView()[1] < 150, "zoomed"


def test_a_pan_by_hand_does_not_move_the_next_organ_out_of_the_middle(world: World) -> None:
    ct, imported, _ = world.result()
    view, views = slice_views(world)[0], Views(world.scene)
    show(views, imported.node, "Parotid_L", ct)
    view.SetXYZOrigin(37.0, -20.0, 0.0)
    show(views, imported.node, "Brainstem", ct)
    assert view.GetXYZOrigin() == (0.0, 0.0, 0.0)


def test_a_view_is_drawn_once_for_an_organ(world: World) -> None:
    ct, imported, _ = world.result()
    view, changes = slice_views(world)[0], []
    views = Views(world.scene)
    view.AddObserver("ModifiedEvent", lambda *_: changes.append(1))
    show(views, imported.node, "Parotid_L", ct)
    assert len(changes) == 1


# --- over its own CT, and the user's display again


def test_a_result_is_shown_over_its_own_ct_and_the_users_layers_come_back(world: World) -> None:
    ct, imported, _ = world.result()
    other = world.volume(Volume(np.zeros((5, 5, 5), np.int16), Geometry((5, 5, 5), (1.0, 1.0, 1.0))), "other patient")
    pet = world.volume(Volume(np.zeros((5, 5, 5), np.int16), Geometry((5, 5, 5), (1.0, 1.0, 1.0))), "PET")
    composites = with_layers(world, other, pet)
    views = Views(world.scene)
    show(views, imported.node, "Parotid_L", ct)
    for composite in composites:
        assert composite.GetBackgroundVolumeID() == ct.GetID(), "contours over another patient's CT"
        assert composite.GetForegroundVolumeID() is None
        assert composite.GetLinkedControl()
    composites[0].SetForegroundVolumeID(pet.GetID())  # by hand, during the review
    composites[1].SetBackgroundVolumeID(other.GetID())
    show(views, imported.node, "Brainstem", ct)
    assert composites[0].GetForegroundVolumeID() == pet.GetID(), "kept"
    assert composites[1].GetBackgroundVolumeID() == ct.GetID()
    views.restore()
    for composite in composites:
        assert composite.GetBackgroundVolumeID() == other.GetID()
        assert composite.GetForegroundVolumeID() == pet.GetID()
        assert not composite.GetLinkedControl()
    assert not views.is_active


def test_zoom_place_and_crosshair_come_back_and_a_view_of_another_shape_keeps_square_pixels(world: World) -> None:
    ct, imported, _ = world.result()
    with_layers(world, ct, None)
    axial, sagittal, _ = slice_views(world)
    crosshair = world.scene.AddNewNodeByClass("vtkMRMLCrosshairNode")
    crosshair.SetCrosshairRAS(1.0, 2.0, 3.0)
    axial.JumpSliceByCentering(5.0, 6.0, 7.0)
    views = Views(world.scene)
    show(views, imported.node, "Parotid_L", ct)
    assert crosshair.GetCrosshairMode() != crosshair.NoCrosshair
    marked = crosshair.GetCrosshairRAS()
    for view in (axial, sagittal):
        axes = from_vtk(view.GetSliceToRAS())[:3, :3]
        assert (np.array(marked) - center_of(view)) @ axes[:, 2] == pytest.approx(0.0, abs=1e-3), (
            "on every view's slice"
        )
    sagittal.SetDimensions(300, 300, 1)
    views.restore()
    assert center_of(axial) == pytest.approx([5, 6, 7])
    assert axial.GetFieldOfView()[:2] == pytest.approx((400, 300))
    assert sagittal.GetFieldOfView()[:2] == pytest.approx((300, 300))
    assert (crosshair.GetCrosshairMode(), crosshair.GetCrosshairRAS()) == (crosshair.NoCrosshair, (1.0, 2.0, 3.0))


def test_a_review_that_ends_after_its_ct_was_removed_gives_back_what_there_is(world: World) -> None:
    ct, imported, _ = world.result()
    with_layers(world, None, None)
    slice_views(world)
    views = Views(world.scene)
    show(views, imported.node, "Parotid_L", ct)
    world.scene.RemoveNode(ct)
    views.restore()
    assert not views.is_active


# --- a CT that was not shown


def test_a_ct_that_was_not_shown_is_fitted_in_its_own_planes_on_a_slice_and_stays_after_the_review(
    world: World,
) -> None:
    geometry = Geometry((40, 60, 60), ODD, (500.0, -400.0, 900.0), tuple(map(tuple, lps_rotation(x=14.0))))
    ct, node = ct_with(world, segmentation(seven_organs((40, 60, 60)), geometry, NAMES))
    ct.CreateDefaultDisplayNodes()
    ct.GetDisplayNode().SetAutoWindowLevel(True)
    nodes = slice_views(world)
    (composite, *_) = with_layers(world, None, None)
    views = Views(world.scene)
    assert views.show_volume(ct)
    assert composite.GetBackgroundVolumeID() == ct.GetID()
    for view in nodes:
        index, axis = indices_at_center(view, ct)
        assert index[axis] == pytest.approx(round(index[axis]), abs=1e-4)
        assert index == pytest.approx([29.5, 29.5, 19.5], abs=0.51)
        across, up = view.GetFieldOfView()[:2]
        assert across / up == pytest.approx(400 / 300)
        assert 58.0 < min(across, up) < 130.0, "the whole CT, and not much more"
    assert not views.is_active, "it is the user's display from now on"
    fitted = [from_vtk(view.GetSliceToRAS()) for view in nodes]
    assert not views.show_volume(ct), "shown already: the views stay where they are"
    show(views, node, "Larynx", ct)
    views.restore()
    assert composite.GetBackgroundVolumeID() == ct.GetID()
    np.testing.assert_allclose([from_vtk(view.GetSliceToRAS()) for view in nodes], fitted)


# --- empty organs


def test_an_empty_organ_is_shown_where_its_neighbours_say_not_in_a_corner(world: World) -> None:
    labels = np.zeros((60, 80, 80), np.uint8)
    labels[28:34, 50:56, 37:43] = 1  # a brainstem
    labels[10:28, 50:54, 38:42] = 2
    geometry = Geometry(labels.shape, (2.0, 2.0, 3.0), (-80.0, -80.0, -90.0))
    result = segmentation(labels, geometry, ("Brainstem", "SpinalCord", "Larynx", "Lens_R"))
    ct, node = ct_with(world, result)
    brainstem = points_lps(node, "Brainstem").mean(axis=0)
    place = usual_place_ras(node, "Larynx")
    assert place is not None
    offset_lps = place * (-1, -1, 1) - brainstem
    assert offset_lps[2] < -60, "below the brainstem"
    assert -100 < offset_lps[1] < -20, "in front of it"
    (view, *_) = slice_views(world)
    assert show(Views(world.scene), node, "Larynx", ct)
    index, axis = indices_at_center(view, ct)
    assert index[axis] == pytest.approx(round(index[axis]), abs=1e-4)
    assert (index > -1).all()
    assert index[axis] <= labels.shape[0] - 1


@pytest.mark.parametrize(("peak", "kept"), [(0.9, True), (0.02, False)])
def test_a_localization_counts_only_if_the_model_believed_it(world: World, peak: float, kept: bool) -> None:
    from dataclasses import replace

    labels = np.zeros((20, 30, 30), np.uint8)
    labels[8:12, 10:20, 10:20] = 1
    made = segmentation(labels, Geometry(labels.shape, (2.0, 2.0, 3.0)), ("Brainstem", "Larynx"))
    results = tuple(
        replace(r, peak=peak, peak_mm_xyz=(1.0, 2.0, 3.0)) if r.organ.name == "Larynx" else r for r in made.results
    )
    _, node = ct_with(world, Segmentation(made.labels, made.geometry, results, made.provenance))
    place = usual_place_ras(node, "Larynx")
    assert place is not None
    assert np.allclose(place, (-1.0, -2.0, 3.0)) is kept


def test_an_organ_without_neighbours_has_no_usual_place_and_the_views_stay(world: World) -> None:
    labels = np.zeros((20, 30, 30), np.uint8)
    ct, node = ct_with(world, segmentation(labels, Geometry(labels.shape, (2.0, 2.0, 3.0)), ("Brainstem", "Larynx")))
    (view, *_) = slice_views(world)
    before = view.GetFieldOfView()
    assert usual_place_ras(node, "Larynx") is None
    assert not show(Views(world.scene), node, "Larynx", ct)
    assert view.GetFieldOfView() == before
    assert show(Views(world.scene), node, "Larynx", None, (10.0, 20.0, 30.0))
    assert center_of(view) == pytest.approx([10, 20, 30])


def test_every_window_is_of_an_organ_that_there_is() -> None:
    for name in review_windows.WINDOWS:
        assert find_organ(name) or find_organ(f"{name}_L"), name
    assert window_for("Cochlea_R") == review_windows.BONE
    assert window_for("Parotid_R") == window_for("GTV") == review_windows.SOFT_TISSUE


def test_the_older_name_still_works(world: World) -> None:
    ct, imported, _ = world.result()
    views: Any = Views(world.scene)
    assert views.focus(imported.node, organ_segments(imported.node)["Parotid_L"], "Parotid_L", ct)
