"""The messages between Slicer and the worker process, and what a person is told when it goes wrong. No Slicer, no Qt.

The worker is ``focusnet segment --json-progress`` in a Python of its own: one JSON object a line on stderr, anything else there
is kept as details.
"""

from __future__ import annotations

import codecs
import json
import math
import os
import re
import shutil
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

LIBRARY_FOLDER = Path(__file__).resolve().parents[2]  # holds focusnet and FocusNetSegmentationLib
CHILD_MODULE = "FocusNetSegmentationLib.process.worker_child"
HANDSHAKE = b"parent\n"  # tells the child that its stdin is our pipe: when it ends, we are gone
WORK_FOLDER_VARIABLE = "FOCUSNET_WORK_FOLDER"
RUN_VARIABLE = "FOCUSNET_RUN"  # marks every process of a run, children of children included
LONGEST_LINE = 1 << 20  # bytes without a line end: no message of ours is that long
DETAIL_LINES = 400


class WorkerProcess(Protocol):
    """A process that can be started again after it has ended. Callbacks come on the thread that calls ``pump`` or runs the
    event loop, and never after ``terminate_tree``."""

    on_stdout: Callable[[bytes], None]
    on_stderr: Callable[[bytes], None]
    on_finished: Callable[[int, bool], None]  # exit status (minus the signal's number if one ended it), crashed

    def start(self, program: str, args: Sequence[str], env: dict[str, str]) -> None:
        """Start with ``env`` on top of our own environment. Raises OSError if the program cannot be started at all."""

    def write(self, data: bytes) -> None: ...

    def terminate_tree(self) -> list[int]:
        """Kill the process and everything that it started; ids of what could not be killed."""

    def pump(self, timeout_s: float) -> None:
        """Wait up to ``timeout_s`` for something to happen and deliver it."""


@dataclass(frozen=True)
class WorkerRequest:
    """One run. ``work_folder`` holds its temporary files and is removed when the run has ended, however it ended."""

    input_path: Path
    output_path: Path
    report_path: Path
    model: str
    device: str = "auto"
    organs: tuple[str, ...] = ()
    work_folder: Path | None = None
    extra: tuple[str, ...] = ()

    def arguments(self) -> list[str]:
        """Return the arguments of ``focusnet``."""
        arguments = ["segment", str(self.input_path), "-o", str(self.output_path), "--report", str(self.report_path)]
        arguments += ["--model", self.model, "--device", self.device, "--json-progress"]
        if self.organs:
            arguments += ["--organs", ",".join(self.organs)]
        return [*arguments, *self.extra]


def focusnet_command(request: WorkerRequest, python: str | None = None) -> tuple[str, list[str]]:
    """Return program and arguments of a run: ``focusnet`` in Slicer's Python, ended with its parent."""
    return python or find_python(), ["-m", CHILD_MODULE, *request.arguments()]


def worker_environment(run: str, work_folder: Path | None = None) -> dict[str, str]:
    """Return what is added to our environment for a child."""
    paths = [str(LIBRARY_FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])]
    added = {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
        "PYTHONFAULTHANDLER": "1",  # a launcher hides its child's signal: the words on stderr still tell of a crash
        RUN_VARIABLE: run,
    }
    if work_folder is not None:
        added[WORK_FOLDER_VARIABLE] = str(work_folder)
    return added


def find_python() -> str:
    """Return PythonSlicer beside Slicer, else the Python that this process runs on. Raises FileNotFoundError."""
    found = shutil.which("PythonSlicer")
    if found:
        return found
    executable, prefix = Path(sys.executable or "."), Path(sys.prefix)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    candidates = [executable.with_name("PythonSlicer"), executable.with_name("PythonSlicer.exe")]
    candidates += [executable] if executable.name.lower().startswith("python") else []
    candidates += [prefix / "bin" / version, prefix / "bin" / "python3", prefix / "python.exe"]
    for candidate in candidates:
        if candidate.is_file():
            return str(candidate)
    raise FileNotFoundError(
        f"PythonSlicer was not found beside {executable}; it is part of 3D Slicer. Install 3D Slicer again."
    )


@dataclass(frozen=True)
class ProgressEvent:
    step: str
    fraction: float
    message: str = ""


@dataclass(frozen=True)
class WarningEvent:
    message: str


@dataclass(frozen=True)
class ResultEvent:
    segmentation: str
    report: str | None = None


@dataclass(frozen=True)
class ErrorEvent:
    """``status`` 2: the user's to mend; 1: anything else."""

    message: str
    status: int = 1


Event: TypeAlias = "ProgressEvent | WarningEvent | ResultEvent | ErrorEvent"


