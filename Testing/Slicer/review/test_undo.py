"""Undo and redo of Slicer's Segment Editor, which restore whole segments with their tags: they change voxels, and no other organ's review."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from focusnet.io.review_tags import read_reviews
from focusnet.io.seg_nrrd import read_seg_nrrd
from FocusNetSegmentationLib.review.scores import scores_from
from FocusNetSegmentationLib.review.states import Review
from FocusNetSegmentationLib.scene.labelmaps import get_tag
from FocusNetSegmentationLib.scene.review_records import REVIEW_ATTRIBUTE

from ..helpers_nodes import World, erase_a_bit, load_mrb, paint, save_segmentation, segment, segmentation_of
from ..helpers_review import DRAFTS, SCORED, Clock, approve

THREE = ("Parotid_R", "Parotid_L", "Brainstem")
APPROVED = {**DRAFTS, **dict.fromkeys(THREE, "approved")}


class Undo:
    """The history that the Segment Editor keeps, used as it does: a state is saved before each step."""

    def __init__(self, node: Any) -> None:
        self.node, self.history = node, slicer.vtkSegmentationHistory()
        self.history.SetSegmentation(node.GetSegmentation())

    def erase(self, organ: str) -> None:
        self.history.SaveState()
        paint(self.node, organ, erase_a_bit)

    def undo(self) -> None:
        assert self.history.RestorePreviousState()

    def redo(self) -> None:
        assert self.history.RestoreNextState()


@pytest.fixture
def undo(case: tuple[Any, Review]) -> Iterator[tuple[Undo, Review]]:
    node, review = case
    return Undo(node), review


def written(node: Any, organ: str) -> str:
    """The state that the segment's tag says, which goes into the file."""
    return str(json.loads(get_tag(segment(node, organ), "FocusNet.Review"))["state"])


def test_three_approvals_stay_after_a_step_before_them_is_undone(undo: tuple[Undo, Review]) -> None:
    editor, review = undo
    editor.erase("SpinalCord")
    review.check()
    for organ in THREE:
        approve(review, organ, "A. Reader")
    editor.undo()
    assert review.states() == APPROVED, "the cord is as the model drew it, the three are approved"
    assert review.check() == []
    assert {organ: written(editor.node, organ) for organ in THREE} == dict.fromkeys(THREE, "approved")
    assert [row.approved_by for row in review.rows() if row.organ in THREE] == ["A. Reader"] * 3
    editor.redo()
    assert review.check() == []
    assert review.states() == {**APPROVED, "SpinalCord": "edited"}
    assert {organ: written(editor.node, organ) for organ in THREE} == dict.fromkeys(THREE, "approved")


def test_undo_takes_back_the_approval_of_the_organ_whose_voxels_it_changes_and_of_no_other(
    undo: tuple[Undo, Review],
) -> None:
    editor, review = undo
    editor.erase("Parotid_L")
    for organ in THREE:
        approve(review, organ)
    editor.undo()
    assert review.check() == ["Parotid_L"]
    assert review.states() == {**APPROVED, "Parotid_L": "draft"}
    editor.redo()
    assert review.check() == []
    assert review.states() == {**APPROVED, "Parotid_L": "edited"}, "an approval is given again by a person only"


def test_neither_undo_nor_redo_brings_an_approval_back(undo: tuple[Undo, Review]) -> None:
    editor, review = undo
    approve(review, "Parotid_L")
    editor.erase("Parotid_L")
    assert review.check() == ["Parotid_L"]
    editor.undo()
    assert review.states()["Parotid_L"] == "draft"
    review.check()
    assert written(editor.node, "Parotid_L") == "draft"
    approve(review, "Brainstem")
    review.withdraw("Brainstem")
    editor.redo()
    assert review.states()["Brainstem"] == "draft"


