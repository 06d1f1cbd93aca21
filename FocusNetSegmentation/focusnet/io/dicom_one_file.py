"""One file of a DICOM series stands for the whole series: people drag a slice, or an archive's export names one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydicom.errors import InvalidDicomError

from ..errors import InputError
from ..image.volume import Volume
from .dicom_pixels import dcmread
from .dicom_series import read_dicom_folder
from .suffixes import DICOM, has_suffix


def is_dicom_file(path: Path) -> bool:
    """Return whether a file is named or begins as DICOM does. Its contents may still be damaged."""
    if has_suffix(path, DICOM):
        return True
    try:
        with path.open("rb") as handle:
            return handle.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_series_of(path: Path, series: str | None = None) -> Volume:
    """Read the series that one file belongs to, from the file's folder, with a note that says so. Raises InputError."""
    try:
        header = dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID", "Modality", "SOPClassUID"])
        own, modality = str(header.get("SeriesInstanceUID") or ""), str(header.get("Modality") or "")
    except InvalidDicomError as problem:
        raise InputError(
            f"{path} cannot be read as DICOM: it begins as no DICOM file does; give the folder of a CT series."
        ) from problem
    except Exception as problem:  # pydicom raises many kinds for a damaged file
        raise InputError(f"{path} cannot be read as DICOM ({problem}); give the folder of a CT series.") from problem
    if not own:
        raise InputError(f"{path} does not say which series it belongs to; give the folder of a CT series.")
    if modality not in ("CT", ""):
        raise InputError(
            f"{path} is {modality}, not a slice of a CT; give the folder of a CT series, or one of its files."
        )
    if series is not None and series != own:
        raise InputError(f"{path} belongs to the series {own}, not to {series}; leave --series out or give the folder.")
    volume = read_dicom_folder(path.parent, own)
    note = f"{path.name} is one file of a series: all {volume.geometry.shape_zyx[0]} slices of it in {path.parent} were read."
    return replace(volume, notes=(note, *volume.notes))
