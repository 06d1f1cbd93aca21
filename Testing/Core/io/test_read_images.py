"""NRRD, MetaImage and NIfTI: the same scan from each; bad files and images that are no CT in HU are refused in one line."""

from __future__ import annotations

import gzip
import re
import struct
from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from focusnet.errors import InputError
from focusnet.io import read_volume
from focusnet.io.ct_checks import check_ct

from ..helpers_engine import reoriented
from ..helpers_images import small_scan, write_image, write_meta, write_nrrd


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


def nifti(
    path: Path, affine: np.ndarray | None, sform: np.ndarray | None = None, qform: np.ndarray | None = None
) -> Path:
    """The small scan by nibabel; ``sform`` and ``qform`` replace what it would write."""
    image = nibabel.Nifti1Image(np.transpose(small_scan().array, (2, 1, 0)), affine)
    if sform is not None or qform is not None:
        image.set_sform(sform, int(sform is not None))
        image.set_qform(qform, int(qform is not None))
    nibabel.save(image, path)
    return path


def ras_affine() -> np.ndarray:
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ small_scan().geometry.affine_xyz


@pytest.mark.parametrize("forms", ["sform", "qform", "both"])
@pytest.mark.parametrize("seed", range(4))
def test_nifti_is_read_by_sform_or_qform_in_any_direction(tmp_path: Path, forms: str, seed: int) -> None:
    """Oblique, permuted, left- and right-handed axes: the place of every voxel is the one that nibabel gives."""
    rng = np.random.default_rng(seed)
    turn = Rotation.random(random_state=seed).as_matrix() if seed % 2 else np.eye(3)[rng.permutation(3)]
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([1.0, 1.0, -1.0 if seed > 1 else 1.0]) * small_scan().geometry.spacing_mm_xyz
    affine[:3, 3] = rng.normal(0, 200, 3)
    path = nifti(
        tmp_path / "ct.nii.gz", affine, affine if forms != "qform" else None, affine if forms != "sform" else None
    )
    volume = read_volume(path)
    np.testing.assert_allclose(np.diag([-1, -1, 1, 1]) @ volume.geometry.affine_xyz, affine, atol=1e-3)
    assert np.array_equal(volume.array, small_scan().array)
    assert volume.notes == ()


def test_nifti_without_an_orientation_is_not_guessed(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.transpose(small_scan().array, (2, 1, 0)), None)
    image.header.set_zooms((5.0, 5.0, 6.0))
    assert (image.header["qform_code"], image.header["sform_code"]) == (0, 0)
    nibabel.save(image, tmp_path / "ct.nii")
    assert "where the patient's left is" in refusal(tmp_path / "ct.nii")


def test_nifti_whose_two_orientations_disagree_about_left_is_not_guessed(tmp_path: Path) -> None:
    mirrored = np.diag([-1.0, 1.0, 1.0, 1.0]) @ ras_affine()
    for name, sform, qform in (("a.nii", ras_affine(), mirrored), ("b.nii.gz", mirrored, ras_affine())):
        message = refusal(nifti(tmp_path / name, None, sform, qform))
        assert "sform and qform disagree" in message
        assert "180 degrees" in message


def test_nifti_whose_two_orientations_differ_a_little_is_read_with_a_note(tmp_path: Path) -> None:
    turned = ras_affine().copy()
    turned[:3, :3] = Rotation.from_euler("z", 2, degrees=True).as_matrix() @ turned[:3, :3]
    notes = read_volume(nifti(tmp_path / "ct.nii", None, ras_affine(), turned)).notes
    assert any("qform differs" in note for note in notes)


@pytest.mark.parametrize("value", [0.0, -5.0, 3.0, float("nan"), float("inf")])
def test_nifti_whose_spacing_is_wrong_or_contradicts_itself_is_refused(tmp_path: Path, value: float) -> None:
    """ITK reads a spacing of 0 or NaN as 1 mm without a word."""
    path = nifti(tmp_path / "ct.nii", None, ras_affine(), ras_affine())
    data = bytearray(path.read_bytes())
    struct.pack_into("<f", data, 80, value)  # pixdim[1]
    path.write_bytes(data)
    assert "spacing is" in refusal(path)


def test_nifti_with_a_slope_is_read_and_not_taken_for_a_short_file(tmp_path: Path) -> None:
    """Stored as 16-bit with a slope, as several converters do: ITK announces a wider type than the file holds."""
    values = np.transpose(small_scan().array, (2, 1, 0)) + 0.37
    image = nibabel.Nifti1Image(values, ras_affine())
    image.header.set_data_dtype(np.int16)
    for name in ("a.nii", "b.nii.gz"):
        nibabel.save(image, tmp_path / name)
        volume = read_volume(tmp_path / name)
        assert volume.array.dtype == np.float32
        np.testing.assert_allclose(volume.array, np.transpose(values, (2, 1, 0)), atol=0.03)


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
def test_nifti_of_the_other_byte_order_is_read(tmp_path: Path, name: str) -> None:
    header = nibabel.Nifti1Header(endianness=">")
    nibabel.save(
        nibabel.Nifti1Image(np.transpose(small_scan().array, (2, 1, 0)), ras_affine(), header), tmp_path / name
    )
    volume = read_volume(tmp_path / name)
    assert np.array_equal(volume.array, small_scan().array)
    assert volume.geometry.same_grid_as(small_scan().geometry)


def test_nifti_that_lacks_its_last_bytes_is_refused(tmp_path: Path) -> None:
    path = nifti(tmp_path / "ct.nii", ras_affine())
    path.write_bytes(path.read_bytes()[:-100])
    assert "cut short" in refusal(path)


