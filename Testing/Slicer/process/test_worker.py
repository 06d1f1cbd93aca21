"""A run of the worker process: progress, result, cancel, callbacks. Real child processes; small scripts stand in for ``focusnet``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from FocusNetSegmentationLib.process.worker import State, WorkerBusyError
from FocusNetSegmentationLib.process.worker_protocol import ProgressEvent

from ..helpers_worker import GOOD, Log, request_in, run, wait_for_step, worker_for


def test_a_run_tells_its_progress_its_warnings_and_its_result(process: Any, log: Log, tmp_path: Path) -> None:
    worker = run(process, log, GOOD, tmp_path)
    assert [(e.step, e.fraction, e.message) for e in log.progress] == [
        ("Preparing the scan", 0.0, ""),
        ("Segmenting all organs", 0.5, "slice 20 of 40"),
    ]
    assert log.warnings == ["Slices are 6.0 mm apart."]
    ((kind, result),) = log.ends
    assert kind == "done"
    assert worker.state is State.DONE
    assert result.report == {"model": {"name": "m"}}
    assert result.warnings == ("Slices are 6.0 mm apart.",)
    assert log.contours == "contours", "the files are there while the result is imported"
    assert not (tmp_path / "work").exists(), "and gone afterwards, the patient's scan with them"


def test_two_runs_in_a_row(process: Any, log: Log, tmp_path: Path) -> None:
    worker = run(process, log, GOOD, tmp_path)
    worker.start(request_in(tmp_path))
    assert worker.wait(20)
    assert [end[0] for end in log.ends] == ["done", "done"]
    assert log.ends[1][1].warnings == ("Slices are 6.0 mm apart.",), "nothing is left of the first run"


def test_a_second_start_during_a_run_is_refused_and_the_run_goes_on(process: Any, log: Log, tmp_path: Path) -> None:
    worker = worker_for(process, log, 'say("progress", step="on", fraction=0)\ntime.sleep(0.4)' + GOOD)
    worker.start(request_in(tmp_path))
    with pytest.raises(WorkerBusyError, match="running already"):
        worker.start(request_in(tmp_path))
    assert worker.wait(20)
    assert log.ends[0][0] == "done"


def test_nothing_is_told_of_a_cancelled_run_that_spoke_on(process: Any, log: Log, tmp_path: Path) -> None:
    worker = worker_for(process, log, 'while True: say("progress", step="on", fraction=0.5)')
    worker.start(request_in(tmp_path))
    wait_for_step(worker, log, "on")
    time.sleep(0.1)  # words are waiting to be delivered
    worker.cancel()
    told = len(log.progress)
    for _ in range(10):
        worker.process.pump(0.02)
    assert len(log.progress) == told


def test_a_callback_may_cancel_the_run_that_it_is_told_of(process: Any, log: Log, tmp_path: Path) -> None:
    worker = worker_for(process, log, GOOD)
    worker.tell.on_progress = lambda _: worker.cancel()
    worker.start(request_in(tmp_path))
    assert worker.wait(20)
    assert log.ends == [("cancelled",)]


def test_the_next_run_may_start_where_the_last_one_ends(process: Any, log: Log, tmp_path: Path) -> None:
    worker = worker_for(process, log, GOOD)

    def again(result: Any) -> None:
        log.done(result)
        if len(log.ends) == 1:
            (tmp_path / "second").mkdir()
            worker.start(request_in(tmp_path / "second"))

    worker.tell.on_done = again
    worker.start(request_in(tmp_path))
    assert worker.wait(20)
    assert [end[0] for end in log.ends] == ["done", "done"]
    assert not (tmp_path / "work").exists()
    assert not (tmp_path / "second" / "work").exists()


def test_garbage_floods_and_split_characters_do_no_harm(process: Any, log: Log, tmp_path: Path) -> None:
    script = """
sys.stderr.buffer.write(bytes(range(256)) * 2000 + b'\\n[1]\\n{"event": 7}\\n{"event": "progress", "fraction": NaN}\\n' + b'{' * 3000 + b'\\n')
sys.stderr.buffer.write('{"event": "warning", "message": "über'.encode()[:-5]); sys.stderr.flush(); time.sleep(0.05)
sys.stderr.buffer.write('über'.encode()[:1]); sys.stderr.flush(); time.sleep(0.05)
sys.stderr.buffer.write('über'.encode()[1:] + b'"}\\r\\n'); sys.stderr.flush()
for i in range(20000): print("x" * 100)
"""
    run(process, log, script + GOOD, tmp_path)
    assert log.ends[0][0] == "done"
    assert log.warnings[0] == "über"
    assert log.progress[0] == ProgressEvent("", 0.0)
