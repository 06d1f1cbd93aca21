"""What a decoder written in C prints to the process's standard error: the only sign that it gives of damaged pixels."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STDERR = 2
_LOCK = threading.Lock()


@contextmanager
def held_back() -> Iterator[list[str]]:
    """Keep what is printed to file descriptor 2 inside the block; the list holds its lines once the block has ended. A process without
    that descriptor (started without a console) is left alone."""
    lines: list[str] = []
    with _LOCK:
        try:
            kept = os.dup(STDERR)
        except OSError:
            yield lines
            return
        with tempfile.TemporaryFile() as file:
            os.dup2(file.fileno(), STDERR)
            try:
                yield lines
            finally:
                os.dup2(kept, STDERR)
                os.close(kept)
                file.seek(0)
                lines += file.read().decode(errors="replace").splitlines()
