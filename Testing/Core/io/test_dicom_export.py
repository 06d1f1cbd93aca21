"""What both DICOM exports share: scans stored along any axes, series that do not belong together, names in any script, one organ alone."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from focusnet.errors import InputError, OutputError
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Volume
from focusnet.io import dicom_verify
from focusnet.io import rtstruct_write as rtstruct
from focusnet.io.contour_lines import fill_contours, slice_contours
from focusnet.io.rtstruct_read import read_rtstruct
from focusnet.io.rtstruct_write import write_rtstruct

from ..helpers_dicom import dicom_errors, program, small_case

Case = tuple[Volume, Segmentation]
Change = Callable[[pydicom.Dataset], object]
ORIENTATIONS = {  # ImageOrientationPatient: the patient's directions along a row and down a column
    "from behind": (-1, 0, 0, 0, 1, 0),
    "upside down": (1, 0, 0, 0, -1, 0),
    "rows and columns swapped": (0, 1, 0, 1, 0, 0),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "coronal": (1, 0, 0, 0, 0, -1),
    "oblique": (0.98, 0.199, 0, -0.199, 0.98, 0),
}


def write_seg(segmentation: Segmentation, volume: Volume, path: Path, **options: Any) -> list[str]:
    pytest.importorskip("highdicom", reason="the extra dicom is not installed")
    from focusnet.io.dicom_seg import write_dicom_seg

    return write_dicom_seg(segmentation, volume, path, **options)


WRITERS = pytest.mark.parametrize("write", [write_rtstruct, write_seg], ids=["rtstruct", "seg"])


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return small_case(tmp_path_factory.mktemp("case"))


def stored(orientation: str) -> Change:
    """Lays the stack along other axes of the patient."""
    directions = np.array(ORIENTATIONS[orientation], float)
    row, column = (v / np.linalg.norm(v) for v in (directions[:3], directions[3:]))

    def change(data: pydicom.Dataset) -> None:
        step = np.cross(row, column) * float(data.SliceThickness) * int(data.InstanceNumber)
        data.ImageOrientationPatient = [round(float(v), 8) for v in (*row, *column)]
        data.ImagePositionPatient = [round(float(v), 6) for v in np.array([10.0, -20.0, 30.0]) + step]

    return change


def alternating(tag: str) -> Change:
    return lambda data: setattr(data, tag, f"1.2.{1 + int(data.InstanceNumber) % 2}")


def dsc(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def by_plastimatch(structures: Path, volume: Volume, name: str, out: Path) -> np.ndarray:
    """Mask (z, y, x) of a structure as plastimatch fills its contours on the CT's grid."""
    files: list[str] = volume.dicom_uids["files"]  # type: ignore[assignment]
    plastimatch = program("plastimatch")
    assert plastimatch is not None
    command = [plastimatch, "convert", "--input", structures, "--referenced-ct", Path(files[0]).parent]
    options = ["--output-prefix", out, "--prefix-format", "nrrd"]
    subprocess.run([*map(str, command + options)], check=True, capture_output=True)
    return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(str(out / f"{name}.nrrd"))) > 0)


@WRITERS
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_scan_stored_along_other_axes_is_exported(write: Any, orientation: str, tmp_path: Path) -> None:
    volume, organs = small_case(tmp_path, stored(orientation))
    write(organs, volume, tmp_path / "o.dcm")  # raises if it does not come back
    assert pydicom.dcmread(tmp_path / "o.dcm").FrameOfReferenceUID == volume.dicom_uids["frame_of_reference"]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_contour_lies_where_dicoms_own_formula_puts_its_pixel(orientation: str, tmp_path: Path) -> None:
    """PS3.3 C.7.6.2.1.1, from the header of the slice that the contour names: none of our own geometry."""
    volume, organs = small_case(tmp_path, stored(orientation))
    labels = np.zeros_like(organs.labels)
    labels[7, 11, 23] = organs.results[0].label
    write_rtstruct(replace(organs, labels=labels, results=organs.results[:1]), volume, tmp_path / "rs.dcm")
    (contour,) = pydicom.dcmread(tmp_path / "rs.dcm").ROIContourSequence[0].ContourSequence
    files: list[str] = volume.dicom_uids["files"]  # type: ignore[assignment]
    headers = {header.SOPInstanceUID: header for header in map(pydicom.dcmread, files)}
    header = headers[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
    along_row, down_column = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
    between_rows, between_columns = (float(mm) for mm in header.PixelSpacing)
    expected = np.array(header.ImagePositionPatient, float)
    expected += 23 * between_columns * along_row + 11 * between_rows * down_column
    points = np.array(contour.ContourData, float).reshape(-1, 3)
    np.testing.assert_allclose(points.mean(axis=0), expected, atol=0.02)


@pytest.mark.skipif(program("plastimatch") is None, reason="plastimatch is not installed")
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_plastimatch_finds_the_organ_of_a_scan_stored_along_other_axes(orientation: str, tmp_path: Path) -> None:
    volume, organs = small_case(tmp_path, stored(orientation))
    write_rtstruct(organs, volume, tmp_path / "rs.dcm")
    largest = max(organs.results, key=lambda r: int((organs.labels == r.label).sum()))
    mask = organs.labels == largest.label
    found = by_plastimatch(tmp_path / "rs.dcm", volume, largest.organ.name, tmp_path / "masks")
    assert dsc(mask, found) >= 0.99
    assert np.array_equal(mask.any(axis=(1, 2)), found.any(axis=(1, 2)))


@pytest.mark.skipif(program("plastimatch") is None, reason="plastimatch is not installed")
def test_plastimatch_sees_holes_and_a_part_inside_a_hole(case: Case, tmp_path: Path) -> None:
    volume, organs = case
    labels = np.zeros_like(organs.labels)
    z, first = labels.shape[0] // 2, organs.results[0]
    part = labels[z, 5:25, 5:25]
    part[:] = first.label
    part[2:5, 2:6] = 0  # two holes, and a part inside one of them
    part[8:16, 8:16] = 0
    part[10:13, 10:13] = first.label
    write_rtstruct(replace(organs, labels=labels), volume, tmp_path / "rs.dcm")
    found = by_plastimatch(tmp_path / "rs.dcm", volume, first.organ.name, tmp_path / "masks")
    assert np.array_equal(found, labels == first.label)


@WRITERS
@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("FrameOfReferenceUID", "2 frames of reference"),
        ("StudyInstanceUID", "2 studies"),
        ("PatientID", "2 patients"),
    ],
)
def test_slices_that_do_not_belong_together_are_refused(write: Any, tag: str, words: str, tmp_path: Path) -> None:
    volume, organs = small_case(tmp_path, alternating(tag))
    with pytest.raises(InputError, match=f"its slices name {words} .*export the series again"):
        write(organs, volume, tmp_path / "o.dcm")
    assert not (tmp_path / "o.dcm").exists()


