"""Panel on stand-ins: the review's scores, made by ``focusnet qa`` in its own process. Not "tested in Slicer": see stand_ins.py."""

from __future__ import annotations

from typing import Any

from ..helpers_panel_review import press, show_planted_errors, table


def test_three_planted_errors_are_the_top_three_of_the_list_with_their_reasons(panel: Any) -> None:
    """Nothing here is a stand-in but Qt's widgets: the scores are ``focusnet qa``'s, in its own process, started by opening the section."""
    show_planted_errors(panel)
    assert table(panel)[0][2] == "n/a"
    panel.ui.reviewCollapsibleButton.collapsed = False
    assert panel.text("reviewStatusLabel") == "Scoring the organs..."
    panel.until(lambda: not panel.panel.review.scoring.is_running, 120)
    rows = {row[0]: row for row in table(panel)}
    top = list(rows)[:4]
    assert set(top) == {"Eye_L", "Eye_R", "Brainstem", "Parotid_R"}, "swapped sides are one finding on two organs"
    reasons = {row.organ: row.reason for row in panel.panel.review.table.rows}
    assert "3 slices are missing inside it" in reasons["Parotid_R"]
    assert reasons["Eye_L"].startswith("Left and right are swapped")
    assert "2 separate parts" in reasons["Brainstem"]
    assert all(rows[name][2].startswith("▲") for name in top)
    assert "A score is a hint, not a verdict." in panel.text("reviewStatusLabel")
    press(panel, "Ctrl+Down")
    assert panel.panel.review.current == top[0]


def test_scoring_that_fails_says_why_in_one_line_and_can_be_tried_again(reviewed: Any) -> None:
    from FocusNetSegmentationLib.review import scoring as review_scoring

    section = reviewed.panel.review
    working = review_scoring.focusnet_arguments
    review_scoring.focusnet_arguments = lambda *a: working("qa", "none.seg.nrrd", "--json-progress")
    reviewed.ui.reviewScoreButton.click()
    assert not reviewed.ui.reviewScoreButton.enabled, "one at a time"
    reviewed.until(lambda: not section.scoring.is_running, 60)
    assert "none.seg.nrrd" in reviewed.text("reviewStatusLabel")
    assert reviewed.text("reviewStatusLabel").startswith("✗")
    review_scoring.focusnet_arguments = working
    assert table(reviewed)[0][2] == "▲ 4.0", "the old scores stay"
    reviewed.ui.reviewScoreButton.click()
    reviewed.until(lambda: not section.scoring.is_running, 60)
    assert "organs to look at first" in reviewed.text("reviewStatusLabel")


def test_leaving_the_scene_during_scoring_leaves_nothing(reviewed: Any) -> None:
    reviewed.ui.reviewScoreButton.click()
    assert reviewed.panel.review.scoring.is_running
    reviewed.scene.Clear(0)
    reviewed.settle()
    assert not reviewed.panel.review.scoring.is_running


def test_a_segmentation_of_nothing_or_without_its_ct_is_not_scored(reviewed: Any) -> None:
    from FocusNetSegmentationLib.scene.labelmaps import voxels

    node = reviewed.parameters.resultSegmentation
    image = node.GetSegmentation().GetNthSegment(0).GetRepresentation("Binary labelmap")
    voxels(image)[:] = 0
    image.Modified()
    reviewed.ui.reviewScoreButton.click()
    assert "Every organ of this segmentation is empty" in reviewed.text("reviewStatusLabel")
    reviewed.scene.RemoveNode(reviewed.parameters.inputVolume)
    reviewed.settle()
    reviewed.ui.reviewScoreButton.click()
    assert "The CT of this segmentation is not in the scene" in reviewed.text("reviewStatusLabel")
