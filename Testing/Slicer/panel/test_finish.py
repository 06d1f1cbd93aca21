"""Panel on stand-ins: the end of a review. Not "tested in Slicer": see stand_ins.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from focusnet.errors import InputError

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


def test_a_result_of_a_turned_ct_says_so_and_leaves_only_when_a_person_insists(panel: Any, tmp_path: Path) -> None:
    panel.volume()
    panel.worker("turned")
    panel.apply()
    said = "The header seems to have front and back reversed"
    assert said in panel.text("orientationLabel")
    scans, out = dicom_files(tmp_path / "dicom"), tmp_path / "out"
    out.mkdir()
    panel.stand_ins.answers = [False]
    panel.ui.rtstructButton.click()
    assert [name for name, *_ in panel.stand_ins.dialogs] == ["confirmOkCancelDisplay"]
    assert said in panel.stand_ins.dialogs[0][1]
    assert "Nothing was exported." in panel.says
    assert not list(out.iterdir())
    node, ct = panel.panel.result_node, panel.parameters.inputVolume
    with pytest.raises(InputError, match="orientationOverride=True writes the contours"):
        panel.panel.logic.export(node, ct, tmp_path / "o.nii.gz", "nifti")
    panel.stand_ins.answers = [True]
    panel.stand_ins.file_dialog.answers = [str(scans), str(out)]
    panel.ui.rtstructButton.click()
    assert [path.name for path in out.iterdir()] == ["CT 1 organs.dcm"]


def test_an_ordinary_result_has_no_line_about_its_orientation(reviewed: Any) -> None:
    assert reviewed.text("orientationLabel") == ""


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


def test_what_a_stroke_paints_over_a_neighbour_is_taken_back_when_it_ends(reviewed: Any) -> None:
    """The stroke is applied by Slicer's own logic below the editor."""
    from FocusNetSegmentationLib.review.segment_voxels import segment_box
    from FocusNetSegmentationLib.scene.labelmaps import LABELMAP, image_matrix, oriented_image

    choose(reviewed, "Parotid_L")
    review, editing = reviewed.panel.review.review, reviewed.panel.result.editing
    before, segment_id = review.current_fingerprints(), review.segments()["Parotid_L"]
    box = np.stack([segment_box(review.node, review.segments()[o]) for o in ("Parotid_L", "Bone_Mandible")])
    low, high = box[:, 0].min(axis=0), box[:, 1].max(axis=0)
    image = review.node.GetSegmentation().GetSegment(segment_id).GetRepresentation(LABELMAP)
    brush, extent = (
        oriented_image(np.ones((high - low + 1)[::-1], np.uint8), image_matrix(image)),
        np.c_[low, high].ravel(),
    )
    brush.SetExtent(*(int(v) for v in extent))
    logic = reviewed.stand_ins.slicer.vtkSlicerSegmentEditorLogic()
    logic.SetMRMLScene(reviewed.scene)
    logic.SetSegmentEditorNode(editing.node)
    editing.node.SetAndObserveSegmentationNode(review.node)
    editing.node.SetAndObserveSourceVolumeNode(reviewed.parameters.inputVolume)
    logic.ModifySegmentByLabelmap(
        review.node, segment_id, brush, logic.ModificationModeAdd, [int(v) for v in extent], False, False
    )
    reviewed.until(lambda: not overlapping(review.node))
    reviewed.settle()
    now = review.current_fingerprints()
    assert now["Parotid_L"].voxels > before["Parotid_L"].voxels
    assert all(now[o].same_as(before[o]) for o in before if o != "Parotid_L")


def overlapping(node: Any) -> bool:
    """Is there a voxel in two segments?"""
    from FocusNetSegmentationLib.review.segment_voxels import grid_of, masks_of_others, own_grid, segment_box
    from FocusNetSegmentationLib.scene.labelmaps import mask_on
    from FocusNetSegmentationLib.scene.nodes import organ_segments

    segment_id = organ_segments(node)["Parotid_L"]
    target = grid_of(own_grid(node, segment_id), segment_box(node, segment_id))
    own = mask_on(target, node, segment_id)
    return any((own & mask).any() for mask in masks_of_others(target, node, segment_id).values())


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
