"""How long work tells where it stands, and how it is stopped.

A progress callback takes one ``Progress`` (``print`` will do). It stops the work by raising ``Cancelled``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Progress:
    """``step``: what is being done, for a person. ``fraction``: of the whole job, 0 to 1. ``message``: detail, may be empty."""

    step: str
    fraction: float
    message: str = ""

    def __str__(self) -> str:
        return f"{100 * self.fraction:3.0f} % {self.step}" + (f" ({self.message})" if self.message else "")


ProgressCallback = Callable[[Progress], object]


def silent(_: Progress) -> None:
    """Do nothing: the default callback."""


def json_line(event: str, **values: object) -> str:
    """Return one line of ``--json-progress``: {"event": "progress" | "warning" | "result" | "error", ...}."""
    return json.dumps({"event": event, **values})


def progress_line(progress: Progress) -> str:
    """Return one JSON line of a progress, for programs."""
    return json_line("progress", **asdict(progress))
