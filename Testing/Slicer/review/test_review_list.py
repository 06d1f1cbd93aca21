"""The review list on Slicer's own core: worst first with reasons and volumes, which organ comes next, whose scores they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from focusnet.errors import InputError
from FocusNetSegmentationLib.review.scores import read_scores, scores_from
from FocusNetSegmentationLib.review.states import Review

from ...Core.helpers_outputs import PROVENANCE
from ..helpers_nodes import erase_a_bit, mask, paint, segment
from ..helpers_review import SCORED, approve


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


def test_what_was_not_scored_stands_before_what_shows_no_sign(case: tuple[Any, Review]) -> None:
    _, review = case
    review.set_scores(
        scores_from({"organs": [{"organ": "Brainstem", "score": 0.1, "state_hint": "no sign of a mistake"}]})
    )
    names = [r.organ for r in review.rows()]
    assert names == ["Larynx", "Parotid_L", "Parotid_R", "SpinalCord", "Brainstem"], "empty, not scored, fine by score"


def test_an_empty_organ_is_first_to_look_at_and_approved_only_as_empty(case: tuple[Any, Review]) -> None:
    node, review = case
    first = review.rows()[0]
    assert (first.organ, first.empty, first.volume_ml, first.look_at) == ("Larynx", True, 0.0, True)
    assert first.reason == "Empty: nothing is drawn."
    approve(review, "Larynx")
    assert review.states()["Larynx"] == "approved"
    larynx = segment(node, "Larynx").GetLabelValue()
    paint(node, "Larynx", lambda array, _: array.__setitem__((20, 5, 5), larynx))
    assert review.states()["Larynx"] == "edited"


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
    approve(review, "GTV")
    assert review.states()["GTV"] == "approved"


def test_volumes_are_of_the_segments_own_grid(case: tuple[Any, Review]) -> None:
    node, review = case
    for row in review.rows():
        assert row.volume_ml == pytest.approx(mask(node, row.organ).sum() * 2 * 2.5 * 4 / 1000)


def test_approving_goes_on_to_the_worst_that_is_left(case: tuple[Any, Review]) -> None:
    _, review = case
    review.set_scores(scores_from(SCORED))
    assert approve(review, "Brainstem") == "Parotid_L"
    assert approve(review, "Parotid_L") == "Larynx"
    for organ in ("Larynx", "SpinalCord"):
        approve(review, organ)
    assert approve(review, "Parotid_R") is None
    assert review.rows()[0].organ == "Parotid_L", "rows do not jump when they are approved"


def test_next_and_previous_go_round(case: tuple[Any, Review]) -> None:
    _, review = case
    review.set_scores(scores_from(SCORED))
    assert review.neighbour("Parotid_L", 1) == "Brainstem"
    assert review.neighbour("Parotid_L", -1) == "Parotid_R"
    assert review.neighbour("Parotid_R", 1) == "Parotid_L"
    assert review.neighbour(None, 1) == "Parotid_L"
    assert review.neighbour("Heart", -1) == "Parotid_R"


# --- scores


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
    approve(review, "Parotid_R")
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
