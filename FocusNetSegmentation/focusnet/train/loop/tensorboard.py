"""Curves for TensorBoard, where it is installed (extra ``train``), through torch's SummaryWriter."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any


class TensorBoardWriter:
    """One file of curves in ``folder``. What earlier files have after ``first_step`` is hidden.

    SummaryWriter writes from a thread of its own. ``add`` waits for it, so that a full disk is noticed at once, in the caller;
    the thread's own traceback is not shown. Behind a point that did not fit the file is of no more use: the next start of the run
    opens another one. Raises ImportError without TensorBoard, OSError where the folder cannot be written.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder.mkdir(parents=True, exist_ok=True)
        others = set(threading.enumerate())
        self.folder = folder
        self._writer: Any = SummaryWriter(str(folder), purge_step=first_step + 1)
        self._writer.flush()
        self._threads = set(threading.enumerate()) - others
        self._report_crash = threading.excepthook
        threading.excepthook = self._report_crash_elsewhere

    def add(self, step: int, values: dict[str, float]) -> None:
        """Write one point of each curve. Raises OSError."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """Close the file; what could not be written was reported by ``add``."""
        with suppress(OSError):
            self._writer.close()
        if threading.excepthook == self._report_crash_elsewhere:
            threading.excepthook = self._report_crash

    def _report_crash_elsewhere(self, problem: threading.ExceptHookArgs) -> None:
        """Print no traceback of an OSError that ends the writer's own thread: ``add`` raises it."""
        if problem.thread not in self._threads or not isinstance(problem.exc_value, OSError):
            self._report_crash(problem)


def open_writer(folder: Path, first_step: int) -> TensorBoardWriter | None:
    """Return a writer, or None where TensorBoard is not installed. Raises OSError."""
    try:
        return TensorBoardWriter(folder, first_step)
    except ImportError:
        return None
