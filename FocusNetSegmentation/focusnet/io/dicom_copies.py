"""Files of a DICOM series that are there twice, as after a copy that was started again."""

from __future__ import annotations

import filecmp
from collections.abc import Sequence
from pathlib import Path

import pydicom

from ..errors import InputError

Entry = tuple[Path, pydicom.Dataset]


def without_copies(folder: Path, entries: Sequence[Entry]) -> tuple[list[Entry], list[Path]]:
    """Return the files without those that repeat another one, and the paths of these. Raises InputError for one UID with other bytes."""
    first: dict[str, Path] = {}
    kept: list[Entry] = []
    copies: list[Path] = []
    for path, header in entries:
        uid = str(header.get("SOPInstanceUID") or "")
        other = first.setdefault(uid, path) if uid else path
        if other is path:
            kept.append((path, header))
        elif filecmp.cmp(path, other, shallow=False):
            copies.append(path)
        else:
            raise InputError(
                f"{folder}: {other.name} and {path.name} have the same SOP Instance UID and different contents; which one is meant would be "
                "a guess. Keep one file per UID."
            )
    return kept, copies
