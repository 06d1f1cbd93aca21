"""Organs in 3D during a review, on Slicer's own core: one surface at a time, renewed after a stroke, the camera on the organ, nothing left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

import vtk

from focusnet.image.volume import Geometry
from FocusNetSegmentationLib.review.surfaces import ROLE, Surfaces, organ_surface
from FocusNetSegmentationLib.scene.labelmaps import LABELMAP, voxels
from FocusNetSegmentationLib.scene.nodes import organ_segments

from ...Core.helpers_outputs import GRIDS, NAMES, segmentation
from ..helpers_nodes import TURNED, World, load_mrb, points_lps, segment


def drawn_of(world: World) -> Any:
    found = [
        world.scene.GetNthNodeByClass(i, "vtkMRMLSegmentationNode")
        for i in range(world.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode"))
    ]
    (node,) = (n for n in found if n.GetAttribute(ROLE))
    return node


def surface(world: World, segment_id: str) -> Any:
    found = drawn_of(world).GetSegmentation().GetSegment(segment_id)
    return found.GetRepresentation("Closed surface") if found is not None else None


def all_made(surfaces: Surfaces) -> int:
    steps = 1
    while surfaces.step():
        steps += 1
    return steps


def test_surfaces_are_made_one_at_a_time_the_current_organs_first(world: World) -> None:
    _, imported, _ = world.result()
    ids, surfaces = organ_segments(imported.node), Surfaces(world.scene)
    surfaces.show(imported.node, ids["Parotid_L"])
    assert drawn_of(world).GetSegmentation().GetNumberOfSegments() == 0, "choosing an organ waits for no surface"
    assert surfaces.pending == len(NAMES)
    surfaces.step()
    assert [drawn_of(world).GetSegmentation().GetNthSegmentID(i) for i in range(1)] == [ids["Parotid_L"]]
    all_made(surfaces)
    assert surfaces.pending == 0
    assert drawn_of(world).GetSegmentation().GetNumberOfSegments() == len(NAMES)
    assert not imported.node.GetSegmentation().ContainsRepresentation("Closed surface"), "painting would wait for them"
    display = drawn_of(world).GetDisplayNode()
    opacities = {o: display.GetSegmentOpacity3D(s) for o, s in ids.items()}
    assert opacities == {o: 1.0 if o == "Parotid_L" else pytest.approx(0.15) for o in NAMES}
    surfaces.show(imported.node, ids["Brainstem"])
    assert display.GetSegmentOpacity3D(ids["Brainstem"]) == 1.0
    assert display.GetSegmentOpacity3D(ids["Parotid_L"]) < 0.5


def test_only_what_a_stroke_changed_is_made_anew(world: World) -> None:
    _, imported, _ = world.result()
    ids, surfaces = organ_segments(imported.node), Surfaces(world.scene)
    surfaces.show(imported.node, ids["Parotid_L"])
    all_made(surfaces)
    before = {o: surface(world, s) for o, s in ids.items()}
    sizes = {o: s.GetNumberOfPoints() for o, s in before.items()}
    image, label = (
        segment(imported.node, "Parotid_L").GetRepresentation(LABELMAP),
        segment(imported.node, "Parotid_L").GetLabelValue(),
    )
    columns = np.flatnonzero((voxels(image) == label).any(axis=(0, 1)))
    voxels(image)[:, :, columns[-2:]] = 0
    image.Modified()
    surfaces.changed()
    all_made(surfaces)
    now = {o: surface(world, s) for o, s in ids.items()}
    assert now["Parotid_L"] is not before["Parotid_L"]
    assert now["Parotid_L"].GetNumberOfPoints() < sizes["Parotid_L"]
    assert now["Brainstem"] is before["Brainstem"]


@pytest.mark.parametrize("grid", GRIDS)
def test_a_surface_lies_around_its_organ_on_any_grid_with_its_outside_out(world: World, grid: str) -> None:
    ct, imported, _ = world.result(grid)
    world.transform(TURNED, ct, imported.node)
    ids, surfaces = organ_segments(imported.node), Surfaces(world.scene)
    surfaces.show(imported.node, ids["Parotid_L"])
    surfaces.step()
    made = surface(world, ids["Parotid_L"])
    drawn = drawn_of(world)
    assert drawn.GetTransformNodeID() == imported.node.GetTransformNodeID()
    bounds = np.array(made.GetBounds()).reshape(3, 2)
    imported.node.SetAndObserveTransformNodeID(None)
    points = points_lps(imported.node, "Parotid_L") * (-1, -1, 1)
    np.testing.assert_allclose(bounds.mean(axis=1), (points.min(axis=0) + points.max(axis=0)) / 2, atol=2.0)
    properties = vtk.vtkMassProperties()
    properties.SetInputData(made)
    center = bounds.mean(axis=1)
    normals, middle = made.GetPointData().GetNormals(), []
    for i in range(0, made.GetNumberOfPoints(), 7):
        middle.append(np.dot(np.array(made.GetPoint(i)) - center, normals.GetTuple(i)) > 0)
    assert np.mean(middle) > 0.9, "normals point outwards"


def test_a_large_organ_is_drawn_from_a_coarser_grid_and_keeps_its_size() -> None:
    z, y, x = np.indices((40, 200, 200))
    ball = ((z - 20) * 5.0) ** 2 + (y - 100) ** 2 + (x - 100) ** 2 < 90**2
    made = organ_surface(ball, np.diag([1.0, 1.0, 5.0, 1.0]), np.zeros(3))
    assert made.GetNumberOfPoints() < 26_000, "on the full grid it has twice as many"
    low, high = np.array(made.GetBounds()).reshape(3, 2).T
    np.testing.assert_allclose(low[:2], 10, atol=4)
    np.testing.assert_allclose(high[:2], 190, atol=4)
    properties = vtk.vtkMassProperties()
    properties.SetInputData(made)
    assert properties.GetVolume() == pytest.approx(ball.sum() * 5.0, rel=0.06)


def test_the_camera_looks_at_the_organ_from_its_own_side_and_goes_back(world: World) -> None:
    _, imported, _ = world.result()
    camera = world.scene.AddNewNodeByClass("vtkMRMLCameraNode")
    camera.SetPosition(0.0, 500.0, 0.0)
    camera.SetFocalPoint(0.0, 0.0, 0.0)
    ids, surfaces = organ_segments(imported.node), Surfaces(world.scene)
    surfaces.show(imported.node, ids["Parotid_L"])
    points = points_lps(imported.node, "Parotid_L") * (-1, -1, 1)
    np.testing.assert_allclose(camera.GetFocalPoint(), (points.min(axis=0) + points.max(axis=0)) / 2, atol=4.0)
    away = np.subtract(camera.GetPosition(), camera.GetFocalPoint())
    assert away[1] == pytest.approx(np.linalg.norm(away)), "still from the front"
    assert 150 < away[1] < 500
    surfaces.restore()
    assert (camera.GetPosition(), camera.GetFocalPoint()) == ((0.0, 500.0, 0.0), (0.0, 0.0, 0.0))


def test_nothing_is_left_behind_and_slicers_own_surfaces_are_shown_again(world: World) -> None:
    _, imported, _ = world.result()
    imported.node.CreateClosedSurfaceRepresentation()
    count, display = world.scene.GetNumberOfNodes(), imported.node.GetDisplayNode()
    assert display.GetVisibility3D()
    surfaces = Surfaces(world.scene)
    surfaces.show(imported.node, organ_segments(imported.node)["Parotid_L"])
    all_made(surfaces)
    assert not display.GetVisibility3D(), "two surfaces in one place flicker"
    surfaces.restore()
    assert world.scene.GetNumberOfNodes() == count
    assert display.GetVisibility3D()
    assert not surfaces.is_active


def test_they_are_in_no_list_and_not_saved(world: World, tmp_path: Path) -> None:
    _, imported, _ = world.result()
    surfaces = Surfaces(world.scene)
    surfaces.show(imported.node, organ_segments(imported.node)["Parotid_L"])
    all_made(surfaces)
    assert drawn_of(world).GetHideFromEditors()
    assert world.scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    scene = load_mrb(tmp_path / "scene.mrb", tmp_path / "unpacked")
    count = scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    assert count == 2, "the result and the model's own"
    assert not [i for i in range(count) if scene.GetNthNodeByClass(i, "vtkMRMLSegmentationNode").GetAttribute(ROLE)]


def test_a_segmentation_that_was_deleted_takes_its_surfaces_with_it(world: World) -> None:
    _, imported, _ = world.result()
    surfaces = Surfaces(world.scene)
    surfaces.show(imported.node, organ_segments(imported.node)["Parotid_L"])
    surfaces.step()
    world.scene.RemoveNode(imported.node)
    assert not surfaces.step()
    assert not surfaces.is_active
    with pytest.raises(ValueError, match="not enough values"):
        drawn_of(world)


def test_an_empty_organ_has_an_empty_surface(world: World) -> None:
    from FocusNetSegmentationLib.scene.nodes import import_result

    grid = Geometry((10, 20, 20), (2.0, 2.0, 3.0))
    node = import_result(world.scene, segmentation(np.zeros(grid.shape_zyx, np.uint8), grid, ("Larynx",)), None).node
    surfaces = Surfaces(world.scene)
    surfaces.show(node, organ_segments(node)["Larynx"])
    all_made(surfaces)
    assert surface(world, organ_segments(node)["Larynx"]).GetNumberOfPoints() == 0
