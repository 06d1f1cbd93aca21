"""The worker process as Slicer sees it: start, progress, cancel, and one of done, failed, cancelled at the end.

``Worker`` is the state machine. Two processes fit it: ``QtProcess`` in Slicer's event loop, ``SubprocessProcess`` without one.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import queue
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from .process_tree import kill_tree
from .worker_protocol import (
    HANDSHAKE,
    RUN_VARIABLE,
    ErrorEvent,
    LineParser,
    ProgressEvent,
    ResultEvent,
    WarningEvent,
    WorkerProcess,
    WorkerRequest,
    explain_end,
    focusnet_command,
    worker_environment,
)

OUT_OF_MEMORY = "Out of memory"  # the engine's step that tells of a retry: a failure's details name what was tried
READER_GRACE_S = 1.0  # a grandchild may keep the pipes open after the worker itself has ended


class State(Enum):
    IDLE = "idle"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class WorkerBusyError(RuntimeError):
    """A second start during a run."""


@dataclass(frozen=True)
class WorkerResult:
    """``report``: the JSON report as read, None if it could not be. Files are gone after the ``on_done`` callback returns."""

    segmentation_path: Path
    report: dict[str, Any] | None
    warnings: tuple[str, ...]
    seconds: float


def _nothing(*_: object) -> None:
    return None


@dataclass
class WorkerCallbacks:
    """``on_progress(ProgressEvent)``, ``on_warning(text)``, and one of ``on_done(WorkerResult)``, ``on_failed(message, details)``,
    ``on_cancelled()`` at the end of each run."""

    on_progress: Callable[[ProgressEvent], object] = _nothing
    on_warning: Callable[[str], object] = _nothing
    on_done: Callable[[WorkerResult], object] = _nothing
    on_failed: Callable[[str, str], object] = _nothing
    on_cancelled: Callable[[], object] = _nothing


class Worker:
    """Runs one segmentation at a time and tells ``tell`` how it goes."""

    def __init__(
        self,
        process: WorkerProcess,
        tell: WorkerCallbacks | None = None,
        command: Callable[[WorkerRequest], tuple[str, list[str]]] = focusnet_command,
    ) -> None:
        self.process, self.command = process, command
        self.tell = tell or WorkerCallbacks()
        self.state = State.IDLE
        self._request: WorkerRequest | None = None
        process.on_stdout = self._on_stdout
        process.on_stderr = self._on_stderr
        process.on_finished = self._on_finished

    @property
    def is_running(self) -> bool:
        return self.state is State.RUNNING

    def start(self, request: WorkerRequest) -> None:
        """Start a run. Raises WorkerBusyError during another one. A program that cannot be started is an ``on_failed``."""
        if self.is_running:
            raise WorkerBusyError("A segmentation is running already. Wait for it or cancel it first.")
        self._request, self._started = request, time.monotonic()
        self._out, self._err = LineParser(), LineParser()
        self._result: ResultEvent | None = None
        self._error: ErrorEvent | None = None
        self._warnings: list[str] = []
        self.state = State.RUNNING
        try:
            program, arguments = self.command(request)
            environment = worker_environment(uuid.uuid4().hex, request.work_folder)
            self.process.start(program, arguments, environment)
            self.process.write(HANDSHAKE)
        except OSError as problem:
            reason = problem.strerror or str(problem)
            self._fail(f"The segmentation process could not be started ({reason}).", str(problem))

    def cancel(self) -> None:
        """Kill the run and remove its files. When this returns, nothing of it is left and ``on_cancelled`` has been told."""
        if self.is_running:
            self.process.terminate_tree()
            self._end(State.CANCELLED, self.tell.on_cancelled)

    def close(self) -> None:
        """End the run as ``cancel`` does, but without callbacks: Slicer is closing."""
        if self.is_running:
            self.process.terminate_tree()
            self._end(State.CANCELLED, _nothing)

    def wait(self, timeout_s: float | None = None, idle: Callable[[], object] = _nothing) -> bool:
        """Deliver what happens until the run has ended; False if ``timeout_s`` passed first. ``idle`` is called in between."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while self.is_running and (deadline is None or time.monotonic() < deadline):
            self.process.pump(0.05)
            idle()
        return not self.is_running

    def _on_stdout(self, data: bytes) -> None:
        self._out.feed(data)  # tables and sentences for people: kept as details

    def _on_stderr(self, data: bytes, final: bool = False) -> None:
        for event in self._err.feed(data, final):
            if isinstance(event, ProgressEvent):
                if event.step == OUT_OF_MEMORY:
                    self._err.details.append(f"{event.step}: {event.message}")
                self.tell.on_progress(event)
            elif isinstance(event, WarningEvent):
                self._warnings.append(event.message)
                self.tell.on_warning(event.message)
            elif isinstance(event, ResultEvent):
                self._result = event
            else:
                self._error = event

    def _on_finished(self, exit_status: int, crashed: bool) -> None:
        if not self.is_running:
            return
        self._on_stderr(b"", final=True)
        self._out.feed(b"", final=True)
        if not self.is_running:  # a callback for the last progress line cancelled the run
            return
        details = "\n".join([*self._out.details, *self._err.details])
        if self._error is not None:
            self._fail(self._error.message, details)
        elif exit_status != 0 or crashed or self._result is None:
            self._fail(explain_end(exit_status, crashed, details), details)
        elif not Path(self._result.segmentation).is_file():
            self._fail(f"The result {self._result.segmentation} is missing. Try again.", details)
        else:
            result = WorkerResult(
                Path(self._result.segmentation),
                _read_report(self._result.report),
                tuple(self._warnings),
                time.monotonic() - self._started,
            )
            self._end(State.DONE, lambda: self.tell.on_done(result))

    def _fail(self, message: str, details: str) -> None:
        self._end(State.FAILED, lambda: self.tell.on_failed(message, details))

    def _end(self, state: State, tell: Callable[[], object]) -> None:
        """The callback may start the next run: what belongs to this one is taken away before."""
        request, self._request = self._request, None
        self.state = state
        try:
            tell()
        finally:
            if request is not None and request.work_folder is not None:
                remove_folder(request.work_folder)


