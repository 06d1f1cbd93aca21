"""DICOM folders: read as they are meant, or refused in one line that says why."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian
from scipy.spatial.transform import Rotation

from focusnet.errors import InputError
from focusnet.io import dicom_series as dicom
from focusnet.io import list_series, read_volume
from focusnet.io.ct_checks import check_ct

from ..helpers_images import Edit, add_series, edit_dicom, small_scan, write_dicom


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
        (change("Modality", "MR"), "holds no CT .*not a CT"),
        (change("Modality", "PT"), "holds no CT .*not a CT"),
        (change("PhotometricInterpretation", "MONOCHROME1"), "MONOCHROME2"),
        (change("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]), "no CT series of two or more slices"),
        (change("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2.1"), "enhanced"),
        (remove("ImagePositionPatient", 3), "1 of 59 slices have no usable position .*slice_0004"),
        (change("PixelSpacing", [5.0], 3), "1 of 59 slices have no usable pixel spacing"),
        (change("PixelSpacing", [0, 0]), "59 of 59 slices have no usable pixel spacing"),
        (change("PixelSpacing", [-5, 5]), "no usable pixel spacing"),
        (change("ImagePositionPatient", [0, 0], 3), "no usable position"),
        (change("ImageOrientationPatient", [1, 0, 0]), "no usable orientation"),
        (change("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]), "not perpendicular"),
        (remove("Rows", 3), "no usable number of rows"),
        (remove("SeriesInstanceUID", 3), "slice_0004.dcm: a damaged DICOM file"),
        (remove("SOPClassUID", 3), "slice_0004.dcm: a damaged DICOM file"),
        (remove("RescaleIntercept", 3), "1 of 59 slices have no rescale intercept"),
        (change("RescaleSlope", 0), "RescaleSlope is 0"),
        (change("ImageType", "LOCALIZER"), "a localizer"),
        (change("SOPClassUID", "1.2.840.10008.5.1.4.1.1.7"), "Secondary Capture"),
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


@pytest.mark.parametrize("kept", [0, 100, 140, 400, 800, 1000, 1200, 1400, -1])
@pytest.mark.parametrize("named", ["slice_0059.dcm", "IM00059"])
def test_the_last_slice_cut_anywhere_is_refused_not_dropped(tmp_path: Path, kept: int, named: str) -> None:
    """A scan that is one slice shorter than what was exported would look complete."""
    folder = write_dicom(tmp_path / "ct")
    for number, path in enumerate(sorted(folder.glob("*.dcm"))):
        path.rename(folder / (f"IM{number + 1:05d}" if named.startswith("IM") else path.name))
    victim = folder / named
    victim.write_bytes(victim.read_bytes()[:kept])
    message = refusal(folder)
    assert named in message
    assert "cut short" in message


def test_files_of_other_programs_beside_the_slices_are_passed_over(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "ct")
    (folder / "._slice_0001.dcm").write_bytes(b"\x00\x05\x16\x07" + bytes(200))  # macOS writes these to foreign disks
    (folder / "DICOMDIR").write_bytes(b"not one")
    (folder / "VERSION").write_bytes(b"")
    (folder / "thumbs.db").write_bytes(bytes(300))
    assert read_volume(folder).array.shape == small_scan().array.shape


def test_files_without_the_preamble_are_read(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "ct")
    for number, path in enumerate(sorted(folder.glob("*.dcm"))):
        data = path.read_bytes()
        start = 132 if number % 2 else data.index(b"\x08\x00\x05\x00CS")  # with and without the file meta group
        path.write_bytes(data[start:])
    assert np.array_equal(read_volume(folder).array, small_scan().array)


def test_deflated_files_are_read(tmp_path: Path) -> None:
    def deflate(data: pydicom.Dataset, number: int) -> None:
        data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian

    assert np.array_equal(read_volume(write_dicom(tmp_path / "ct", deflate)).array, small_scan().array)


def test_a_localizer_within_the_series_is_left_out_and_said(tmp_path: Path) -> None:
    def localizer(data: pydicom.Dataset, number: int) -> None:
        if number == 0:
            data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
            data.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]

    folder = write_dicom(tmp_path / "ct", localizer)
    volume = read_volume(folder)
    assert np.array_equal(volume.array, small_scan().array[1:])
    assert any("1 of its files, which are localizers" in note for note in volume.notes)
    assert [info.slices for info in list_series(folder)] == [58]


def test_a_localizer_series_is_not_read_even_if_asked_for(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "ct", change("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]))
    (info,) = list_series(folder)
    assert (info.usable, info.reason) == (False, "a localizer")
    assert "a localizer" in refusal(folder, series=info.uid)


def test_a_ct_below_a_folder_of_plans_is_found(tmp_path: Path) -> None:
    write_dicom(tmp_path / "study" / "ct")
    plan = pydicom.dcmread(next((tmp_path / "study" / "ct").iterdir()))
    plan.Modality, plan.SOPClassUID, plan.SeriesInstanceUID = "RTSTRUCT", "1.2.840.10008.5.1.4.1.1.481.3", "1.2.3"
    del plan.PixelData
    plan.save_as(tmp_path / "study" / "plan.dcm")
    assert read_volume(tmp_path / "study").array.shape == small_scan().array.shape
    assert {info.modality for info in list_series(tmp_path / "study")} == {"CT", "RTSTRUCT"}


def test_a_whole_disk_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom, "MAXIMUM_FILES", 10)
    write_dicom(tmp_path / "home" / "ct")
    assert "more than 10 files" in refusal(tmp_path / "home")


def test_listing_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", Path(__file__)):
        with pytest.raises(InputError, match="not a folder"):
            list_series(path)


def test_padding_stored_as_a_very_high_value_becomes_air(tmp_path: Path) -> None:
    def pad(data: pydicom.Dataset, number: int) -> None:
        stored = data.pixel_array.copy()
        stored[:, :5] = 63536  # -2000 of a signed image, kept by programs that changed the sign only in the header
        data.PixelData = stored.tobytes()
        data.add_new(0x00280120, "US", 63536)

    volume = read_volume(write_dicom(tmp_path / "ct", pad))
    expected = small_scan().array.copy()
    expected[:, :, :5] = -1024
    assert np.array_equal(volume.array, expected)
    assert any("padding" in note for note in volume.notes)


def test_an_oblique_series_with_rounded_cosines_keeps_its_place(tmp_path: Path) -> None:
    turn = Rotation.from_euler("x", 12, degrees=True).as_matrix()

    def tilt_head(data: pydicom.Dataset, number: int) -> None:
        data.ImageOrientationPatient = np.round(turn[:, :2].T.ravel(), 4).tolist()
        data.ImagePositionPatient = np.round(turn @ [float(v) for v in data.ImagePositionPatient], 2).tolist()

    volume = read_volume(write_dicom(tmp_path / "ct", tilt_head))
    place = turn @ small_scan().geometry.index_to_mm(np.array([58, 55, 59]))
    np.testing.assert_allclose(volume.geometry.index_to_mm(np.array([58, 55, 59])), place, atol=0.1)


def test_the_uids_that_a_structure_set_points_at_are_in_the_order_of_the_slices(tmp_path: Path) -> None:
    def name(data: pydicom.Dataset, number: int) -> None:
        data.SpecificCharacterSet, data.PatientName = "ISO_IR 100", "Müller^Jürgen"

    folder = write_dicom(tmp_path / "ct", name)
    by_height = sorted((pydicom.dcmread(p) for p in folder.glob("*.dcm")), key=lambda d: d.ImagePositionPatient[2])
    uids = read_volume(folder).dicom_uids
    assert uids["instances"] == [d.SOPInstanceUID for d in by_height]
    assert uids["study"] == by_height[0].StudyInstanceUID
    assert uids["series"] == by_height[0].SeriesInstanceUID
    assert uids["frame_of_reference"] == by_height[0].FrameOfReferenceUID
    assert uids["patient"]["PatientName"] == "Müller^Jürgen"  # type: ignore[index]


def test_small_faults_of_a_header_print_nothing(tmp_path: Path) -> None:
    """pydicom warns about each; a user sees our lines only. In a new process, where no test runner catches warnings."""

    def faults(data: pydicom.Dataset, number: int) -> None:
        data.SpecificCharacterSet = "ISO_IR"
        data.PatientName = "Müller"

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = write_dicom(tmp_path / "ct")
        edit_dicom(folder, faults)
    code = "import sys; from focusnet.io import read_volume; read_volume(sys.argv[1])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")


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
