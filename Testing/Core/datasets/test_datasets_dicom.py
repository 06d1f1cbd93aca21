"""DICOM CT and RTSTRUCT pairs: matched by UIDs, contours back to the very voxels they came from, and what does not fit is said."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from scipy import ndimage

from focusnet.datasets.check import check_dataset
from focusnet.datasets.open_dataset import open_dataset
from focusnet.errors import DatasetError
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Geometry, Volume
from focusnet.io.contour_lines import crosses_itself
from focusnet.io.dicom_series import read_dicom_folder
from focusnet.io.rtstruct_write import write_rtstruct
from focusnet.metrics import dice
from focusnet.phantom.dicom import write_dicom_series

from ..helpers_layouts import patient
from ..helpers_outputs import segmentation

NAMES = ("Brainstem", "SpinalCord", "Parotid_R", "Parotid_L", "Eye_L")


def scan_1_1_3(seed: int = 0) -> Volume:
    """Twelve slices of the phantom's head with voxels of 1 x 1 x 3 mm."""
    coarse, _ = patient(seed)
    middle = coarse.array.shape[0] * 2 // 3
    array = coarse.array[middle - 3 : middle + 3].repeat(2, 0).repeat(5, 1).repeat(5, 2)
    return Volume(array, Geometry(array.shape, (1.0, 1.0, 3.0), (-150.0, -140.0, 20.0)), "phantom")


def shapes(shape: tuple[int, int, int]) -> np.ndarray:
    """A ball, a tube with a hole, two separate parts, a ragged blob, and a lens of a few voxels."""
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    labels = np.zeros(shape, np.uint8)
    labels[(z - 6) ** 2 * 9 + (y - 150) ** 2 + (x - 150) ** 2 < 14**2] = 1
    ring = (y - 100) ** 2 + (x - 150) ** 2
    labels[(ring < 20**2) & (ring > 9**2) & (z > 1) & (z < 9)] = 2
    for column in (60, 85):
        labels[(z - 5) ** 2 * 9 + (y - 140) ** 2 + (x - column) ** 2 < 10**2] = 3
    noise = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=shape), 2.0)
    labels[(noise > 0) & (z > 2) & (z < 8) & (abs(y - 140) < 22) & (abs(x - 230) < 22)] = 4
    labels[(z - 8) ** 2 * 9 + (y - 60) ** 2 + (x - 190) ** 2 < 4.5**2] = 5
    return labels


def write_dicom_case(folder: Path, seed: int = 0) -> Segmentation:
    folder.mkdir()
    files = write_dicom_series(scan_1_1_3(seed), folder / "CT", seed)
    volume = read_dicom_folder(files)
    drawn = segmentation(shapes(volume.array.shape), volume.geometry, NAMES)
    write_rtstruct(drawn, volume, folder / "RS.dcm")
    return drawn


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Segmentation]:
    folder = tmp_path_factory.mktemp("dicom")
    drawn = write_dicom_case(folder / "A", 0)
    write_dicom_case(folder / "B", 1)
    return folder, drawn


def copy(pairs: tuple[Path, Segmentation], to: Path) -> Path:
    shutil.copytree(pairs[0], to / "data")
    return to / "data"


def split_of(dataset: object, name: str) -> str:
    return next(s for s in dataset.splits() if name in dataset.patients(s))  # type: ignore[attr-defined]


def test_a_mask_comes_back_from_rtstruct_with_its_holes_and_parts(pairs: tuple[Path, Segmentation]) -> None:
    folder, drawn = pairs
    dataset = open_dataset(folder)
    case = dataset.case(split_of(dataset, "A"), "A")
    assert case.contoured == set(NAMES)
    for name in NAMES:
        truth, found = drawn.mask(name), case.labels == dataset.organs.index(name) + 1
        dsc = dice(truth, found)
        assert dsc >= 0.99, (name, dsc)
        centre, true_centre = (np.argwhere(mask).mean(axis=0) for mask in (found, truth))
        assert np.abs(centre - true_centre).max() < 0.1, name
        assert ndimage.label(found)[1] == ndimage.label(truth)[1], name
    assert not case.labels[5, 100, 150]  # the hole


