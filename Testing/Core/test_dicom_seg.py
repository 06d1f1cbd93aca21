"""DICOM SEG: the same voxels when read back, codes, colours and the source's UIDs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from focusnet.cli import main
from focusnet.errors import InputError
from focusnet.io import read_volume
from focusnet.io.dicom_seg import read_dicom_seg, write_dicom_seg
from focusnet.phantom import phantom
from focusnet.phantom_dicom import write_dicom_series
from focusnet.segmentation import Segmentation
from focusnet.volume import Volume

from .helpers_engine import random_bundle

pytest.importorskip("highdicom", reason="the extra dicom is not installed")


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> tuple[Volume, Segmentation]:
    volume, reference = phantom(0, (4.0, 4.0, 4.0))
    read = read_volume(write_dicom_series(volume, tmp_path_factory.mktemp("ct") / "dicom", 0))
    return read, replace(reference, geometry=read.geometry, provenance={"model": "tiny"})


def test_organs_come_back_voxel_for_voxel_with_codes_and_the_algorithms_name(
    case: tuple[Volume, Segmentation], tmp_path: Path
) -> None:
    volume, reference = case
    left_out = write_dicom_seg(reference, volume, tmp_path / "seg.dcm")
    masks = read_dicom_seg(tmp_path / "seg.dcm", volume)
    for result in reference.results:
        if result.organ.name not in left_out:
            assert np.array_equal(masks[result.organ.name], reference.labels == result.label)
    data = pydicom.dcmread(tmp_path / "seg.dcm")
    assert data.StudyInstanceUID == volume.dicom_uids["study"]
    assert data.FrameOfReferenceUID == volume.dicom_uids["frame_of_reference"]
    segments = {s.SegmentLabel: s for s in data.SegmentSequence}
    parotid = segments["Parotid_L"]
    assert (parotid.SegmentAlgorithmType, parotid.SegmentAlgorithmName) == ("AUTOMATIC", "FocusNetv2 tiny")
    kind = parotid.SegmentedPropertyTypeCodeSequence[0]
    assert kind.CodeValue == "45289007"
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == "7771000"


def test_a_ct_that_is_not_dicom_is_refused_with_the_alternative(
    case: tuple[Volume, Segmentation], tmp_path: Path
) -> None:
    volume, reference = case
    with pytest.raises(InputError, match=r"did not come from DICOM.*seg\.nrrd"):
        write_dicom_seg(reference, replace(volume, dicom_uids={}), tmp_path / "seg.dcm")


@pytest.mark.parametrize("kind", ["rtstruct", "seg"])
def test_the_command_writes_dicom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv("FOCUSNET_MODELS", str(tmp_path / "models"))
    random_bundle(tmp_path / "models")
    assert main(["phantom", str(tmp_path / "p"), "--dicom"]) == 0
    out = tmp_path / "o.dcm"
    assert main(["segment", str(tmp_path / "p" / "dicom"), "-o", str(out), "--dicom", kind, "--model", "random"]) == 0
    assert pydicom.dcmread(out).Modality == kind.upper()
    assert (
        main(
            [
                "segment",
                str(tmp_path / "p" / "ct.nrrd"),
                "-o",
                str(tmp_path / "n.dcm"),
                "--dicom",
                kind,
                "--model",
                "random",
            ]
        )
        == 2
    )
    assert not (tmp_path / "n.dcm").exists()
