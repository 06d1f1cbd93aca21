"""A Python with torch for the tests of Slicer's side, and runs of a worker whose ``focusnet`` is a small script (a test double)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from FocusNetSegmentationLib.process.process_tree import is_alive
from FocusNetSegmentationLib.process.worker import Worker, WorkerCallbacks
from FocusNetSegmentationLib.process.worker_protocol import ProgressEvent, WorkerRequest


def worker_python() -> str:
    """A Python with torch: this one, or the one that FOCUSNET_WORKER_PYTHON names (slicer-core's Python need not have it)."""
    python = os.environ.get("FOCUSNET_WORKER_PYTHON", sys.executable)
    done = subprocess.run([python, "-c", "import torch, slicerio, safetensors"], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("no Python with torch: set FOCUSNET_WORKER_PYTHON to one")
    return python


posix = pytest.mark.skipif(os.name != "posix", reason="signals are a matter of Linux and macOS")

# Test doubles for the worker: what focusnet would write, then something for each test.
PREAMBLE = """
import json, os, signal, subprocess, sys, time
def say(event, **values): print(json.dumps({"event": event, **values}), file=sys.stderr, flush=True)
out = sys.argv[1]
"""
GOOD = """
say("progress", step="Preparing the scan", fraction=0.0, message="")
say("warning", message="Slices are 6.0 mm apart.")
print("this is no JSON {", file=sys.stderr)
say("progress", step="Segmenting all organs", fraction=0.5, message="slice 20 of 40")
open(out, "w").write("contours")
open(out + ".json", "w").write(json.dumps({"model": {"name": "m"}}))
say("result", segmentation=out, report=out + ".json")
print("a table for people")
"""
FAMILY = """
# a child that ignores SIGTERM, in a session of its own, with a child of its own
grandchild = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
child = f"import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', {grandchild!r}]); print(p.pid, flush=True); time.sleep(600)"
signal.signal(signal.SIGTERM, signal.SIG_IGN)
p = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE, text=True, start_new_session=True)
pids = [os.getpid(), p.pid, int(p.stdout.readline())]
say("progress", step="pids", fraction=0.1, message=" ".join(map(str, pids)))
"""


class Log:
    """What the callbacks were told."""

    def __init__(self) -> None:
        self.progress: list[ProgressEvent] = []
        self.warnings: list[str] = []
        self.ends: list[tuple[Any, ...]] = []
        self.contours = ""

    def done(self, result: Any) -> None:
        self.contours = result.segmentation_path.read_text()
        self.ends.append(("done", result))


def worker_for(process: Any, log: Log, script: str) -> Worker:
    tell = WorkerCallbacks(
        on_progress=log.progress.append,
        on_warning=log.warnings.append,
        on_done=log.done,
        on_failed=lambda message, details: log.ends.append(("failed", message, details)),
        on_cancelled=lambda: log.ends.append(("cancelled",)),
    )
    return Worker(process, tell, lambda request: (sys.executable, ["-c", PREAMBLE + script, str(request.output_path)]))


def request_in(folder: Path) -> WorkerRequest:
    work = folder / "work"
    work.mkdir(exist_ok=True)
    (work / "ct.nrrd").write_text("a patient's scan")
    return WorkerRequest(work / "ct.nrrd", work / "out.seg.nrrd", work / "out.json", "m", work_folder=work)


def run(process: Any, log: Log, script: str, folder: Path) -> Worker:
    worker = worker_for(process, log, script)
    worker.start(request_in(folder))
    assert worker.wait(20), "the run did not end"
    return worker


def wait_for_step(worker: Worker, log: Log, step: str) -> ProgressEvent:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        worker.process.pump(0.05)
        for event in log.progress:
            if event.step == step:
                return event
    raise AssertionError(f"no progress {step!r}; {log.progress} {log.ends}")


def gone(pids: list[int], within_s: float = 2.0) -> bool:
    deadline = time.monotonic() + within_s
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(is_alive, pids))
