"""Locks that the system takes back when the process ends, however it ends: one node per spool, one writer per training set."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

STEP_S = 0.1


def lock_file(path: Path) -> IO[bytes]:
    """Return the locked file; it is free again when closed. Raises OSError if another process holds it."""
    handle = path.open("ab")
    try:
        if sys.platform == "win32":
            import msvcrt

            handle.seek(0)
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        raise
    return handle


@contextmanager
def locked(path: Path, wait_s: float) -> Iterator[None]:
    """Hold the lock on ``path`` (created if missing) within the block. Raises TimeoutError if another process holds it for ``wait_s`` seconds."""
    end = time.monotonic() + wait_s
    while True:
        try:
            handle = lock_file(path)
            break
        except (BlockingIOError, PermissionError) as problem:  # PermissionError: Windows' word for a lock that is held
            if sys.platform != "win32" and isinstance(problem, PermissionError):
                raise
            if time.monotonic() >= end:
                raise TimeoutError(f"{path} is held by another process") from problem
            time.sleep(STEP_S)
    with handle:
        yield
