"""RTSTRUCT: the same organs on the same slices when another program reads it, or no file at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from focusnet.errors import InputError, OutputError
from focusnet.io import read_volume, rtstruct
from focusnet.io.contours import fill_contours, slice_contours
from focusnet.io.rtstruct import write_rtstruct
from focusnet.io.rtstruct_read import read_rtstruct
from focusnet.phantom import phantom
from focusnet.phantom_dicom import write_dicom_series
from focusnet.segmentation import Segmentation
from focusnet.volume import Volume

SPACING = (2.0, 2.0, 3.0)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> tuple[Volume, Segmentation]:
    volume, reference = phantom(0, SPACING)
    folder = write_dicom_series(volume, tmp_path_factory.mktemp("ct") / "dicom", 0)
    return read_volume(folder), replace(reference, geometry=read_volume(folder).geometry)


@pytest.mark.parametrize(
    "rows",
    [
        ["....", ".##.", ".##.", "...."],
        ["#...", "....", "...#", "..##"],
        [".....", ".###.", ".#.#.", ".###.", "....."],
        ["#######", "#.#.#.#", "#######", "#..#..#", "#######"],
        ["####", "####"],
        ["#..#", ".##.", "#..#"],
        ["....", "..#.", "...."],
    ],
)
def test_outlines_give_the_mask_back_with_holes_parts_and_single_voxels(rows: list[str]) -> None:
    mask = np.array([[c == "#" for c in row] for row in rows])
    assert np.array_equal(fill_contours(slice_contours(mask), mask.shape), mask)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(5))
def test_outlines_of_random_masks_give_them_back(seed: int) -> None:
    mask = np.random.default_rng(seed).random((25, 30)) < 0.6
    assert np.array_equal(fill_contours(slice_contours(mask), mask.shape), mask)  # type: ignore[arg-type]


def test_22_organs_come_back_voxel_for_voxel_with_names_colours_and_uids(
    case: tuple[Volume, Segmentation], tmp_path: Path
) -> None:
    volume, reference = case
    assert write_rtstruct(reference, volume, tmp_path / "rs.dcm") == []
    back = read_rtstruct(tmp_path / "rs.dcm", volume)
    for result in reference.results:
        assert np.array_equal(back.mask(result.organ.name), reference.labels == result.label), result.organ.name
    data = pydicom.dcmread(tmp_path / "rs.dcm")
    uids = volume.dicom_uids
    assert (data.StudyInstanceUID, data.FrameOfReferenceUID) == (uids["study"], uids["frame_of_reference"])
    series = data.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == uids["series"]
    assert [i.ReferencedSOPInstanceUID for i in series.ContourImageSequence] == uids["instances"]
    for roi, contours, result in zip(
        data.StructureSetROISequence, data.ROIContourSequence, reference.results, strict=True
    ):
        assert (roi.ROIName, roi.ROIGenerationAlgorithm) == (result.organ.name, "AUTOMATIC")
        assert list(contours.ROIDisplayColor) == list(result.organ.color_rgb)
    first = data.ROIContourSequence[0].ContourSequence[0]
    z = float(first.ContourData[2])
    at = uids["instances"].index(first.ContourImageSequence[0].ReferencedSOPInstanceUID)  # type: ignore[attr-defined]
    assert z == pytest.approx(volume.geometry.index_to_mm(np.array([at, 0, 0]))[2], abs=1e-3)
    assert data.ApprovalStatus == "UNAPPROVED"


def test_review_states_reach_the_file(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    volume, reference = case
    names = [r.organ.name for r in reference.results]
    write_rtstruct(
        reference, volume, tmp_path / "a.dcm", states={**dict.fromkeys(names, "approved"), names[0]: "edited"}
    )
    write_rtstruct(reference, volume, tmp_path / "b.dcm", states=dict.fromkeys(names, "approved"))
    first, second = (pydicom.dcmread(tmp_path / f"{n}.dcm") for n in "ab")
    assert (first.ApprovalStatus, second.ApprovalStatus) == ("UNAPPROVED", "APPROVED")
    assert first.StructureSetROISequence[0].ROIGenerationAlgorithm == "SEMIAUTOMATIC"
    with pytest.raises(InputError, match="state fine is unknown"):
        write_rtstruct(reference, volume, tmp_path / "c.dcm", states={names[0]: "fine"})


def test_an_empty_organ_is_left_out_and_named(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    volume, reference = case
    without = replace(reference, labels=np.where(reference.labels == 3, 0, reference.labels).astype(np.uint8))
    assert write_rtstruct(without, volume, tmp_path / "rs.dcm") == [reference.results[2].organ.name]
    empty = replace(reference, labels=np.zeros_like(reference.labels))
    with pytest.raises(InputError, match="nothing to write"):
        write_rtstruct(empty, volume, tmp_path / "none.dcm")


def test_one_voxel_and_the_images_border_survive(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    volume, reference = case
    labels = np.zeros_like(reference.labels)
    labels[5, 10, 12] = 1
    labels[8:10, :4, -5:] = 2
    odd = replace(reference, labels=labels, results=reference.results[:2])
    write_rtstruct(odd, volume, tmp_path / "rs.dcm")
    assert np.array_equal(read_rtstruct(tmp_path / "rs.dcm", volume).labels, labels)


def broken(volume: Volume, **changes: object) -> Volume:
    return replace(volume, dicom_uids={**volume.dicom_uids, **changes})


def test_wrong_uids_and_grids_are_never_exported(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    volume, reference = case
    instances: list[str] = list(volume.dicom_uids["instances"])  # type: ignore[call-overload]
    other_grid = replace(volume, geometry=replace(volume.geometry, origin_mm_xyz=(0.0, 0.0, 0.0)))
    for bad, words in (
        (replace(volume, dicom_uids={}), "did not come from DICOM.*seg.nrrd"),
        (broken(volume, study=""), "lacks study"),
        (broken(volume, series=""), "lacks series"),
        (broken(volume, series="1.02.x"), "'1.02.x' is not a valid UID"),
        (broken(volume, instances=instances[:-1]), "slices have an instance UID"),
        (broken(volume, instances=[instances[0], *instances[:-1]]), "occur twice"),
        (other_grid, "another grid"),
    ):
        with pytest.raises(InputError, match=words):
            write_rtstruct(reference, bad, tmp_path / "rs.dcm")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_does_not_fit_dicom_is_refused(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    volume, reference = case
    first = reference.results[0]
    for name in ("x" * 65, "Hirnstamm ä", "a\\b"):
        odd = replace(first, organ=replace(first.organ, name=name))
        with pytest.raises(InputError, match="does not fit DICOM"):
            write_rtstruct(replace(reference, results=(odd, *reference.results[1:])), volume, tmp_path / "rs.dcm")


def test_a_file_that_reads_back_differently_is_kept_aside(
    case: tuple[Volume, Segmentation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, reference = case
    draw = rtstruct.slice_contours
    monkeypatch.setattr(rtstruct, "slice_contours", lambda mask: [c + 1.0 for c in draw(mask)])
    with pytest.raises(OutputError, match="read back differs"):
        write_rtstruct(reference, volume, tmp_path / "rs.dcm")
    assert [p.name for p in tmp_path.iterdir()] == ["rs.dcm.failed"]


def test_a_structure_set_of_another_scan_is_refused(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    volume, reference = case
    write_rtstruct(reference, volume, tmp_path / "rs.dcm")
    with pytest.raises(InputError, match="another frame of reference"):
        read_rtstruct(tmp_path / "rs.dcm", broken(volume, frame_of_reference="1.2.3"))
    x, y, z = volume.geometry.origin_mm_xyz
    shifted = replace(volume, geometry=replace(volume.geometry, origin_mm_xyz=(x, y, z + 1.1)))
    with pytest.raises(InputError, match="does not lie on a slice"):
        read_rtstruct(tmp_path / "rs.dcm", shifted)
    (tmp_path / "text.dcm").write_text("hello")
    with pytest.raises(InputError, match="cannot be read as DICOM"):
        read_rtstruct(tmp_path / "text.dcm", volume)