def test_pairs_are_matched_by_uids_and_not_by_folders(pairs: tuple[Path, Segmentation], tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in sorted(pairs[0].rglob("*.dcm")):
        shutil.copy(path, flat / f"{path.relative_to(pairs[0]).parts[0]}_{path.name}")
    dataset = open_dataset(flat)
    for split in dataset.splits():
        for name in dataset.patients(split):
            owner = int(name.removeprefix("PHANTOM-"))
            assert np.array_equal(dataset.read(split, name).hu, scan_1_1_3(owner).array), name
            assert dataset.case(split, name).contoured == set(NAMES)


def _edit(folder: Path, change: Callable[[pydicom.Dataset], object], case: str = "A") -> None:
    data = pydicom.dcmread(folder / case / "RS.dcm")
    change(data)
    data.save_as(folder / case / "RS.dcm")


def _other_frame(data: pydicom.Dataset) -> None:
    for roi in data.StructureSetROISequence:
        roi.ReferencedFrameOfReferenceUID = "1.2.3"


def _other_frame_and_no_slices(data: pydicom.Dataset) -> None:
    _other_frame(data)
    del data.ROIContourSequence[0].ContourSequence[0].ContourImageSequence


def _referenced(data: pydicom.Dataset) -> pydicom.Dataset:
    return data.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]


def _other_series(data: pydicom.Dataset) -> None:
    _referenced(data).SeriesInstanceUID = "1.2.3"


def _other_slices(data: pydicom.Dataset) -> None:
    _other_series(data)
    for number, image in enumerate(_referenced(data).ContourImageSequence):
        image.ReferencedSOPInstanceUID = f"1.2.3.{number}"


def _frame_alone(data: pydicom.Dataset) -> None:
    del data.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence


@pytest.mark.parametrize("change", [_other_series, _frame_alone], ids=["by its slices", "by its frame of reference"])
def test_a_structure_set_that_does_not_name_its_series_still_finds_it(
    change: Callable[[pydicom.Dataset], object], pairs: tuple[Path, Segmentation], tmp_path: Path
) -> None:
    """Beside the CT of another patient, in whatever order they are found."""
    for name, owner in (("A", 0), ("B", 1)):
        folder = copy(pairs, tmp_path / name)
        _edit(folder, change, name)
        dataset = open_dataset(folder)
        assert np.array_equal(dataset.read(split_of(dataset, name), name).hu, scan_1_1_3(owner).array)


