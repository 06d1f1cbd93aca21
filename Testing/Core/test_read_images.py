"""NRRD, MetaImage and NIfTI: the same scan from each; bad files and images that are no CT in HU are refused in one line."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from focusnet.errors import InputError
from focusnet.io import read_volume
from focusnet.io.checks import check_ct
from focusnet.volume import Geometry, Volume

from .helpers_engine import reoriented
from .helpers_images import small_scan, write_image


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        read_volume(path, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["ct.nrrd", "ct.nhdr", "ct.mha", "ct.mhd", "ct.nii", "ct.nii.gz"])
def test_every_format_gives_the_same_scan(tmp_path: Path, name: str) -> None:
    scan = small_scan()
    volume = read_volume(write_image(scan, tmp_path / name))
    assert np.array_equal(volume.array, scan.array)
    assert volume.geometry.same_grid_as(scan.geometry)


@pytest.mark.parametrize("name", ["ct.nrrd", "ct.mha", "ct.nii.gz"])
@pytest.mark.parametrize(("axes", "flips"), [((2, 0, 1), (True, False, True)), ((0, 1, 2), (False, True, False))])
def test_axis_order_and_flips_survive_in_every_format(
    tmp_path: Path, name: str, axes: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> None:
    stored = reoriented(small_scan(), axes, flips)
    volume = read_volume(write_image(stored, tmp_path / name))
    assert np.array_equal(volume.array, stored.array)
    assert volume.geometry.same_grid_as(stored.geometry)


def test_nifti_from_another_library_keeps_left_and_right(tmp_path: Path) -> None:
    """nibabel writes RAS; our coordinates are LPS: a voxel far on the patient's left must stay there."""
    scan = small_scan()
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ scan.geometry.affine_xyz
    nibabel.save(nibabel.Nifti1Image(np.transpose(scan.array, (2, 1, 0)), affine), tmp_path / "ct.nii.gz")
    volume = read_volume(tmp_path / "ct.nii.gz")
    assert volume.geometry.same_grid_as(scan.geometry)
    assert np.array_equal(volume.array, scan.array)


def test_nifti_without_an_orientation_is_not_guessed(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.transpose(small_scan().array, (2, 1, 0)), None)
    image.header.set_zooms((5.0, 5.0, 6.0))
    assert (image.header["qform_code"], image.header["sform_code"]) == (0, 0)
    nibabel.save(image, tmp_path / "ct.nii")
    assert "where the patient's left is" in refusal(tmp_path / "ct.nii")


def test_nrrd_without_a_patient_space_is_not_guessed(tmp_path: Path) -> None:
    array = small_scan().array
    sizes = " ".join(str(n) for n in array.shape[::-1])
    header = f"NRRD0004\ntype: short\ndimension: 3\nsizes: {sizes}\nspacings: 5 5 6\nendian: little\nencoding: raw\n\n"
    (tmp_path / "ct.nrrd").write_bytes(header.encode() + array.tobytes())
    assert "where the patient's left is" in refusal(tmp_path / "ct.nrrd")


def test_floats_that_are_whole_numbers_become_int16(tmp_path: Path) -> None:
    scan = small_scan()
    volume = read_volume(write_image(scan, tmp_path / "ct.nii.gz", scan.array.astype(np.float64)))
    assert volume.array.dtype == np.int16
    assert np.array_equal(volume.array, scan.array)


def test_the_users_offset_is_applied_and_noted(tmp_path: Path) -> None:
    scan = small_scan()
    path = write_image(scan, tmp_path / "ct.nrrd", (scan.array.astype(np.int32) + 1024).astype(np.uint16))
    assert "--hu-offset -1024" in refusal(path)
    volume = read_volume(path, hu_offset=-1024)
    assert np.array_equal(volume.array, scan.array)
    assert "-1024 was added to every value as asked (--hu-offset)." in check_ct(volume)


def text_file(path: Path) -> None:
    path.write_text("this is not an image\n" * 50)


