"""A DICOM series in a .zip: unpacked into a temporary folder, within limits, and read from there."""

from __future__ import annotations

import stat
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from ..errors import InputError
from ..image.volume import Volume
from .dicom_series import MAXIMUM_FILES, read_dicom_folder

MAXIMUM_UNPACKED_BYTES = 4 << 30  # a CT of 2000 slices of 512 x 512 voxels has 1 GB
MAXIMUM_RATIO = 200  # unpacked to packed bytes of one file: a CT slice full of air reaches about 20, a bomb 1000
RATIO_FREE_BYTES = 10 << 20  # below it, a high ratio does no harm: an empty picture packs well
BLOCK = 1 << 20

_unpacked: list[
    tempfile.TemporaryDirectory[str]
] = []  # removed when the program ends: an export reads the slices again


def read_dicom_zip(path: Path, series: str | None = None) -> Volume:
    """Read one CT series from a .zip of DICOM files.

    Raises InputError for what is no .zip or is damaged or encrypted, holds names that lead out of it, links, more than MAXIMUM_FILES files
    or more than MAXIMUM_UNPACKED_BYTES, and for whatever a folder of the same files is refused for.
    """
    place = tempfile.TemporaryDirectory(prefix="focusnet-zip-", ignore_cleanup_errors=True)
    folder = Path(place.name)
    try:
        _unpack(path, folder)
        volume = read_dicom_folder(folder, series)
    except InputError as problem:
        place.cleanup()
        message = str(problem).replace(f"The folder {folder}", str(path)).replace(str(folder), str(path))
        raise InputError(message) from problem
    except BaseException:
        place.cleanup()
        raise
    _unpacked.append(place)
    return volume


def _unpack(path: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            files = [entry for entry in archive.infolist() if not entry.is_dir()]
            _check_names(path, files)
            left = MAXIMUM_UNPACKED_BYTES
            for entry in files:
                left -= _unpack_one(path, archive, entry, folder, left)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as problem:
        raise InputError(f"{path} cannot be read as a .zip ({problem}); it may be damaged, copy it again.") from problem
    except RuntimeError as problem:  # what zipfile raises for a password
        raise InputError(f"{path} is encrypted; unpack it and give the folder.") from problem
    except OSError as problem:
        raise InputError(
            f"{path} cannot be unpacked into {folder.parent} ({problem.strerror}); free some space there, or unpack it and give the folder."
        ) from problem


def _check_names(path: Path, files: list[zipfile.ZipInfo]) -> None:
    if len(files) > MAXIMUM_FILES:
        raise InputError(f"{path} holds {len(files)} files, more than {MAXIMUM_FILES}; give a .zip of one scan.")
    for entry in files:
        windows, posix = PureWindowsPath(entry.filename), PurePosixPath(entry.filename)
        outside = posix.is_absolute() or windows.drive or windows.root or ".." in (*windows.parts, *posix.parts)
        if outside or stat.S_ISLNK(entry.external_attr >> 16):
            what = "a path that leads out of it" if outside else "a link"
            raise InputError(
                f"{path} holds {what} ({entry.filename!r}) and is not unpacked; pack the folder of the scan again."
            )


def _unpack_one(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, left: int) -> int:
    """Write one file; return its size. Bytes are counted as they come: the size in the header may be a lie."""
    target = folder.joinpath(*PurePosixPath(entry.filename.replace("\\", "/")).parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    allowed = min(left, max(RATIO_FREE_BYTES, MAXIMUM_RATIO * entry.compress_size))
    written = 0
    with archive.open(entry) as source, target.open("wb") as out:
        while block := source.read(BLOCK):
            written += len(block)
            if written > allowed:
                raise InputError(
                    f"{path} unpacks to more than a scan can hold ({entry.filename!r}: over {allowed >> 20} MB of {entry.compress_size >> 10} KB; "
                    f"at most {MAXIMUM_UNPACKED_BYTES >> 30} GB in all); it is not read. Unpack it yourself and give the folder if you trust it."
                )
            out.write(block)
    return written
