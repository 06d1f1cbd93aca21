"""Files on a disk that may be full: what to tell the user, and appending all of a record or nothing."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# EFBIG: the limit on the size of a file (ulimit -f), which batch systems set
FULL = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name)}
WINDOWS_FULL = {39, 112}  # ERROR_HANDLE_DISK_FULL, ERROR_DISK_FULL
HEADER_BYTES = 110  # of one tensor's name, type, shape and place in a safetensors file
LITTLE_BYTES = 1_000_000  # with less than this left, how much is left is worth saying whatever the library called it


def is_full(problem: BaseException) -> bool:
    """Return whether the system reports that there is no room: disk, quota or the limit on a file's size."""
    return isinstance(problem, OSError) and (
        problem.errno in FULL or getattr(problem, "winerror", None) in WINDOWS_FULL
    )


def reason(problem: Exception, path: Path | str, needed_bytes: int = 0) -> str:
    """Return why ``path`` could not be written: the system's own words, and how much room there is where that may be the cause.

    ``needed_bytes``: how much was to be written, if that is known. Of ITK's many lines only the last, which says what went wrong.
    """
    if isinstance(problem, OSError) and problem.strerror:
        words = problem.strerror
    else:
        lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
        words = lines[-1] if lines else type(problem).__name__
    room = _room(Path(path))
    if room is None:
        return words
    free, no_names = room
    if no_names:
        return f"{words}: the disk holds no more files, though {_size(free)} are free"
    if is_full(problem) or free < max(needed_bytes, LITTLE_BYTES):
        needed = f", about {_size(needed_bytes)} needed" if needed_bytes else ""
        return f"{words}; {_size(free)} free{needed}"
    return words


def append_whole(path: Path, data: bytes) -> None:
    """Add ``data`` to the end of a file, or nothing: what a full disk took of it is cut off again. Raises OSError."""
    new = not path.exists()
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    try:
        size, done = os.fstat(handle).st_size, 0
        try:
            while done < len(data):  # a nearly full disk takes a part and says so only at the next call
                done += os.write(handle, data[done:])
        except OSError:
            with suppress(OSError):
                os.ftruncate(handle, size)
            raise
    except OSError:
        if new:
            path.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn safetensors' own errors about the disk back into the OSError that they were."""
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as problem:
        number = re.search(r"os error (\d+)", str(problem))
        if number is None:
            raise OSError(str(problem)) from problem
        code = int(number[1])
        if os.name == "nt":
            raise OSError(0, str(problem), None, code) from problem
        raise OSError(code, os.strerror(code)) from problem


def stored_bytes(tensors: Mapping[str, Tensor]) -> int:
    """Return about how many bytes the file will be: in a small network the table of names is a tenth of it."""
    return sum(tensor.nbytes + HEADER_BYTES for tensor in tensors.values())


def sync(path: Path) -> None:
    """Force the bytes of a file to the disk: a network disk may say only now that there is no room."""
    with path.open("rb+") as written:
        os.fsync(written.fileno())


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to the disk, where the system can (not on Windows)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as problem:
        if problem.errno != errno.EINVAL:  # a file system that has no such thing
            raise
    finally:
        os.close(handle)


def _room(path: Path) -> tuple[int, bool] | None:
    """Free bytes where ``path`` is to be, and whether the file system has no name left (inodes). None if it cannot be told."""
    folder = path
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    try:
        if not hasattr(os, "statvfs"):
            return shutil.disk_usage(folder).free, False
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize, found.f_files > 0 and found.f_favail == 0


def _size(count: int) -> str:
    if count >= 1_000_000_000:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.1f} MB"
