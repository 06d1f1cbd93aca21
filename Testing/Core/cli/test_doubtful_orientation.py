"""Contours of a scan whose header seems to have directions wrong: said everywhere, and written only by a person who says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from focusnet.batch import contour
from focusnet.batch.contour import BatchOptions, contour_scan
from focusnet.batch.scans import Scan
from focusnet.cli.main import main
from focusnet.errors import InputError
from focusnet.image.orientation_doubt import DOUBT, doubt, doubt_text
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Volume
from focusnet.io.read import read_segmentation
from focusnet.io.seg_nrrd import write_seg_nrrd
from focusnet.io.write import write_segmentation
from focusnet.node import worker
from focusnet.reports.case_page import CaseReport, case_content
from focusnet.reports.overview import draw

from ..helpers_dicom import small_case
from ..helpers_engine import head
from ..helpers_images import write_image
from ..stand_in_model import boxes

DOUBTFUL = {DOUBT: doubt("front and back reversed", 0.12, 0.95)}
SENTENCE = doubt_text(DOUBTFUL)


def doubtful(volume: Volume) -> Segmentation:
    drawn = boxes(volume)
    return replace(drawn, provenance={**drawn.provenance, **DOUBTFUL})


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """``focusnet segment`` on a scan that the model doubts."""
    monkeypatch.setattr("focusnet.cli.segment.run_model", lambda volume, *_: doubtful(volume))
    scan = write_image(head(), tmp_path / "ct.nrrd")
    return lambda *more: main(["segment", str(scan), "-o", str(tmp_path / "o.seg.nrrd"), *map(str, more)])


def test_segment_writes_no_contours_but_says_why(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--report", tmp_path / "r.json", "--picture", tmp_path / "p.png") == 2
    told = capsys.readouterr().err.strip()
    assert told.startswith(f"focusnet: {SENTENCE}")
    assert "--orientation-override writes the contours" in told
    assert "\n" not in told
    assert not (tmp_path / "o.seg.nrrd").exists()
    assert json.loads((tmp_path / "r.json").read_text())["run"][DOUBT] == DOUBTFUL[DOUBT]
    assert (tmp_path / "p.png").exists(), "the picture shows what is wrong"


def test_who_is_sure_of_the_header_gets_the_contours_with_the_warning(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--orientation-override") == 0
    assert f"warning: {SENTENCE}" in capsys.readouterr().err
    assert doubt_text(read_segmentation(tmp_path / "o.seg.nrrd").provenance) == SENTENCE


def test_export_refuses_what_was_written_in_spite_of_the_doubt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, organs = small_case(tmp_path)
    write_seg_nrrd(replace(organs, provenance={**organs.provenance, **DOUBTFUL}), tmp_path / "o.seg.nrrd")
    command = [
        "export",
        tmp_path / "o.seg.nrrd",
        "--ct",
        tmp_path / "ct",
        "-o",
        tmp_path / "r.dcm",
        "--dicom",
        "rtstruct",
    ]
    assert main([str(word) for word in command]) == 2
    assert SENTENCE in capsys.readouterr().err
    assert not (tmp_path / "r.dcm").exists()
    assert main([*(str(word) for word in command), "--orientation-override"]) == 0
    assert "seems to have front and back reversed" in pydicom.dcmread(tmp_path / "r.dcm").StructureSetDescription


def test_a_script_is_refused_by_the_writer_itself(tmp_path: Path) -> None:
    result = doubtful(head())
    with pytest.raises(InputError, match="front and back reversed"):
        write_segmentation(result, None, tmp_path / "o.nii.gz")
    write_segmentation(result, None, tmp_path / "o.nii.gz", orientation_override=True)
    assert (tmp_path / "o.nii.gz").exists()


def test_a_batch_goes_on_and_names_the_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contour, "run_model", lambda volume, *_: doubtful(volume))
    scan = Scan("a", write_image(head(), tmp_path / "a.nrrd"))
    (row,) = contour_scan(scan, BatchOptions(output=str(tmp_path), model="stand-in"))
    assert (row["status"], SENTENCE in row["message"]) == ("failed", True)
    assert not (tmp_path / "a.seg.nrrd").exists()
    (row,) = contour_scan(scan, BatchOptions(output=str(tmp_path), model="stand-in", orientation_override=True))
    assert (row["status"], SENTENCE in row["message"]) == ("done", True)


def test_the_node_sends_nothing_and_keeps_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan, _ = small_case(tmp_path)
    monkeypatch.setattr("focusnet.io.read.read_volume", lambda path, series: scan)
    monkeypatch.setattr(worker, "load_model", lambda name: None)
    monkeypatch.setattr(worker, "run_model", lambda volume, *_: doubtful(volume))
    (tmp_path / "out").mkdir()
    rule = {"model": "stand-in", "outputs": ["rtstruct"], "organs": []}
    job = {"scan": str(tmp_path / "ct"), "out": str(tmp_path / "out"), "uid": None, "rule": rule}
    answer = worker.answer({**job, "content": "", "instances": {}, "device": "cpu", "precision": "auto"}, {})
    assert (answer["ok"], answer["kind"]) == (False, worker.INPUT)
    assert "front and back reversed" in answer["reason"]
    assert not list((tmp_path / "out").iterdir())


def test_page_and_picture_show_the_doubt() -> None:
    scan = head()
    assert SENTENCE in case_content(CaseReport(scan, doubtful(scan)))["warnings"]
    said = " ".join(text.get_text() for text in draw(scan, doubtful(scan)).texts)
    assert SENTENCE in " ".join(said.split())
    assert "header seems" not in " ".join(text.get_text() for text in draw(scan, boxes(scan)).texts)
