"""Panel on stand-ins: the real widget class and the real .ui, on stand-ins for Slicer's widgets and a live scene of slicer-core.

Not "tested in Slicer": see stand_ins.py. This file: what is offered for which input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def test_with_one_ct_and_one_model_one_click_does_it(panel: Any) -> None:
    ct = panel.volume()
    assert panel.ui.inputVolumeSelector.currentNode() is ct
    assert panel.ui.modelComboBox.currentText == "han7-openkbp"
    assert panel.ui.deviceComboBox.currentText == "Automatic"
    assert panel.ui.organsCollapsibleButton.text == "Organs: all 7"
    assert panel.ui.installationCollapsibleButton.collapsed, "nothing is missing"
    assert panel.ui.applyButton.enabled
    panel.apply()
    assert panel.says.startswith("✓ Done in ")
    assert panel.says.endswith(" s: 7 organs.")
    result = panel.parameters.resultSegmentation
    assert result.GetName() == "CT 1 organs"
    assert panel.ui.resultSelector.currentNode() is result
    assert panel.stand_ins.dialogs == []


def test_an_empty_scene_says_what_to_do(panel: Any) -> None:
    assert panel.text("inputStatusLabel") == "Load a head-and-neck CT, or try the sample data."
    assert not panel.ui.applyButton.enabled
    assert panel.ui.applyButton.toolTip == panel.text("inputStatusLabel"), "the button says why it is grey"
    assert not panel.ui.cancelButton.enabled
    assert not panel.ui.exportButton.enabled
    panel.ui.loadDicomButton.click()
    assert panel.stand_ins.modules == ["DICOM"]


def test_sample_data_can_be_segmented_at_once(panel: Any) -> None:
    panel.ui.sampleDataButton.click()
    panel.settle()
    assert panel.parameters.inputVolume.GetName() == "FocusNetPhantom"
    assert "synthetic phantom" in panel.says
    assert panel.text("inputStatusLabel") == (
        "✓ CT in HU (-1024 to 1922), voxels of 1 x 1 x 3 mm, field of view 300 x 280 x 354 mm, axial slices."
    )
    assert panel.ui.applyButton.enabled


@pytest.mark.parametrize(
    ("modality", "says"), [("MR", "has the modality MR; CT is expected"), ("PT", "has the modality PT")]
)
def test_a_scan_that_is_no_ct_is_refused_with_the_reason(modality: str, says: str, panel: Any) -> None:
    node = panel.volume()
    node.SetAttribute("DICOM.Modality", modality)
    panel.ui.inputVolumeSelector.setCurrentNode(None)
    panel.ui.inputVolumeSelector.setCurrentNode(node)
    panel.settle()
    assert says in panel.text("inputStatusLabel")
    assert not panel.ui.applyButton.enabled
    assert says in panel.ui.applyButton.toolTip
    assert panel.says == "", "said once, where the CT is chosen"


def test_the_first_volume_that_can_be_a_ct_is_chosen(panel: Any) -> None:
    panel.parameters.inputVolume = None
    mr = panel.volume("MR")
    mr.SetAttribute("DICOM.Modality", "MR")
    panel.parameters.inputVolume = None
    ct = panel.volume("CT")
    assert panel.parameters.inputVolume is ct
    panel.volume("another")
    assert panel.parameters.inputVolume is ct, "and a choice stays"


def test_a_warped_ct_is_offered_a_hardened_copy(panel: Any) -> None:
    ct = panel.volume()
    assert not panel.shown("hardenButton")
    warp = panel.scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "Warp")
    ct.SetAndObserveTransformNodeID(warp.GetID())
    panel.panel.refresh()
    assert "under the non-linear transform Warp" in panel.text("inputStatusLabel")
    assert panel.shown("hardenButton")
    assert not panel.ui.applyButton.enabled
    panel.stand_ins.answers = [False]
    panel.ui.hardenButton.click()
    assert panel.parameters.inputVolume is ct, "asked first"
    panel.ui.hardenButton.click()
    panel.settle()
    copy = panel.parameters.inputVolume
    assert copy.GetName() == "CT 1 hardened"
    assert ct.GetParentTransformNode() is warp, "the CT itself stays"
    assert panel.ui.applyButton.enabled
    assert not panel.shown("hardenButton")


def test_a_frame_of_a_sequence_is_used_and_named(panel: Any) -> None:
    import slicer

    slicer.vtkSlicerSequencesLogic().SetMRMLScene(panel.scene)  # registers the browser's class
    ct = panel.volume()
    sequence = panel.scene.AddNewNodeByClass("vtkMRMLSequenceNode", "4D CT")
    browser = panel.scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "4D CT browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.AddProxyNode(ct, sequence, False)
    ct.Modified()
    panel.panel.refresh()
    assert "one frame of the sequence 4D CT browser" in panel.text("inputStatusLabel")
    assert panel.ui.applyButton.enabled


def test_values_that_are_off_by_a_constant_can_be_put_right_in_the_panel(panel: Any) -> None:
    from FocusNetSegmentationLib.sample_data import set_voxels
    from FocusNetSegmentationLib.scene.volumes import voxels_of

    ct = panel.volume(spacing_mm=5.0)
    set_voxels(ct, voxels_of(ct) + 1024)
    panel.panel.refresh()
    assert 'set "Add to every voxel (HU)" under Advanced to -1024' in panel.text("inputStatusLabel")
    assert not panel.ui.applyButton.enabled
    panel.ui.huOffsetSpinBox.setValue(-1024)
    panel.settle()
    assert panel.parameters.huOffset == -1024
    assert "-1024 was added to every value" in panel.text("inputStatusLabel")
    assert panel.ui.applyButton.enabled


def test_without_a_ticked_organ_nothing_can_be_drawn_and_the_panel_says_so(panel: Any) -> None:
    panel.volume()
    panel.ui.noOrgansButton.click()
    panel.settle()
    assert not panel.ui.applyButton.enabled
    assert panel.says == "⚠ No organ is ticked."
    panel.tick("Brainstem", True)
    assert panel.ui.organsCollapsibleButton.text == "Organs: 1 of 7"
    assert panel.says == ""
    assert panel.ui.applyButton.enabled
    panel.ui.allOrgansButton.click()
    assert panel.parameters.organsLeftOut == ""


def test_long_names_do_not_make_the_panel_wider_and_can_be_read(panel: Any) -> None:
    name = "CT 1 3.0 Neck with contrast thin slices reconstructed for planning 20240301"
    panel.volume(name)
    panel.apply()
    panel.show(height=720)
    assert not panel.host.area.horizontalScrollBar().isVisible()
    assert panel.host.area.widget().width() <= panel.host.area.viewport().width()
    assert panel.ui.inputVolumeSelector.toolTip.startswith(name)
    assert panel.ui.resultSelector.toolTip.startswith(f"{name} organs")


def test_every_section_fits_the_panels_width(panel: Any) -> None:
    panel.volume()
    panel.apply()
    for name in ("organs", "review", "edit", "compare", "export", "advanced", "installation"):
        getattr(panel.ui, f"{name}CollapsibleButton").collapsed = False
    panel.show(height=720)
    assert not panel.host.area.horizontalScrollBar().isVisible()


def test_a_slicer_without_dicom_loads_files_instead(open_panel: Callable[..., Any]) -> None:
    panel = open_panel(dicom=False)
    assert panel.ui.loadDicomButton.text == "Load file..."
    panel.ui.loadDicomButton.click()
    assert panel.stand_ins.modules == ["openAddVolumeDialog"]
