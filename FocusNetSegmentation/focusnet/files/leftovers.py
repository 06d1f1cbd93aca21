"""Temporary files that a killed run left beside its outputs: named so that the next run can tell whose they are, and removed by it."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import time
import uuid
from contextlib import suppress
from pathlib import Path

_OURS = re.compile(r"\..{0,40}-(?P<host>[0-9a-f]{4})(?P<pid>[0-9a-f]{8})-[0-9a-f]{8}(\.[^/]*)?")
ABANDONED_S = 24 * 3600.0  # nothing of ours takes this long to write
_cleaned: set[Path] = set()  # folders, once in the life of this process: listing a large one takes time


def temporary_name(stem: str, suffix: str) -> str:
    """Return a hidden name that says which process on which machine writes it."""
    return f".{stem}-{_host()}{os.getpid():08x}-{uuid.uuid4().hex[:8]}{suffix}"


def clean(folder: Path) -> None:
    """Remove temporary files in ``folder`` whose process on this machine is gone; those of other machines stay, they may be at work."""
    if folder in _cleaned:
        return
    _cleaned.add(folder)
    with suppress(OSError):
        for path in folder.iterdir():
            found = _OURS.fullmatch(path.name)
            if found and found["host"] == _host() and not _alive(int(found["pid"], 16)):
                with suppress(OSError):
                    path.unlink()


def clean_folders(folder: Path) -> None:
    """Remove temporary folders in ``folder`` whose process on this machine is gone, and those of other machines that are ABANDONED_S old."""
    with suppress(OSError):
        for path in folder.iterdir():
            found = _OURS.fullmatch(path.name)
            if found is None or not path.is_dir():
                continue
            ours = found["host"] == _host()
            with suppress(OSError):
                old = time.time() - path.stat().st_mtime > ABANDONED_S
                if (not _alive(int(found["pid"], 16))) if ours else old:
                    shutil.rmtree(path, ignore_errors=True)


def _host() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:4]


def _alive(pid: int) -> bool:
    """Whether a process of this number runs; True where that cannot be told."""
    if os.name != "posix":  # there, os.kill would end the process instead of asking
        try:
            import psutil
        except ImportError:
            return True
        return bool(psutil.pid_exists(pid))
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
