"""Which scans there are below a folder, and how each of them is opened."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..io.dicom_zip import unpack_zip
from ..io.suffixes import IMAGES, ZIP, has_suffix, stem

LOOKED_AT = 50  # files of a folder: is it one of DICOM files?
ALL, LONGEST = "all", "longest"


@dataclass(frozen=True)
class Scan:
    """``name``: unique below the folder, fit for a file's name. ``path``: an image file, a zip archive or a folder of DICOM files."""

    name: str
    path: Path


def find_scans(folder: Path) -> list[Scan]:
    """Return every image file, zip archive and folder of DICOM files below ``folder``.

    Raises InputError for no folder, no scan, or two scans of one name.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder} is not a folder; batch wants a folder of scans. For one scan use 'focusnet segment'."
        )
    scans: dict[str, Path] = {}
    for path in _candidates(folder):
        relative = path.relative_to(folder).as_posix()
        name = folder.name if relative == "." else relative.replace("/", "__")
        if path.is_file():
            name = name[: -len(ZIP[0])] if has_suffix(path, ZIP) else stem(name)
        if name in scans:
            raise InputError(f"{path} and {scans[name]} would both be written as {name}.seg.nrrd; rename one of them.")
        scans[name] = path
    if not scans:
        raise InputError(f"{folder} holds no scan: neither {', '.join(IMAGES)}, {ZIP[0]} nor a folder of DICOM files.")
    return [Scan(name, path) for name, path in sorted(scans.items(), key=lambda item: item[1])]


def _candidates(folder: Path) -> Iterator[Path]:
    """Image files, archives and DICOM folders; a folder at a time, so that a million files are never listed at once."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        files = [Path(place, name) for name in sorted(names)]
        images = [p for p in files if has_suffix(p, (*IMAGES, *ZIP)) and ".seg." not in p.name.lower()]
        yield from images
        others = [p for p in files if not has_suffix(p, (*IMAGES, *ZIP))]
        if _any_dicom(others[:LOOKED_AT]):
            yield Path(place)


def _any_dicom(files: list[Path]) -> bool:
    from pydicom.misc import is_dicom

    return any(path.is_file() and is_dicom(path) for path in files)


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """Yield the path to read: a zip archive is unpacked beside the temporary files and removed at the end. Raises InputError."""
    if not has_suffix(path, ZIP):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="focusnet-zip-") as name:
        folder = Path(name)
        unpack_zip(path, folder)
        files = [p for p in sorted(folder.rglob("*")) if p.is_file() and not p.name.startswith(".")]
        images = [p for p in files if has_suffix(p, IMAGES) and "__MACOSX" not in p.parts]
        yield images[0] if len(images) == 1 else folder


def choose_series(path: Path, wanted: str | None) -> list[str | None]:
    """Return the UIDs of the series to contour; [None] leaves the choice to the reader, which takes the only one or refuses.

    ``wanted``: "all", "longest" or a UID; a UID that is not there gives an empty list. Raises InputError.
    """
    if wanted is None or path.is_file():
        return [None]
    from ..io.dicom_series import list_series

    series = list_series(path)
    usable = [info for info in series if info.usable]
    if not usable:
        return [None]
    if wanted == ALL:
        return [info.uid for info in usable]
    if wanted == LONGEST:
        return [max(usable, key=lambda info: (info.slices, info.uid)).uid]
    return [info.uid for info in series if info.uid == wanted]
