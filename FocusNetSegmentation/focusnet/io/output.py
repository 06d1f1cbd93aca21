"""Outputs are refused early or written whole: to a temporary name in the same folder, then renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import FocusNetError, OutputError


def check_output(path: Path, overwrite: bool = False) -> None:
    """Raise OutputError if ``path`` cannot become a file: it exists without ``overwrite``, its folder is missing or not writable."""
    path = Path(path)
    if path.is_dir():
        raise OutputError(f"Output {path} is a folder; give the name of a file.")
    if path.exists() and not overwrite:
        raise OutputError(f"Output {path} exists; choose another name or pass --overwrite.")
    folder = path.parent
    if not folder.is_dir():
        raise OutputError(f"The folder of output {path} does not exist; create {folder} first.")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        raise OutputError(f"The folder {folder} cannot be written ({problem.strerror}); choose another place for {path.name}.") from problem


def ensure_folder(folder: Path) -> None:
    """Create an output folder. Raises OutputError if that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise OutputError(f"The folder {folder} cannot be created ({problem.strerror}); choose another.") from problem


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` with the same ending, renamed to it at the end; removed if anything goes wrong.

    Whatever a library says of a full disk becomes one OutputError.
    """
    path = Path(path)
    suffix = "".join(path.suffixes[-2:])
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name.removesuffix(suffix)}-", suffix=suffix, dir=path.parent)
        os.close(handle)
    except OSError as problem:
        raise OutputError(f"{path} cannot be written ({problem.strerror}); choose another place.") from problem
    partial = Path(name)
    try:
        yield partial
        with partial.open("rb+") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        partial.chmod(0o666 & ~umask)  # mkstemp makes files that only their owner can read
        os.replace(partial, path)
    except FocusNetError:
        raise
    except (OSError, RuntimeError) as problem:
        raise OutputError(f"{path} cannot be written ({problem}); free some space or choose another place. Nothing was left behind.") from problem
    finally:
        partial.unlink(missing_ok=True)