def _move(data: pydicom.Dataset, by_mm: tuple[float, float, float]) -> None:
    for roi in data.ROIContourSequence:
        for contour in roi.ContourSequence:
            points = np.array([float(v) for v in contour.ContourData]).reshape(-1, 3) + by_mm
            contour.ContourData = [f"{v:.4f}" for v in points.ravel()]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda d: shutil.rmtree(d / "A" / "CT"), "is not in the folder"),
        (lambda d: _edit(d, _other_slices), "(series 1.2.3) is not in the folder"),
        (lambda d: _edit(d, _other_frame_and_no_slices), "was drawn in another frame of reference"),
        (lambda d: _edit(d, lambda data: _move(data, (0, 0, 1.5))), "does not lie on a slice"),
        (lambda d: (d / "A" / "CT" / sorted((d / "A" / "CT").iterdir())[4].name).unlink(), "1 slice is missing"),
    ],
)
def test_a_structure_set_that_does_not_fit_its_ct_names_the_case(
    pairs: tuple[Path, Segmentation], tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    folder = copy(pairs, tmp_path)
    damage(folder)
    dataset = open_dataset(folder)
    with pytest.raises(DatasetError, match=f"Case A: .*{re.escape(said)}"):
        dataset.case(split_of(dataset, "A"), "A")
    assert dataset.case(split_of(dataset, "B"), "B").contoured == set(NAMES)


def test_contours_outside_the_scan_open_and_crossing_ones_are_warned_of(
    pairs: tuple[Path, Segmentation], tmp_path: Path
) -> None:
    def change(data: pydicom.Dataset) -> None:
        first = data.ROIContourSequence[0].ContourSequence
        first[0].ContourGeometricType = "OPEN_PLANAR"
        z = float(first[1].ContourData[2])
        bow_tie = [(-10, 0), (10, 20), (10, 0), (-10, 20)]
        first[1].ContourData = [f"{v:g}" for x, y in bow_tie for v in (x, y, z)]
        first[1].NumberOfContourPoints = 4
        eye = data.ROIContourSequence[4]
        for contour in eye.ContourSequence:
            points = np.array([float(v) for v in contour.ContourData]).reshape(-1, 3) + np.array([0, 0, 300])
            contour.ContourData = [f"{v:.4f}" for v in points.ravel()]

    folder = copy(pairs, tmp_path)
    _edit(folder, change)
    dataset = open_dataset(folder)
    assert dataset.read(split_of(dataset, "A"), "A").warnings == (  # one line about each organ
        "Brainstem: 1 contour is a point or an open line and encloses nothing; close it where it was drawn. "
        "1 contour crosses itself; a loop that it draws twice is left out.",
        "Eye_L: 3 contours lie above or below the scan and were left out; is it the CT that they were drawn on? "
        "Nothing of Eye_L is left; it is taken for not contoured.",
    )
    assert "Eye_L" not in dataset.read(split_of(dataset, "A"), "A").contoured
    assert not dataset.read(split_of(dataset, "B"), "B").warnings  # our own contours, with keyholes, cross nowhere


def test_two_structure_sets_on_one_ct_are_not_chosen_between(pairs: tuple[Path, Segmentation], tmp_path: Path) -> None:
    folder = copy(pairs, tmp_path)
    shutil.copy(folder / "A" / "RS.dcm", folder / "A" / "RS_old.dcm")
    with pytest.raises(DatasetError, match=r'both drawn on one CT.*ignore = \["A/RS_old\.dcm"\]'):
        open_dataset(folder)
    (folder / "dataset.toml").write_text('ignore = ["A/RS_old.dcm"]\n')
    assert len(open_dataset(folder).organs) == len(NAMES)


def test_every_ct_with_two_structure_sets_is_named_at_once(pairs: tuple[Path, Segmentation], tmp_path: Path) -> None:
    folder = copy(pairs, tmp_path)
    for case in ("A", "B"):
        shutil.copy(folder / case / "RS.dcm", folder / case / "RS_old.dcm")
    with pytest.raises(DatasetError, match=r"both drawn on one CT \(and so it is with B/RS_old\.dcm\)"):
        open_dataset(folder)


def test_links_to_another_disk_are_followed_and_a_link_to_nowhere_is_named(
    pairs: tuple[Path, Segmentation], tmp_path: Path
) -> None:
    folder = copy(pairs, tmp_path)
    (tmp_path / "disk").mkdir()
    for path in (folder / "A", folder / "B" / "CT"):
        moved = shutil.move(path, tmp_path / "disk" / path.name)
        try:
            path.symlink_to(moved, target_is_directory=True)
        except OSError:
            pytest.skip("this system does not let us make links")
    (folder / "B" / "round").symlink_to(folder, target_is_directory=True)
    dataset = open_dataset(folder)
    for name in ("A", "B"):
        assert dataset.case(split_of(dataset, name), name).contoured == set(NAMES)
    shutil.move(tmp_path / "disk" / "A", tmp_path / "gone")
    shutil.copytree(tmp_path / "gone", folder / "C")
    dataset = open_dataset(folder)
    assert any("A (a link to " in note and "where nothing is)" in note for note in dataset.notes)


def test_a_structure_set_that_is_cut_short_hides_no_other_problem(
    pairs: tuple[Path, Segmentation], tmp_path: Path
) -> None:
    folder = copy(pairs, tmp_path)
    whole = (folder / "A" / "RS.dcm").read_bytes()
    (folder / "A" / "RS.dcm").write_bytes(whole[: len(whole) // 2])
    (folder / "B" / "CT" / sorted((folder / "B" / "CT").iterdir())[4].name).unlink()
    problems = {p.case: p.text for p in check_dataset(open_dataset(folder)).problems if p.case}
    assert "it seems cut short" in problems["A"]
    assert "1 slice is missing" in problems["B"]


def test_two_structures_of_one_name_are_counted(pairs: tuple[Path, Segmentation], tmp_path: Path) -> None:
    folder = copy(pairs, tmp_path)
    _edit(folder, lambda data: setattr(data.StructureSetROISequence[1], "ROIName", "Brainstem"))
    dataset = open_dataset(folder)
    with pytest.raises(DatasetError, match="2 structures share the name 'Brainstem'"):
        dataset.read(split_of(dataset, "A"), "A")


def test_a_ct_without_a_structure_set_is_named_and_not_passed_over(
    pairs: tuple[Path, Segmentation], tmp_path: Path
) -> None:
    folder = copy(pairs, tmp_path)
    (folder / "A" / "RS.dcm").write_bytes(b"not DICOM")
    assert any("A (a CT of 12 slices, but no RTSTRUCT drawn on it)" in note for note in open_dataset(folder).notes)
    (folder / "dataset.toml").write_text('[splits]\ntrain = ["A"]\nval = ["B"]\n')
    with pytest.raises(DatasetError, match="Case A: there is a CT of 12 slices, but no RTSTRUCT"):
        open_dataset(folder)
    (folder / "dataset.toml").unlink()
    (folder / "B" / "RS.dcm").unlink()
    with pytest.raises(DatasetError, match="holds no case: in A lies a CT of 12 slices"):
        open_dataset(folder)


def test_only_edges_that_truly_cross_are_crossing() -> None:
    square = np.array([[0, 0], [4, 0], [4, 4], [0, 4]], float)
    keyhole = np.array([[0, 0], [4, 0], [4, 4], [2, 4], [2, 3], [1, 3], [1, 2], [2, 2], [2, 3], [2, 4], [0, 4]], float)
    assert not crosses_itself(square)
    assert not crosses_itself(keyhole)
    assert crosses_itself(square[[0, 2, 1, 3]])


def _check(folder: Path) -> str:
    from focusnet.datasets.check import as_text

    return as_text(check_dataset(open_dataset(folder)))


def test_another_frame_of_reference_on_the_same_slices_is_read_and_warned_of(
    pairs: tuple[Path, Segmentation], tmp_path: Path
) -> None:
    folder = copy(pairs, tmp_path)
    _edit(folder, _other_frame)
    assert "warning: A: RS.dcm names another frame of reference" in _check(folder)


def test_names_that_are_not_recognised_are_listed_with_a_guess(
    pairs: tuple[Path, Segmentation], tmp_path: Path
) -> None:
    folder = copy(pairs, tmp_path)

    def rename(data: pydicom.Dataset) -> None:
        data.StructureSetROISequence[0].ROIName = "zz_brainstem"
        data.StructureSetROISequence[1].ROIName = "Rueckenmark"
        data.StructureSetROISequence[2].ROIName = "Parotide D"

    _edit(folder, rename)
    said = _check(folder)
    assert "left out: zz_brainstem (1) (Brainstem?). To use one, map it under [organs] in dataset.toml." in said
    dataset = open_dataset(folder)
    assert dataset.case(split_of(dataset, "A"), "A").contoured == set(NAMES) - {"Brainstem"}


def test_a_named_organ_without_contours_is_said(pairs: tuple[Path, Segmentation], tmp_path: Path) -> None:
    folder = copy(pairs, tmp_path)

    def empty(data: pydicom.Dataset) -> None:
        del data.ROIContourSequence[0].ContourSequence

    _edit(folder, empty)
    assert "warning: A: Named, but empty (no contour): Brainstem; taken for not contoured." in _check(folder)


def test_skipped_slices_are_said_once_and_filled_when_dataset_toml_says_so(
    pairs: tuple[Path, Segmentation], tmp_path: Path
) -> None:
    folder = copy(pairs, tmp_path)

    def thin(data: pydicom.Dataset) -> None:
        item = data.ROIContourSequence[0]
        heights = sorted({float(c.ContourData[2]) for c in item.ContourSequence})[::2]
        item.ContourSequence = [c for c in item.ContourSequence if float(c.ContourData[2]) in heights]

    _edit(folder, thin)
    said = _check(folder)
    assert said.count("slices without a voxel between the first and the last of an organ: Brainstem") == 1
    assert "or write fill_slices = true at the top of dataset.toml" in said
    dataset = open_dataset(folder)
    holed = dataset.read(split_of(dataset, "A"), "A").volume_ml("Brainstem")
    (folder / "dataset.toml").write_text("fill_slices = true\n")
    filled = open_dataset(folder)
    case = filled.read(split_of(filled, "A"), "A")
    assert case.volume_ml("Brainstem") > 1.4 * holed
    assert any(sentence.startswith("Brainstem: ") and "interpolated" in sentence for sentence in case.warnings)
    (folder / "dataset.toml").write_text("fill_slices = 3\n")
    with pytest.raises(DatasetError, match="fill_slices is 3; true or false is expected"):
        open_dataset(folder)


def test_a_series_without_modality_and_with_a_file_twice_is_a_case(
    pairs: tuple[Path, Segmentation], tmp_path: Path
) -> None:
    folder = copy(pairs, tmp_path)
    files = sorted((folder / "A" / "CT").glob("*.dcm"))
    for path in files:
        data = pydicom.dcmread(path)
        data.Modality = ""
        data.save_as(path)
    shutil.copy(files[3], folder / "A" / "CT" / "again.dcm")
    dataset = open_dataset(folder)
    assert dataset.case(split_of(dataset, "A"), "A").contoured == set(NAMES)