def remove_folder(folder: Path) -> None:
    """Remove a folder, in several tries: Windows lets go of a killed process's files a moment later."""
    for attempt in range(5):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05 * (attempt + 1))


def _read_report(path: str | None) -> dict[str, Any] | None:
    try:
        report = json.loads(Path(path).read_text(encoding="utf-8")) if path else None
    except (OSError, ValueError):
        return None
    return report if isinstance(report, dict) else None


class SubprocessProcess:
    """A process without Qt: threads read its pipes, ``pump`` delivers on the caller's thread."""

    def __init__(self) -> None:
        self.on_stdout: Callable[[bytes], None] = _nothing
        self.on_stderr: Callable[[bytes], None] = _nothing
        self.on_finished: Callable[[int, bool], None] = _nothing
        self._process: subprocess.Popen[bytes] | None = None
        self._events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._run = ""

    def start(self, program: str, args: Sequence[str], env: dict[str, str]) -> None:
        self._events, self._run = queue.Queue(), env.get(RUN_VARIABLE, "")
        self._process = subprocess.Popen(
            [program, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **env},
            start_new_session=os.name == "posix",  # Ctrl+C in a terminal is for us to handle
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        threading.Thread(target=_serve, args=(self._process, self._events), daemon=True).start()

    def write(self, data: bytes) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):  # it has ended already, which ``on_finished`` tells
                self._process.stdin.write(data)
                self._process.stdin.flush()

    def terminate_tree(self) -> list[int]:
        process, self._process = self._process, None
        self._events = queue.Queue()  # what the dead process still said is not delivered
        if process is None:
            return []
        survivors = kill_tree(process.pid, self._run)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
        return survivors

    def pump(self, timeout_s: float) -> None:
        events = self._events
        try:
            kind, value = events.get(timeout=timeout_s)
            while events is self._events:
                self._deliver(kind, value)
                kind, value = events.get_nowait()
        except queue.Empty:
            return

    def _deliver(self, kind: str, value: Any) -> None:
        if kind == "finished":
            kill_tree(None, self._run)  # what it started and left behind
            self._process = None
            self.on_finished(value, value < 0)
        else:
            (self.on_stdout if kind == "stdout" else self.on_stderr)(value)


