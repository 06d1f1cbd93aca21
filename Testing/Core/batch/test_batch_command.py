"""``focusnet batch`` with a real (tiny, random) network in two worker processes."""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import pytest

from focusnet.cli.main import main
from focusnet.phantom.dicom import write_dicom_series

from ..helpers_engine import head, random_bundle


def test_two_workers_write_everything_that_is_asked_for_and_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(p for p in sys.path if p))
    monkeypatch.setattr("focusnet.batch.runners.MEMORY_PER_WORKER", 1)
    model = random_bundle(tmp_path).folder
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for number in range(2):
        write_dicom_series(head(seed=number), source / f"p{number}", number)
    (source / "bad.nii.gz").write_text("no image")
    command = ["batch", str(source), "-o", str(out), "--model", str(model), "--device", "cpu", "--workers", "2"]
    assert main([*command, "--dicom", "rtstruct", "--picture", "--report", "--qa"]) == 1
    endings = ("seg.nrrd", "json", "qa.json", "rtstruct.dcm", "png", "html")
    assert {p.name for p in out.iterdir()} == {"summary.csv", *(f"p{n}.{e}" for n in range(2) for e in endings)}
    first = rows(out)
    assert [(row["scan"], row["status"]) for row in first] == [("bad", "failed"), ("p0", "done"), ("p1", "done")]
    said = capsys.readouterr()
    assert "2 of 3 scans done" in said.out
    assert "focusnet: bad:" in said.err
    assert main(command) == 1
    again = rows(out)
    assert [row["status"] for row in again] == ["failed", "kept", "kept"]
    same = ("seconds", "organs_found", "not_found", "warnings", "Brainstem_ml", "output")
    assert [[row[key] for key in same] for row in again] == [[row[key] for key in same] for row in first]


def test_a_number_of_workers_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["batch", str(tmp_path), "-o", str(tmp_path / "out"), "--workers", "0"]) == 2
    assert "--workers is 0" in capsys.readouterr().err


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "summary.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))