def test_undo_takes_no_score_no_time_and_no_look_away(world: World) -> None:
    _, imported, _ = world.result()
    clock = Clock()
    review, editor = Review(imported.node, clock=clock), Undo(imported.node)
    editor.erase("SpinalCord")
    review.set_scores(scores_from(SCORED))
    review.seen("Brainstem")
    review.record_activity("Brainstem")
    clock.now += 12
    review.record_activity(None)
    before = {row.organ: row for row in review.rows() if row.organ != "SpinalCord"}
    editor.undo()
    review.check()
    assert {row.organ: row for row in review.rows() if row.organ != "SpinalCord"} == before
    assert review.active_s() == {"Brainstem": 12.0}
    assert get_tag(segment(imported.node, "Brainstem"), "FocusNet.ActiveSeconds") == "12.0"
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    assert logic.GetSegmentStatus(segment(imported.node, "Parotid_L")) == logic.Flagged


def test_what_is_saved_after_an_undo_is_what_was_approved(undo: tuple[Undo, Review], tmp_path: Path) -> None:
    editor, review = undo
    editor.erase("SpinalCord")
    for organ in THREE:
        approve(review, organ, "A. Reader")
    editor.undo()
    review.check()
    path = save_segmentation(editor.node, tmp_path / "case.seg.nrrd")
    by_engine = read_reviews(path, read_seg_nrrd(path))
    assert {name: entry.state for name, entry in by_engine.items()} == APPROVED
    scene = editor.node.GetScene()
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    back = segmentation_of(load_mrb(tmp_path / "scene.mrb", tmp_path / "unpacked"))
    assert Review(back).rows() == review.rows()


def test_a_review_opened_after_an_undo_knows_what_was_approved(undo: tuple[Undo, Review]) -> None:
    editor, review = undo
    editor.erase("SpinalCord")
    for organ in THREE:
        approve(review, organ)
    review.close()
    editor.undo()
    assert Review(editor.node).states() == APPROVED


def test_a_file_of_an_older_version_has_tags_alone_and_loses_nothing_to_an_undo(undo: tuple[Undo, Review]) -> None:
    editor, review = undo
    for organ in THREE:
        approve(review, organ, "A. Reader")
    review.close()
    editor.node.RemoveAttribute(REVIEW_ATTRIBUTE)
    opened = Review(editor.node)
    assert opened.states() == APPROVED
    editor.erase("SpinalCord")
    opened.withdraw("Brainstem")
    editor.undo()
    opened.check()
    assert opened.states() == {**APPROVED, "Brainstem": "draft"}


def test_a_damaged_attribute_is_read_as_none(undo: tuple[Undo, Review]) -> None:
    editor, review = undo
    approve(review, "Brainstem")
    for text in ("no json", "[1]", '{"FocusNet_Brainstem": 3}'):
        editor.node.SetAttribute(REVIEW_ATTRIBUTE, text)
        assert Review(editor.node).states() == {**DRAFTS, "Brainstem": "approved"}, "from the tags"


def test_looking_at_organs_after_an_undo_leaves_redo_possible(undo: tuple[Undo, Review]) -> None:
    """Slicer's history takes every modified segment for a new step, after which there is nothing to redo."""
    editor, review = undo
    editor.erase("SpinalCord")
    editor.undo()
    review.check()
    review.seen("Brainstem")
    review.set_scores(scores_from(SCORED))
    approve(review, "Parotid_L")
    editor.redo()
    assert review.states() == {**DRAFTS, "SpinalCord": "edited", "Parotid_L": "approved"}


def test_an_approval_is_worth_saving(undo: tuple[Undo, Review], tmp_path: Path) -> None:
    editor, review = undo
    storage = slicer.vtkMRMLSegmentationStorageNode()
    editor.node.GetScene().AddNode(storage)
    editor.node.SetAndObserveStorageNodeID(storage.GetID())
    storage.SetFileName(str(tmp_path / "case.seg.nrrd"))
    assert storage.WriteData(editor.node)
    Review(editor.node).close()
    assert not editor.node.GetModifiedSinceRead(), "nothing was decided"
    approve(review, "Brainstem")
    assert editor.node.GetModifiedSinceRead()
