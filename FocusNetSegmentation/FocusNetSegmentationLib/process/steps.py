"""Work that must touch the scene, and so must run on Slicer's own thread, in short steps: between them the event loop runs.

A thread would not do: Slicer's Python gives other threads no time while its event loop waits.
"""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")
BUDGET_S = 0.03  # of one step: below what a person notices, and well below 100 ms when one part takes longer than hoped


class Steps(Generic[Result]):
    """``work`` yields wherever it may pause. ``on_end(result)`` gets what it returns, ``on_error(exception)`` what it raises; neither comes
    after ``stop``. ``timer``: what ``make_timer`` returned; without one everything is done in ``start``."""

    def __init__(
        self,
        work: Generator[None, None, Result],
        on_end: Callable[[Result], object],
        on_error: Callable[[Exception], object],
        timer: Any = None,
    ) -> None:
        self.work, self.on_end, self.on_error = work, on_end, on_error
        self.is_running = False
        self._timer = timer

    def start(self) -> None:
        """Begin; with Qt the first step is done when the event loop runs."""
        self.is_running = True
        if self._timer is None:
            self.finish()
            return
        self._timer.connect("timeout()", self.step)
        self._timer.start()

    def step(self) -> None:
        """Do one part at least, and go on until BUDGET_S has passed."""
        if not self.is_running:
            return
        until = time.monotonic() + BUDGET_S
        try:
            while True:
                next(self.work)
                if not self.is_running:  # the work itself led to a stop
                    return
                if time.monotonic() >= until:
                    break
        except StopIteration as ended:
            self._leave()
            self.on_end(ended.value)
            return
        except Exception as problem:
            self._leave()
            self.on_error(problem)
            return
        if self._timer is not None:
            self._timer.start()

    def finish(self) -> None:
        """Do all that is left, now."""
        while self.is_running:
            self.step()

    def stop(self) -> None:
        """Leave the rest undone; nothing more is told."""
        if self.is_running:
            self._leave()
            with contextlib.suppress(ValueError):  # stopped from inside a step: it is closed when it is forgotten
                self.work.close()

    def _leave(self) -> None:
        self.is_running = False
        if self._timer is not None:
            self._timer.stop()


def make_timer() -> Any:
    """Return a timer that fires once, as soon as the event loop runs; None where there is no Qt."""
    try:
        qt = importlib.import_module("qt")
    except ImportError:
        return None
    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.setInterval(0)
    return timer
