"""A corrected result of several models becomes a case like any other, and the case says which model drew what."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from focusnet.datasets.collected import read_collection
from focusnet.image.drawn_by import MODELS, merged_identity, run_of
from focusnet.io.read import read_segmentation
from focusnet.io.seg_nrrd import read_seg_nrrd, write_seg_nrrd
from focusnet.io.segment_tags import RUN_KEYS, RUN_TAG, tag_text

from ..helpers_collect import APPROVED, collect, reviewed_case, scan_and_result

_, DRAWN = scan_and_result()
NAMES = [r.organ.name for r in DRAWN.results]
TWO = [
    {"model": "han7-test", "model_version": "1.2", "bundle_sha256": "ab" * 32, "organs": dict.fromkeys(NAMES[:-1], "It alone.")},
    {"model": "eyes22", "model_version": "0", "bundle_sha256": "cd" * 32, "organs": {NAMES[-1]: "It alone."}},
]  # fmt: skip
MERGED = {**merged_identity(TWO), "source": "CT 1", MODELS: TWO}


def test_a_corrected_merged_result_is_collected_with_its_models(tmp_path: Path) -> None:
    runs = {name: {key: value for key, value in run_of(MERGED, name).items() if key in RUN_KEYS} for name in NAMES}
    case = reviewed_case(tmp_path / "in", more_tags={name: {RUN_TAG: tag_text(run)} for name, run in runs.items()})
    model = read_seg_nrrd(case.model)
    write_seg_nrrd(replace(model, provenance=MERGED), case.model, overwrite=True)
    assert collect(case, tmp_path / "set") == 0
    (found,) = read_collection(tmp_path / "set").cases
    assert found.model == {
        "name": "han7-test + eyes22", "version": "1.2 + 0", "bundle_sha256": MERGED["bundle_sha256"],
    }  # fmt: skip
    assert set(found.organs) == set(APPROVED)
    assert found.audit is not None
    content = json.loads(next((tmp_path / "set").rglob("case.json")).read_text())
    assert [(m["name"], m["organs"]) for m in content["models"]] == [("han7-test", NAMES[:-1]), ("eyes22", NAMES[-1:])]
    assert found.model_labels is not None
    assert read_segmentation(found.model_labels).provenance["model"] == "han7-test + eyes22"


def test_the_copy_of_another_run_is_still_refused(tmp_path: Path) -> None:
    other = [TWO[0] | {"model_version": "1.3", "bundle_sha256": "ee" * 32}, TWO[1]]
    runs = {name: {key: value for key, value in run_of(MERGED, name).items() if key in RUN_KEYS} for name in NAMES}
    case = reviewed_case(tmp_path / "in", more_tags={name: {RUN_TAG: tag_text(run)} for name, run in runs.items()})
    model = read_seg_nrrd(case.model)
    write_seg_nrrd(
        replace(model, provenance={**MERGED, **merged_identity(other), MODELS: other}), case.model, overwrite=True
    )
    assert collect(case, tmp_path / "set") == 2
