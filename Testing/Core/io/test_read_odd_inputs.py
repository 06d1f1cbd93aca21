"""Scans as people have them: copies among the files, no modality, one file of a series, pairs of files, two places in one header."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pydicom
import pytest

from focusnet.errors import InputError
from focusnet.io import list_series, read_volume
from focusnet.io.ct_checks import check_ct

from ..helpers_images import Edit, add_series, small_scan, write_dicom, write_image


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        read_volume(path, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def modality(value: str) -> Edit:
    def edit(data: pydicom.Dataset, number: int) -> None:
        data.Modality = value

    return edit


def test_a_file_that_is_there_twice_counts_once_and_it_is_said(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "ct")
    first = sorted(folder.glob("*.dcm"))[0]
    shutil.copy(first, folder / "copy.dcm")
    volume = read_volume(folder)
    assert np.array_equal(volume.array, small_scan().array)
    assert "1 file is a copy of another one with the same UID, byte by byte, and counted once" in " ".join(volume.notes)


def test_two_files_of_one_uid_with_different_bytes_are_refused(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "ct")
    first = sorted(folder.glob("*.dcm"))[0]
    data = pydicom.dcmread(first)
    data.StudyDescription = "changed"
    data.save_as(folder / "copy.dcm")
    assert "have the same SOP Instance UID and different contents" in refusal(folder)


def test_a_series_without_modality_is_ct_by_its_sop_class_with_a_note(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "ct", modality(""))
    assert any("does not name its modality" in note for note in read_volume(folder).notes)
    assert list_series(folder)[0].usable


def test_an_unknown_transfer_syntax_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "ct")
    path = sorted(folder.glob("*.dcm"))[3]
    known = b"1.2.840.10008.1.2"
    raw = path.read_bytes()
    at = raw.index(known, raw.index(b"\x02\x00\x10\x00"))
    path.write_bytes(raw[:at] + b"9.9.840.10008.1.2" + raw[at + len(known) :])
    assert "its transfer syntax 9.9.840.10008.1.2" in refusal(folder)


def test_one_file_stands_for_its_series_and_it_is_said(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "ct")
    other = add_series(folder, "contrast")
    path = sorted(folder.glob("slice_*.dcm"))[3]
    volume = read_volume(path)
    assert np.array_equal(volume.array, small_scan().array)
    assert volume.notes[0].startswith(f"{path.name} is one file of a series: all {len(volume.array)} slices")
    assert "belongs to the series" in refusal(path, series=other)
    bare = path.rename(folder / "IM0003")  # recognised by its contents
    assert np.array_equal(read_volume(bare).array, small_scan().array)


def test_one_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "ct", modality("MR"))
    assert "is MR, not a slice of a CT" in refusal(sorted(folder.glob("*.dcm"))[0])
    (tmp_path / "text.dcm").write_text("hello")
    assert "cannot be read as DICOM" in refusal(tmp_path / "text.dcm")


def test_what_a_file_that_cannot_be_opened_leaves_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.dcm").touch()
    assert "empty.dcm" in refusal(tmp_path / "empty.dcm")


def nifti_pair(tmp_path: Path) -> Path:
    scan = small_scan()
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ scan.geometry.affine_xyz
    image = nibabel.Nifti1Pair(np.transpose(scan.array, (2, 1, 0)), affine)
    image.set_qform(affine, 1)
    nibabel.save(image, tmp_path / "ct.hdr")
    return tmp_path / "ct.hdr"


@pytest.mark.parametrize("name", ["ct.hdr", "ct.img"])
def test_a_nifti_of_two_files_is_read_by_either_name(tmp_path: Path, name: str) -> None:
    volume = read_volume(nifti_pair(tmp_path).with_name(name))
    assert volume.geometry.same_grid_as(small_scan().geometry)
    assert np.array_equal(volume.array, small_scan().array)


def test_a_nifti_of_two_files_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    header = nifti_pair(tmp_path)
    voxels = header.with_suffix(".img")
    voxels.write_bytes(voxels.read_bytes()[:-100])
    assert "cut short" in refusal(header)
    voxels.unlink()
    assert "the .hdr and the .img belong together" in refusal(header)


def test_an_analyze_image_is_refused_because_it_has_no_left(tmp_path: Path) -> None:
    array = np.transpose(small_scan().array, (2, 1, 0)).astype(np.int16)
    nibabel.save(nibabel.AnalyzeImage(array, np.diag([-5.0, 5.0, 6.0, 1.0])), tmp_path / "ct.img")
    assert "Analyze 7.5 image, which does not say where the patient's left is" in refusal(tmp_path / "ct.img")


def test_a_nrrd_packed_with_bzip2_is_read(tmp_path: Path) -> None:
    plain = write_image(small_scan(), tmp_path / "plain.nrrd")
    array, header = nrrd.read(str(plain))
    header["encoding"] = "bzip2"
    nrrd.write(str(tmp_path / "ct.nrrd"), array, header)
    volume = read_volume(tmp_path / "ct.nrrd")
    assert volume.geometry.same_grid_as(small_scan().geometry)
    assert np.array_equal(volume.array, small_scan().array)
    whole = (tmp_path / "ct.nrrd").read_bytes()
    (tmp_path / "short.nrrd").write_bytes(whole[: len(whole) // 2])
    assert "the voxels cannot be read" in refusal(tmp_path / "short.nrrd")


def test_a_nifti_that_lies_in_two_places_is_read_with_a_note_that_names_both(tmp_path: Path) -> None:
    scan = small_scan()
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ scan.geometry.affine_xyz
    moved = affine.copy()
    moved[0, 3] += 50.0
    image = nibabel.Nifti1Image(np.transpose(scan.array, (2, 1, 0)), affine)
    image.set_sform(affine, 1)
    image.set_qform(moved, 1)
    nibabel.save(image, tmp_path / "ct.nii.gz")
    volume = read_volume(tmp_path / "ct.nii.gz")
    assert volume.geometry.same_grid_as(scan.geometry)
    note = next(note for note in check_ct(volume) if "two places" in note)
    x, y, z = scan.geometry.origin_mm_xyz
    assert f"50.0 mm apart (first voxel in LPS mm: sform ({x:.1f}, {y:.1f}, {z:.1f}), qform ({x - 50:.1f}, " in note
    assert "the sform was used" in note
