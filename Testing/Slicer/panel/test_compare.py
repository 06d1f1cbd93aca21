"""Panel on stand-ins: the segmentation against a reference. Not "tested in Slicer": see stand_ins.py."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .test_scene import dicom_files

LABELMAP, SURFACE = "Binary labelmap", "Closed surface"


@pytest.fixture
def compared(panel: Any) -> Any:
    """A panel after a run, with another person's contours in the scene: one voxel farther to the left, called as a clinic might."""
    from FocusNetSegmentationLib.exchange.compare import add_reference
    from FocusNetSegmentationLib.scene.as_segmentation import segmentation_on
    from FocusNetSegmentationLib.scene.volumes import world_geometry

    ct = panel.volume()
    panel.apply()
    drawn, _ = segmentation_on(world_geometry(ct), panel.parameters.resultSegmentation)
    moved = replace(drawn, labels=np.roll(drawn.labels, 1, axis=2))
    panel.reference = add_reference(panel.scene, moved, ct, "Dr. B")
    panel.reference.GetSegmentation().GetSegment("Reference_Brainstem").SetName("Brain Stem")
    panel.ui.referenceSelector.setCurrentNode(panel.reference)
    panel.settle()
    panel.ui.compareCollapsibleButton.collapsed = False
    return panel


def table(panel: Any) -> dict[str, list[str]]:
    widget = panel.ui.compareTable._target
    rows = [[widget.item(r, c).text() for c in range(6)] for r in range(widget.rowCount())]
    return {row[0]: row[1:] for row in rows}


def press(panel: Any) -> None:
    panel.ui.compareButton.click()
    panel.settle()


def says(panel: Any) -> str:
    return str(panel.text("compareStatusLabel"))


def add_body(panel: Any, name: str) -> None:
    """A segment of its own layer that covers every organ."""
    import slicer

    from FocusNetSegmentationLib.scene.labelmaps import image_matrix, oriented_image, voxels

    segmentation = panel.reference.GetSegmentation()
    image = segmentation.GetNthSegment(0).GetRepresentation(LABELMAP)
    segment = slicer.vtkSegment()
    segment.SetName(name)
    segment.AddRepresentation(LABELMAP, oriented_image(np.ones_like(voxels(image)), image_matrix(image)))
    segmentation.AddSegment(segment, "body")


def test_the_table_has_the_numbers_of_focusnet_evaluate(compared: Any, tmp_path: Path) -> None:
    from focusnet.cli.main import main

    press(compared)
    assert len(table(compared)) == 7
    compared.stand_ins.file_dialog.answers = [str(tmp_path / "panel")]
    compared.ui.compareSaveButton.click()
    ct = compared.parameters.inputVolume
    for name, node in (("ours", compared.parameters.resultSegmentation), ("theirs", compared.reference)):
        compared.panel.logic.export(node, ct, tmp_path / f"{name}.seg.nrrd")
    files = [str(tmp_path / f"{name}.seg.nrrd") for name in ("ours", "theirs")]
    assert main(["evaluate", *files, "-o", str(tmp_path / "cli.csv")]) == 0
    ours, theirs = (list(csv.DictReader((tmp_path / f"{n}.csv").open())) for n in ("panel", "cli"))
    assert {row["organ"]: {**row, "case": ""} for row in ours} == {row["organ"]: {**row, "case": ""} for row in theirs}
    row = next(row for row in theirs if row["organ"] == "Brainstem")
    assert 0 < float(row["dsc"]) < 1, "the reference differs"
    assert table(compared)["Brainstem"][0] == f"{float(row['dsc']):.3f}"
    assert table(compared)["Brainstem"][1] == f"{float(row['hd95_average_mm']):.2f}"
    compared.ui.compareCopyButton.click()
    copied = compared.stand_ins.app.clipboard().text().splitlines()
    assert copied[1].split("\t")[:2] == ["Brainstem", f"{float(row['dsc']):.3f}"]


