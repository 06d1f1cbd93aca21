"""The review of a segmentation on Slicer's own core: the list, approvals that a changed voxel takes back, saved and loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from focusnet.errors import InputError  # noqa: E402
from focusnet.io.seg_nrrd import read_seg_nrrd, write_seg_nrrd  # noqa: E402
from focusnet.io.segment_tags import read_reviews  # noqa: E402
from focusnet.qa.audit import audit  # noqa: E402
from FocusNetSegmentationLib.exporting import export, segmentation_on  # noqa: E402
from FocusNetSegmentationLib.labelmaps import get_tag, voxels  # noqa: E402
from FocusNetSegmentationLib.nodes import frozen_copy, import_result, replace_organs  # noqa: E402
from FocusNetSegmentationLib.review import Review, states_of  # noqa: E402
from FocusNetSegmentationLib.review_scores import read_scores, scores_from  # noqa: E402
from FocusNetSegmentationLib.volumes import world_geometry  # noqa: E402

from ..Core.helpers_dicom import small_case  # noqa: E402
from ..Core.helpers_outputs import GRIDS, NAMES, PROVENANCE, scan_and_organs  # noqa: E402
from .helpers_nodes import (  # noqa: E402
    TURNED,
    World,
    erase_a_bit,
    load_mrb,
    mask,
    paint,
    save_segmentation,
    segment,
    segmentation_of,
)
from .helpers_slicer import BINARY_LABELMAP, open_segmentation  # noqa: E402

DRAFTS = dict.fromkeys(NAMES, "draft")
SCORED = {
    "model": {"name": "han7-test", "version": "1.2", "sha256": PROVENANCE["bundle_sha256"]},
    "organs": [
        {"organ": "Parotid_L", "score": 0.97, "state_hint": "look at", "reasons": ["Half the size of the right one.", "b | c"]},
        {"organ": "Brainstem", "score": 0.93, "state_hint": "look at", "reasons": ["Two slices are missing."]},
        {"organ": "Larynx", "score": None, "state_hint": "no statistics", "reasons": []},
        {"organ": "SpinalCord", "score": 0.4, "state_hint": "probably fine", "reasons": []},
        {"organ": "Parotid_R", "score": 0.1, "state_hint": "probably fine", "reasons": []},
    ],
}  # fmt: skip


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def case(world: World) -> Iterator[tuple[Any, Review]]:
    _, imported, _ = world.result()
    review = Review(imported.node)
    yield imported.node, review
    review.close()


def add_a_bit(array: np.ndarray, label: int) -> None:
    z, y, x = np.argwhere(array == label)[0]
    array[z, y, x - 1] = label


# --- draft, edited, approved


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
    review.approve("Parotid_R", "A. Reader")
    review.approve("Brainstem")
    assert review.states() == {**DRAFTS, "Parotid_R": "approved", "Brainstem": "approved"}
    paint(node, "Parotid_R", change)
    assert review.states() == {**DRAFTS, "Parotid_R": "edited", "Brainstem": "approved"}
    row = next(r for r in review.rows() if r.organ == "Parotid_R")
    assert row.approved_by == ""
    assert review.check() == ["Parotid_R"]
    assert json.loads(get_tag(segment(node, "Parotid_R"), "FocusNet.Review"))["state"] == "edited"


def test_an_organ_moved_by_one_voxel_is_another_one(case: tuple[Any, Review]) -> None:
    node, review = case
    review.approve("Parotid_R")

    def move(array: np.ndarray, label: int) -> None:
        there = np.roll(array == label, 1, axis=0)
        array[array == label] = 0
        array[there] = label

    paint(node, "Parotid_R", move)
    assert review.states()["Parotid_R"] == "edited"


def test_once_seen_a_change_has_cost_the_approval_even_if_it_is_undone(case: tuple[Any, Review]) -> None:
    node, review = case
    before = voxels(segment(node, "Parotid_R").GetRepresentation(BINARY_LABELMAP)).copy()
    review.approve("Parotid_R")
    paint(node, "Parotid_R", erase_a_bit)
    review.check()
    paint(node, "Parotid_R", lambda array, _: np.copyto(array, before))
    assert review.states()["Parotid_R"] == "draft"


def test_painting_one_organ_over_an_approved_one_takes_that_ones_approval_back(case: tuple[Any, Review]) -> None:
    node, review = case
    review.approve("SpinalCord")
    cord = segment(node, "SpinalCord").GetLabelValue()

    def over_the_cord(array: np.ndarray, label: int) -> None:
        z, y, x = np.argwhere(array == cord)[0]
        array[z, y, x] = label

    paint(node, "Brainstem", over_the_cord)
    assert review.states()["SpinalCord"] == "edited"


def test_a_name_a_colour_or_another_grid_box_does_not_take_an_approval_back(case: tuple[Any, Review]) -> None:
    node, review = case
    review.approve("Parotid_R")
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
    review.approve("Parotid_R")
    told: list[int] = []
    review.on_change = lambda: told.append(1)
    assert history.RestorePreviousState()
    assert told
    assert review.states()["Parotid_R"] in ("draft", "edited")
    review.check()
    assert states_of(node)["Parotid_R"] in ("draft", "edited")


def test_an_approval_can_be_taken_back_by_hand(case: tuple[Any, Review]) -> None:
    _, review = case
    review.approve("Parotid_R")
    review.withdraw("Parotid_R")
    assert review.states() == DRAFTS
    with pytest.raises(InputError, match="Heart is not in CT 1 organs; it has Brainstem"):
        review.approve("Heart")


def test_slicers_own_status_shows_the_review(case: tuple[Any, Review]) -> None:
    node, review = case
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    paint(node, "Brainstem", erase_a_bit)
    review.approve("Parotid_R")
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
    review.approve("Parotid_R")
    review.touch("Parotid_R")
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
        review.approve(name)
    moved = np.roll(result.labels, 1, axis=2)
    replace_organs(world.scene, replace(result, labels=moved), ct, imported.node, ["Brainstem"])
    assert review.states() == {**DRAFTS, "Parotid_R": "approved"}
    row = next(r for r in review.rows() if r.organ == "Brainstem")
    assert (row.score, row.reasons) == (None, ("Not scored yet.",))
    paint(imported.node, "Brainstem", erase_a_bit)
    assert review.states()["Brainstem"] == "edited"


def test_a_segment_drawn_by_hand_is_in_the_list_as_such(case: tuple[Any, Review]) -> None:
    node, review = case
    by_hand = slicer.vtkSegment()
    by_hand.SetName("GTV")
    by_hand.DeepCopy(segment(node, "Parotid_R"))
    for tag in ("FocusNet.Organ", "FocusNet.Result", "FocusNet.Run", "FocusNet.Review"):
        by_hand.RemoveTag(tag)
    by_hand.SetName("GTV")
    node.GetSegmentation().AddSegment(by_hand, "gtv")
    row = next(r for r in review.rows() if r.organ == "GTV")
    assert (row.state, row.reason) == ("edited", "Drawn by hand.")
    review.approve("GTV")
    assert review.states()["GTV"] == "approved"


def test_an_empty_organ_is_first_to_look_at_and_approved_only_as_empty(case: tuple[Any, Review]) -> None:
    node, review = case
    first = review.rows()[0]
    assert (first.organ, first.empty, first.volume_ml, first.look_at) == ("Larynx", True, 0.0, True)
    assert first.reason == "Empty: nothing is drawn."
    review.approve("Larynx")
    assert review.states()["Larynx"] == "approved"
    larynx = segment(node, "Larynx").GetLabelValue()
    paint(node, "Larynx", lambda array, _: array.__setitem__((20, 5, 5), larynx))
    assert review.states()["Larynx"] == "edited"


# --- saved and loaded


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("grid", GRIDS)
def test_states_scores_and_times_survive_a_seg_nrrd_on_any_grid(
    world: World, tmp_path: Path, grid: str, crop: bool
) -> None:
    _, imported, _ = world.result(grid)
    clock = Clock()
    review = Review(imported.node, clock=clock)
    review.set_scores(scores_from(SCORED))
    paint(imported.node, "Parotid_L", erase_a_bit)
    review.approve("Parotid_R", "Dr. Ü | Müller")
    review.approve("Larynx")
    review.touch("Brainstem")
    clock.now += 12
    review.touch(None)
    opened = open_segmentation(save_segmentation(imported.node, tmp_path / "case.seg.nrrd", crop))
    back = Review(opened.node)
    assert back.rows() == review.rows()
    assert back.states() == {**DRAFTS, "Parotid_L": "edited", "Parotid_R": "approved", "Larynx": "approved"}
    assert [r.approved_by for r in back.rows() if r.organ == "Parotid_R"] == ["Dr. Ü | Müller"]
    assert back.active_s() == {"Brainstem": 12.0}
    paint(opened.node, "Parotid_R", erase_a_bit)
    assert back.states()["Parotid_R"] == "edited"


@pytest.mark.parametrize("grid", ["upright", "oblique and flipped"])
def test_the_panels_own_export_keeps_the_review_too(world: World, tmp_path: Path, grid: str) -> None:
    """Read by Slicer and by the command line, which both see who approved what."""
    ct, imported, _ = world.result(grid)
    review = Review(imported.node)
    review.set_scores(scores_from(SCORED))
    paint(imported.node, "Parotid_L", erase_a_bit)
    review.check()
    review.approve("Parotid_R", "Dr. Ü | Müller")
    path, _ = export(imported.node, ct, tmp_path / "case.seg.nrrd", "seg.nrrd")
    opened = open_segmentation(path)
    assert Review(opened.node).rows() == review.rows()
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    assert logic.GetSegmentStatus(segment(opened.node, "Parotid_R")) == logic.Completed
    assert get_tag(segment(opened.node, "Parotid_L"), "DICOM.SegmentAlgorithmType") == "SEMIAUTOMATIC"
    by_engine = read_reviews(path, read_seg_nrrd(path))
    assert {name: entry.state for name, entry in by_engine.items()} == review.states()
    assert by_engine["Parotid_R"].approved_by == "Dr. Ü | Müller"


def test_states_survive_an_mrb_under_a_transform(world: World, tmp_path: Path) -> None:
    ct, imported, _ = world.result("oblique")
    review = Review(imported.node)
    paint(imported.node, "Parotid_L", erase_a_bit)
    review.approve("Parotid_R", "A. Reader")
    world.transform(TURNED, ct, imported.node, imported.frozen)
    assert review.states()["Parotid_R"] == "approved", "the patient was moved, not the contour in the patient"
    assert world.scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    back = Review(segmentation_of(load_mrb(tmp_path / "scene.mrb", tmp_path / "unpacked")))
    assert back.states() == {**DRAFTS, "Parotid_L": "edited", "Parotid_R": "approved"}
    assert back.check() == []


def test_a_file_changed_outside_of_the_review_has_lost_its_approval_when_it_is_opened(
    world: World, tmp_path: Path
) -> None:
    _, imported, _ = world.result()
    Review(imported.node).approve("Parotid_R")
    opened = open_segmentation(save_segmentation(imported.node, tmp_path / "case.seg.nrrd"))
    paint(opened.node, "Parotid_R", erase_a_bit)
    assert states_of(opened.node)["Parotid_R"] == "edited"


def test_a_file_of_the_command_line_opened_by_slicer_starts_as_drafts(tmp_path: Path) -> None:
    _, result = scan_and_organs("upright")
    write_seg_nrrd(result, tmp_path / "organs.seg.nrrd")
    opened = open_segmentation(tmp_path / "organs.seg.nrrd")
    review = Review(opened.node)
    assert review.states() == DRAFTS
    image = opened.segment(review.segments()["Parotid_R"]).GetRepresentation(BINARY_LABELMAP)
    erase_a_bit(voxels(image), opened.segment(review.segments()["Parotid_R"]).GetLabelValue())
    image.Modified()
    assert review.states() == {**DRAFTS, "Parotid_R": "edited"}


def test_tags_that_someone_else_has_damaged_do_not_stop_a_review(case: tuple[Any, Review]) -> None:
    node, review = case
    for text in ("no json", "[1]", '{"state": "approved"}', '{"state": "approved", "approved": {"voxels": "x"}}'):
        segment(node, "Parotid_R").SetTag("FocusNet.Review", text)
        segment(node, "Parotid_R").SetTag("FocusNet.Score", text)
        segment(node, "Parotid_R").SetTag("FocusNet.ActiveSeconds", text)
        assert review.states()["Parotid_R"] != "approved"
        assert len(review.rows()) == 5


# --- the list


def test_the_list_is_worst_first_with_reasons_volumes_and_what_could_not_be_scored(case: tuple[Any, Review]) -> None:
    _, review = case
    review.set_scores(scores_from(SCORED))
    rows = review.rows()
    assert [r.organ for r in rows] == ["Parotid_L", "Brainstem", "Larynx", "SpinalCord", "Parotid_R"]
    assert rows[0].reason == "Half the size of the right one."
    assert rows[0].reasons[1] == "b | c"
    assert rows[2].reasons == ("Empty: nothing is drawn.", "No statistics for this organ: it was not scored.")
    assert rows[2].score is None
    assert rows[3].volume_ml == pytest.approx(16 * 2 * 2 * 2 * 2.5 * 4 / 1000)
    assert review.next_worst() == "Parotid_L"


def test_what_was_not_scored_stands_before_what_is_probably_fine(case: tuple[Any, Review]) -> None:
    _, review = case
    review.set_scores(scores_from({"organs": [{"organ": "Brainstem", "score": 0.1, "state_hint": "probably fine"}]}))
    names = [r.organ for r in review.rows()]
    assert names == ["Larynx", "Parotid_L", "Parotid_R", "SpinalCord", "Brainstem"], "empty, not scored, fine by score"


def test_approving_goes_on_to_the_worst_that_is_left(case: tuple[Any, Review]) -> None:
    _, review = case
    review.set_scores(scores_from(SCORED))
    assert review.approve("Brainstem") == "Parotid_L"
    assert review.approve("Parotid_L") == "Larynx"
    for organ in ("Larynx", "SpinalCord"):
        review.approve(organ)
    assert review.approve("Parotid_R") is None
    assert review.rows()[0].organ == "Parotid_L", "rows do not jump when they are approved"


def test_next_and_previous_go_round(case: tuple[Any, Review]) -> None:
    _, review = case
    review.set_scores(scores_from(SCORED))
    assert review.neighbour("Parotid_L", 1) == "Brainstem"
    assert review.neighbour("Parotid_L", -1) == "Parotid_R"
    assert review.neighbour("Parotid_R", 1) == "Parotid_L"
    assert review.neighbour(None, 1) == "Parotid_L"
    assert review.neighbour("Heart", -1) == "Parotid_R"


def test_a_score_says_when_the_organ_was_changed_after_it(case: tuple[Any, Review]) -> None:
    node, review = case
    review.set_scores(scores_from(SCORED))
    paint(node, "Parotid_L", erase_a_bit)
    row = next(r for r in review.rows() if r.organ == "Parotid_L")
    assert row.stale
    assert row.reason == "Changed since it was scored. Half the size of the right one."
    review.set_scores(scores_from({**SCORED, "organs": SCORED["organs"][1:]}))  # type: ignore[index]
    row = next(r for r in review.rows() if r.organ == "Parotid_L")
    assert (row.score, row.stale, row.reasons) == (None, False, ("Not scored yet.",))


def test_scores_of_another_model_and_a_case_of_another_model_version_are_said_and_the_states_kept(
    case: tuple[Any, Review],
) -> None:
    _, review = case
    review.approve("Parotid_R")
    same = {"model": "han7-test", "model_version": "1.2", "bundle_sha256": PROVENANCE["bundle_sha256"]}
    review.set_scores(scores_from(SCORED))
    assert review.notes(same) == []
    newer = {"model": "han7-test", "model_version": "1.3", "bundle_sha256": "cd" * 32}
    (note,) = review.notes(newer)
    assert note == (
        "This case was drawn with han7-test 1.2; the model chosen now is han7-test 1.3. The review states are kept."
    )
    review.set_scores(scores_from({**SCORED, "model": {"name": "han7-test", "version": "1.3", "sha256": "cd" * 32}}))
    assert review.notes() == ["The scores are by han7-test 1.3, the contours by han7-test 1.2."]
    assert review.states()["Parotid_R"] == "approved"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"organs": 3}', '{"organs": [{"score": 1}]}', '{"organs": ["Brainstem"]}']
)
def test_a_file_that_holds_no_scores_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"r.json"):
        read_scores(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_scores(tmp_path / "none.json")


def test_scores_that_are_no_numbers_are_no_scores(case: tuple[Any, Review]) -> None:
    _, review = case
    text = '{"organs": [{"organ": "Brainstem", "score": NaN, "reasons": "x"}, {"organ": "Heart", "score": 1}]}'
    review.set_scores(scores_from(json.loads(text)))
    row = next(r for r in review.rows() if r.organ == "Brainstem")
    assert (row.score, row.reasons) == (None, ("No statistics for this organ: it was not scored.",))


# --- out to the planning system


def test_a_structure_set_is_approved_when_every_drawn_organ_is_and_names_who_approved(
    world: World, tmp_path: Path
) -> None:
    volume, organs = small_case(tmp_path)
    ct = world.volume(volume)
    imported = import_result(world.scene, organs, ct)
    review = Review(imported.node)
    written = {}
    for organ in (*NAMES[:3], "Parotid_L"):
        review.approve(organ, "A. Reader")
        path = tmp_path / f"{organ}.dcm"
        export(imported.node, ct, path, "rtstruct", tmp_path / "ct")
        written[organ] = pydicom.dcmread(path)
    assert {o: d.ApprovalStatus for o, d in written.items()} == {
        **dict.fromkeys(NAMES[:3], "UNAPPROVED"),
        "Parotid_L": "APPROVED",
    }
    assert str(written["Parotid_L"].ReviewerName) == "A. Reader"
    paint(imported.node, "Parotid_R", erase_a_bit)
    export(imported.node, ct, tmp_path / "again.dcm", "rtstruct", tmp_path / "ct")
    assert pydicom.dcmread(tmp_path / "again.dcm").ApprovalStatus == "UNAPPROVED"


# --- time


def test_time_is_counted_for_the_organ_that_was_worked_on_and_pauses_are_cut(world: World) -> None:
    ct, imported, _ = world.result()
    clock = Clock()
    review = Review(imported.node, clock=clock)
    for organ, seconds in (
        ("Brainstem", 10),
        ("Brainstem", 20),
        ("Parotid_L", 5),
        (None, 500),
        ("Brainstem", 900),
        (None, 0),
    ):
        review.touch(organ)
        clock.now += seconds
    assert review.active_s() == {"Brainstem": 10 + 20 + 30, "Parotid_L": 5}
    edited, _ = segmentation_on(world_geometry(ct), imported.node)
    frozen, _ = segmentation_on(world_geometry(ct), frozen_copy(imported.node))
    rows = {o.organ: o.active_s for o in audit(frozen, edited, active_s=review.active_s(), editor="A. Reader").organs}
    assert rows["Brainstem"] == 60
    assert rows["Parotid_R"] is None


def test_many_touches_a_second_write_seldom_and_lose_no_time(world: World) -> None:
    _, imported, _ = world.result()
    clock = Clock()
    review = Review(imported.node, clock=clock)
    written: list[int] = []
    imported.node.GetSegmentation().AddObserver(slicer.vtkSegmentation.SegmentModified, lambda *_: written.append(1))
    for _ in range(101):
        review.touch("Brainstem")
        clock.now += 0.1
    review.touch(None)
    assert review.active_s() == {"Brainstem": pytest.approx(10.1, abs=0.06)}
    assert len(written) <= 8


def test_volumes_are_of_the_segments_own_grid(case: tuple[Any, Review]) -> None:
    node, review = case
    for row in review.rows():
        assert row.volume_ml == pytest.approx(mask(node, row.organ).sum() * 2 * 2.5 * 4 / 1000)
