"""RTSTRUCT: the same organs on the same slices when another program reads it, or no file at all."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from focusnet.errors import InputError, OutputError
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Volume
from focusnet.io import read_volume
from focusnet.io import rtstruct_write as rtstruct
from focusnet.io.contour_lines import centres_on, fill_contours, slice_contours
from focusnet.io.export_details import ExportDetails
from focusnet.io.rtstruct_read import read_rtstruct
from focusnet.io.rtstruct_write import write_rtstruct
from focusnet.metrics import dice
from focusnet.phantom.dicom import write_dicom_series
from focusnet.phantom.write import phantom

from ..helpers_dicom import HEAD_DICOM, dicom_errors, head_dicom_case, program, small_case

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


@pytest.mark.parametrize(
    "rows", [["###", "#.#", "###"], ["#####", "#.#.#", "#####"], ["#####", "##.##", "#...#", "#####"]]
)
def test_no_outline_runs_through_a_voxel_centre_not_even_on_its_way_to_a_hole(rows: list[str]) -> None:
    """There it would depend on the program that reads it whether the voxel is inside."""
    mask = np.array([[c == "#" for c in row] for row in rows])
    (outline,) = slice_contours(mask)
    assert len(centres_on(outline)) == 0


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
    approved = dict.fromkeys(names, "approved")
    write_rtstruct(
        reference, volume, tmp_path / "a.dcm", details=ExportDetails({names[0]: "edited", names[1]: "approved"})
    )
    write_rtstruct(
        reference, volume, tmp_path / "b.dcm", details=ExportDetails(approved, {names[1]}, reviewer="Müller^Anna")
    )
    first, second = (pydicom.dcmread(tmp_path / f"{n}.dcm") for n in "ab")
    assert (first.ApprovalStatus, second.ApprovalStatus) == ("UNAPPROVED", "APPROVED")
    assert str(second.ReviewerName) == "Müller^Anna"
    assert "ReviewDate" not in first
    assert [r.ROIDescription.split()[-1] for r in first.StructureSetROISequence][:3] == [
        "edited.",
        "approved.",
        "draft.",
    ]
    algorithms = [[r.ROIGenerationAlgorithm for r in d.StructureSetROISequence][:3] for d in (first, second)]
    assert algorithms[0] == ["SEMIAUTOMATIC", "SEMIAUTOMATIC", "AUTOMATIC"]  # approved may have been edited before
    assert algorithms[1] == ["AUTOMATIC", "SEMIAUTOMATIC", "AUTOMATIC"]  # told which ones were


def test_an_approval_that_the_states_contradict_is_refused(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    volume, reference = case
    name = reference.results[0].organ.name
    for arguments, words in (
        ({"states": {name: "fine"}}, "state fine is unknown"),
        ({"states": {"Liver": "draft"}}, "name Liver, which the segmentation does not have"),
        ({"states": {name: "approved"}, "approval": "APPROVED"}, "cannot be APPROVED: .*not approved yet"),
        ({"approval": "perhaps"}, "'perhaps' is unknown"),
    ):
        details = ExportDetails(**arguments)  # type: ignore[arg-type]
        with pytest.raises(InputError, match=words):
            write_rtstruct(reference, volume, tmp_path / "c.dcm", details=details)
    write_rtstruct(reference, volume, tmp_path / "c.dcm", details=ExportDetails(approval="REJECTED"))
    assert pydicom.dcmread(tmp_path / "c.dcm").ApprovalStatus == "REJECTED"


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


def polygon_area(contour: pydicom.Dataset) -> float:
    x, y, _ = np.array(contour.ContourData, float).reshape(-1, 3).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def test_a_planning_system_finds_the_volume_that_the_voxels_have(
    case: tuple[Volume, Segmentation], tmp_path: Path
) -> None:
    volume, reference = case
    labels = np.where(reference.labels == 1, 0, reference.labels).astype(np.uint8)
    labels[5, 10, 12] = 1  # one voxel: half-way between centres its outline would have half its area
    odd = replace(reference, labels=labels)
    write_rtstruct(odd, volume, tmp_path / "rs.dcm")
    data = pydicom.dcmread(tmp_path / "rs.dcm")
    pixel_mm2 = volume.geometry.spacing_mm_xyz[0] * volume.geometry.spacing_mm_xyz[1]
    for item, result in zip(data.ROIContourSequence, odd.results, strict=True):
        area = sum(polygon_area(contour) for contour in item.ContourSequence) / pixel_mm2
        assert area == pytest.approx(np.count_nonzero(labels == result.label), rel=0.01), result.organ.name


def test_contours_lie_in_the_plane_of_the_slice_that_they_name(tmp_path: Path) -> None:
    def uneven(data: pydicom.Dataset) -> None:
        data.ImagePositionPatient[2] += 0.04 * (-1) ** data.InstanceNumber  # as positions rounded to 0.1 mm are

    volume, organs = small_case(tmp_path, uneven)
    write_rtstruct(organs, volume, tmp_path / "rs.dcm")
    files: list[str] = volume.dicom_uids["files"]  # type: ignore[assignment]
    planes = {d.SOPInstanceUID: float(d.ImagePositionPatient[2]) for d in map(pydicom.dcmread, files)}
    for item in pydicom.dcmread(tmp_path / "rs.dcm").ROIContourSequence:
        for contour in item.ContourSequence:
            plane = planes[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
            assert np.abs(np.array(contour.ContourData[2::3], float) - plane).max() < 1e-3


def test_a_file_that_became_another_slice_is_noticed(tmp_path: Path) -> None:
    volume, organs = small_case(tmp_path)
    files: list[str] = volume.dicom_uids["files"]  # type: ignore[assignment]
    Path(files[3]).write_bytes(Path(files[4]).read_bytes())
    with pytest.raises(InputError, match="is another slice than when"):
        write_rtstruct(organs, volume, tmp_path / "rs.dcm")


def test_without_its_files_the_ct_can_still_be_contoured(tmp_path: Path) -> None:
    volume, organs = small_case(tmp_path)
    shutil.rmtree(tmp_path / "ct")
    write_rtstruct(organs, volume, tmp_path / "rs.dcm")
    assert np.array_equal(read_rtstruct(tmp_path / "rs.dcm", volume).labels, organs.labels)


def test_a_ct_without_frame_of_reference_gets_one_that_every_export_shares(tmp_path: Path) -> None:
    volume, organs = small_case(tmp_path, lambda data: data.pop("FrameOfReferenceUID"))
    assert volume.dicom_uids["frame_of_reference"] == ""
    for name in ("a.dcm", "b.dcm"):
        write_rtstruct(organs, volume, tmp_path / name)
    first, second = (pydicom.dcmread(tmp_path / n) for n in ("a.dcm", "b.dcm"))
    assert first.FrameOfReferenceUID == second.FrameOfReferenceUID != ""
    assert {r.ReferencedFrameOfReferenceUID for r in first.StructureSetROISequence} == {first.FrameOfReferenceUID}
    assert "derived from its series UID" in first.StructureSetDescription
    assert "derived" not in written_description(tmp_path / "whole", lambda data: None)


def written_description(folder: Path, change: Callable[[pydicom.Dataset], object]) -> str:
    folder.mkdir()
    volume, organs = small_case(folder, change)
    write_rtstruct(organs, volume, folder / "rs.dcm")
    return str(pydicom.dcmread(folder / "rs.dcm").StructureSetDescription)


def test_contours_longer_than_explicit_vr_can_hold_survive(tmp_path: Path) -> None:
    volume, organs = small_case(tmp_path)
    geometry = replace(volume.geometry, shape_zyx=(30, 120, 120))
    large = Volume(np.zeros(geometry.shape_zyx, np.int16), geometry, "large", {**volume.dicom_uids, "files": []})
    labels = np.zeros(geometry.shape_zyx, np.uint8)
    labels[5, 10:110, 10:110] = 1
    labels[5, 12:110:3, 12:110:3] = 0  # a sieve of more than a thousand holes
    write_rtstruct(Segmentation(labels, geometry, organs.results[:1]), large, tmp_path / "rs.dcm")
    assert np.array_equal(read_rtstruct(tmp_path / "rs.dcm", large).labels, labels)
    data = pydicom.dcmread(tmp_path / "rs.dcm")
    (contour,) = data.ROIContourSequence[0].ContourSequence
    assert len("\\".join(map(str, contour.ContourData))) > 65534
    assert data.file_meta.TransferSyntaxUID.is_implicit_VR


@pytest.mark.skipif(program("dciodvfy") is None, reason="dicom3tools is not installed")
def test_dicoms_own_rules_find_no_error(tmp_path: Path) -> None:
    volume, organs = small_case(tmp_path)
    names = {r.organ.name: "approved" for r in organs.results}
    write_rtstruct(organs, volume, tmp_path / "rs.dcm", details=ExportDetails(names, reviewer="Müller^Anna"))
    assert dicom_errors(tmp_path / "rs.dcm") == []
    write_rtstruct(organs, volume, tmp_path / "draft.dcm")
    assert dicom_errors(tmp_path / "draft.dcm") == []


@pytest.mark.slow
@pytest.mark.skipif(not HEAD_DICOM.is_dir(), reason="the scan in shared/data is not here")
@pytest.mark.skipif(program("dciodvfy") is None, reason="dicom3tools is not installed")
def test_a_real_scans_structure_set_obeys_dicom(tmp_path: Path) -> None:
    volume, organs = head_dicom_case()
    write_rtstruct(organs, volume, tmp_path / "rs.dcm")
    assert dicom_errors(tmp_path / "rs.dcm") == []
    back = read_rtstruct(tmp_path / "rs.dcm", volume)
    assert np.array_equal(back.labels, organs.labels)  # bone with all its holes


@pytest.mark.slow
@pytest.mark.skipif(program("plastimatch") is None, reason="plastimatch is not installed")
def test_plastimatch_finds_the_same_organs_on_1x1x3_mm(tmp_path: Path) -> None:
    made, reference = phantom(0, (1.0, 1.0, 3.0))
    volume = read_volume(write_dicom_series(made, tmp_path / "ct", 0))
    write_rtstruct(replace(reference, geometry=volume.geometry), volume, tmp_path / "rs.dcm")
    command = [program("plastimatch"), "convert", "--input", tmp_path / "rs.dcm", "--referenced-ct", tmp_path / "ct"]
    command += ["--output-prefix", tmp_path / "masks", "--prefix-format", "nrrd"]
    subprocess.run([str(word) for word in command], check=True, capture_output=True, timeout=250)
    for result in reference.results:
        found = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "masks" / f"{result.organ.name}.nrrd"))) > 0
        wanted = reference.labels == result.label
        assert dice(wanted, found) >= 0.99, result.organ.name
        assert np.array_equal(wanted.any(axis=(1, 2)), found.any(axis=(1, 2))), result.organ.name


def test_what_a_model_must_say_of_itself_reaches_the_structure_set(tmp_path: Path) -> None:
    volume, organs = small_case(tmp_path, lambda data: None)
    cautious = replace(
        organs, provenance={**organs.provenance, "caution": "Trained on simulated CT only, research preview."}
    )
    write_rtstruct(cautious, volume, tmp_path / "rs.dcm")
    assert "Trained on simulated CT only" in pydicom.dcmread(tmp_path / "rs.dcm").StructureSetDescription
