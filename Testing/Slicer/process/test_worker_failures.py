"""A worker that crashes, refuses or cannot be started is one readable line. Real child processes; small scripts stand in for ``focusnet``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from FocusNetSegmentationLib.process import worker_protocol
from FocusNetSegmentationLib.process.worker import OUT_OF_MEMORY, State, SubprocessProcess
from FocusNetSegmentationLib.process.worker_protocol import WorkerRequest, explain_end, focusnet_command

from ..helpers_worker import GOOD, PREAMBLE, Log, posix, request_in, run, worker_for


@posix
@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "The segmentation crashed. Try again"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "most likely because memory ran out"),
        ("os.kill(os.getpid(), signal.SIGILL)", "lacks an instruction"),
        ("os.kill(os.getpid(), signal.SIGTERM)", "stopped from outside"),
        # a launcher that hides its child's signal: only the words on stderr are left
        ("subprocess.run([sys.executable, '-X', 'faulthandler', '-c', 'import os; os.kill(os.getpid(), 11)']); sys.exit(1)", "The segmentation crashed"),
        ("raise MemoryError", "The computer ran out of memory"),
        ("raise ModuleNotFoundError(\"No module named 'torch'\")", "Open Installation and press Install"),
        ("raise OSError(28, 'No space left on device')", "The disk is full"),
        ("print('CUDA out of memory. Tried to allocate 2 GiB', file=sys.stderr); sys.exit(1)", "The GPU ran out of memory"),
        ("sys.exit(7)", "exit status 7"),
        ("pass", "ended without a result"),
    ],
)  # fmt: skip
def test_a_crash_is_a_readable_message_with_details_and_no_files(
    script: str, sentence: str, log: Log, tmp_path: Path
) -> None:
    worker = run(SubprocessProcess(), log, 'print("last words", file=sys.stderr, flush=True)\n' + script, tmp_path)
    ((kind, message, details),) = log.ends
    assert kind == "failed"
    assert worker.state is State.FAILED
    assert sentence in message
    assert "Traceback" not in message
    assert "\n" not in message
    assert "last words" in details
    assert not (tmp_path / "work").exists()


@posix
def test_qprocess_and_subprocess_tell_the_same_of_a_crash(process: Any, log: Log, tmp_path: Path) -> None:
    run(process, log, "os.kill(os.getpid(), signal.SIGKILL)", tmp_path)
    assert "most likely because memory ran out" in log.ends[0][1]


def test_the_users_mistake_is_told_in_the_engines_words(process: Any, log: Log, tmp_path: Path) -> None:
    run(process, log, 'say("error", message="Model x is not there.", status=2)\nsys.exit(2)', tmp_path)
    assert log.ends == [("failed", "Model x is not there.", "")]


def test_a_failure_after_retries_tells_what_was_tried(log: Log, tmp_path: Path) -> None:
    script = """
say("progress", step="Out of memory", fraction=0.05, message="cuda: out of memory with chunks of 40 slices, trying 20")
say("error", message="Out of memory even on the CPU; close other programs.", status=2)
sys.exit(2)
"""
    run(SubprocessProcess(), log, script, tmp_path)
    assert log.ends[0][2] == "Out of memory: cuda: out of memory with chunks of 40 slices, trying 20"


def test_the_engine_calls_its_retry_by_the_name_that_is_looked_for() -> None:
    source = (worker_protocol.LIBRARY_FOLDER / "focusnet" / "inference" / "segment.py").read_text(encoding="utf-8")
    assert f'Progress("{OUT_OF_MEMORY}"' in source


def test_a_program_that_is_not_there_is_a_failure_and_not_an_exception(process: Any, log: Log, tmp_path: Path) -> None:
    worker = worker_for(process, log, "")
    worker.command = lambda _: (str(tmp_path / "no-such-python"), [])
    worker.start(request_in(tmp_path))
    assert worker.wait(10)
    assert log.ends[0][0] == "failed"
    assert "could not be started" in log.ends[0][1]
    assert not (tmp_path / "work").exists()
    worker.command = lambda request: (sys.executable, ["-c", PREAMBLE + GOOD, str(request.output_path)])
    worker.start(request_in(tmp_path))
    assert worker.wait(20)
    assert log.ends[1][0] == "done", "the next run works"


def test_windows_crashes_are_explained() -> None:
    assert "access violation" in explain_end(-1073741819, True, "")
    assert "half installed" in explain_end(1, False, "ImportError: DLL load failed while importing _C")


def test_focusnet_itself_refuses_in_one_line(log: Log, tmp_path: Path) -> None:
    """The real command line in a real child: what it says of a model that is not there reaches the user as it is."""
    pytest.importorskip("torch", reason="the worker's Python needs torch")
    worker = worker_for(SubprocessProcess(), log, "")
    worker.command = lambda request: focusnet_command(request, sys.executable)
    request = request_in(tmp_path)
    worker.start(
        WorkerRequest(
            request.input_path,
            request.output_path,
            request.report_path,
            "no-such-model",
            work_folder=request.work_folder,
        )
    )
    assert worker.wait(60)
    assert "No model 'no-such-model'" in log.ends[0][1], log.ends
