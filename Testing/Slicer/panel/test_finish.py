"""Panel on stand-ins: the end of a review. Not "tested in Slicer": see stand_ins.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..helpers_panel_review import choose, press, states
from .test_scene import dicom_files


def test_all_that_was_looked_at_and_has_no_mark_is_approved_at_once(reviewed: Any) -> None:
    assert not reviewed.ui.reviewApproveSeenButton.enabled
    for organ in ("Larynx", "Brainstem", "SpinalCord"):  # the first has a mark
        choose(reviewed, organ)
    assert "Brainstem, SpinalCord" in reviewed.ui.reviewApproveSeenButton.toolTip
    reviewed.ui.reviewApproveSeenButton.click()
    reviewed.settle()
    approved = {organ for organ, state in states(reviewed).items() if state == "✓ approved"}
    assert approved == {"Brainstem", "SpinalCord"}
    assert "2 organs approved: Brainstem, SpinalCord." in reviewed.text("reviewStatusLabel")


def test_the_time_stands_with_the_count(reviewed: Any) -> None:
    from dataclasses import replace

    from FocusNetSegmentationLib.panel.review_finish import progress_text

    rows = [replace(row, active_s=220.0 / 7) for row in reviewed.panel.review.table.rows]
    assert progress_text(rows) == "0 of 7 approved, 3:40 min"


def test_one_button_exports_an_rtstruct_into_the_folder_of_the_last_time(reviewed: Any, tmp_path: Path) -> None:

    scans, out = dicom_files(tmp_path / "dicom"), tmp_path / "out"
    out.mkdir()
    reviewed.ui.reviewerLineEdit.text = "A. Reader"
    reviewed.stand_ins.file_dialog.answers = [str(scans), str(out)]
    reviewed.ui.rtstructButton.click()
    assert reviewed.stand_ins.dialogs == []
    assert (out / "CT 1 organs.dcm").is_file()
    assert "Exported CT 1 organs.dcm into" in reviewed.says
    reviewed.stand_ins.file_dialog.answers = [str(scans)]  # Slicer's DICOM database would know the scans
    reviewed.ui.rtstructButton.click()
    assert (out / "CT 1 organs 2.dcm").is_file(), "the folder is known, and nothing is replaced"


def test_the_reviewers_name_is_remembered(reviewed: Any) -> None:
    reviewed.ui.reviewerLineEdit.text = " A. Reader "
    reviewed.ui.reviewerLineEdit._target.editingFinished.emit()
    reviewed.widget.onReload()
    reviewed.widget = reviewed.stand_ins.slicer.modules.FocusNetSegmentationWidget
    reviewed.enter()
    reviewed.settle()
    assert reviewed.ui.reviewerLineEdit.text == "A. Reader"
    choose(reviewed, "Larynx")
    press(reviewed, "Return")
    assert next(r for r in reviewed.panel.review.table.rows if r.organ == "Larynx").approved_by == "A. Reader"


# --- correcting


def test_an_organ_gets_its_brush_when_it_is_chosen(reviewed: Any) -> None:
    choose(reviewed, "Larynx")
    node = reviewed.panel.result.editing.node
    assert node.GetAttribute("BrushSphere") == "1"
    assert node.GetOverwriteMode() == node.OverwriteNone
    node.SetAttribute("BrushAbsoluteDiameter", "99")
    reviewed.ui.presetButton.click()
    assert float(node.GetAttribute("BrushAbsoluteDiameter")) < 20
    assert "a ball of" in reviewed.text("reviewStatusLabel")


def test_smooth_and_fill_between_slices_are_one_click_each_and_undo_takes_them_back(reviewed: Any) -> None:
    choose(reviewed, "Parotid_L")
    before = reviewed.panel.review.review.current_fingerprints()["Parotid_L"]
    reviewed.ui.smoothButton.click()
    reviewed.settle()
    assert "voxels of Parotid_L were changed" in reviewed.text("reviewStatusLabel")
    assert not reviewed.panel.review.review.current_fingerprints()["Parotid_L"].same_as(before)
    reviewed.panel.result.editor.undo()
    assert reviewed.panel.review.review.current_fingerprints()["Parotid_L"].same_as(before)
    reviewed.ui.fillBetweenButton.click()
    assert "no empty slice between drawn ones" in reviewed.text("reviewStatusLabel")
