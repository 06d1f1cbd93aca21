"""DICOM series through pydicom: which series, in which order, in HU; and every reason to refuse one."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from ..errors import InputError
from ..image.volume import Volume
from ..wording import counted
from .ct_checks import refuse_grid
from .dicom_copies import without_copies
from .dicom_pixels import dcmread, read_pixels
from .slice_geometry import series_geometry
from .suffixes import DICOM, has_suffix

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
MULTI_FRAME = (
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.2.2",
)  # enhanced CT, legacy converted enhanced CT
DICOMDIR = "1.2.840.10008.1.3.10"
MAXIMUM_FILES = 20_000  # looked at: a home folder given by mistake is not searched for hours
HEADER_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality", "SeriesDescription",
    "SeriesNumber", "ImageType", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns",
    "RescaleSlope", "RescaleIntercept", "PhotometricInterpretation", "SamplesPerPixel", "NumberOfFrames", "GantryDetectorTilt",
    "BitsAllocated", "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName", "StudyDescription", "PositionReferenceIndicator", "PatientPosition",
]  # fmt: skip
PATIENT_TAGS = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber",
    "ReferringPhysicianName", "StudyDescription", "PositionReferenceIndicator",
)  # fmt: skip


@dataclass(frozen=True)
class SeriesInfo:
    """One series of a folder. ``slices`` counts what a volume could be made of: without localizers and other objects.

    ``usable`` is True for a CT series of at least two slices; ``reason`` says why another one is not. ``files`` holds all files.
    """

    uid: str
    description: str
    modality: str
    slices: int
    usable: bool
    files: tuple[Path, ...] = ()
    reason: str = ""

    def __str__(self) -> str:
        count = f"{self.slices} slices" if self.usable else f"{len(self.files)} files"
        why = f": {self.reason}" if self.reason else ""
        return f"{self.uid} ({self.modality}, {count}, {self.description or 'no description'}{why})"


def list_series(folder: Path | str) -> list[SeriesInfo]:
    """Return every series in a folder, or below it if it holds no CT itself. Files that are not DICOM are passed over.

    Raises InputError if there is none, or if a file of a series is damaged.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; a folder with the files of a CT series is expected.")
    return [_info(uid, headers) for uid, headers in _headers_by_series(folder).items()]


def read_dicom_folder(folder: Path, series: str | None = None) -> Volume:
    """Read one CT series as a Volume. Raises InputError with the reason if it cannot be read as evenly spaced HU."""
    groups = _headers_by_series(folder)
    uid = _choose(folder, {uid: _info(uid, headers) for uid, headers in groups.items()}, series)
    group, copies = without_copies(folder, groups[uid])
    slices = [(path, header) for path, header in group if _is_slice(header)]
    headers = [header for _, header in slices]
    _check_headers(folder, slices)
    geometry, order, notes = series_geometry(folder, headers)
    files = [slices[i][0] for i in order]
    ordered = [headers[i] for i in order]
    description = _description(ordered[0]) or str(ordered[0].get("SeriesInstanceUID") or f"in {folder.name}")
    refuse_grid(geometry, f"DICOM series {description}")
    array, padded = read_pixels(files, ordered)
    if padded:
        notes.append(f"{padded} voxels of padding that were stored as very high values were set to air.")
    notes += _copies_note(copies)
    if not ordered[0].get("Modality"):
        notes.append("The series does not name its modality; its SOP class says that it is a CT.")
    if len(slices) < len(group):
        notes.append(
            f"Left out of the series: {len(group) - len(slices)} of its files, which are localizers or no CT slices."
        )
    if ordered[0].get("RescaleIntercept") is None:
        notes.append("The series has no rescale intercept: stored values were taken as they are.")
    return Volume(array, geometry, f"DICOM series {description}", _uids(ordered, files), tuple(notes))


def _copies_note(copies: Sequence[Path]) -> list[str]:
    """Return a sentence about files that are there twice."""
    if not copies:
        return []
    names = ", ".join(path.name for path in copies[:5]) + (" ..." if len(copies) > 5 else "")
    are = counted(len(copies), "file is a copy of another one", "files are copies of others")
    return [f"{are} with the same UID, byte by byte, and counted once: {names}."]