def test_a_body_contour_over_everything_changes_no_organ(compared: Any) -> None:
    press(compared)
    before = table(compared)
    add_body(compared, "BODY")
    press(compared)
    assert table(compared) == before
    assert "Only in the reference: BODY." in says(compared)


def test_two_structures_of_one_organ_are_left_out_and_said(compared: Any) -> None:
    add_body(compared, "Brainstem")
    press(compared)
    assert "Two segments of the reference are Brainstem; it is left out." in says(compared)
    assert "Only in the segmentation: Brainstem." in says(compared)
    assert "Brainstem" not in table(compared)


def test_a_reference_of_surfaces_alone_is_given_voxels_and_stays_as_it_is(compared: Any) -> None:
    press(compared)
    before = table(compared)
    segmentation = compared.reference.GetSegmentation()
    assert segmentation.CreateRepresentation(SURFACE)
    segmentation.SetSourceRepresentationName(SURFACE)
    segmentation.RemoveRepresentation(LABELMAP)
    press(compared)
    assert not segmentation.ContainsRepresentation(LABELMAP)
    assert set(table(compared)) == set(before)
    for organ, row in table(compared).items():
        assert float(row[4]) == pytest.approx(float(before[organ][4]), rel=0.25), organ  # surfaces are smoothed


def test_a_reference_on_another_grid_is_resampled_and_that_is_said(compared: Any) -> None:
    from focusnet.phantom.write import phantom
    from FocusNetSegmentationLib.exchange.compare import add_reference

    _, fine = phantom(0, (4.0, 4.0, 4.0))
    node = add_reference(compared.scene, fine, compared.parameters.inputVolume, "Fine")
    compared.ui.referenceSelector.setCurrentNode(node)
    press(compared)
    assert "The reference lies on another grid than CT 1: it was resampled." in says(compared)


def test_another_reference_takes_the_table_away(compared: Any) -> None:
    press(compared)
    assert compared.shown("compareTable")
    compared.ui.referenceSelector.setCurrentNode(compared.parameters.resultSegmentation)
    compared.settle()
    assert not compared.shown("compareTable")
    assert not compared.ui.compareButton.enabled
    assert "This is the segmentation itself." in says(compared)


def test_a_reference_of_another_scan_is_a_sentence(compared: Any) -> None:
    transform = compared.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = transform.GetMatrixTransformToParent()
    matrix.SetElement(2, 3, 5000.0)
    transform.SetMatrixTransformToParent(matrix)
    compared.reference.SetAndObserveTransformNodeID(transform.GetID())
    press(compared)
    assert says(compared) == "✗ No organ of Dr. B lies in CT 1; it is empty or of another scan."
    assert not compared.shown("compareTable")


def test_an_rtstruct_from_a_file_becomes_the_reference(panel: Any, tmp_path: Path) -> None:
    panel.volume()
    panel.apply()
    folder = dicom_files(tmp_path / "dicom")
    node = panel.parameters.resultSegmentation
    panel.panel.logic.export(node, panel.parameters.inputVolume, tmp_path / "clinic.dcm", "rtstruct", folder)
    panel.stand_ins.file_dialog.answers = [str(tmp_path / "clinic.dcm"), str(folder)]
    panel.ui.compareFileButton.click()
    panel.settle()
    assert panel.stand_ins.dialogs == []
    assert panel.ui.referenceSelector.currentNode().GetName() == "clinic"
    assert panel.parameters.resultSegmentation is node
    assert [float(row[0]) >= 0.99 for row in table(panel).values()] == [True] * 7


def test_a_file_that_is_no_segmentation_is_a_message_and_no_node(panel: Any, tmp_path: Path) -> None:
    panel.volume()
    panel.apply()
    before = panel.count()
    (tmp_path / "x.seg.nrrd").write_text("nothing")
    panel.stand_ins.file_dialog.answers = [str(tmp_path / "x.seg.nrrd")]
    panel.ui.compareFileButton.click()
    assert panel.count() == before
    ((name, text, _),) = panel.stand_ins.dialogs
    assert name == "errorDisplay"
    assert "x.seg.nrrd" in text
