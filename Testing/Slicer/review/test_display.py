"""How the review draws contours, on Slicer's own core and as the pixels that its displayable managers draw: bold, thin, and the user's again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from focusnet.image.volume import Geometry
from FocusNetSegmentationLib.review.display import Display, restore_display
from FocusNetSegmentationLib.scene.nodes import import_result, organ_segments

from ...Core.helpers_outputs import segmentation
from ..helpers_nodes import World, load_mrb, segmentation_of
from ..helpers_rendering import Screen

NAMES = ("Brainstem", "Parotid_L")
GRID = Geometry((20, 60, 60), (2.0, 2.0, 3.0), (-60.0, -60.0, -30.0))


@pytest.fixture
def two(world: World) -> tuple[Any, dict[str, str]]:
    """Two boxes side by side, with a display of the user's own."""
    labels = np.zeros(GRID.shape_zyx, np.uint8)
    labels[5:15, 20:40, 12:26] = 1
    labels[5:15, 20:40, 34:48] = 2
    node = import_result(world.scene, segmentation(labels, GRID, NAMES), None).node
    display, ids = node.GetDisplayNode(), organ_segments(node)
    display.SetSliceIntersectionThickness(2)
    display.SetOpacity2DFill(0.4)
    display.SetSegmentOpacity3D(ids["Parotid_L"], 0.8)
    return node, ids


def state(node: Any) -> list[Any]:
    display, ids = node.GetDisplayNode(), organ_segments(node)
    of_node = [
        display.GetVisibility2DFill(),
        display.GetVisibility2DOutline(),
        display.GetOpacity2DFill(),
        display.GetSliceIntersectionThickness(),
    ]
    of_each = [
        [getattr(display, f"GetSegment{what}")(s) for what in ("Visibility", "Visibility2DFill", "Visibility2DOutline", "Opacity3D")]
        for s in ids.values()
    ]  # fmt: skip
    return [node.GetNumberOfDisplayNodes(), of_node, of_each]


def thickness(drawn: np.ndarray, columns: slice) -> int:
    """Pixels of the lower edge of a box, in the middle of it."""
    part = drawn[:, columns]
    column = part[:200, part.shape[1] // 2]
    return int(column.sum())


def test_the_current_organ_is_a_bold_outline_without_fill_and_the_others_are_thin(world: World, two: Any) -> None:
    node, ids = two
    screen = Screen(world.scene)
    left, right = slice(0, 200), slice(200, 400)  # patient's right is on the left
    filled = screen.drawn()
    assert filled[200, 300], "Slicer fills at first"
    display = Display(world.scene)
    display.highlight(node, ids["Parotid_L"])
    drawn = screen.drawn()
    bold, thin = sorted((thickness(drawn, left), thickness(drawn, right)), reverse=True)
    assert (bold, thin) == (3, 1)
    assert drawn.sum() < 0.1 * filled.sum(), "no fill over the anatomy"
    display.highlight(node, ids["Brainstem"])
    swapped = screen.drawn()
    assert (thickness(swapped, left), thickness(swapped, right)) == (thickness(drawn, right), thickness(drawn, left))
    assert display.toggle_fill()
    assert screen.drawn().sum() > 0.4 * filled.sum()
    assert not display.toggle_fill()
    assert display.toggle_others()
    assert {thickness(screen.drawn(), side) for side in (left, right)} == {0, 3}


def test_the_users_own_display_comes_back(world: World, two: Any) -> None:
    node, ids = two
    before, count = state(node), world.scene.GetNumberOfNodes()
    display = Display(world.scene)
    for organ in (*NAMES, "Brainstem"):
        display.highlight(node, ids[organ])
    display.toggle_others()
    display.toggle_fill()
    assert state(node) != before
    display.restore()
    assert state(node) == before
    assert world.scene.GetNumberOfNodes() == count
    assert not display.is_active


def test_an_eye_that_a_person_shuts_stays_shut_for_the_next_organ_and_after_the_review(world: World, two: Any) -> None:
    node, ids = two
    display = Display(world.scene)
    display.highlight(node, ids["Brainstem"])
    node.GetDisplayNode().SetSegmentVisibility(ids["Parotid_L"], False)
    display.highlight(node, ids["Brainstem"])
    display.toggle_others()
    display.toggle_others()
    display.restore()
    assert not node.GetDisplayNode().GetSegmentVisibility(ids["Parotid_L"])


def test_the_bold_outline_goes_with_the_organs_own_eye(world: World, two: Any) -> None:
    node, ids = two
    screen, display = Screen(world.scene), Display(world.scene)
    display.highlight(node, ids["Brainstem"])
    display.toggle_others()
    assert screen.drawn().any()
    node.GetDisplayNode().SetSegmentVisibility(ids["Brainstem"], False)
    assert not screen.drawn().any()
    node.GetDisplayNode().SetSegmentVisibility(ids["Brainstem"], True)
    assert screen.drawn().any()
    node.GetDisplayNode().SetVisibility(False)
    assert not screen.drawn().any()


def test_another_segmentation_gets_its_display_back_before_the_next_one_is_shown(world: World, two: Any) -> None:
    node, ids = two
    other = import_result(world.scene, segmentation(np.ones(GRID.shape_zyx, np.uint8), GRID, ("Larynx",)), None).node
    before, display = state(node), Display(world.scene)
    display.highlight(node, ids["Brainstem"])
    display.highlight(other, organ_segments(other)["Larynx"])
    assert state(node) == before


def test_a_scene_saved_in_mid_review_gives_the_users_display_back_when_it_is_loaded(
    world: World, two: Any, tmp_path: Path
) -> None:
    node, ids = two
    before = state(node)
    Display(world.scene).highlight(node, ids["Brainstem"])
    assert world.scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    scene = load_mrb(tmp_path / "scene.mrb", tmp_path / "unpacked")
    back = segmentation_of(scene)
    assert restore_display(back)
    assert state(back) == before
    assert not restore_display(back)


def test_a_segmentation_that_was_deleted_in_mid_review_is_no_error(world: World, two: Any) -> None:
    node, ids = two
    display = Display(world.scene)
    display.highlight(node, ids["Brainstem"])
    world.scene.RemoveNode(node)
    display.restore()
    assert not display.is_active
    names = [world.scene.GetNthNode(i).GetName() or "" for i in range(world.scene.GetNumberOfNodes())]
    assert not [name for name in names if "bold" in name]