def half_of(path: Path) -> None:
    write_image(small_scan(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def half_of_gzip(path: Path) -> None:
    half = path.with_name("whole.nii")
    write_image(small_scan(), half)
    raw = gzip.compress(half.read_bytes())
    path.write_bytes(raw[: len(raw) // 2])


def compressed_half(path: Path) -> None:
    image = sitk.GetImageFromArray(small_scan().array)
    image.SetSpacing((5.0, 5.0, 6.0))
    sitk.WriteImage(image, str(path), useCompression=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("name", "spoil", "words"),
    [
        ("ct.nrrd", text_file, "cannot be read as an image"),
        ("ct.nii.gz", text_file, "cannot be read as an image"),
        ("ct.mha", text_file, "cannot be read as an image"),
        ("ct.nrrd", half_of, "cut short"),
        ("ct.nrrd", compressed_half, "cut short"),
        ("ct.mha", half_of, "cut short"),
        ("ct.mha", compressed_half, "cut short"),
        ("ct.nii", half_of, "cut short"),
        ("ct.nii.gz", half_of_gzip, "cut short"),
        ("ct.nrrd", lambda p: p.write_bytes(b""), "cannot be read as an image"),
        ("ct.jpg", text_file, "not a known kind of image"),
    ],
)
def test_files_that_are_damaged_or_no_image_are_refused(
    tmp_path: Path, name: str, spoil: object, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    spoil(path)  # type: ignore[operator]
    assert words in refusal(path)
    assert capfd.readouterr().err == ""  # nothing from ITK beside our one line


def test_a_missing_path_is_said_so(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nothing.nrrd")


def write_array(
    path: Path, array: np.ndarray, spacing: tuple[float, ...] = (5.0, 5.0, 6.0), vector: bool = False
) -> Path:
    image = sitk.GetImageFromArray(array, isVector=vector)
    image.SetSpacing(spacing[: image.GetDimension()] + (1.0,) * (image.GetDimension() - len(spacing)))
    sitk.WriteImage(image, str(path))
    return path


def test_2d_4d_and_colour_images_are_refused(tmp_path: Path) -> None:
    scan = small_scan().array
    assert "2 dimensions" in refusal(write_array(tmp_path / "a.nrrd", scan[10]))
    assert "4 dimensions" in refusal(write_array(tmp_path / "b.nii.gz", np.stack([scan, scan])))
    assert "3 values per voxel" in refusal(write_array(tmp_path / "c.mha", np.stack([scan] * 3, axis=-1), vector=True))


def volume_of(array: np.ndarray, spacing_mm_xyz: tuple[float, float, float] = (5.0, 5.0, 6.0)) -> Volume:
    return Volume(array, Geometry(array.shape, spacing_mm_xyz), "the image")  # type: ignore[arg-type]


def windowed(low: int, high: int) -> np.ndarray:
    return np.clip(small_scan().array.astype(np.int32), low, high)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: np.full((60, 56, 60), 7, np.int16), "every voxel is 7"),
        (lambda: ((np.clip(small_scan().array, -160, 240) + 160.0) * 255 // 400).astype(np.uint8), "8-bit or windowed"),
        (lambda: ((windowed(-160, 240) + 160) * 255 // 400).astype(np.int16), "8-bit or windowed"),
        (lambda: windowed(-160, 240), "none is air"),
        (lambda: windowed(-1024, 240), "none is bone"),
        (lambda: small_scan().array + 1024, "--hu-offset -1024"),
        (lambda: small_scan().array - 1024, "--hu-offset 1024"),
        (lambda: np.abs(np.random.default_rng(0).normal(300, 250, (60, 56, 60))).astype(np.int16), "none is air"),
        (lambda: small_scan().array[:1], "1 slice;"),
        (lambda: np.where(small_scan().array > 300, 1000, -1000).astype(np.int16), "soft tissue"),
    ],
)
def test_images_that_are_no_ct_in_hu_are_refused(make: object, words: str) -> None:
    with pytest.raises(InputError) as caught:
        check_ct(volume_of(make()))  # type: ignore[operator]
    assert words in str(caught.value)


def test_a_field_of_view_spacing_or_size_that_cannot_be_a_head_is_refused() -> None:
    scan = small_scan().array
    for array, spacing, words in (
        (scan, (1.0, 1.0, 6.0), "field of view is 60 x 56 mm"),
        (scan, (5.0, 5.0, 25.0), "0.2 to 10 mm"),
        (scan, (0.01, 0.01, 6.0), "0.2 to 10 mm"),
        (np.broadcast_to(scan[30], (3000, *scan.shape[1:])), (5.0, 5.0, 1.0), "3000 voxels; at most 2000"),
    ):
        with pytest.raises(InputError, match=words):
            check_ct(volume_of(array, spacing))


@pytest.mark.parametrize(
    "spacing", [(0.0, 5.0, 6.0), (-5.0, 5.0, 6.0), (float("nan"), 5.0, 6.0), (float("inf"), 5.0, 6.0)]
)
def test_spacing_that_is_not_a_positive_number_is_refused(spacing: tuple[float, float, float]) -> None:
    with pytest.raises(InputError, match="finite positive numbers"):
        volume_of(small_scan().array, spacing)


@pytest.mark.parametrize("directions", ["(0,0,0) (0,5,0) (0,0,6)", "(nan,0,0) (0,5,0) (0,0,6)"])
def test_a_header_with_zero_or_nan_spacing_is_refused(tmp_path: Path, directions: str) -> None:
    array = small_scan().array
    header = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\n"
        f"sizes: {array.shape[2]} {array.shape[1]} {array.shape[0]}\nspace directions: {directions}\n"
        "kinds: domain domain domain\nendian: little\nencoding: raw\nspace origin: (0,0,0)\n\n"
    )
    (tmp_path / "ct.nrrd").write_bytes(header.encode() + array.tobytes())
    refusal(tmp_path / "ct.nrrd")


def test_voxels_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    array = small_scan().array.astype(np.float32)
    array[5, 5, 5] = np.nan
    assert "not numbers" in refusal(write_image(small_scan(), tmp_path / "ct.nrrd", array))


def test_sheared_axes_are_refused() -> None:
    with pytest.raises(InputError, match="not perpendicular"):
        Geometry((3, 3, 3), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), ((1.0, 0.2, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))


@pytest.mark.parametrize(
    ("spacing", "slices", "words"),
    [
        ((5.0, 5.0, 8.0), 59, "8.0 mm apart"),
        ((3.0, 3.0, 6.0), 59, "parts of the head"),
        ((5.0, 5.0, 6.0), 9, "covers 54 mm"),
    ],
)
def test_what_is_odd_is_said_but_not_refused(spacing: tuple[float, float, float], slices: int, words: str) -> None:
    warnings = check_ct(
        volume_of(small_scan().array[-30 : -30 + slices] if slices < 59 else small_scan().array, spacing)
    )
    assert any(words in w for w in warnings)


def test_every_real_planning_ct_passes(real_data: Path) -> None:
    for path in sorted((real_data / "openkbp" / "val").glob("*/ct.nrrd")):
        check_ct(read_volume(path))
