"""One received instance: which series it belongs to, and a digest of all that contours depend on."""

from __future__ import annotations

import hashlib
import re
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pydicom

from ..errors import InputError
from ..io.dicom_series import HEADER_TAGS
from .rules import SeriesFacts

UID_PATTERN = re.compile(r"[0-9.]{1,64}")  # what may become a file's name; stricter rules would refuse real scanners
PATIENT_WORDS = ("PatientName", "PatientID", "PatientBirthDate", "OtherPatientNames", "ReferringPhysicianName")
SHORTEST_WORD = 3  # characters: "A" of a name would blank half of every message


@dataclass(frozen=True)
class Instance:
    """``digest``: 32 hexadecimal characters; the same for the same image, however it was encoded on the wire."""

    series_uid: str
    study_uid: str
    sop_uid: str
    digest: str


def read_instance(encoded: bytes) -> Instance:
    """Return what names an instance, from the bytes of a whole DICOM file. Raises InputError for one that cannot be kept apart."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data = pydicom.dcmread(BytesIO(encoded))
            digest = hashlib.sha256()
            for tag in HEADER_TAGS:
                digest.update(f"{tag}={data.get(tag)}\n".encode())
            digest.update(data.get("PixelData") or b"")
        except Exception as problem:  # pydicom raises many kinds for a damaged data set
            raise InputError(f"not a readable DICOM data set ({type(problem).__name__})") from problem
    series, study, sop = (str(data.get(f"{what}InstanceUID", "")) for what in ("Series", "Study", "SOP"))
    if not all(UID_PATTERN.fullmatch(uid) and uid.strip(".") for uid in (series, study, sop)):
        raise InputError("series, study or SOP instance UID is missing or no UID")
    return Instance(series, study, sop, digest.hexdigest()[:32])


def series_content(instances: dict[str, str]) -> str:
    """Return the digest of a series: SOP instance UID -> digest of each instance, in any order."""
    lines = "\n".join(f"{uid} {digest}" for uid, digest in sorted(instances.items()))
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def series_facts(files: list[Path], sender: str) -> SeriesFacts:
    """Return what rules look at, from the first file that is no localizer (else from the first). Raises InputError."""
    first: pydicom.Dataset | None = None
    tags = ["Modality", "SeriesDescription", "BodyPartExamined", "SliceThickness", "ImageType"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for file in files:
                data = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=tags)
                first = data if first is None else first
                if "LOCALIZER" not in str(data.get("ImageType", "")).upper():
                    first = data
                    break
            assert first is not None
            thickness = first.get("SliceThickness")
            return SeriesFacts(
                sender=sender,
                modality=str(first.get("Modality") or ""),
                description=str(first.get("SeriesDescription") or ""),
                body_part=str(first.get("BodyPartExamined") or ""),
                slice_thickness_mm=None if thickness is None else float(thickness),
            )
        except Exception as problem:
            raise InputError(f"a header cannot be read ({type(problem).__name__}); send the series again.") from problem


def without_patient(message: str, file: Path | None) -> str:
    """Return ``message`` with every word of the patient's name, number and birth date blanked, and the series' free text too.

    Messages of readers repeat file paths and series descriptions, in which a name may stand; logs are kept for years.
    """
    if file is None:
        return message
    try:
        data = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=[*PATIENT_WORDS, "SeriesDescription"])
    except Exception:
        return message
    texts = [str(data.get(tag, "") or "") for tag in PATIENT_WORDS]
    words = {str(data.get("SeriesDescription", "") or ""), *texts}
    words |= {word for text in texts for word in re.split(r"[\^=,\s]+", text)}
    for word in sorted(words, key=len, reverse=True):
        if len(word) >= SHORTEST_WORD:
            message = re.sub(re.escape(word), "[...]", message, flags=re.IGNORECASE)
    return message