@dataclass
class LineParser:
    """Bytes of stderr, cut anywhere, to events. What is no event is kept in ``details``."""

    details: deque[str] = field(default_factory=lambda: deque(maxlen=DETAIL_LINES))
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )
    _rest: str = ""

    def feed(self, data: bytes, final: bool = False) -> list[Event]:
        text = self._rest + self._decoder.decode(data, final)
        lines = re.split(r"\r\n|\n|\r", text)
        self._rest = lines.pop()
        if final or len(self._rest) > LONGEST_LINE:
            lines.append(self._rest)
            self._rest = ""
        events = []
        for line in lines:
            event = parse_line(line)
            if event is not None:
                events.append(event)
            elif line.strip():
                self.details.append(line.rstrip()[:2000])
        return events


def parse_line(line: str) -> Event | None:
    """Return the event in one line of stderr; None for what is not a message of ours."""
    if not line.lstrip().startswith("{"):
        return None
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict):
        return None
    kind = message.get("event")
    if kind == "progress":
        return ProgressEvent(
            str(message.get("step", "")), _fraction(message.get("fraction")), str(message.get("message", ""))
        )
    if kind == "warning" and message.get("message"):
        return WarningEvent(str(message["message"]))
    if kind == "result" and message.get("segmentation"):
        report = message.get("report")
        return ResultEvent(str(message["segmentation"]), None if report is None else str(report))
    if kind == "error":
        status = message.get("status")
        text = str(message.get("message") or "The segmentation failed without a reason.")
        return ErrorEvent(text, status if isinstance(status, int) else 1)
    return None


def _fraction(value: object) -> float:
    if isinstance(value, (int, float)) and math.isfinite(value):
        return min(1.0, max(0.0, float(value)))
    return 0.0


CRASHES = (  # what stderr or the exit status says, and what a person is told; the first that fits
    (
        r"no module named '?torch|no module named '?(safetensors|slicerio|nrrd|platformdirs|pydicom|scipy|SimpleITK)",
        "A Python package that the segmentation needs is not installed. Open Installation and press Install.",
    ),
    (
        r"cuda out of memory|outofmemoryerror|cublas_status_alloc_failed|mps backend out of memory",
        "The GPU ran out of memory. Close other programs that use it, or choose the device cpu.",
    ),
    (
        r"\bmemoryerror\b|cannot allocate memory|bad_alloc|not enough memory|paging file is too small",
        "The computer ran out of memory. Close other programs or scans and try again.",
    ),
    (
        r"no space left on device|errno 28|disk full|not enough space on the disk",
        "The disk is full. Free some space and try again.",
    ),
    (
        r"dll load failed|winerror (126|127|193|1114)|cannot open shared object file|undefined symbol|library not loaded",
        "PyTorch or a package that it needs is only half installed. Open Installation and install PyTorch again.",
    ),
    (
        r"permissionerror|permission denied|access is denied",
        "A file or folder could not be written: permission denied.",
    ),
)
WINDOWS_CRASHES = {0xC0000005: "access violation", 0xC000001D: "illegal instruction", 0xC00000FD: "stack overflow"}


def explain_end(exit_status: int, crashed: bool, details: str) -> str:
    """Return a sentence for a worker that ended without saying why. ``exit_status``: minus the signal's number if one ended it."""
    text = details.lower()
    for pattern, sentence in CRASHES:
        if re.search(pattern, text):
            return sentence
    signal_number = -exit_status if exit_status < 0 else exit_status - 128 if 128 < exit_status < 160 else 0
    if signal_number == 9:
        return (
            "The segmentation was stopped by the operating system, most likely because memory ran out. "
            "Close other programs or scans and try again."
        )
    if signal_number == 4 or "illegal instruction" in text:
        return "The segmentation crashed: this processor lacks an instruction that the installed PyTorch uses. Install another build of PyTorch."
    if signal_number in (6, 7, 8, 11) or "fatal python error" in text:
        return (
            "The segmentation crashed. Try again; if it happens again with the device cpu, report it with the details."
        )
    if (exit_status & 0xFFFFFFFF) in WINDOWS_CRASHES:
        return f"The segmentation crashed ({WINDOWS_CRASHES[exit_status & 0xFFFFFFFF]}). Try again with the device cpu."
    if crashed:
        return "The segmentation was stopped from outside. Try again."
    if exit_status == 127:
        return "The segmentation process could not be started. See the details."
    if exit_status == 0:
        return "The segmentation ended without a result. Report it with the details."
    return f"The segmentation ended unexpectedly (exit status {exit_status}). See the details."


def parent_has_ended(stdin: int) -> bool:
    """Wait until the pipe ``stdin`` (a file descriptor) ends and return True; False at once if the parent's line does not come first.

    os.read, because a thread that waits inside ``sys.stdin`` would disturb Python's shutdown.
    """
    try:
        if not os.read(stdin, len(HANDSHAKE)).startswith(HANDSHAKE[:6]):
            return False
        while os.read(stdin, 1024):
            pass
    except OSError:
        return False
    return True