def _headers_by_series(folder: Path) -> dict[str, list[tuple[Path, pydicom.Dataset]]]:
    """Headers of the folder's own files; of the folders below it too, if it holds no CT slice itself."""
    try:
        found = _read_headers(path for path in sorted(folder.iterdir()) if path.is_file())
        if not any(_is_slice(header) for _, header in found):
            found += _read_headers(sorted(p for p in _below(folder) if p.is_file() and p.parent != folder))
    except OSError as problem:
        raise InputError(
            f"The folder {folder} cannot be read ({problem.strerror}); check its permissions."
        ) from problem
    if not found:
        what = "is empty" if not any(folder.iterdir()) else "holds no DICOM image"
        raise InputError(f"The folder {folder} {what}; a folder with the files of a CT series is expected.")
    groups: dict[str, list[tuple[Path, pydicom.Dataset]]] = {}
    for path, header in found:
        groups.setdefault(str(header.get("SeriesInstanceUID") or "unknown"), []).append((path, header))
    if len(groups) > 1 and "unknown" in groups:
        raise InputError(_damaged(groups["unknown"][0][0], "it has no SeriesInstanceUID"))
    return groups


def files_below(folder: Path) -> Iterator[Path]:
    """Return every file below a folder, sorted by folder, in linked folders too: people link scans that lie on another disk. No folder twice.

    Raises OSError for a folder that may not be read: a patient in it must not be passed over.
    """

    def refuse(problem: OSError) -> None:
        raise problem

    seen: set[str] = set()
    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from (path for name in sorted(names) if (path := Path(place, name)).is_file())


def _below(folder: Path) -> list[Path]:
    paths = list(islice(files_below(folder), MAXIMUM_FILES + 1))
    if len(paths) > MAXIMUM_FILES:
        raise InputError(f"{folder} holds more than {MAXIMUM_FILES} files; give the folder of one scan.")
    return paths


def _read_headers(files: Iterable[Path]) -> list[tuple[Path, pydicom.Dataset]]:
    """Headers of the DICOM images among the files. A file that should be one but cannot be read is refused: a scan that is
    shorter than the one exported must not pass."""
    found: list[tuple[Path, pydicom.Dataset]] = []
    passed_over: list[Path] = []
    for path in files:
        if path.name.startswith("."):  # macOS puts a ._NAME.dcm beside each file on foreign disks
            continue
        header = _header(path)
        if header is None:
            passed_over.append(path)
        elif "SOPClassUID" in header:
            found.append((path, header))
        elif str(header.file_meta.get("MediaStorageSOPClassUID", "")) != DICOMDIR:
            raise InputError(_damaged(path, "its header has no SOPClassUID"))
    patterns = {re.sub(r"\d+", "#", path.name) for path, _ in found}
    for path in passed_over:
        if has_suffix(path, DICOM) or re.sub(r"\d+", "#", path.name) in patterns:
            raise InputError(_damaged(path, "it is named like the others but is no DICOM file"))
    return found


def _header(path: Path) -> pydicom.Dataset | None:
    """The header, or None for a file that is not DICOM. Numbers are converted here, so that a bad one is found here."""
    try:
        with warnings.catch_warnings():  # pydicom's, about small faults of the header: a user sees our one line
            warnings.simplefilter("ignore")
            header = dcmread(path, stop_before_pixels=True, specific_tags=HEADER_TAGS)
            for element in header:
                _ = element.value
    except InvalidDicomError:
        return None
    except OSError as problem:
        raise InputError(
            f"{path} cannot be opened ({problem.strerror}); check its permissions or remove it."
        ) from problem
    except Exception as problem:  # pydicom raises many kinds for a damaged header
        raise InputError(_damaged(path, str(problem))) from problem
    return header


def _damaged(path: Path, what: str) -> str:
    return f"{path}: a damaged DICOM file, or one that was cut short ({what}). Copy the series again, or remove the file if it is no part of it."


def _is_slice(header: pydicom.Dataset) -> bool:
    """A CT image of the body, not a localizer, a captured screen, a plan ..."""
    kinds = header.get("ImageType") or []
    localizer = "LOCALIZER" in [str(part).upper() for part in ([kinds] if isinstance(kinds, str) else kinds)]
    return str(header.SOPClassUID) in (CT_IMAGE_STORAGE, *MULTI_FRAME) and not localizer


def _info(uid: str, headers: list[tuple[Path, pydicom.Dataset]]) -> SeriesInfo:
    slices = [header for _, header in headers if _is_slice(header)]
    first = slices[0] if slices else headers[0][1]
    modality = str(first.get("Modality") or ("CT" if slices else "unknown"))  # its SOP class says it as well
    reason = ""
    if modality != "CT":
        reason = "not a CT"
    elif not slices:
        is_ct = any(str(header.SOPClassUID) == CT_IMAGE_STORAGE for _, header in headers)
        reason = "a localizer" if is_ct else f"not CT images but {first.SOPClassUID.name}"
    elif len(slices) == 1 and str(first.SOPClassUID) not in MULTI_FRAME:
        reason = "one slice"
    return SeriesInfo(
        uid, _description(first), modality, len(slices), not reason, tuple(path for path, _ in headers), reason
    )


def _description(header: pydicom.Dataset) -> str:
    """The series' description; "" where there is none, or where a program wrote that it had none ("None")."""
    text = str(header.get("SeriesDescription") or "").strip()
    return "" if text.lower() in ("none", "null") else text


