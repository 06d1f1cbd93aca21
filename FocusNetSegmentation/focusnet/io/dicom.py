"""DICOM series through pydicom: which series, in which order, in HU; and every reason to refuse one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from ..errors import InputError
from ..volume import Volume
from .slice_geometry import series_geometry

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
MULTI_FRAME = (
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.2.2",
)  # enhanced CT, legacy converted enhanced CT
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
    """One series of a folder. ``usable`` is True for a CT series of at least two slices that is not a localizer."""

    uid: str
    description: str
    modality: str
    slices: int
    usable: bool
    files: tuple[Path, ...] = ()

    def __str__(self) -> str:
        return f"{self.uid} ({self.modality}, {self.slices} files, {self.description or 'no description'})"


def list_series(folder: Path | str) -> list[SeriesInfo]:
    """Every series below a folder. Files that are not DICOM are passed over. Raises InputError if there is none."""
    return [_info(uid, headers) for uid, headers in _headers_by_series(Path(folder)).items()]


def read_dicom_folder(folder: Path, series: str | None = None) -> Volume:
    """Read one CT series as a Volume. Raises InputError with the reason if it cannot be read as evenly spaced HU."""
    groups = _headers_by_series(folder)
    uid = _choose(folder, {uid: _info(uid, headers) for uid, headers in groups.items()}, series)
    headers = [header for _, header in groups[uid]]
    _check_headers(folder, headers)
    geometry, order, notes = series_geometry(folder, headers)
    files = [groups[uid][i][0] for i in order]
    ordered = [headers[i] for i in order]
    array = _read_pixels(files, ordered)
    if any(h.get("RescaleIntercept") is None for h in headers):
        notes.append("The series has no rescale intercept: stored values were taken as they are.")
    description = str(ordered[0].get("SeriesDescription") or ordered[0].get("SeriesInstanceUID") or f"in {folder.name}")
    return Volume(array, geometry, f"DICOM series {description}", _uids(ordered, files), tuple(notes))


def _headers_by_series(folder: Path) -> dict[str, list[tuple[Path, pydicom.Dataset]]]:
    files = [p for p in sorted(folder.iterdir()) if p.is_file()]
    found = _read_headers(files)
    if not found:
        found = _read_headers([p for p in sorted(folder.rglob("*")) if p.is_file() and p not in files])
    if not found:
        what = "is empty" if not any(folder.iterdir()) else "holds no DICOM image"
        raise InputError(f"The folder {folder} {what}; a folder with the files of a CT series is expected.")
    groups: dict[str, list[tuple[Path, pydicom.Dataset]]] = {}
    for path, header in found:
        groups.setdefault(str(header.get("SeriesInstanceUID", "unknown")), []).append((path, header))
    return groups


def _read_headers(files: Sequence[Path]) -> list[tuple[Path, pydicom.Dataset]]:
    found: list[tuple[Path, pydicom.Dataset]] = []
    for path in files:
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=HEADER_TAGS)
        except (InvalidDicomError, OSError):
            continue
        except Exception as problem:  # pydicom raises many kinds for a damaged header
            raise InputError(f"{path} is a damaged DICOM file ({problem}); copy the series again.") from problem
        if "SOPClassUID" in header and "DICOMDIR" not in path.name.upper():
            found.append((path, header))
    return found


def _info(uid: str, headers: list[tuple[Path, pydicom.Dataset]]) -> SeriesInfo:
    first = headers[0][1]
    modality = str(first.get("Modality", "unknown"))
    is_ct = modality == "CT" and str(first.SOPClassUID) in (CT_IMAGE_STORAGE, *MULTI_FRAME)
    usable = is_ct and not _is_localizer(first) and (len(headers) > 1 or str(first.SOPClassUID) in MULTI_FRAME)
    return SeriesInfo(
        uid, str(first.get("SeriesDescription", "")), modality, len(headers), usable, tuple(p for p, _ in headers)
    )


def _is_localizer(header: pydicom.Dataset) -> bool:
    return "LOCALIZER" in [str(part).upper() for part in header.get("ImageType", [])]


def _choose(folder: Path, series: dict[str, SeriesInfo], wanted: str | None) -> str:
    listing = "; ".join(str(info) for info in series.values())
    if wanted is not None:
        if wanted not in series:
            raise InputError(f"{folder} has no series {wanted}; there are: {listing}.")
        if series[wanted].modality != "CT":
            raise InputError(f"Series {series[wanted]} is not a CT; a head-and-neck CT is expected.")
        return wanted
    usable = [info for info in series.values() if info.usable]
    if len(usable) == 1:
        return usable[0].uid
    if usable:
        raise InputError(
            f"{folder} holds {len(usable)} CT series; choose one with --series UID: {'; '.join(str(i) for i in usable)}."
        )
    single = [info for info in series.values() if info.modality == "CT"]
    if single:
        raise InputError(
            f"{folder} holds no CT series of two or more slices; found: {listing}. A whole head-and-neck CT is expected."
        )
    raise InputError(f"{folder} holds no CT; found: {listing}. A head-and-neck CT is expected.")


def _check_headers(folder: Path, headers: Sequence[pydicom.Dataset]) -> None:
    first = headers[0]
    if str(first.SOPClassUID) in MULTI_FRAME or int(first.get("NumberOfFrames", 1) or 1) > 1:
        raise InputError(
            f"{folder} is an enhanced (multi-frame) CT, which is not read; convert it to classic single-frame CT first."
        )
    for tag, what in (
        ("ImagePositionPatient", "position"),
        ("ImageOrientationPatient", "orientation"),
        ("PixelSpacing", "pixel spacing"),
    ):
        lacking = sum(h.get(tag) is None for h in headers)
        if lacking:
            raise InputError(
                f"{folder}: {lacking} of {len(headers)} slices have no {what} ({tag}); export the series again with it."
            )
    if any(
        h.get("PhotometricInterpretation", "MONOCHROME2") != "MONOCHROME2" or int(h.get("SamplesPerPixel", 1)) != 1
        for h in headers
    ):
        kinds = sorted({str(h.get("PhotometricInterpretation")) for h in headers})
        raise InputError(
            f"{folder}: pixels are {', '.join(kinds)}; MONOCHROME2 (plain CT values) is expected. Export the original CT."
        )


def _read_pixels(files: Sequence[Path], headers: Sequence[pydicom.Dataset]) -> np.ndarray:
    """HU (z, y, x): int16 where slope and intercept are whole numbers, float32 otherwise."""
    slopes = [float(h.get("RescaleSlope", 1) or 1) for h in headers]
    intercepts = [float(h.get("RescaleIntercept", 0) or 0) for h in headers]
    whole = all(value.is_integer() for value in (*slopes, *intercepts))
    shape = (len(files), int(headers[0].Rows), int(headers[0].Columns))
    array = np.empty(shape, np.int16 if whole else np.float32)
    for k, path in enumerate(files):
        stored = _pixels(path)
        if stored.shape != shape[1:]:
            raise InputError(
                f"{path}: the slice has {stored.shape} pixels, {shape[1:]} were announced; the file is damaged, copy it again."
            )
        hu = stored.astype(np.int32 if whole else np.float32) * (int(slopes[k]) if whole else slopes[k])
        hu += int(intercepts[k]) if whole else np.float32(intercepts[k])
        array[k] = np.clip(hu, -32768, 32767)
    return array


def _pixels(path: Path) -> np.ndarray:
    try:
        dataset = pydicom.dcmread(path)
    except Exception as problem:
        raise InputError(f"{path} cannot be read ({problem}); it may be cut short, copy it again.") from problem
    if "PixelData" not in dataset:
        raise InputError(f"{path} has no pixels; it may be cut short, copy it again.")
    try:
        return np.asarray(dataset.pixel_array)
    except Exception as problem:  # decoders raise many kinds
        syntax = dataset.file_meta.get("TransferSyntaxUID", pydicom.uid.ImplicitVRLittleEndian)
        compressed = bool(getattr(syntax, "is_compressed", False))
        if compressed:
            raise InputError(
                f"{path}: its compression ({syntax.name}) cannot be decoded here; convert the series to an uncompressed one first."
            ) from problem
        raise InputError(
            f"{path}: its pixels cannot be read ({problem}); the file may be cut short, copy it again."
        ) from problem


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