def test_nifti_2_is_named(tmp_path: Path) -> None:
    for name in ("a.nii", "b.nii.gz"):
        nibabel.save(nibabel.Nifti2Image(np.transpose(small_scan().array, (2, 1, 0)), ras_affine()), tmp_path / name)
        assert "NIfTI-2" in refusal(tmp_path / name)


def test_a_nii_beside_a_nii_gz_of_the_same_name_is_not_read_in_its_place(tmp_path: Path) -> None:
    """ITK would take the voxels of ct.nii when asked for ct.nii.gz."""
    nifti(tmp_path / "ct.nii.gz", ras_affine())
    assert np.array_equal(read_volume(tmp_path / "ct.nii.gz").array, small_scan().array)
    nifti(tmp_path / "ct.nii", ras_affine())
    assert "ct.nii lies beside it" in refusal(tmp_path / "ct.nii.gz")
    assert np.array_equal(read_volume(tmp_path / "ct.nii").array, small_scan().array)


DIRECTIONS = "space directions: (5,0,0) (0,5,0) (0,0,6)\n"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ("spacings: 5 5 6\n", "where the patient's left is"),
        (f"space: scanner-xyz\n{DIRECTIONS}", "where the patient's left is .*scanner-xyz"),
        (f"space: unknown\n{DIRECTIONS}", "where the patient's left is .*unknown"),
        (f"space dimension: 3\n{DIRECTIONS}", "where the patient's left is"),
        ("space: left-posterior-superior\n", "direction and spacing for each"),
        (
            "space: left-posterior-superior\nspace directions: (5,0,0) (0,5,0) none\n",
            "direction and spacing for each",
        ),
        ("space: left-posterior-superior\nspace directions: (5,0,0) (2,5,0) (0,0,6)\n", "not perpendicular"),
    ],
)
def test_nrrd_that_does_not_say_where_its_voxels_lie_is_not_guessed(tmp_path: Path, fields: str, words: str) -> None:
    assert re.search(words, refusal(write_nrrd(tmp_path / "ct.nrrd", fields)))


@pytest.mark.parametrize(
    ("space", "signs"),
    [("left-posterior-superior", (1, 1)), ("RAS", (-1, -1)), ("left-anterior-superior", (1, -1))],
)
def test_nrrd_spaces_are_turned_into_ours(tmp_path: Path, space: str, signs: tuple[int, int]) -> None:
    volume = read_volume(write_nrrd(tmp_path / "ct.nrrd", f"space: {space}\n{DIRECTIONS}space origin: (0,0,0)\n"))
    assert np.array_equal(np.diag(volume.geometry.direction_xyz), (*signs, 1))


MATRIX = "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\n"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ("ElementSpacing = 5 5 6\n", "where the patient's left is"),
        ("AnatomicalOrientation = RAI\nElementSpacing = 5 5 6\n", "where the patient's left is"),
        (MATRIX, "how large a voxel is"),
        (f"{MATRIX}ElementSpacing = 0 5 6\n", "finite positive"),
        (f"{MATRIX}ElementSpacing = -5 5 6\n", "finite positive"),
        (f"{MATRIX}ElementSpacing = nan 5 6\n", "finite positive"),
        ("TransformMatrix = 1 0 0 .5 1 0 0 0 1\nElementSpacing = 5 5 6\n", "not perpendicular"),
    ],
)
def test_metaimage_that_does_not_say_where_its_voxels_lie_is_not_guessed(
    tmp_path: Path, fields: str, words: str
) -> None:
    message = refusal(write_meta(tmp_path / "ct.mha", fields))
    assert words in message
    assert "ct.mha" in message


@pytest.mark.parametrize("name", ["ct.mhd", "ct.nhdr"])
@pytest.mark.parametrize("keep", [0, 5000])
def test_a_header_whose_data_file_is_missing_or_short_is_refused(tmp_path: Path, name: str, keep: int) -> None:
    path = write_image(small_scan(), tmp_path / name)
    (data,) = (p for p in tmp_path.iterdir() if p != path)
    data.write_bytes(data.read_bytes()[:keep])
    if not keep:
        data.unlink()
    message = refusal(path)
    assert "cut short" in message
    assert "No such file" not in message or not keep


def test_a_header_that_promises_more_than_any_machine_holds_is_refused_before_reading(tmp_path: Path) -> None:
    path = write_nrrd(tmp_path / "ct.nrrd", f"space: left-posterior-superior\n{DIRECTIONS}")
    path.write_bytes(re.sub(rb"sizes: [\d ]+", b"sizes: 40000 40000 40000", path.read_bytes()))
    assert "at most 2000 along an axis" in refusal(path)


def test_a_file_that_is_dicom_by_its_name_only_is_told_about_the_folder(tmp_path: Path) -> None:
    (tmp_path / "slice.dcm").write_bytes(b"x")
    assert "begins as no DICOM file does; give the folder" in refusal(tmp_path / "slice.dcm")


@pytest.mark.parametrize("offset", [1e10, -1e6, float("nan"), float("inf")])
def test_an_offset_that_makes_no_sense_is_refused(tmp_path: Path, offset: float) -> None:
    assert "--hu-offset" in refusal(write_image(small_scan(), tmp_path / "ct.nrrd"), hu_offset=offset)


def test_a_fractional_offset_is_not_rounded(tmp_path: Path) -> None:
    volume = read_volume(write_image(small_scan(), tmp_path / "ct.nrrd"), hu_offset=0.5)
    np.testing.assert_array_equal(volume.array, small_scan().array + np.float32(0.5))


def test_complex_images_are_refused(tmp_path: Path) -> None:
    values = np.transpose(small_scan().array, (2, 1, 0)).astype(np.complex64)
    nibabel.save(nibabel.Nifti1Image(values, ras_affine()), tmp_path / "ct.nii")
    assert "values per voxel" in refusal(tmp_path / "ct.nii")


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
