"""The model's own copy and what a review shows beside it: invisible, in no list, and so again when a saved scene is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")
import vtk

from focusnet.io.seg_nrrd import write_seg_nrrd
from FocusNetSegmentationLib.review.seed_points import place_seed, show_seed
from FocusNetSegmentationLib.review.shape_prior import add_shape_priors, shape_prior_node, show_shape_prior
from FocusNetSegmentationLib.review.shape_prior_distance import color_by_distance, distance_node
from FocusNetSegmentationLib.scene.helper_nodes import frozen_copy, helpers, hide_helpers, remove_orphans
from FocusNetSegmentationLib.scene.nodes import organ_segments

from ..helpers_nodes import World, load_mrb, segmentation_of


@pytest.fixture
def errors(tmp_path: Path) -> Iterator[Callable[[], list[str]]]:
    """The errors that VTK and Slicer's core have written so far: what turns the main window's error icon red."""
    before, log = vtk.vtkOutputWindow.GetInstance(), tmp_path / "vtk.log"
    window = vtk.vtkFileOutputWindow()
    window.SetFileName(str(log))
    window.SetFlush(True)
    vtk.vtkOutputWindow.SetInstance(window)
    yield lambda: [line for line in log.read_text().splitlines() if line.startswith("ERROR")] if log.exists() else []
    vtk.vtkOutputWindow.SetInstance(before)


def drawn(node: Any) -> list[int]:
    return [node.GetNthDisplayNode(i).GetVisibility() for i in range(node.GetNumberOfDisplayNodes())]


def reviewed(world: World, tmp_path: Path) -> Any:
    """A result with a shape prior, a coloured surface and a seed."""
    _, imported, result = world.result()
    path = tmp_path / "priors.seg.nrrd"
    write_seg_nrrd(result, path)
    add_shape_priors(world.scene, imported.node, path)
    color_by_distance(world.scene, imported.node, "Parotid_L")
    place_seed(world.scene, imported.node, "Brainstem")
    return imported.node


def test_the_models_own_copy_is_drawn_nowhere_and_stands_in_no_list(world: World) -> None:
    _, imported, _ = world.result()
    assert drawn(imported.frozen) == [0], "a node without a display node gets a visible one when it is loaded"
    assert imported.frozen.GetHideFromEditors()
    assert not imported.frozen.GetSelectable()


def test_it_was_in_the_scene_before_it_was_hidden(world: World) -> None:
    """Slicer's subject hierarchy takes no node that is hidden when it comes, and then complains of each of its segments."""
    hidden_when_added: list[bool] = []

    def added(scene: Any, event: str, node: Any) -> None:
        if node.IsA("vtkMRMLSegmentationNode"):
            hidden_when_added.append(bool(node.GetHideFromEditors()))

    added.CallDataType = vtk.VTK_OBJECT  # type: ignore[attr-defined]
    world.scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, added)
    _, imported, result = world.result()
    assert hidden_when_added == [False, False]
    assert imported.frozen.GetSegmentation().GetNumberOfSegments() == len(result.results)


def test_after_an_mrb_is_loaded_nothing_is_drawn_over_the_corrected_contours(
    world: World, tmp_path: Path, errors: Any
) -> None:
    node = reviewed(world, tmp_path)
    show_shape_prior(node, "Parotid_L")
    show_seed(node, "Brainstem")
    assert world.scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    world.scene.Clear(0)
    scene = load_mrb(tmp_path / "scene.mrb", tmp_path / "unpacked")
    back = segmentation_of(scene)
    assert drawn(frozen_copy(back)) == [0], "without any help"
    assert hide_helpers(scene) == 3, (
        "the shape prior, the coloured surface, the seed: they were shown when it was saved"
    )
    assert [drawn(helper) for helper in helpers(scene) if any(drawn(helper))] == []
    assert drawn(back) == [1]
    assert hide_helpers(scene) == 0
    scene.Clear(0)
    assert errors() == []


def test_a_surface_that_the_coloured_one_covered_is_shown_again(world: World, tmp_path: Path) -> None:
    node = reviewed(world, tmp_path)
    segment_id = organ_segments(node)["Parotid_L"]
    assert not node.GetDisplayNode().GetSegmentVisibility3D(segment_id)
    hide_helpers(world.scene)
    assert node.GetDisplayNode().GetSegmentVisibility3D(segment_id)
    assert drawn(distance_node(node)).count(1) == 0


def test_a_scene_of_an_older_version_is_put_right_when_it_is_loaded(world: World, tmp_path: Path) -> None:
    _, imported, _ = world.result()
    imported.frozen.RemoveAllDisplayNodeIDs()
    assert world.scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    scene = load_mrb(tmp_path / "scene.mrb", tmp_path / "unpacked")
    frozen = frozen_copy(segmentation_of(scene))
    assert drawn(frozen) == [1], "this is what people saw"
    assert hide_helpers(scene) == 1
    assert drawn(frozen) == [0]
    assert frozen.GetHideFromEditors()


def test_the_copy_stays_out_of_the_data_modules_tree(world: World) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(world.scene)
    _, imported, _ = world.result()
    item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), imported.frozen)
    hide_helpers(world.scene)
    name = slicer.vtkMRMLSubjectHierarchyConstants.GetSubjectHierarchyExcludeFromTreeAttributeName()
    assert hierarchy.GetItemAttribute(item, name)


def test_no_error_is_written_from_apply_to_close(world: World, tmp_path: Path, errors: Any) -> None:
    node = reviewed(world, tmp_path)
    assert shape_prior_node(node).GetHideFromEditors()
    world.scene.RemoveNode(node)
    assert remove_orphans(world.scene) == 4
    world.scene.Clear(0)
    assert errors() == []
    slicer.vtkMRMLSegmentationStorageNode().ReadData(slicer.vtkMRMLSegmentationNode())
    assert errors(), "an error would have been seen"


def test_whoever_hears_of_a_new_copy_does_not_take_it_for_an_orphan(world: World) -> None:
    """The panel removes orphans when nodes come and go, and the copy is named by its segmentation only after it was added."""
    removed: list[int] = []
    world.scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, lambda *_: removed.append(remove_orphans(world.scene)))
    _, imported, _ = world.result()
    assert sum(removed) == 0
    assert frozen_copy(imported.node) is imported.frozen
