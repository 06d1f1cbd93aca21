"""Draft, edited, approved on Slicer's own core: a changed voxel takes an approval back, anything else does not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from focusnet.errors import InputError
from FocusNetSegmentationLib.review.scores import scores_from
from FocusNetSegmentationLib.review.states import Review, states_of
from FocusNetSegmentationLib.scene.labelmaps import get_tag, voxels
from FocusNetSegmentationLib.scene.nodes import replace_organs

from ...Core.helpers_outputs import NAMES
from ..helpers_nodes import World, erase_a_bit, paint, segment
from ..helpers_review import DRAFTS, SCORED, approve
from ..helpers_slicer import BINARY_LABELMAP


def add_a_bit(array: np.ndarray, label: int) -> None:
    z, y, x = np.argwhere(array == label)[0]
    array[z, y, x - 1] = label


def test_what_the_model_drew_is_a_draft_until_a_voxel_is_changed_and_again_when_it_is_changed_back(
    case: tuple[Any, Review],
) -> None:
    node, review = case
    assert review.states() == DRAFTS
    before = voxels(segment(node, "Parotid_L").GetRepresentation(BINARY_LABELMAP)).copy()
    paint(node, "Parotid_L", erase_a_bit)
    assert review.states() == {**DRAFTS, "Parotid_L": "edited"}
    paint(node, "Parotid_L", lambda array, _: np.copyto(array, before))
    assert review.states() == DRAFTS


@pytest.mark.parametrize("change", [erase_a_bit, add_a_bit])
def test_a_voxel_changed_after_approval_takes_the_approval_back(case: tuple[Any, Review], change: Any) -> None:
    node, review = case
    approve(review, "Parotid_R", "A. Reader")
    approve(review, "Brainstem")
    assert review.states() == {**DRAFTS, "Parotid_R": "approved", "Brainstem": "approved"}
    paint(node, "Parotid_R", change)
    assert review.states() == {**DRAFTS, "Parotid_R": "edited", "Brainstem": "approved"}
    row = next(r for r in review.rows() if r.organ == "Parotid_R")
    assert row.approved_by == ""
    assert review.check() == ["Parotid_R"]
    assert json.loads(get_tag(segment(node, "Parotid_R"), "FocusNet.Review"))["state"] == "edited"


def test_an_organ_moved_by_one_voxel_is_another_one(case: tuple[Any, Review]) -> None:
    node, review = case
    approve(review, "Parotid_R")

    def move(array: np.ndarray, label: int) -> None:
        there = np.roll(array == label, 1, axis=0)
        array[array == label] = 0
        array[there] = label

    paint(node, "Parotid_R", move)
    assert review.states()["Parotid_R"] == "edited"


def test_once_seen_a_change_has_cost_the_approval_even_if_it_is_undone(case: tuple[Any, Review]) -> None:
    node, review = case
    before = voxels(segment(node, "Parotid_R").GetRepresentation(BINARY_LABELMAP)).copy()
    approve(review, "Parotid_R")
    paint(node, "Parotid_R", erase_a_bit)
    review.check()
    paint(node, "Parotid_R", lambda array, _: np.copyto(array, before))
    assert review.states()["Parotid_R"] == "draft"


def test_painting_one_organ_over_an_approved_one_takes_that_ones_approval_back(case: tuple[Any, Review]) -> None:
    node, review = case
    approve(review, "SpinalCord")
    cord = segment(node, "SpinalCord").GetLabelValue()

    def over_the_cord(array: np.ndarray, label: int) -> None:
        z, y, x = np.argwhere(array == cord)[0]
        array[z, y, x] = label

    paint(node, "Brainstem", over_the_cord)
    assert review.states()["SpinalCord"] == "edited"


def test_a_name_a_colour_or_another_grid_box_does_not_take_an_approval_back(case: tuple[Any, Review]) -> None:
    node, review = case
    approve(review, "Parotid_R")
    segment(node, "Parotid_R").SetName("Gld. parotis re.")
    segment(node, "Parotid_R").SetColor(1, 0, 0)
    node.GetSegmentation().CollapseBinaryLabelmaps(True)
    node.GetSegmentation().SeparateSegmentLabelmap(review.segments()["Parotid_R"])
    assert review.states()["Parotid_R"] == "approved"
    assert review.check() == []


def test_undo_of_the_editor_is_followed(case: tuple[Any, Review]) -> None:
    """A restored state tells less than a painted one; the approval comes back with the voxels it was given for, or not at all."""
    node, review = case
    history = slicer.vtkSegmentationHistory()
    history.SetSegmentation(node.GetSegmentation())
    history.SaveState()
    paint(node, "Parotid_R", erase_a_bit)
    approve(review, "Parotid_R")
    told: list[int] = []
    review.on_change = lambda: told.append(1)
    assert history.RestorePreviousState()
    assert told
    assert review.states()["Parotid_R"] in ("draft", "edited")
    review.check()
    assert states_of(node)["Parotid_R"] in ("draft", "edited")


def test_an_approval_can_be_taken_back_by_hand(case: tuple[Any, Review]) -> None:
    _, review = case
    approve(review, "Parotid_R")
    review.withdraw("Parotid_R")
    assert review.states() == DRAFTS
    with pytest.raises(InputError, match="Heart is not in CT 1 organs; it has Brainstem"):
        approve(review, "Heart")


def test_slicers_own_status_shows_the_review(case: tuple[Any, Review]) -> None:
    node, review = case
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    paint(node, "Brainstem", erase_a_bit)
    approve(review, "Parotid_R")
    review.set_scores(scores_from(SCORED))
    status = {name: logic.GetSegmentStatus(segment(node, name)) for name in NAMES}
    assert status["Parotid_R"] == logic.Completed
    assert status["Brainstem"] == logic.InProgress
    assert status["Parotid_L"] == logic.Flagged
    assert status["SpinalCord"] == logic.NotStarted


def test_what_the_review_writes_is_not_taken_for_a_change(world: World) -> None:
    _, imported, _ = world.result()
    told: list[int] = []
    review = Review(imported.node, on_change=lambda: told.append(1))
    review.set_scores(scores_from(SCORED))
    approve(review, "Parotid_R")
    review.record_activity("Parotid_R")
    assert told == []
    paint(imported.node, "Parotid_R", erase_a_bit)
    assert told
    assert review.check() == ["Parotid_R"]
    assert review.check() == []
    review.close()
    told.clear()
    paint(imported.node, "Parotid_R", erase_a_bit)
    assert told == []


def test_doing_one_organ_again_makes_only_that_one_a_draft_again(world: World) -> None:
    ct, imported, result = world.result()
    review = Review(imported.node)
    review.set_scores(scores_from(SCORED))
    for name in ("Parotid_R", "Brainstem"):
        approve(review, name)
    moved = np.roll(result.labels, 1, axis=2)
    replace_organs(world.scene, replace(result, labels=moved), ct, imported.node, ["Brainstem"])
    assert review.states() == {**DRAFTS, "Parotid_R": "approved"}
    row = next(r for r in review.rows() if r.organ == "Brainstem")
    assert (row.score, row.reasons) == (None, ("Not scored yet.",))
    paint(imported.node, "Brainstem", erase_a_bit)
    assert review.states()["Brainstem"] == "edited"
