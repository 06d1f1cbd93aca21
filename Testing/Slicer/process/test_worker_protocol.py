"""What goes to the worker and comes from it: the command, Slicer's Python, lines of JSON among noise."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from FocusNetSegmentationLib.process import worker_protocol
from FocusNetSegmentationLib.process.worker_protocol import (
    LineParser,
    ProgressEvent,
    WorkerRequest,
    focusnet_command,
    parse_line,
)


def test_a_message_cut_anywhere_is_read() -> None:
    line = (
        json.dumps({"event": "progress", "step": "Überlagern", "fraction": 0.25}, ensure_ascii=False).encode() + b"\n"
    )
    for cut in range(len(line) + 1):
        parser = LineParser()
        assert [*parser.feed(line[:cut]), *parser.feed(line[cut:])] == [ProgressEvent("Überlagern", 0.25)], cut


@pytest.mark.parametrize("value", [-1, 2, "half", None, True, float("inf")])
def test_a_fraction_is_always_between_0_and_1(value: object) -> None:
    event = parse_line(json.dumps({"event": "progress", "step": "s", "fraction": value}))
    assert isinstance(event, ProgressEvent)
    assert 0.0 <= event.fraction <= 1.0


def test_what_is_kept_of_a_flood_is_bounded() -> None:
    parser = LineParser()
    for _ in range(100):
        parser.feed(b"noise " * 100 + b"\n" + b"y" * 100_000)
    for _ in range(100):
        parser.feed(b"z" * 100_000)  # ten megabytes without a line end
    assert sum(map(len, parser.details)) + len(parser._rest) < 2_500_000
    parser.feed(b"\nlast\n", final=True)
    assert parser.details[-1] == "last"


def test_the_command_is_focusnet_in_this_python(tmp_path: Path) -> None:
    request = WorkerRequest(
        tmp_path / "ct.nrrd", tmp_path / "o.seg.nrrd", tmp_path / "r.json", "m", "cpu", ("Eye_L", "Lens_R")
    )
    program, arguments = focusnet_command(request, "PythonSlicer")
    assert program == "PythonSlicer"
    assert arguments[2:] == [
        "segment", str(tmp_path / "ct.nrrd"), "-o", str(tmp_path / "o.seg.nrrd"), "--report", str(tmp_path / "r.json"),
        "--model", "m", "--device", "cpu", "--json-progress", "--organs", "Eye_L,Lens_R",
    ]  # fmt: skip


def test_slicers_python_is_found_first_and_this_one_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert worker_protocol.find_python() == sys.executable
    monkeypatch.setattr(sys, "executable", str(tmp_path / "SlicerApp-real"))
    assert "python" in Path(worker_protocol.find_python()).name, (
        "an application that holds Python: the one it was made of"
    )
    (tmp_path / "PythonSlicer").touch(mode=0o755)
    assert worker_protocol.find_python() == str(tmp_path / "PythonSlicer")
    (tmp_path / "PythonSlicer").unlink()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="PythonSlicer was not found"):
        worker_protocol.find_python()
