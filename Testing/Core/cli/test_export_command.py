"""``focusnet export``: what a doctor corrected in 3D Slicer goes out to the planning system, with what the review said of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import slicerio

from focusnet.cli.main import main
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Volume
from focusnet.io.label_map import read_label_map
from focusnet.io.review_tags import fingerprint, read_reviews
from focusnet.io.rtstruct_read import read_rtstruct
from focusnet.io.seg_nrrd import read_seg_nrrd, write_seg_nrrd

from ..helpers_dicom import dicom_errors, program, small_case

Tags = Mapping[str, Mapping[str, str]]


@pytest.fixture
def case(tmp_path: Path) -> tuple[Volume, Segmentation]:
    return small_case(tmp_path)


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def reviewed(segmentation: Segmentation, path: Path, tags: Tags) -> Path:
    """A file as the panel's review leaves it: ``tags`` by organ on top of the engine's own."""
    write_seg_nrrd(segmentation, path, overwrite=True)
    content: dict[str, Any] = slicerio.read_segmentation(str(path))
    for segment in content["segments"]:
        segment["tags"] = {**segment["tags"], **tags.get(segment["name"], {})}
    slicerio.write_segmentation(str(path), content)
    return path


def approval(segmentation: Segmentation, organ: str, by: str = "Dr. Who") -> dict[str, str]:
    record = {"state": "approved", "approved": fingerprint(segmentation.mask(organ), segmentation), "by": by}
    return {"FocusNet.Review": json.dumps(record)}


def rois(path: Path) -> dict[str, pydicom.Dataset]:
    return {str(roi.ROIName): roi for roi in pydicom.dcmread(path).StructureSetROISequence}


def test_approved_edited_and_untouched_organs_go_out_as_such(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    _, organs = case
    tags = {"Brainstem": approval(organs, "Brainstem"), "SpinalCord": {"FocusNet.Review": '{"state": "edited"}'}}
    source = reviewed(organs, tmp_path / "o.seg.nrrd", tags)
    assert run("export", source, "--ct", tmp_path / "ct", "-o", tmp_path / "rs.dcm", "--dicom", "rtstruct") == 0
    found = rois(tmp_path / "rs.dcm")
    assert {name: roi.ROIGenerationAlgorithm for name, roi in found.items()} == {
        "Brainstem": "SEMIAUTOMATIC",
        "SpinalCord": "SEMIAUTOMATIC",
        "Parotid_R": "AUTOMATIC",
        "Parotid_L": "AUTOMATIC",
    }
    assert found["Brainstem"].ROIDescription == "Brainstem. Review: approved."
    assert pydicom.dcmread(tmp_path / "rs.dcm").ApprovalStatus == "UNAPPROVED"  # not every organ is


def test_all_organs_approved_make_an_approved_structure_set_and_name_who_did_it(
    case: tuple[Volume, Segmentation], tmp_path: Path
) -> None:
    _, organs = case
    drawn = [r.organ.name for r in organs.results if (organs.labels == r.label).any()]
    source = reviewed(organs, tmp_path / "o.seg.nrrd", {name: approval(organs, name) for name in drawn})
    assert run("export", source, "--ct", tmp_path / "ct", "-o", tmp_path / "rs.dcm", "--dicom", "rtstruct") == 0
    data = pydicom.dcmread(tmp_path / "rs.dcm")
    assert (data.ApprovalStatus, str(data.ReviewerName)) == ("APPROVED", "Dr. Who")
    if program("dciodvfy") is not None:
        assert dicom_errors(tmp_path / "rs.dcm") == []


def test_a_voxel_that_changed_after_approval_takes_it_back(
    case: tuple[Volume, Segmentation], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, organs = case
    tags = {name: approval(organs, name) for name in ("Brainstem", "SpinalCord", "Parotid_R", "Parotid_L")}
    labels = organs.labels.copy()
    first = np.argwhere(labels == 1)[0]
    labels[tuple(first)] = 0
    source = reviewed(replace(organs, labels=labels), tmp_path / "o.seg.nrrd", tags)
    assert run("export", source, "--ct", tmp_path / "ct", "-o", tmp_path / "rs.dcm", "--dicom", "rtstruct") == 0
    assert "Brainstem was approved, but changed since" in capsys.readouterr().err
    assert pydicom.dcmread(tmp_path / "rs.dcm").ApprovalStatus == "UNAPPROVED"
    # moved as a whole by one slice: the same shape, but not what was approved
    moved = reviewed(replace(organs, labels=np.roll(organs.labels, 1, axis=0)), tmp_path / "m.seg.nrrd", tags)
    assert {r.withdrawn for n, r in read_reviews(moved, read_seg_nrrd(moved)).items() if n in tags} == {True}


def test_what_people_drew_is_manual_in_both_exports(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    _, organs = case
    source = tmp_path / "drawn.seg.nrrd"
    write_seg_nrrd(replace(organs, provenance={}), source)
    assert run("export", source, "--ct", tmp_path / "ct", "-o", tmp_path / "rs.dcm", "--dicom", "rtstruct") == 0
    assert {roi.ROIGenerationAlgorithm for roi in rois(tmp_path / "rs.dcm").values()} == {"MANUAL"}
    pytest.importorskip("highdicom", reason="the extra dicom is not installed")
    assert run("export", source, "--ct", tmp_path / "ct", "-o", tmp_path / "seg.dcm", "--dicom", "seg") == 0
    assert {s.SegmentAlgorithmType for s in pydicom.dcmread(tmp_path / "seg.dcm").SegmentSequence} == {"MANUAL"}
    if program("dciodvfy") is not None:
        assert dicom_errors(tmp_path / "rs.dcm") == dicom_errors(tmp_path / "seg.dcm") == []


def test_the_models_copy_tells_which_organs_were_edited(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    _, organs = case
    write_seg_nrrd(organs, tmp_path / "frozen.seg.nrrd")
    labels = organs.labels.copy()
    labels[labels == 4] = np.where(np.arange((labels == 4).sum()) % 7 == 0, 0, 4)
    edited = replace(organs, labels=labels)
    write_seg_nrrd(edited, tmp_path / "edited.seg.nrrd")
    options = ["--model-copy", tmp_path / "frozen.seg.nrrd", "--dicom", "rtstruct", "--ct", tmp_path / "ct"]
    assert run("export", tmp_path / "edited.seg.nrrd", "-o", tmp_path / "rs.dcm", *options) == 0
    made = {name: roi.ROIGenerationAlgorithm for name, roi in rois(tmp_path / "rs.dcm").items()}
    assert [name for name, how in made.items() if how == "SEMIAUTOMATIC"] == ["Parotid_L"]


def test_there_and_back_an_rtstruct_is_a_reference_and_a_segmentation(
    case: tuple[Volume, Segmentation], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volume, organs = case
    source, ct = tmp_path / "o.seg.nrrd", tmp_path / "ct"
    write_seg_nrrd(organs, source)
    assert run("export", source, "--ct", ct, "-o", tmp_path / "rs.dcm", "--dicom", "rtstruct") == 0
    capsys.readouterr()
    assert run("evaluate", source, tmp_path / "rs.dcm", "--ct", ct, "-o", tmp_path / "t.csv") == 0
    assert "mean of organs               1.000" in capsys.readouterr().out
    assert run("export", tmp_path / "rs.dcm", "--ct", ct, "-o", tmp_path / "back.seg.nrrd") == 0
    back = read_seg_nrrd(tmp_path / "back.seg.nrrd")
    for result in read_rtstruct(tmp_path / "rs.dcm", volume).results:
        assert np.array_equal(back.mask(result.organ.name), organs.mask(result.organ.name)), result.organ.name
    assert run("evaluate", source, tmp_path / "rs.dcm") == 2
    assert "give the CT that they were drawn on with --ct" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ct", "scan.nrrd", "--dicom", "rtstruct", "-o", "rs.dcm"], "write .seg.nrrd instead"),
        (["--dicom", "rtstruct", "-o", "rs.dcm"], "DICOM needs the CT"),
        (["--ct", "none", "--dicom", "rtstruct", "-o", "rs.dcm"], "none does not exist"),
        (["--ct", "ct", "-o", "rs.dcm"], "needs --dicom rtstruct"),
        (["--ct", "other", "--dicom", "rtstruct", "-o", "rs.dcm"], "another grid than"),
        (["-o", "missing/x.seg.nrrd"], "does not exist"),
    ],
)
def test_what_cannot_be_exported_is_one_line_and_leaves_no_file(
    case: tuple[Volume, Segmentation],
    tmp_path: Path,
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from focusnet.phantom.dicom import write_dicom_series

    from ..helpers_images import write_image

    volume, organs = case
    monkeypatch.chdir(tmp_path)
    write_seg_nrrd(organs, tmp_path / "o.seg.nrrd")
    write_image(volume, tmp_path / "scan.nrrd")
    coarse = replace(volume, geometry=replace(volume.geometry, spacing_mm_xyz=(4.0, 4.0, 4.0)), dicom_uids={})
    write_dicom_series(coarse, tmp_path / "other-scan", 1).rename(tmp_path / "other")
    before = sorted(p.name for p in tmp_path.iterdir())
    assert run("export", "o.seg.nrrd", *arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_damaged_tags_do_not_stop_an_export(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    _, organs = case
    tags = {"Brainstem": {"FocusNet.Review": "{broken", "FocusNet.ActiveSeconds": "soon", "FocusNet.Run": "[1]"}}
    source = reviewed(organs, tmp_path / "o.seg.nrrd", tags)
    assert read_reviews(source, read_seg_nrrd(source))["Brainstem"].state == "draft"
    assert run("export", source, "--ct", tmp_path / "ct", "-o", tmp_path / "rs.dcm", "--dicom", "rtstruct") == 0


def test_skipped_slices_are_said_and_filled_when_asked(
    case: tuple[Volume, Segmentation], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, organs = case
    labels = organs.labels.copy()
    drawn = np.flatnonzero((labels == 1).any(axis=(1, 2)))
    for z in drawn[1:-1:2]:
        labels[z][labels[z] == 1] = 0
    write_seg_nrrd(replace(organs, labels=labels), tmp_path / "holed.seg.nrrd")
    assert run("export", tmp_path / "holed.seg.nrrd", "-o", tmp_path / "plain.nii.gz") == 0
    assert "Brainstem: The contours skip slices" in capsys.readouterr().err
    assert run("export", tmp_path / "holed.seg.nrrd", "-o", tmp_path / "filled.nii.gz", "--fill-slices") == 0
    assert "Brainstem: " in capsys.readouterr().err
    plain, filled = (read_label_map(tmp_path / f"{name}.nii.gz") for name in ("plain", "filled"))
    assert np.array_equal(plain.mask("Brainstem"), labels == 1)
    assert filled.mask("Brainstem")[drawn[1]].any()


def test_what_an_rtstruct_names_and_the_export_leaves_out_is_said(
    case: tuple[Volume, Segmentation], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, organs = case
    write_seg_nrrd(organs, tmp_path / "organs.seg.nrrd")
    ct = ["--ct", tmp_path / "ct"]
    assert run("export", tmp_path / "organs.seg.nrrd", *ct, "-o", tmp_path / "rs.dcm", "--dicom", "rtstruct") == 0
    data = pydicom.dcmread(tmp_path / "rs.dcm")
    data.StructureSetROISequence[0].ROIName = "zz_stem brainstem"
    del data.ROIContourSequence[1].ContourSequence
    data.save_as(tmp_path / "rs.dcm")
    capsys.readouterr()
    assert run("export", tmp_path / "rs.dcm", *ct, "-o", tmp_path / "back.seg.nrrd") == 0
    said = capsys.readouterr().err
    assert "Names that were not recognised, so left out: zz_stem brainstem (Brainstem?)." in said
    assert "Named, but empty (no contour), so left out: SpinalCord." in said
