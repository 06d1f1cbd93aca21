"""Panel on stand-ins: results in the scene, export, saved scenes, Reload. Not "tested in Slicer": see stand_ins.py."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def done(panel: Any) -> Any:
    """A panel after its first run."""
    panel.volume()
    panel.apply()
    return panel


def test_the_result_opens_in_the_embedded_editor_over_its_ct(done: Any) -> None:
    editor = done.panel.result.editor
    assert not done.ui.editCollapsibleButton.collapsed
    assert editor.segmentationNode() is done.parameters.resultSegmentation
    assert editor.sourceVolumeNode() is done.parameters.inputVolume
    assert editor.mrmlSegmentEditorNode().GetSingletonTag() == "FocusNetSegmentation"
    assert not done.shown("editHintLabel")
    assert done.ui.show3DButton.segmentationNode() is done.parameters.resultSegmentation


def test_the_editors_keys_and_views_are_let_go_when_another_module_is_opened(done: Any) -> None:
    calls = done.panel.result.editor._target.calls
    assert calls[-2:] == ["setupViewObservations", "installKeyboardShortcuts"]
    done.leave()
    assert calls[-2:] == ["uninstallKeyboardShortcuts", "removeViewObservations"]
    done.enter()
    assert calls[-2:] == ["setupViewObservations", "installKeyboardShortcuts"]


def test_surfaces_are_made_after_the_run_if_asked(panel: Any) -> None:
    panel.volume()
    panel.ui.show3DAfterCheckBox.setChecked(True)
    panel.apply()
    node = panel.parameters.resultSegmentation
    assert node.GetSegmentation().ContainsRepresentation("Closed surface")
    assert node.GetDisplayNode().GetVisibility3D()


def test_another_ct_shows_its_own_result_never_another_patients(done: Any) -> None:
    first, result = done.parameters.inputVolume, done.parameters.resultSegmentation
    second = done.volume("second")
    done.ui.inputVolumeSelector.setCurrentNode(second)
    done.settle()
    assert done.parameters.resultSegmentation is None
    assert not done.ui.exportButton.enabled
    done.ui.inputVolumeSelector.setCurrentNode(first)
    done.settle()
    assert done.parameters.resultSegmentation is result


@pytest.mark.parametrize("index", range(5))
def test_every_format_is_exported(index: int, done: Any, tmp_path: Path) -> None:
    from FocusNetSegmentationLib.exchange.export import FORMATS

    kind = list(FORMATS)[index]
    if kind in ("rtstruct", "dicom-seg"):
        done.stand_ins.file_dialog.answers = [str(dicom_files(tmp_path / "dicom"))]
    ending = FORMATS[kind][1]
    if ending:
        done.stand_ins.file_dialog.answers.append(str(tmp_path / f"out{ending}"))
    done.ui.exportFormatComboBox.setCurrentIndex(index)
    done.ui.exportButton.click()
    assert done.stand_ins.dialogs == []
    if kind == "labelmap":
        assert done.count("vtkMRMLLabelMapVolumeNode") == 1
    else:
        assert (tmp_path / f"out{ending}").stat().st_size > 1000
        assert done.says.startswith(("✓ Exported out", "⚠ Exported out"))


def dicom_files(folder: Path) -> Path:
    """The scene's CT as DICOM files."""
    from focusnet.phantom.dicom import write_dicom_series
    from focusnet.phantom.write import phantom

    write_dicom_series(phantom(0, (6.0, 6.0, 6.0))[0], folder, seed=0)
    return folder


def test_export_to_a_folder_that_cannot_be_written_is_a_message(done: Any, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o500)
    if os.access(locked, os.W_OK):
        locked = tmp_path / "locked" / "is a file"  # root may write everywhere
        locked.write_text("")
    done.stand_ins.file_dialog.answers = [str(locked / "out.seg.nrrd")]
    done.ui.exportButton.click()
    assert len(done.stand_ins.dialogs) == 1
    name, text, _ = done.stand_ins.dialogs[0]
    assert name == "errorDisplay"
    assert "out.seg.nrrd" in text
    assert "Traceback" not in text


def test_an_export_that_is_not_named_writes_nothing(done: Any) -> None:
    before = done.says
    done.stand_ins.file_dialog.answers = [""]
    done.ui.exportButton.click()
    assert done.says == before


def test_a_saved_scene_brings_the_panel_back(done: Any, tmp_path: Path) -> None:
    done.tick("Larynx", False)
    done.parameters.device = "cpu"
    done.settle()
    path = tmp_path / "scene.mrb"
    assert done.scene.WriteToMRB(str(path))
    done.scene.Clear(0)
    done.settle()
    assert done.parameters.inputVolume is None
    assert done.parameters.organsLeftOut == ""
    with zipfile.ZipFile(
        path
    ) as bundle:  # as the application opens an .mrb: unpacked, then the scene read from its folder
        bundle.extractall(tmp_path / "unpacked")
    done.scene.SetURL(str(next((tmp_path / "unpacked").rglob("*.mrml"))))
    assert done.scene.Import() == 1
    done.settle()
    assert done.parameters.inputVolume.GetName() == "CT 1"
    assert done.parameters.resultSegmentation.GetName() == "CT 1 organs"
    assert done.ui.inputVolumeSelector.currentNode() is done.parameters.inputVolume
    assert done.ui.organsCollapsibleButton.text == "Organs: 6 of 7"
    assert done.ui.deviceComboBox.currentText == "CPU"
    assert done.ui.applyButton.enabled
    assert done.ui.exportButton.enabled
    done.apply()
    assert "6 organs" in done.says
    assert done.stand_ins.dialogs == [], "the restored organs are not taken for edited ones"


def test_reload_gives_a_new_panel_with_the_same_state(done: Any) -> None:
    result, old = done.parameters.resultSegmentation, done.widget
    old.onReload()
    done.widget = done.stand_ins.slicer.modules.FocusNetSegmentationWidget
    assert done.widget is not old
    assert type(done.widget) is not type(old), "read anew from its file"
    done.enter()
    done.settle()
    assert done.parameters.resultSegmentation is result
    done.apply()
    assert done.says.endswith("7 organs.")


def test_leaving_and_coming_back_does_not_add_up(done: Any) -> None:
    """Each change of the state is handled once, however often the module was opened."""
    for _ in range(3):
        done.leave()
        done.enter()
    done.settle()
    calls: list[int] = []
    done.panel.models.update = lambda real=done.panel.models.update: (calls.append(1), real())
    done.parameters.show3D = True
    assert len(calls) == 1


def test_deleting_the_result_clears_what_showed_it(done: Any) -> None:
    done.scene.RemoveNode(done.parameters.resultSegmentation)
    done.settle()
    assert done.panel.result.editor.segmentationNode() is None
    assert done.ui.show3DButton.segmentationNode() is None
    assert not done.ui.exportButton.enabled
    assert done.count() == 0, "the model's own copy goes with it"
