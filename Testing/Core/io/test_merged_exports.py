"""Every file of a merged result says which organ is from which model, and cautions beside the organs that they hold for alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from focusnet.image.drawn_by import CHOSEN, caution_of, chosen_because, merged_from_runs, model_of, run_of, same_model
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Volume
from focusnet.io.dicom_seg import write_dicom_seg
from focusnet.io.export_details import ExportDetails
from focusnet.io.json_report import report
from focusnet.io.review_tags import read_reviews, with_run
from focusnet.io.rtstruct_write import write_rtstruct
from focusnet.io.seg_nrrd import read_seg_nrrd, write_seg_nrrd
from focusnet.io.segment_tags import RUN_KEYS

from ..helpers_dicom import small_case
from ..helpers_outputs import CAUTION, MERGED, NAMES, scan_and_organs

BY_EYES = ("Parotid_R", "Parotid_L")


@pytest.fixture
def merged() -> Segmentation:
    return replace(scan_and_organs()[1], provenance=dict(MERGED))


@pytest.fixture
def dicom(tmp_path: Path) -> tuple[Volume, Segmentation]:
    volume, organs = small_case(tmp_path)
    return volume, replace(organs, provenance=dict(MERGED))


def test_the_report_names_model_reason_and_caution_of_each_organ(merged: Segmentation) -> None:
    told = json.loads(json.dumps(report(merged)))
    organs = {organ["name"]: organ for organ in told["organs"]}
    assert {name: organs[name]["model"] for name in NAMES} == {
        "Brainstem": "han7-test",
        "SpinalCord": "han7-test",
        "Parotid_R": "eyes22",
        "Parotid_L": "eyes22",
        "Larynx": "eyes22",
    }
    assert organs["Brainstem"]["model_reason"].startswith("han7-test (DSC 0.80 on real CT) was taken before")
    assert (organs["Brainstem"]["caution"], organs["Parotid_L"]["caution"]) == (None, CAUTION)
    assert [model["sha256"] for model in told["models"]] == ["ab" * 32, "cd" * 32]
    assert told["cautions"] == [f"Parotid_R, Parotid_L, Larynx by eyes22: {CAUTION}"]


def test_the_structure_set_names_the_model_of_each_structure(
    dicom: tuple[Volume, Segmentation], tmp_path: Path
) -> None:
    volume, merged = dicom
    write_rtstruct(merged, volume, tmp_path / "rs.dcm", details=ExportDetails(by_hand=["SpinalCord"]))
    data = pydicom.dcmread(tmp_path / "rs.dcm")
    assert f"Parotid_R, Parotid_L, Larynx by eyes22: {CAUTION}" in data.StructureSetDescription
    assert "han7-test: Brainstem, SpinalCord." in data.StructureSetDescription
    for roi in data.StructureSetROISequence:
        eyes = roi.ROIName in BY_EYES
        assert (CAUTION in roi.ROIDescription) == eyes, roi.ROIName
        if roi.ROIName != "SpinalCord":
            assert ("eyes22" in roi.ROIGenerationDescription) == eyes
            assert ("han7-test" in roi.ROIGenerationDescription) != eyes


def test_the_dicom_segmentation_names_the_model_of_each_segment(
    dicom: tuple[Volume, Segmentation], tmp_path: Path
) -> None:
    pytest.importorskip("highdicom")
    volume, merged = dicom
    write_dicom_seg(merged, volume, tmp_path / "seg.dcm")
    for segment in pydicom.dcmread(tmp_path / "seg.dcm").SegmentSequence:
        (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
        eyes = segment.SegmentLabel in BY_EYES
        assert algorithm.AlgorithmName == ("FocusNetv2 eyes22" if eyes else "FocusNetv2 han7-test")
        assert algorithm.AlgorithmVersion == ("0" if eyes else "1.2")
        assert (CAUTION in segment.get("SegmentDescription", "")) == eyes


def test_a_seg_nrrd_keeps_the_models_also_where_slicer_drops_the_files_provenance(
    merged: Segmentation, tmp_path: Path
) -> None:
    write_seg_nrrd(merged, tmp_path / "o.seg.nrrd")
    back = read_seg_nrrd(tmp_path / "o.seg.nrrd")
    assert back.provenance == MERGED
    bare = replace(back, provenance={})
    again = with_run(bare, read_reviews(tmp_path / "o.seg.nrrd", bare)).provenance
    for name in NAMES:
        assert model_of(again, name) == model_of(MERGED, name)
        assert caution_of(again, name) == caution_of(MERGED, name)
        assert chosen_because(again, name) == chosen_because(MERGED, name)
    assert again["model"] == MERGED["model"]
    assert again["bundle_sha256"] == MERGED["bundle_sha256"]


def test_organs_by_organ_two_results_are_of_the_same_models() -> None:
    runs = {name: {key: value for key, value in run_of(MERGED, name).items() if key in RUN_KEYS} for name in NAMES}
    assert all(CHOSEN in run for run in runs.values())
    some = merged_from_runs({name: runs[name] for name in ("Brainstem", "Parotid_R")})
    one = merged_from_runs({"Parotid_R": runs["Parotid_R"]})
    assert same_model(some, MERGED, ["Brainstem", "Parotid_R"])
    assert same_model(one, MERGED, ["Parotid_R"])
    other = {**MERGED, "models": [MERGED["models"][0], {**MERGED["models"][1], "model_version": "1"}]}  # type: ignore[index]
    assert same_model(MERGED, other, ["Brainstem"])
    assert not same_model(MERGED, other, ["Brainstem", "Parotid_R"])
