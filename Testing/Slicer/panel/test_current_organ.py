"""Panel on stand-ins: one current organ, over its own CT, looked at before it is approved. Not "tested in Slicer": see stand_ins.py."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from ..helpers_panel_review import choose, empty_organ, press, states
from .test_review import three_views


def segment_of(panel: Any, organ: str) -> str:
    return str(panel.panel.review.review.segments()[organ])


def in_editor(panel: Any, organ: str) -> None:
    """Choose a segment in the editor itself, as its list or its keys Q and W do."""
    panel.panel.result.editor._target.select_by_person(segment_of(panel, organ))


# --- the editor after a scene was loaded


def test_the_editor_works_after_a_scene_was_loaded_into_a_running_session(reviewed: Any, tmp_path: Path) -> None:
    """Its node, then the segmentation, then the CT are set anew; the stand-in raises for any other order."""
    path = tmp_path / "scene.mrb"
    assert reviewed.scene.WriteToMRB(str(path))
    with zipfile.ZipFile(path) as bundle:
        bundle.extractall(tmp_path / "unpacked")
    for _ in range(2):  # once in place of the scene, once more over what is there
        reviewed.scene.Clear(0)
        reviewed.scene.SetURL(str(next((tmp_path / "unpacked").rglob("*.mrml"))))
        assert reviewed.scene.Import() == 1
        reviewed.settle()
        editor = reviewed.panel.result.editor
        assert editor.mrmlSegmentEditorNode().GetScene() is reviewed.scene
        assert editor.segmentationNode() is reviewed.parameters.resultSegmentation
        assert editor.sourceVolumeNode() is reviewed.parameters.inputVolume
        choose(reviewed, "Larynx")
        assert editor.currentSegmentID() == segment_of(reviewed, "Larynx")


def test_a_scene_that_looks_the_same_as_before_is_set_anew_all_the_same(reviewed: Any) -> None:
    """A loaded scene has the same node IDs; what the editor shows is gone all the same."""
    editor = reviewed.panel.result.editor
    editor._target._nodes = {
        "editor": None,
        "segmentation": None,
        "volume": None,
    }  # what Slicer's editor does by itself
    reviewed.scene.InvokeEvent(reviewed.scene.EndImportEvent)
    reviewed.settle()
    assert editor.segmentationNode() is reviewed.parameters.resultSegmentation
    assert editor.sourceVolumeNode() is reviewed.parameters.inputVolume


# --- approving


def test_no_key_of_the_review_repeats_while_it_is_held(reviewed: Any) -> None:
    assert reviewed.panel.review.keys.shortcuts
    for shortcut in reviewed.panel.review.keys.shortcuts:
        assert not shortcut.autoRepeat


def test_an_organ_cannot_be_approved_before_the_views_have_shown_it(reviewed: Any) -> None:
    choose(reviewed, "Larynx")
    section = reviewed.panel.review
    section.approve()
    section.approve()  # the next one, at once: nobody can have looked at it
    section.approve()
    assert list(states(reviewed).values()).count("✓ approved") == 1
    assert "was not shown yet: look at it first." in reviewed.text("reviewStatusLabel")
    reviewed.settle()
    section.approve()
    assert list(states(reviewed).values()).count("✓ approved") == 2


def test_a_segment_that_is_chosen_in_the_editor_is_the_current_organ(reviewed: Any) -> None:
    choose(reviewed, "Larynx")
    in_editor(reviewed, "Brainstem")
    assert reviewed.panel.review.current == "Brainstem"
    assert reviewed.text("reviewReasonLabel").startswith("Brainstem:")
    reviewed.settle()
    press(reviewed, "Ctrl+Return")
    assert states(reviewed)["Brainstem"] == "✓ approved"
    assert states(reviewed)["Larynx"] == "draft"


def test_approve_acts_on_what_the_editor_shows_even_if_it_did_not_tell(reviewed: Any) -> None:
    choose(reviewed, "Larynx")
    editor = reviewed.panel.result.editor
    editor.mrmlSegmentEditorNode().SetSelectedSegmentID(segment_of(reviewed, "Brainstem"))
    reviewed.panel.review.approve()
    assert set(states(reviewed).values()) == {"draft"}, (
        "the organ on screen was not looked at yet, the other is not on screen"
    )
    assert reviewed.panel.review.current == "Brainstem"


def test_choosing_an_organ_in_the_list_chooses_it_in_the_editor(reviewed: Any) -> None:
    for organ in ("Larynx", "Parotid_R"):
        choose(reviewed, organ)
        assert reviewed.panel.result.editor.currentSegmentID() == segment_of(reviewed, organ)


def test_an_empty_organ_is_approved_as_absent_after_a_question(reviewed: Any) -> None:
    empty_organ(reviewed, "Larynx")
    choose(reviewed, "Larynx")
    assert reviewed.ui.reviewApproveButton.text == "Absent..."
    reviewed.stand_ins.answers = [False]
    press(reviewed, "Return")
    assert "Nothing is drawn of Larynx. Do you confirm that it is absent?" in reviewed.stand_ins.dialogs[-1][1]
    assert states(reviewed)["Larynx"] != "✓ absent"
    press(reviewed, "Return")
    assert states(reviewed)["Larynx"] == "✓ absent"


def test_an_empty_organ_is_shown_where_it_should_be(reviewed: Any) -> None:
    """Its neighbours tell; the corner where the views stood before does not."""
    from FocusNetSegmentationLib.review.places import usual_place_ras

    views = three_views(reviewed)
    empty_organ(reviewed, "Parotid_L")
    place = usual_place_ras(reviewed.parameters.resultSegmentation, "Parotid_L")
    assert place is not None
    for view in views:
        view.JumpSliceByCentering(-500.0, -500.0, -500.0)
    choose(reviewed, "Parotid_L")
    for axis, view in zip((2, 0, 1), views, strict=True):  # axial, sagittal, coronal
        assert abs(view.GetSliceToRAS().GetElement(axis, 3) - place[axis]) < 10


# --- whose CT


def test_a_result_is_reviewed_over_its_own_ct_only(reviewed: Any) -> None:
    own = reviewed.parameters.inputVolume
    composite = reviewed.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    composite.SetLayoutName("Red")
    other = reviewed.volume("another patient")
    composite.SetBackgroundVolumeID(other.GetID())
    choose(reviewed, "Larynx")
    assert composite.GetBackgroundVolumeID() == own.GetID()


def test_without_its_own_ct_a_result_is_not_shown_over_another(reviewed: Any) -> None:
    composite = reviewed.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    other = reviewed.volume("another patient")
    composite.SetBackgroundVolumeID(other.GetID())
    result = reviewed.parameters.resultSegmentation
    reviewed.scene.RemoveNode(reviewed.parameters.inputVolume)
    reviewed.settle()
    reviewed.parameters.resultSegmentation = result
    reviewed.settle()
    choose(reviewed, "Larynx")
    assert "The CT of this segmentation is not in the scene" in reviewed.text("reviewStatusLabel")
    press(reviewed, "Return")
    assert states(reviewed)["Larynx"] == "draft", "what was not shown is not approved"


def test_choosing_a_ct_shows_it(panel: Any) -> None:
    composite = panel.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    first, second = panel.volume("first"), panel.volume("second")
    panel.ui.inputVolumeSelector.setCurrentNode(second)
    panel.settle()
    assert composite.GetBackgroundVolumeID() == second.GetID()
    panel.ui.inputVolumeSelector.setCurrentNode(first)
    panel.settle()
    assert composite.GetBackgroundVolumeID() == first.GetID()


def test_the_ct_in_the_panel_is_on_screen_when_the_module_is_opened(panel: Any) -> None:
    composite = panel.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    panel.leave()
    ct, mr = panel.volume("CT"), panel.volume("MR")
    composite.SetBackgroundVolumeID(mr.GetID())
    mr.SetAttribute("DICOM.Modality", "MR")
    panel.settle()
    assert composite.GetBackgroundVolumeID() == mr.GetID(), "the views are another module's"
    panel.enter()
    panel.settle()
    assert panel.parameters.inputVolume is ct
    assert composite.GetBackgroundVolumeID() == ct.GetID()
    composite.SetBackgroundVolumeID(mr.GetID())
    panel.leave()
    panel.enter()
    assert composite.GetBackgroundVolumeID() == mr.GetID(), "once: what a person shows instead stays"


def test_choosing_a_result_chooses_its_ct(reviewed: Any) -> None:
    first, result = reviewed.parameters.inputVolume, reviewed.parameters.resultSegmentation
    reviewed.ui.inputVolumeSelector.setCurrentNode(reviewed.volume("second"))
    reviewed.settle()
    assert reviewed.parameters.resultSegmentation is None
    reviewed.ui.resultSelector.setCurrentNode(result)
    reviewed.settle()
    assert reviewed.parameters.inputVolume is first, "Apply would draw one patient's organs into another's result"


# --- Reload, and sentences that are true no more


def test_reload_leaves_one_panel_and_one_apply_button(panel: Any) -> None:
    import gc

    panel.volume()
    panel.apply()
    for _ in range(3):
        panel.widget.onReload()
        panel.widget = panel.stand_ins.slicer.modules.FocusNetSegmentationWidget
        panel.enter()
        panel.settle()
    from PySide6 import QtCore, QtWidgets

    panel.stand_ins.application.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete.value)
    gc.collect()
    panels = [thing for thing in gc.get_objects() if type(thing).__name__ == "Panel"]
    assert len([one for one in panels if one.parameters is not None]) == 1, "the old ones let go of the scene"
    content = panel.host.area.widget()
    assert len(content.findChildren(QtWidgets.QPushButton, "applyButton")) == 1
    assert content.findChild(QtWidgets.QPushButton, "applyButton").isVisibleTo(content)


@pytest.mark.parametrize("how", ["remove the CT", "close the scene"])
def test_no_sentence_about_a_case_outlives_it(reviewed: Any, how: str) -> None:
    assert "7 organs" in reviewed.says
    reviewed.volume("another patient")
    if how == "remove the CT":
        reviewed.scene.RemoveNode(reviewed.parameters.inputVolume)
    else:
        reviewed.scene.Clear(0)
    reviewed.settle()
    assert "organs" not in reviewed.says
    assert reviewed.ui.applyButton.enabled == (how == "remove the CT")


def test_added_is_never_said_of_a_model_that_is_not_here(panel: Any) -> None:
    panel.panel.models.message = ("ok", "The model mine was added.")
    panel.panel.refresh()
    assert panel.text("modelInfoLabel") == "✓ The model mine was added."
    panel.parameters.model = "mine"
    panel.panel.refresh()
    assert panel.text("modelInfoLabel") == "✗ The model mine is not on this computer. Choose another, or add it."