def _serve(process: subprocess.Popen[bytes], events: queue.Queue[tuple[str, Any]]) -> None:
    def read(kind: str, stream: Any) -> None:
        while data := stream.read1(65536):
            events.put((kind, data))

    readers = [
        threading.Thread(target=read, args=(kind, getattr(process, kind)), daemon=True) for kind in ("stdout", "stderr")
    ]
    for reader in readers:
        reader.start()
    status = process.wait()
    for reader in readers:
        reader.join(READER_GRACE_S)
    events.put(("finished", status))


class QtProcess:
    """A QProcess in Slicer's event loop. ``qt``: the module that holds QProcess; Slicer's own if none is given."""

    def __init__(self, qt: Any = None) -> None:
        self._qt = qt if qt is not None else importlib.import_module("qt")
        self.on_stdout: Callable[[bytes], None] = _nothing
        self.on_stderr: Callable[[bytes], None] = _nothing
        self.on_finished: Callable[[int, bool], None] = _nothing
        self._process: Any = None
        self._run = ""

    def start(self, program: str, args: Sequence[str], env: dict[str, str]) -> None:
        qt = self._qt
        self._run = env.get(RUN_VARIABLE, "")
        process = qt.QProcess()
        environment = qt.QProcessEnvironment.systemEnvironment()
        for name, value in env.items():
            environment.insert(name, value)
        process.setProcessEnvironment(environment)
        # Each handler knows its process: a late signal of one that was killed finds another in ``self._process``.
        process.readyReadStandardOutput.connect(lambda: self._read(process))
        process.readyReadStandardError.connect(lambda: self._read(process))
        process.finished.connect(lambda *_: self._finished(process))
        process.errorOccurred.connect(lambda *error: self._failed_to_start(process, *error))
        self._process = process
        process.start(program, list(args))

    def write(self, data: bytes) -> None:
        if self._process is not None:
            self._process.write(data)

    def terminate_tree(self) -> list[int]:
        process, self._process = self._process, None
        if process is None:
            return []
        survivors = kill_tree(int(process.processId()) or None, self._run)
        process.kill()
        process.waitForFinished(500)
        return survivors

    def pump(self, timeout_s: float) -> None:
        if self._process is not None:
            self._process.waitForFinished(max(1, int(1000 * timeout_s)))

    def _read(self, process: Any) -> None:
        for read, tell in (
            (process.readAllStandardOutput, self.on_stdout),
            (process.readAllStandardError, self.on_stderr),
        ):
            data = read().data()  # bytes; where PythonQt has nothing to hand over, None
            data = data.encode() if isinstance(data, str) else bytes(data or b"")
            if data and process is self._process:
                tell(data)

    def _finished(self, process: Any) -> None:
        if process is not self._process:
            return
        self._read(process)
        if process is not self._process:  # a callback cancelled
            return
        kill_tree(None, self._run)
        crashed = process.exitStatus() == self._qt.QProcess.CrashExit
        status = int(process.exitCode())
        self._process = None
        self.on_finished(-status if crashed and os.name == "posix" else status, crashed)

    def _failed_to_start(self, process: Any, error: Any = None) -> None:
        """Other errors (a crash, a broken pipe) are followed by ``finished``; this one is not. The error is taken from the signal:
        PythonQt cannot tell QProcess's method of that name from its old signal."""
        if process is self._process and error == self._qt.QProcess.FailedToStart:
            self._process = None
            self.on_stderr(f"{process.errorString()}\n".encode())
            self.on_finished(127, False)


def default_process() -> WorkerProcess:
    """Return a QProcess where Slicer's application runs, else a subprocess whose ``pump`` must be called."""
    if slicer_application() is None:
        return SubprocessProcess()
    return QtProcess()


def slicer_application() -> Any:
    """Return Slicer's application, None in a Python without one."""
    try:
        import slicer
    except ImportError:
        return None
    return getattr(slicer, "app", None)
