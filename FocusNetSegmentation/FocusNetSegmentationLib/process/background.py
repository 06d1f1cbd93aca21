"""A command of ours in a process of its own, told when it has ended: what would freeze Slicer or import torch runs here."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence

from .worker import default_process
from .worker_protocol import HANDSHAKE, LIBRARY_FOLDER, WorkerProcess, find_python, worker_environment

__all__ = ["LIBRARY_FOLDER", "BackgroundCommand", "focusnet_arguments"]


def focusnet_arguments(*arguments: str) -> tuple[str, list[str], dict[str, str]]:
    """Return program, arguments and added environment of ``focusnet ARGUMENTS`` in Slicer's Python."""
    return find_python(), ["-m", "focusnet", *arguments], worker_environment(uuid.uuid4().hex)


class BackgroundCommand:
    """``on_end(exit_status, stdout, stderr)`` comes once, on the same thread, unless ``stop`` was called before. ``on_line(line)``: each whole
    line of either stream as it comes."""

    def __init__(
        self,
        on_end: Callable[[int, str, str], object],
        process: WorkerProcess | None = None,
        on_line: Callable[[str], object] = lambda _line: None,
    ) -> None:
        self.on_end, self.on_line = on_end, on_line
        self.process = process or default_process()
        self.is_running = False
        self._out, self._err = bytearray(), bytearray()
        self._cut = {id(stream): 0 for stream in (self._out, self._err)}  # up to where lines were told
        self.process.on_stdout = lambda data: self._heard(self._out, data)
        self.process.on_stderr = lambda data: self._heard(self._err, data)
        self.process.on_finished = self._finished

    def start(
        self, program: str, arguments: Sequence[str], environment: dict[str, str], ends_with_us: bool = False
    ) -> None:
        """Start it; a program that cannot be started is an ``on_end`` with status 127. ``ends_with_us``: it is told that its stdin is our pipe."""
        self.is_running = True
        try:
            self.process.start(program, list(arguments), environment)
            if ends_with_us:
                self.process.write(HANDSHAKE)
        except OSError as problem:
            self._err.extend(str(problem).encode())
            self._finished(127, False)

    def stop(self) -> None:
        """Kill it and everything that it started; nothing more is told."""
        if self.is_running:
            self.is_running = False
            self.process.terminate_tree()

    def wait(self, timeout_s: float) -> None:
        """Wait for something to happen; for scripts and tests, where no event loop runs."""
        if self.is_running:
            self.process.pump(timeout_s)

    def _heard(self, stream: bytearray, data: bytes) -> None:
        stream.extend(data)
        start, end = self._cut[id(stream)], stream.rfind(b"\n") + 1
        if end <= start:
            return
        self._cut[id(stream)] = end
        for line in bytes(stream[start:end]).decode("utf-8", "replace").splitlines():
            if self.is_running:  # a callback may have stopped it
                self.on_line(line)

    def _finished(self, exit_status: int, crashed: bool) -> None:
        del crashed  # the exit status says it: minus the signal's number
        if self.is_running:
            self.is_running = False
            self.on_end(exit_status, self._out.decode("utf-8", "replace"), self._err.decode("utf-8", "replace"))