def _choose(folder: Path, series: dict[str, SeriesInfo], wanted: str | None) -> str:
    listing = "; ".join(str(info) for info in series.values())
    if wanted is not None:
        if wanted not in series:
            raise InputError(f"{folder} has no series {wanted}; there are: {listing}.")
        if not series[wanted].usable:
            raise InputError(f"Series {series[wanted]} cannot be used; a CT series of two or more slices is expected.")
        return wanted
    usable = [info for info in series.values() if info.usable]
    if len(usable) == 1:
        return usable[0].uid
    if usable:
        raise InputError(
            f"{folder} holds {len(usable)} CT series; choose one with --series UID: {'; '.join(str(i) for i in usable)}."
        )
    raise InputError(
        f"{folder} holds no CT series of two or more slices; found: {listing}. A whole head-and-neck CT is expected."
    )


def _check_headers(folder: Path, slices: Sequence[tuple[Path, pydicom.Dataset]]) -> None:
    """Everything that the geometry and the pixels will ask of a header is there and makes sense."""
    headers = [header for _, header in slices]
    if any(str(h.SOPClassUID) in MULTI_FRAME or int(h.get("NumberOfFrames") or 1) > 1 for h in headers):
        raise InputError(
            f"{folder} is an enhanced (multi-frame) CT, which is not read; open it in 3D Slicer and save it as .nrrd, "
            "or convert it to classic single-frame CT."
        )
    for tag, what, count, above in (
        ("ImagePositionPatient", "position", 3, -np.inf),
        ("ImageOrientationPatient", "orientation", 6, -np.inf),
        ("PixelSpacing", "pixel spacing", 2, 0.0),
        ("Rows", "number of rows", 1, 0.0),
        ("Columns", "number of columns", 1, 0.0),
    ):
        values = [_numbers(header, tag) for header in headers]
        lacking = [
            path.name for (path, _), v in zip(slices, values, strict=True) if len(v) != count or v.min() <= above
        ]
        if lacking:
            raise InputError(
                f"{folder}: {len(lacking)} of {len(headers)} slices have no usable {what} ({tag}), the first is {lacking[0]}; "
                "it may be cut short. Copy or export the series again."
            )
    for header in headers:
        _check_orientation(folder, header)
    _check_rescale(folder, headers)
    kinds = {
        (str(h.get("PhotometricInterpretation") or "of no stated kind"), int(h.get("SamplesPerPixel") or 1))
        for h in headers
    }
    if kinds != {("MONOCHROME2", 1)}:
        raise InputError(
            f"{folder}: pixels are {', '.join(sorted(kind for kind, _ in kinds))}; MONOCHROME2 (plain CT values) is expected. Export the original CT."
        )


def _numbers(header: pydicom.Dataset, tag: str) -> np.ndarray:
    """The element's finite values; empty where it is absent or holds anything else."""
    value = header.get(tag)
    values = np.atleast_1d(np.array([] if value is None else value, dtype=float))
    return values if np.isfinite(values).all() else np.empty(0)


def _check_orientation(folder: Path, header: pydicom.Dataset) -> None:
    row, column = _numbers(header, "ImageOrientationPatient").reshape(2, 3)
    if max(abs(row @ row - 1), abs(column @ column - 1), abs(row @ column)) > 0.01:
        raise InputError(
            f"{folder}: the directions of rows and columns are not perpendicular unit vectors (ImageOrientationPatient "
            f"{header.ImageOrientationPatient}); export the series again."
        )


def _check_rescale(folder: Path, headers: Sequence[pydicom.Dataset]) -> None:
    lacking = sum(h.get("RescaleIntercept") is None for h in headers)
    if 0 < lacking < len(headers):
        raise InputError(
            f"{folder}: {lacking} of {len(headers)} slices have no rescale intercept (RescaleIntercept), the others do; export the series again."
        )
    if any(h.get("RescaleSlope") == 0 for h in headers):
        raise InputError(f"{folder}: RescaleSlope is 0, which gives every voxel one value; export the series again.")


def _uids(headers: Sequence[pydicom.Dataset], files: Sequence[Path]) -> dict[str, Any]:
    first = headers[0]
    return {
        "study": str(first.get("StudyInstanceUID", "")),
        "series": str(first.get("SeriesInstanceUID", "")),
        "frame_of_reference": str(first.get("FrameOfReferenceUID", "")),
        "sop_class": str(first.SOPClassUID),
        "files": [str(path) for path in files],  # in the order of the instances: a DICOM SEG copies from their headers
        "instances": [str(h.get("SOPInstanceUID", "")) for h in headers],
        "patient": {tag: str(first.get(tag, "") or "") for tag in PATIENT_TAGS},
    }
