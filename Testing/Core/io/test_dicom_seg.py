"""DICOM SEG: the same voxels when another program reads it, codes, colours and the source's UIDs; or no file at all."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.sr.codedict import codes

from focusnet.cli.main import main
from focusnet.errors import InputError, OutputError
from focusnet.image.segmentation import OrganResult, Segmentation
from focusnet.image.volume import Volume
from focusnet.io.dicom_seg import read_dicom_seg, write_dicom_seg
from focusnet.io.export_details import ExportDetails
from focusnet.io.rtstruct_write import write_rtstruct

from ..helpers_dicom import HEAD_DICOM, dicom_errors, head_dicom_case, program, small_case
from ..helpers_engine import random_bundle

highdicom = pytest.importorskip("highdicom", reason="the extra dicom is not installed")
ORGANS = ["Brainstem", "SpinalCord", "Parotid_R", "Parotid_L"]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> tuple[Volume, Segmentation]:
    return small_case(tmp_path_factory.mktemp("seg"))


def test_organs_come_back_voxel_for_voxel_and_the_empty_one_is_named(
    case: tuple[Volume, Segmentation], tmp_path: Path
) -> None:
    volume, organs = case
    assert write_dicom_seg(organs, volume, tmp_path / "seg.dcm") == ["Larynx"]
    masks = read_dicom_seg(tmp_path / "seg.dcm", volume)
    assert list(masks) == ORGANS
    for name, mask in masks.items():
        assert np.array_equal(mask, organs.mask(name)), name


def test_codes_sides_colours_algorithm_and_source_are_in_the_file(
    case: tuple[Volume, Segmentation], tmp_path: Path
) -> None:
    volume, organs = case
    write_dicom_seg(organs, volume, tmp_path / "seg.dcm")
    data = pydicom.dcmread(tmp_path / "seg.dcm")
    uids = volume.dicom_uids
    assert data.StudyInstanceUID == uids["study"]
    assert data.FrameOfReferenceUID == uids["frame_of_reference"]
    assert data.ReferencedSeriesSequence[0].SeriesInstanceUID == uids["series"]
    assert str(data.PatientName) == "Phantom^Synthetic"
    named = {
        frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for frame in data.PerFrameFunctionalGroupsSequence
    }
    assert named <= set(uids["instances"])  # type: ignore[call-overload]
    segments = {s.SegmentLabel: s for s in data.SegmentSequence}
    for result in organs.results[:4]:
        lab = segments[result.organ.name].RecommendedDisplayCIELabValue
        color = highdicom.color.CIELabColor.from_dicom_value(list(lab)).to_rgb()
        assert np.abs(np.subtract(color, result.organ.color_rgb)).max() <= 2, result.organ.name
    parotid = segments["Parotid_L"]
    assert (parotid.SegmentAlgorithmType, parotid.SegmentAlgorithmName) == ("AUTOMATIC", "FocusNetv2 han7-test")
    algorithm = parotid.SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmVersion == "1.2"
    family = codes.cid7162.ArtificialIntelligence
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeValue == family.value
    kind = parotid.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("45289007", "SCT")
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == "7771000"
    assert "SegmentedPropertyTypeModifierCodeSequence" not in segments["Brainstem"].SegmentedPropertyTypeCodeSequence[0]


def test_organs_that_a_person_changed_are_semiautomatic(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    volume, organs = case
    write_dicom_seg(organs, volume, tmp_path / "seg.dcm", details=ExportDetails({"Brainstem": "edited"}))
    types = [s.SegmentAlgorithmType for s in pydicom.dcmread(tmp_path / "seg.dcm").SegmentSequence]
    assert types == ["SEMIAUTOMATIC", "AUTOMATIC", "AUTOMATIC", "AUTOMATIC"]


@pytest.mark.parametrize("crop", range(8))
def test_every_number_of_bits_comes_back(case: tuple[Volume, Segmentation], tmp_path: Path, crop: int) -> None:
    """ITK leaves an incomplete last byte unset, with what was in memory before."""
    volume, organs = case
    geometry = replace(volume.geometry, shape_zyx=(30, 35, 39))  # 1365 pixels a frame: 1 to 8 frames end in every bit
    labels = np.zeros(geometry.shape_zyx, np.uint8)
    labels[3 : 4 + crop, -3:, -3:] = 7
    organ = Segmentation(
        labels, geometry, (OrganResult(organ=organs.results[0].organ, label=7, found=True, volume_ml=1.0),)
    )
    files = []
    for number, file in enumerate(volume.dicom_uids["files"]):  # type: ignore[arg-type, var-annotated]
        data = pydicom.dcmread(file)
        data.PixelData = np.ascontiguousarray(data.pixel_array[:35, :39]).tobytes()
        data.Rows, data.Columns = 35, 39
        files.append(str(tmp_path / f"{number}.dcm"))
        data.save_as(files[-1])
    cropped = Volume(volume.array[:, :35, :39], geometry, "cropped", {**volume.dicom_uids, "files": files})
    write_dicom_seg(organ, cropped, tmp_path / "seg.dcm")
    assert np.array_equal(read_dicom_seg(tmp_path / "seg.dcm", cropped)["Brainstem"], labels == 7)


def test_what_cannot_be_exported_is_refused_in_one_line(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    volume, organs = case
    nameless = replace(organs.results[0], organ=replace(organs.results[0].organ, snomed_code=""))
    uncoded = replace(organs, results=(nameless, *organs.results[1:]))
    twin = replace(organs.results[1], organ=organs.results[0].organ)
    twice = replace(organs, results=(organs.results[0], twin, *organs.results[2:]))
    gone = replace(volume, dicom_uids={**volume.dicom_uids, "files": ["gone.dcm"] * len(volume.array)})
    moved = replace(organs, geometry=replace(organs.geometry, origin_mm_xyz=(0.0, 0.0, 0.0)))
    for segmentation, source, words in (
        (organs, replace(volume, dicom_uids={}), r"did not come from DICOM.*seg\.nrrd"),
        (uncoded, volume, "Brainstem: no SNOMED code is known"),
        (twice, volume, "Brainstem is there twice"),
        (organs, gone, "gone.dcm, a slice of .* cannot be read any more"),
        (moved, volume, "another grid"),
        (replace(organs, labels=np.zeros_like(organs.labels)), volume, "nothing to write"),
    ):
        with pytest.raises(InputError, match=words):
            write_dicom_seg(segmentation, source, tmp_path / "seg.dcm")
    assert list(tmp_path.iterdir()) == []


def test_without_highdicom_the_command_that_installs_it_is_named(
    case: tuple[Volume, Segmentation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, organs = case
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(InputError, match=r'pip install "focusnet\[dicom\]"'):
        write_dicom_seg(organs, volume, tmp_path / "seg.dcm")


def test_a_file_that_reads_back_differently_is_kept_aside(
    case: tuple[Volume, Segmentation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, organs = case
    build = highdicom.seg.Segmentation

    def wrong(**arguments: object) -> object:
        pixels = np.asarray(arguments.pop("pixel_array"))
        return build(pixel_array=np.roll(pixels, 1, axis=2), **arguments)

    monkeypatch.setattr(highdicom.seg, "Segmentation", wrong)
    with pytest.raises(OutputError, match=r"read back differs \(Brainstem: DSC 0\.8.*seg\.dcm\.failed"):
        write_dicom_seg(organs, volume, tmp_path / "seg.dcm")
    assert [p.name for p in tmp_path.iterdir()] == ["seg.dcm.failed"]


def test_a_ct_without_frame_of_reference_gets_the_same_one_as_its_structure_set(tmp_path: Path) -> None:
    volume, organs = small_case(tmp_path, lambda data: data.pop("FrameOfReferenceUID"))
    write_dicom_seg(organs, volume, tmp_path / "seg.dcm")
    write_rtstruct(organs, volume, tmp_path / "rs.dcm")
    frames = {pydicom.dcmread(tmp_path / name).FrameOfReferenceUID for name in ("seg.dcm", "rs.dcm")}
    assert len(frames) == 1


def test_headers_that_the_ct_left_out_do_not_stop_the_export(tmp_path: Path) -> None:
    def bare(data: pydicom.Dataset) -> None:
        for tag in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
                    "StudyTime", "ReferringPhysicianName", "PositionReferenceIndicator"):  # fmt: skip
            data.pop(tag)

    volume, organs = small_case(tmp_path, bare)
    write_dicom_seg(organs, volume, tmp_path / "seg.dcm")
    write_rtstruct(organs, volume, tmp_path / "rs.dcm")


@pytest.mark.skipif(program("segimage2itkimage") is None, reason="dcmqi is not installed")
def test_dcmqi_finds_the_same_organs(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    volume, organs = case
    write_dicom_seg(organs, volume, tmp_path / "seg.dcm")
    command = [program("segimage2itkimage"), "--inputDICOM", tmp_path / "seg.dcm", "--outputDirectory", tmp_path]
    subprocess.run([str(w) for w in [*command, "--outputType", "nrrd"]], check=True, capture_output=True, timeout=600)
    whole = sitk.GetImageFromArray(organs.labels)
    whole.SetSpacing(organs.geometry.spacing_mm_xyz)
    whole.SetOrigin(organs.geometry.origin_mm_xyz)
    meta = json.loads((tmp_path / "meta.json").read_text())
    named = {s["labelID"]: s["SegmentLabel"] for group in meta["segmentAttributes"] for s in group}
    assert list(named.values()) == ORGANS
    for number, name in named.items():
        image = sitk.Resample(
            sitk.ReadImage(str(tmp_path / f"{number}.nrrd")), whole, sitk.Transform(), sitk.sitkNearestNeighbor
        )
        assert np.array_equal(sitk.GetArrayFromImage(image) > 0, organs.mask(name)), name


@pytest.mark.skipif(program("dciodvfy") is None, reason="dicom3tools is not installed")
def test_dicoms_own_rules_find_no_error(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    volume, organs = case
    write_dicom_seg(organs, volume, tmp_path / "seg.dcm")
    assert dicom_errors(tmp_path / "seg.dcm") == []


@pytest.mark.slow
@pytest.mark.skipif(not HEAD_DICOM.is_dir(), reason="the scan in shared/data is not here")
@pytest.mark.skipif(program("dciodvfy") is None, reason="dicom3tools is not installed")
def test_a_real_scans_segmentation_obeys_dicom(tmp_path: Path) -> None:
    volume, organs = head_dicom_case()
    write_dicom_seg(organs, volume, tmp_path / "seg.dcm")
    assert dicom_errors(tmp_path / "seg.dcm") == []
    for name, mask in read_dicom_seg(tmp_path / "seg.dcm", volume).items():
        assert np.array_equal(mask, organs.mask(name)), name


@pytest.mark.parametrize("kind", ["rtstruct", "seg"])
def test_the_command_writes_dicom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv("FOCUSNET_MODELS", str(tmp_path / "models"))
    random_bundle(tmp_path / "models")
    assert main(["phantom", str(tmp_path / "p"), "--dicom"]) == 0
    words = ["--dicom", kind, "--model", "random"]
    out = tmp_path / "o.dcm"
    assert main(["segment", str(tmp_path / "p" / "dicom"), "-o", str(out), *words]) == 0
    assert pydicom.dcmread(out).Modality == kind.upper()
    assert main(["segment", str(tmp_path / "p" / "ct.nrrd"), "-o", str(tmp_path / "n.dcm"), *words]) == 2
    assert not (tmp_path / "n.dcm").exists()
