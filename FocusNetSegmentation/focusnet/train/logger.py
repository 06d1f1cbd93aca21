"""Messages of a training: records of the logger ``focusnet.train``, which the command line shows on stderr."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

LOGGER = logging.getLogger("focusnet.train")


class StderrHandler(logging.Handler):
    """Print each record as one line on stderr, above the live progress bar while there is one."""

    bar: Any = None  # tqdm's

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record. A log file on a full disk must not end a training."""
        line = record.getMessage()
        if record.levelno >= logging.WARNING:
            line = f"warning: {line}"
        with suppress(OSError):
            if self.bar is not None:
                self.bar.write(line, file=sys.stderr)
            else:
                print(line, file=sys.stderr, flush=True)


@contextmanager
def messages_on_stderr() -> Iterator[None]:
    """Show a training's messages on stderr while the block runs."""
    handler, level = StderrHandler(), LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)


@contextmanager
def silent_unless(speaks: bool) -> Iterator[None]:
    """Drop a training's messages while the block runs, unless this process ``speaks`` for its group."""

    def keep(_: logging.LogRecord) -> bool:
        return speaks

    LOGGER.addFilter(keep)
    try:
        yield
    finally:
        LOGGER.removeFilter(keep)


def stderr_handler() -> StderrHandler | None:
    """Return the handler that ``messages_on_stderr`` installed; None outside of it."""
    return next((handler for handler in LOGGER.handlers if isinstance(handler, StderrHandler)), None)
