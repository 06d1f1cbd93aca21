"""No process and no file of a worker is left, however its run ended. Real child processes; small scripts stand in for ``focusnet``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from FocusNetSegmentationLib.process import process_tree, worker_protocol
from FocusNetSegmentationLib.process.process_tree import is_alive, kill_tree, run_is_alive
from FocusNetSegmentationLib.process.worker_protocol import worker_environment

from ..helpers_worker import FAMILY, GOOD, PREAMBLE, Log, gone, posix, request_in, run, wait_for_step, worker_for


@posix
def test_cancel_takes_effect_within_two_seconds_and_leaves_no_process(process: Any, log: Log, tmp_path: Path) -> None:
    worker = worker_for(process, log, FAMILY + "time.sleep(600)")
    worker.start(request_in(tmp_path))
    pids = [int(pid) for pid in wait_for_step(worker, log, "pids").message.split()]
    assert all(map(is_alive, pids))
    started = time.monotonic()
    worker.cancel()
    assert time.monotonic() - started < 2.0
    assert gone(pids, 0.5), "children that ignore SIGTERM, in sessions of their own, are gone too"
    assert log.ends == [("cancelled",)]
    assert not (tmp_path / "work").exists()
    worker.process.pump(0.2)
    assert len(log.ends) == 1, "nothing more is told of a run that was cancelled"


@posix
def test_children_of_a_dead_parent_are_found() -> None:
    pytest.importorskip("psutil")
    run, other = uuid.uuid4().hex, uuid.uuid4().hex
    family = subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + FAMILY + "os._exit(0)", "out"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **worker_environment(run)},
    )
    assert family.stderr is not None
    pids = [int(pid) for pid in json.loads(family.stderr.readline())["message"].split()]
    family.wait(10)
    assert not is_alive(pids[0])
    assert is_alive(pids[2], run)
    assert not is_alive(pids[2], other), "a process id that the system uses again is not mistaken"
    assert run_is_alive(run)
    assert not run_is_alive(other)
    assert kill_tree(pids[0], run) == []
    assert gone(pids)
    assert not run_is_alive(run)


def test_before_psutil_is_installed_the_process_itself_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_tree, "psutil", None)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    assert is_alive(child.pid)
    assert kill_tree(child.pid, "run") == []
    assert child.wait(10) != 0
    assert not is_alive(child.pid)
    assert kill_tree(child.pid, "run") == [], "a process that has ended is no survivor"
    assert kill_tree(None, "run") == []


@posix
def test_what_a_finished_worker_left_behind_is_killed_too(process: Any, log: Log, tmp_path: Path) -> None:
    run(process, log, FAMILY + GOOD + "os._exit(0)", tmp_path)
    assert log.ends[0][0] == "done"
    assert gone([int(pid) for pid in log.progress[0].message.split()])


def test_closing_slicer_during_a_run_kills_it_and_calls_nobody(process: Any, log: Log, tmp_path: Path) -> None:
    worker = worker_for(
        process, log, 'say("progress", step="pids", fraction=0, message=str(os.getpid()))\ntime.sleep(600)'
    )
    worker.start(request_in(tmp_path))
    pid = int(wait_for_step(worker, log, "pids").message)
    worker.close()
    assert gone([pid])
    assert log.ends == []
    assert not (tmp_path / "work").exists()


# --- when Slicer itself ends


@pytest.fixture
def orphan(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """``worker_child`` around a stand-in for focusnet that would run for ten minutes."""
    (tmp_path / "focusnet" / "cli").mkdir(parents=True)
    for package in (tmp_path / "focusnet", tmp_path / "focusnet" / "cli"):
        (package / "__init__.py").touch()
    (tmp_path / "focusnet" / "cli" / "main.py").write_text(
        "import time\ndef main(a):\n    print('on', flush=True)\n    time.sleep(600)\n    return 0\n"
    )
    work = tmp_path / "work"
    work.mkdir()
    environment = {**os.environ, **worker_environment("orphan", work)}
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), environment["PYTHONPATH"]])
    child = subprocess.Popen(
        [sys.executable, "-m", worker_protocol.CHILD_MODULE, "segment"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline().strip() == b"on"
    yield child, work
    child.kill()
    child.wait()


def test_the_worker_ends_and_cleans_up_when_slicer_crashes(orphan: tuple[subprocess.Popen[bytes], Path]) -> None:
    child, work = orphan
    assert child.stdin is not None
    child.stdin.write(worker_protocol.HANDSHAKE)
    child.stdin.flush()
    time.sleep(0.2)
    assert child.poll() is None, "it runs as long as its parent holds the pipe"
    child.stdin.close()  # what the system does when the parent dies
    child.wait(5)
    assert not work.exists()


def test_a_launcher_that_gives_no_stdin_does_not_end_the_worker(orphan: tuple[subprocess.Popen[bytes], Path]) -> None:
    child, _ = orphan
    assert child.stdin is not None
    child.stdin.close()
    time.sleep(0.5)
    assert child.poll() is None


def test_the_watch_does_not_disturb_a_normal_end() -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", worker_protocol.CHILD_MODULE, "--version"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **worker_environment("v")},
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdin.write(worker_protocol.HANDSHAKE)
    child.stdin.flush()
    assert child.wait(20) == 0
    assert child.stdout.read().startswith(b"focusnet ")
    assert child.stderr.read() == b""
