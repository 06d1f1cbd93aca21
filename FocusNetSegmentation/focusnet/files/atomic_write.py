"""Outputs are refused early or written whole: to a temporary name in the same folder, then renamed."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FocusNetError, OutputError
from .disk import reason, sync
from .leftovers import clean, temporary_name

LONGEST_PREFIX = 40  # characters of the name that a temporary file repeats: file systems allow 255 bytes in all


def check_output(path: Path | str, overwrite: bool = False, suffixes: Sequence[str] = ()) -> None:
    """Refuse now what could not be written later, before minutes of work are spent.

    ``suffixes``: the endings that this kind of output may have; empty for any. Raises OutputError if the ending is
    another, the file exists without ``overwrite``, the name is a folder or a device, or the folder is missing or not
    writable.
    """
    path = Path(path)
    if suffixes and not path.name.lower().endswith(tuple(suffixes)):
        raise OutputError(f"Output {path} has an unknown ending; {' or '.join(suffixes)} is expected.")
    try:
        exists = path.exists()
        if exists and not path.is_file():
            # as root, renaming onto /dev/null would replace the device for the whole machine
            raise OutputError(f"Output {path} is a folder or a device; give the name of a file.")
        folder_is_there = path.parent.is_dir()
    except OSError as problem:
        raise OutputError(f"Output {path} cannot be used ({problem.strerror}); choose another name.") from problem
    if exists and not overwrite:
        raise OutputError(f"Output {path} exists; choose another name or pass --overwrite.")
    if not folder_is_there:
        raise OutputError(f"The folder of output {path} does not exist; create {path.parent} first.")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as problem:
        raise OutputError(
            f"The folder {path.parent} cannot be written ({reason(problem, path)}); choose another place for {path.name}."
        ) from problem


def check_folder(folder: Path) -> None:
    """Refuse now a folder that could not be created or written later, without creating it. Raises OutputError."""
    try:
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder} is a file; a folder is expected. Choose another name.")
        there = next((p for p in (folder, *folder.absolute().parents) if p.exists()), folder)
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as problem:
        raise OutputError(
            f"The folder {folder} cannot be written ({problem.strerror}); choose another, or ask for the right to write there."
        ) from problem


def ensure_folder(folder: Path) -> None:
    """Create an output folder. Raises OutputError if that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise OutputError(
            f"The folder {folder} cannot be created ({reason(problem, folder)}); choose another."
        ) from problem


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` with the same ending, renamed to ``path`` at the end and removed if anything
    goes wrong.

    A killed run leaves at most a hidden temporary file, which the next run in that folder removes, never half a file under the final
    name. What a library says
    of a full disk (OSError, or ITK's RuntimeError) becomes one OutputError. A symbolic link is written through, not
    replaced.
    """
    final = Path(os.path.realpath(path))
    suffix = "".join(final.suffixes[-2:])
    stem = final.name.removesuffix(suffix)[:LONGEST_PREFIX]
    clean(final.parent)
    partial = final.with_name(temporary_name(stem, suffix))
    try:
        partial.open("xb").close()  # open() gives the permissions that the user's umask asks for; mkstemp would not
        yield partial
        sync(partial)
        os.replace(partial, final)
    except FocusNetError:
        raise
    except (OSError, RuntimeError) as problem:
        raise OutputError(
            f"{path} cannot be written ({reason(problem, final)}). Free some space or choose another place."
        ) from problem
    finally:
        partial.unlink(missing_ok=True)


def json_text(value: Any, indent: int | None = None) -> str:
    """Return strict JSON of anything that a provenance holds: numpy numbers and arrays, paths, tuples; NaN and infinity
    become null.

    Text that no conversion knows is written as ``str(value)``: a report must not fail after the work is done.
    """
    return json.dumps(_plain(value), indent=indent, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(entry) for entry in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