@WRITERS
def test_a_japanese_patient_keeps_the_name(write: Any, tmp_path: Path) -> None:
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"

    def rename(data: pydicom.Dataset) -> None:
        data.SpecificCharacterSet, data.PatientName = ["", "ISO 2022 IR 87"], name

    volume, organs = small_case(tmp_path, rename)
    write(organs, volume, tmp_path / "o.dcm")
    assert pydicom.dcmread(tmp_path / "o.dcm").PatientName == name
    if program("dciodvfy"):
        assert dicom_errors(tmp_path / "o.dcm") == []


def test_one_voxel_of_one_organ_alone_comes_back_from_a_seg(case: Case, tmp_path: Path) -> None:
    volume, organs = case
    labels = np.zeros_like(organs.labels)
    labels[3, 7, 9] = organs.results[0].label
    write_seg(replace(organs, labels=labels, results=organs.results[:1]), volume, tmp_path / "seg.dcm")
    (mask,) = dicom_verify.read_dicom_seg(tmp_path / "seg.dcm", volume).values()
    assert np.argwhere(mask).tolist() == [[3, 7, 9]]


def test_a_failed_export_leaves_the_file_of_yesterday(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, organs = case
    (tmp_path / "rs.dcm").write_text("yesterday")
    right = rtstruct._image
    monkeypatch.setattr(rtstruct, "_image", lambda uids, z: right(uids, 0))
    with pytest.raises(OutputError, match=r"names another slice.*rs\.dcm\.failed"):
        write_rtstruct(organs, volume, tmp_path / "rs.dcm", overwrite=True)
    assert (tmp_path / "rs.dcm").read_text() == "yesterday"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rs.dcm", "rs.dcm.failed"]


@pytest.mark.parametrize("part", [0.3, 0.5, 0.7, 0.9])
def test_a_structure_set_that_was_cut_short_is_not_read_as_if_it_were_whole(
    case: Case, tmp_path: Path, part: float
) -> None:
    volume, organs = case
    write_rtstruct(organs, volume, tmp_path / "rs.dcm")
    data = pydicom.dcmread(tmp_path / "rs.dcm")
    whole = (tmp_path / "rs.dcm").read_bytes()
    contours = whole.index(b"\x06\x30\x39\x00")  # the tag of ROIContourSequence, little endian
    observations = whole.rindex(b"\x06\x30\x80\x00")
    assert len(data.ROIContourSequence) > 1
    (tmp_path / "cut.dcm").write_bytes(whole[: int(contours + part * (observations - contours))])
    with pytest.raises(InputError, match="cut short"):
        read_rtstruct(tmp_path / "cut.dcm", volume)


def test_two_structures_with_one_number_are_refused(case: Case, tmp_path: Path) -> None:
    volume, organs = case
    write_rtstruct(organs, volume, tmp_path / "rs.dcm")
    data = pydicom.dcmread(tmp_path / "rs.dcm")
    data.StructureSetROISequence[1].ROINumber = data.StructureSetROISequence[0].ROINumber
    data.save_as(tmp_path / "odd.dcm")
    with pytest.raises(InputError, match="share one ROI number"):
        read_rtstruct(tmp_path / "odd.dcm", volume)


@pytest.mark.timeout(60)
def test_thousands_of_holes_in_one_slice_do_not_take_minutes() -> None:
    mask = np.random.default_rng(0).random((128, 128)) < 0.6
    assert np.array_equal(fill_contours(slice_contours(mask), (128, 128)), mask)
