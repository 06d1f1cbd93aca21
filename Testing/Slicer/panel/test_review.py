"""Panel on stand-ins: the review list, its keys and buttons. Not "tested in Slicer": see stand_ins.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ..helpers_panel_review import choose, paint, press, states, table


def three_views(panel: Any) -> list[Any]:
    views = []
    for name in ("Axial", "Sagittal", "Coronal"):
        node = panel.scene.AddNewNodeByClass("vtkMRMLSliceNode", name)
        node.SetDimensions(400, 400, 1)
        getattr(node, f"SetOrientationTo{name}")()
        views.append(node)
    return views


def test_without_a_result_the_section_says_what_to_do(panel: Any) -> None:
    assert "Apply first" in panel.text("reviewStatusLabel")
    for name in (
        "reviewApproveButton",
        "reviewNextButton",
        "reviewScoreButton",
        "shapePriorButton",
        "seedButton",
        "useShapeButton",
    ):
        assert not getattr(panel.ui, name).enabled, name
    assert table(panel) == []


def test_the_list_shows_worst_first_state_score_and_volume_with_the_reasons_below(reviewed: Any) -> None:
    rows = table(reviewed)
    assert [row[0] for row in rows[:3]] == ["Larynx", "Parotid_L", "Esophagus"]
    assert rows[0][1:3] == ["draft", "▲ 4.0"]
    assert rows[2][1:3] == ["draft", "n/a"]
    assert rows[3][2] == "0.2"
    volume = next(r.volume_ml for r in reviewed.panel.review.review.rows() if r.organ == "Larynx")
    assert float(rows[0][3]) == pytest.approx(volume, abs=0.006)
    tip = reviewed.ui.reviewTable._target.item(0, 3).toolTip()
    assert "Second." in tip, "all reasons are a hover away"
    assert reviewed.text("reviewStatusLabel").startswith("0 of 7 approved")
    choose(reviewed, "Larynx")
    assert reviewed.text("reviewReasonLabel") == "Larynx: 3 slices are missing inside it. Second."


def test_choosing_a_row_shows_the_organ_and_opens_the_editor_on_it(reviewed: Any) -> None:
    views = three_views(reviewed)
    display = reviewed.parameters.inputVolume.GetDisplayNode()
    reviewed.ui.editCollapsibleButton.collapsed = True
    choose(reviewed, "Parotid_L")
    segment_id = reviewed.panel.review.review.segments()["Parotid_L"]
    assert reviewed.panel.result.editor.currentSegmentID() == segment_id
    assert not reviewed.ui.editCollapsibleButton.collapsed
    assert (display.GetWindow(), display.GetLevel()) == (350, 40)
    points = {tuple(round(v.GetSliceToRAS().GetElement(i, 3), 2) for i in range(3)) for v in views}
    assert len(points) == 1, "every view on the same point"
    assert reviewed.text("reviewReasonLabel") == "Parotid_L: Half the size of the right one."


def test_next_and_previous_by_buttons_and_keys(reviewed: Any) -> None:
    reviewed.ui.reviewNextButton.click()
    assert reviewed.panel.review.current == "Larynx"
    press(reviewed, "Ctrl+Down")
    assert reviewed.panel.review.current == "Parotid_L"
    press(reviewed, "Ctrl+Up")
    reviewed.ui.reviewPreviousButton.click()
    assert reviewed.panel.review.current == table(reviewed)[-1][0]
    assert reviewed.ui.reviewTable._target.currentRow() == 6


def test_enter_approves_and_goes_on_to_the_worst_that_is_left(reviewed: Any) -> None:
    reviewed.ui.reviewerLineEdit.text = "A. Reader"
    choose(reviewed, "Parotid_L")
    press(reviewed, "Return")
    assert states(reviewed)["Parotid_L"] == "✓ approved"
    assert reviewed.panel.review.current == "Larynx", "the worst, although it stands above"
    press(reviewed, "Ctrl+Return")
    assert reviewed.panel.review.current == "Esophagus"
    assert reviewed.text("reviewStatusLabel").startswith("2 of 7 approved")
    for _ in range(4):
        reviewed.ui.reviewApproveButton.click()
        reviewed.settle()
    press(reviewed, "Enter")
    assert set(states(reviewed).values()) == {"✓ approved"}
    assert reviewed.text("reviewStatusLabel") == "✓ All organs are approved."
    assert reviewed.panel.review.current is None
    choose(reviewed, "Larynx")
    assert "Approved by A. Reader." in reviewed.text("reviewReasonLabel")


def test_a_change_takes_the_approval_back_and_says_so(reviewed: Any) -> None:
    choose(reviewed, "Larynx")
    press(reviewed, "Return")
    choose(reviewed, "Larynx")
    paint(reviewed, "Larynx")
    assert states(reviewed)["Larynx"] == "edited"
    assert reviewed.text("reviewStatusLabel") == "⚠ Larynx changed after approval: approve again."
    assert "It was changed since it was scored." in reviewed.text("reviewReasonLabel")


def test_an_approval_can_be_taken_back(reviewed: Any) -> None:
    choose(reviewed, "Larynx")
    assert not reviewed.ui.reviewWithdrawButton.enabled
    press(reviewed, "Return")
    choose(reviewed, "Larynx")
    reviewed.ui.reviewWithdrawButton.click()
    assert states(reviewed)["Larynx"] == "draft"


@pytest.mark.parametrize("how", ["End review", "collapse", "leave", "another result"])
def test_the_users_own_window_comes_back_when_the_review_ends(reviewed: Any, how: str) -> None:
    display = reviewed.parameters.inputVolume.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(1500, 300)
    choose(reviewed, "Larynx")
    assert display.GetWindow() == 350
    if how == "End review":
        reviewed.ui.reviewEndButton.click()
    elif how == "collapse":
        reviewed.ui.reviewCollapsibleButton.collapsed = True
    elif how == "leave":
        reviewed.leave()
    else:
        reviewed.parameters.resultSegmentation = None
        reviewed.settle()
    assert (display.GetWindow(), display.GetLevel()) == (1500, 300)


def test_keys_work_only_while_the_panel_is_open(reviewed: Any) -> None:
    count = len(reviewed.panel.review.keys.shortcuts)
    assert count == 6
    reviewed.leave()
    assert reviewed.panel.review.keys.shortcuts == []
    reviewed.enter()
    assert len(reviewed.panel.review.keys.shortcuts) == count


def test_another_result_has_its_own_list_and_a_closed_scene_none(reviewed: Any) -> None:
    choose(reviewed, "Larynx")
    first = reviewed.parameters.resultSegmentation
    other = reviewed.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "other")
    other.GetSegmentation().AddEmptySegment("a", "GTV")
    reviewed.parameters.resultSegmentation = other
    reviewed.settle()
    reviewed.until(lambda: not reviewed.panel.review.scoring.is_running)
    assert [row[0] for row in table(reviewed)] == ["GTV"]
    reviewed.parameters.resultSegmentation = first
    reviewed.settle()
    assert len(table(reviewed)) == 7
    reviewed.scene.Clear(0)
    reviewed.settle()
    assert table(reviewed) == []


def test_a_second_apply_draws_only_organs_that_nobody_touched_unless_all_are_asked_for(reviewed: Any) -> None:
    choose(reviewed, "Larynx")
    press(reviewed, "Return")
    box = reviewed.stand_ins.message_box
    box.answers = [None]
    reviewed.ui.applyButton.click()
    reviewed.settle()
    _, text, answers = box.shown[-1]
    assert "These organs are approved: Larynx." in text
    assert answers == ["Only the 6 organs that nobody touched", "All 7 organs"]
    assert reviewed.says == "Nothing was changed."
    reviewed.apply()  # the first answer is the one that Enter gives
    assert "6 organs" in reviewed.says
    assert states(reviewed)["Larynx"] == "✓ approved"
    box.answers = [1]
    reviewed.apply()
    assert set(states(reviewed).values()) == {"draft"}


def test_the_list_comes_back_with_a_saved_scene(reviewed: Any, tmp_path: Path) -> None:
    choose(reviewed, "Larynx")
    press(reviewed, "Return")
    before = table(reviewed)
    assert reviewed.scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    reviewed.leave()
    from ..helpers_nodes import load_mrb, segmentation_of

    scene = load_mrb(tmp_path / "scene.mrb", tmp_path / "unpacked")
    from FocusNetSegmentationLib.panel.review_table import cells
    from FocusNetSegmentationLib.review.states import Review

    assert [list(cells(row)) for row in Review(segmentation_of(scene)).rows()] == before


# --- the section in the form


def test_every_button_of_the_section_has_a_tool_tip_and_a_place_in_the_tab_order(reviewed: Any) -> None:
    from xml.etree import ElementTree

    from ..stand_ins import MODULE

    tree = ElementTree.parse(MODULE / "Resources" / "UI" / "FocusNetSegmentation.ui")
    section = next(w for w in tree.iter("widget") if w.get("name") == "reviewCollapsibleButton")
    kinds = ("QPushButton", "QSpinBox", "QLineEdit", "QTableWidget")
    names = [w.get("name") for w in section.iter("widget") if w.get("class") in kinds]
    stops = [t.text for t in tree.iter("tabstop")]
    assert len(names) == 11
    for name in names:
        assert getattr(reviewed.ui, str(name)).toolTip, name
        assert name in stops, name
    assert [s for s in stops if s in names] == names, "tab goes down the section as the eye does"
