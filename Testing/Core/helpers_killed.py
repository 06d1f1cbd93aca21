"""Programs that are killed: in a copy of this process, before one change of the disk after the other."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

STEPS = ("replace", "fsync", "unlink", "rmdir", "mkdir", "rename")  # of os: what changes the disk


def note(path: Path, data: bytes) -> None:
    """Written by system calls that the killer does not count: it is the outside world's memory."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.write(handle, data)
    os.close(handle)


def fork(act: Callable[[], None]) -> int:
    """Run ``act`` in a copy of this process; return its exit status."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        act()
        os._exit(0)
    except BaseException as problem:
        os.write(2, f"{type(problem).__name__}: {problem}\n".encode())
        os._exit(99)


def killed_at(step: int, act: Callable[[], None]) -> Callable[[], None]:
    """``act``, ended without any clean-up before its ``step``-th change of the disk."""

    count = itertools.count(1)

    def counting(real: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **more: Any) -> Any:
            if next(count) == step:
                os._exit(7)
            return real(*given, **more)

        return counted

    def run() -> None:
        for name in STEPS:
            setattr(os, name, counting(getattr(os, name)))
        act()

    return run
