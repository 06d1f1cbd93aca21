"""The report says what was done and what came out, in JSON that any program reads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from focusnet.image.segmentation import Segmentation
from focusnet.io.json_report import SCHEMA_VERSION, report, write_report

from ..helpers_outputs import MISSING, PROVENANCE, scan_and_organs


def read_back(result: Segmentation, folder: Path) -> dict[str, Any]:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    write_report(result, folder / "report.json")
    text = (folder / "report.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return loaded


def test_each_organ_has_its_volume_place_and_warnings(tmp_path: Path) -> None:
    organs = {o["name"]: o for o in read_back(scan_and_organs("oblique")[1], tmp_path)["organs"]}
    assert organs["Brainstem"]["found"] is True
    assert organs["Brainstem"]["volume_ml"] == 8 * 5 * 6 * 0.02, "voxels of 2 x 2.5 x 4 mm"
    assert organs["Brainstem"]["localization_peak"] == 0.875
    assert organs["Brainstem"]["localization_mm_lps"] == [1.5, -2.25, 3.0]
    assert organs["Parotid_R"]["localization_peak"] is None, "not one of those that are looked for"
    assert (organs["Parotid_R"]["side"], organs["Brainstem"]["side"]) == ("right", None)
    assert organs[MISSING]["found"] is False
    assert organs[MISSING]["volume_ml"] == 0
    assert organs[MISSING]["warnings"][0] == "Not found in this scan."


def test_the_report_says_what_made_it(tmp_path: Path) -> None:
    told = read_back(scan_and_organs()[1], tmp_path)
    assert told["schema_version"] == SCHEMA_VERSION
    assert "not a medical device" in told["disclaimer"]
    assert told["model"] == {"name": "han7-test", "version": "1.2", "sha256": "ab" * 32}
    assert told["versions"] == {"focusnet": "0.1.0", "torch": "2.13.0", "python": "3.11.7"}
    assert told["run"] == {"device": "cpu", "precision": "bf16", "seconds": 12.5}
    assert (told["source"], told["notes"]) == (PROVENANCE["source"], PROVENANCE["notes"])
    assert told["grid"]["shape_zyx"] == [30, 36, 40]


def test_a_reference_without_a_model_has_a_report_too(tmp_path: Path) -> None:
    told = read_back(replace(scan_and_organs()[1], provenance={}), tmp_path)
    assert told["model"] == {"name": None, "version": None, "sha256": None}
    assert told["versions"]["torch"] is None


def test_nothing_in_the_provenance_can_stop_the_report(tmp_path: Path) -> None:
    odd = {
        "seconds": np.float32(1.5),
        "retries": np.arange(2),
        "peak": float("nan"),
        "source": Path("a"),
        "x": {1: object},
    }
    told = read_back(replace(scan_and_organs()[1], provenance=odd), tmp_path)
    assert told["run"]["seconds"] == 1.5
    assert told["run"]["retries"] == [0, 1]
    assert told["run"]["peak"] is None
    assert told["source"] == "a"


def test_the_report_of_the_command_line_is_that_of_python(tmp_path: Path) -> None:
    _, result = scan_and_organs()
    assert read_back(result, tmp_path) == json.loads(json.dumps(report(result)))
