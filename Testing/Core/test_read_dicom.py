"""DICOM folders: read as they are meant, or refused in one line that says why."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from focusnet.errors import InputError
from focusnet.io import list_series, read_volume
from focusnet.io.checks import check_ct

from .helpers_images import Edit, add_series, small_scan, write_dicom


def refusal(folder: Path, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        read_volume(folder, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_series_is_sorted_by_position_whatever_its_files_are_called(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "ct")
    names = sorted(folder.glob("*.dcm"))
    shuffled = list(range(len(names)))
    random.Random(0).shuffle(shuffled)
    for path, number in zip(names, shuffled, strict=True):
        path.rename(folder / f"IM{number:05d}")  # no suffix either
    (folder / "notes.txt").write_text("not DICOM")
    scan = small_scan()
    volume = read_volume(folder)
    assert np.array_equal(volume.array, scan.array)
    assert volume.geometry.same_grid_as(scan.geometry)
    assert volume.array.dtype == np.int16
    instances = volume.dicom_uids["instances"]
    assert len(instances) == len(names)  # type: ignore[arg-type]


def test_slices_stored_from_head_to_feet_keep_their_place(tmp_path: Path) -> None:
    def turn(data: pydicom.Dataset, number: int) -> None:
        data.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]  # rows run to the patient's right
        x, y, z = (float(v) for v in data.ImagePositionPatient)
        data.ImagePositionPatient = [x + (data.Columns - 1) * 5.0, y, z]
        data.PixelData = np.ascontiguousarray(data.pixel_array[:, ::-1]).tobytes()

    volume = read_volume(write_dicom(tmp_path / "ct", turn))
    scan = small_scan()
    for index in ((3, 10, 20), (50, 30, 40)):
        point = scan.geometry.index_to_mm(np.array(index))
        mine = np.round(volume.geometry.mm_to_index(point)).astype(int)
        assert volume.array[tuple(mine)] == scan.array[index]


def test_several_series_are_listed_and_one_is_asked_for(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "ct")
    uid = add_series(folder, "contrast")
    message = refusal(folder)
    assert "2 CT series" in message
    assert "--series" in message
    assert uid in message
    assert "contrast" in read_volume(folder, series=uid).source
    assert {s.description for s in list_series(folder)} == {"contrast", "Synthetic phantom, head and neck"}
    assert "no series 1.2.3" in refusal(folder, series="1.2.3")


def test_one_ct_series_beside_others_is_taken_by_itself(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "ct")
    pet = add_series(folder, "pet", "PT")
    assert "Synthetic phantom" in read_volume(folder).source
    assert "not a CT" in refusal(folder, series=pet)


def test_a_series_in_a_folder_below_is_found(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    write_dicom(tmp_path / "study" / "ct")
    assert read_volume(tmp_path / "study").array.shape == small_scan().array.shape


def test_fractional_slopes_and_intercepts_are_applied(tmp_path: Path) -> None:
    def scale(data: pydicom.Dataset, number: int) -> None:
        data.PixelData = (data.pixel_array * 2).astype("<u2").tobytes()
        data.RescaleSlope, data.RescaleIntercept = "0.5", "-1024"

    volume = read_volume(write_dicom(tmp_path / "ct", scale))
    np.testing.assert_allclose(volume.array, small_scan().array)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_lossless_compression_is_decoded(tmp_path: Path, syntax: str) -> None:
    def compress(data: pydicom.Dataset, number: int) -> None:
        try:
            data.compress(syntax)
        except (RuntimeError, NotImplementedError, ValueError) as problem:
            pytest.skip(f"no encoder for {syntax} here: {problem}")

    assert np.array_equal(read_volume(write_dicom(tmp_path / "ct", compress)).array, small_scan().array)


def tilted(data: pydicom.Dataset, number: int) -> None:
    x, y, z = (float(v) for v in data.ImagePositionPatient)
    data.ImagePositionPatient = [x, y + 0.3 * number * 6.0, z]


def uneven(data: pydicom.Dataset, number: int) -> None:
    x, y, z = (float(v) for v in data.ImagePositionPatient)
    data.ImagePositionPatient = [x, y, z + (2.0 if number % 3 == 0 else 0.0)]


def doubled(data: pydicom.Dataset, number: int) -> None:
    if number == 7:
        x, y, z = (float(v) for v in data.ImagePositionPatient)
        data.ImagePositionPatient = [x, y, z - 6.0]


def change(tag: str, value: object, only: int | None = None) -> Edit:
    def edit(data: pydicom.Dataset, number: int) -> None:
        if only is None or number == only:
            setattr(data, tag, value)

    return edit


def remove(tag: str, only: int | None = None) -> Edit:
    def edit(data: pydicom.Dataset, number: int) -> None:
        if only is None or number == only:
            delattr(data, tag)

    return edit


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda d, n: n not in (20, 21, 40), r"3 slices are missing .*after .* mm"),
        (doubled, "duplicates"),
        (tilted, "gantry was tilted by about 17 degrees"),
        (uneven, "unevenly spaced"),
        (change("ImageOrientationPatient", [0, 1, 0, 0, 0, -1], 5), "different orientations"),
        (change("PixelSpacing", [1, 1], 5), "different pixel spacings"),
        (change("Modality", "MR"), "holds no CT"),
        (change("PhotometricInterpretation", "MONOCHROME1"), "MONOCHROME2"),
        (change("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]), "no CT series of two or more slices"),
        (change("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2.1"), "enhanced"),
        (remove("ImagePositionPatient", 3), "1 of 59 slices have no usable position .*slice_0004"),
        (remove("PixelData", 3), "has no pixels"),
        (lambda d, n: n == 3, "no CT series of two or more"),
        (lambda d, n: n in (3, 4), "2 slices"),
        (change("RescaleIntercept", 0), "--hu-offset -1024"),
        (change("RescaleIntercept", -2048), "--hu-offset 1024"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_as_an_even_stack_in_hu_is_refused(tmp_path: Path, edit: Edit, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read_volume(write_dicom(tmp_path / "ct", edit))
    assert "\n" not in str(caught.value)


def test_an_empty_folder_and_one_without_dicom_are_told_apart(tmp_path: Path) -> None:
    assert "is empty" in refusal(tmp_path)
    (tmp_path / "readme.txt").write_text("hello")
    assert "holds no DICOM" in refusal(tmp_path)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "ct")
    victim = sorted(folder.glob("*.dcm"))[10]
    victim.write_bytes(victim.read_bytes()[:-2000])
    message = refusal(folder)
    assert victim.name in message
    assert "cut short" in message


def test_a_compression_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "ct")
    for path in folder.glob("*.dcm"):
        data = pydicom.dcmread(path)
        data.PixelData = pydicom.encaps.encapsulate([b"\x00\x01 not a JPEG"])
        data["PixelData"].VR = "OB"
        data["PixelData"].is_undefined_length = True
        data.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
        data.save_as(path, enforce_file_format=False)
    assert "JPEG 2000" in refusal(folder)


def test_a_missing_intercept_is_read_when_the_user_says_so_and_noted(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "ct", remove("RescaleIntercept"))
    assert "--hu-offset -1024" in refusal(folder)
    volume = read_volume(folder, hu_offset=-1024)
    assert np.array_equal(volume.array, small_scan().array)
    assert any("-1024" in note for note in check_ct(volume))


def test_a_tilt_in_the_header_of_an_upright_stack_is_a_warning_only(tmp_path: Path) -> None:
    volume = read_volume(write_dicom(tmp_path / "ct", change("GantryDetectorTilt", 12.0)))
    assert any("gantry tilt of 12" in note for note in check_ct(volume))


def test_the_real_head_without_intercept_and_the_real_tilted_head(real_data: Path) -> None:
    assert "--hu-offset -1024" in refusal(real_data / "head-dicom")
    assert read_volume(real_data / "head-dicom", hu_offset=-1024).array.shape == (93, 64, 64)
    assert "gantry was tilted by about 19 degrees" in refusal(real_data / "tilted-dicom")


def test_another_copy_of_a_slice_under_another_name_is_a_duplicate(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "ct")
    first = sorted(folder.glob("*.dcm"))[0]
    shutil.copy(first, folder / "copy.dcm")
    assert "duplicates" in refusal(folder)
