"""One node per spool: a lock that the system takes back when the process ends, however it ends."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO


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
