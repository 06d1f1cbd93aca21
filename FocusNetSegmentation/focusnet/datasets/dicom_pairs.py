"""Find DICOM cases: every RTSTRUCT with the CT series that its UIDs name, in whatever folders the files lie."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from ..errors import DatasetError
from ..image.organs import find_organ
from ..io.dicom_series import CT_IMAGE_STORAGE, files_below, read_dicom_folder
from ..io.rtstruct_read import check_frame_of_reference, empty_structures, read_structures, structure_names
from ..io.suffixes import TRAINING_FILES, has_suffix
from ..wording import counted
from .case_files import CaseFiles
from .dataset_toml import SPLIT_NAMES, DatasetToml
from .layouts import FoundCases, dead_links
from .raw_contours import RawCase

TAGS = ["Modality", "SOPClassUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID", "PatientID", "ReferencedFrameOfReferenceSequence"]  # fmt: skip
TITLE = "DICOM: CT series and the RTSTRUCT that names them"


@dataclass(frozen=True)
class DicomCase:
    """A structure set and its CT series; ``slices`` is empty where that series is not in the folder."""

    name: str
    patient: str
    split: str
    structure_set: Path
    series: str
    slices: tuple[Path, ...]

    def paths(self) -> list[Path]:
        """Return every file that is read."""
        return [self.structure_set, *self.slices]

    def structures(self) -> list[str]:
        """Return the structures' names, without their contours."""
        return structure_names(self.structure_set)

    def read(self) -> RawCase:
        """Read CT and contours. Raises InputError or DatasetError."""
        if not self.slices:
            raise DatasetError(
                f"the CT of {self.structure_set} (series {self.series or 'not named'}) is not in the folder; copy the series there, "
                "or exclude the case in dataset.toml."
            )
        volume = read_dicom_folder(_common(self.slices), self.series)
        notes = check_frame_of_reference(self.structure_set, volume)
        empty = [name for name in empty_structures(self.structure_set) if find_organ(name) is not None]
        if empty:
            notes.append(f"Named, but empty (no contour): {', '.join(empty)}; taken for not contoured.")
        structures = read_structures(self.structure_set, volume)
        names = [s.name for s in structures]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise DatasetError(
                f"{self.structure_set}: {names.count(twice[0])} structures share the name {twice[0]!r}; rename one."
            )
        odd = {s.name: s.warnings for s in structures if s.warnings}
        return RawCase(volume, volume.geometry, {s.name: s.voxels for s in structures}, odd, tuple(notes))


@dataclass(frozen=True)
class _StructureSet:
    path: Path
    patient: str
    series: tuple[str, ...]  # that it names
    instances: frozenset[str]  # slices that it names
    frame_of_reference: str


def find_dicom_cases(folder: Path, toml: DatasetToml) -> FoundCases:
    """Return every RTSTRUCT below ``folder`` as a case.

    Raises DatasetError if two of them belong to one CT, because nothing says which one is meant.
    """
    series: dict[str, list[Path]] = {}
    series_of: dict[str, str] = {}
    frames: dict[str, set[str]] = {}
    sets: list[_StructureSet] = []
    for path, header in _read_headers(folder, toml):
        uid = str(header.get("SeriesInstanceUID", ""))
        if header.get("Modality") == "CT" or (
            not header.get("Modality") and header.get("SOPClassUID") == CT_IMAGE_STORAGE
        ):
            series.setdefault(uid, []).append(path)
            series_of[str(header.get("SOPInstanceUID", ""))] = uid
            frames.setdefault(str(header.get("FrameOfReferenceUID", "")), set()).add(uid)
        elif header.get("Modality") == "RTSTRUCT":
            sets.append(_structure_set(path, header))
    cases: list[CaseFiles] = []
    taken: dict[str, Path] = {}
    second: list[tuple[Path, Path]] = []
    for found in sets:
        uid = _series(found, series, series_of, frames)
        if uid in series and uid in taken:
            second.append((taken[uid], found.path))
        taken.setdefault(uid, found.path)
        slices = tuple(series.get(uid, ()))
        name, split = _name(folder, found, slices)
        cases.append(DicomCase(name, found.patient or name, split, found.path, uid, slices))
    if second:
        raise DatasetError(_drawn_twice(folder, second))
    names = [case.name for case in cases]
    if len(set(names)) < len(names):  # several patients in one folder: the file tells them apart
        cases = [
            DicomCase(f"{c.name}-{c.structure_set.stem}", c.patient, c.split, c.structure_set, c.series, c.slices)
            for c in cases
            if isinstance(c, DicomCase)
        ]
    without_contours = {_first_folder(folder, series[uid][0]): series[uid] for uid in series if uid not in taken}
    incomplete = {
        n: f"a CT of {counted(len(s), 'slice')}, but no RTSTRUCT drawn on it" for n, s in without_contours.items()
    }
    return FoundCases(TITLE if cases else "", cases, {**incomplete, **dead_links([folder])})


def _drawn_twice(folder: Path, pairs: list[tuple[Path, Path]]) -> str:
    """Return the message about every CT that has several structure sets."""
    first, other = pairs[0]
    names = [second.relative_to(folder).as_posix() for _, second in pairs]
    more = f" (and so it is with {', '.join(names[1:10])}{' ...' if len(names) > 10 else ''})" if len(names) > 1 else ""
    return (
        f"{first} and {other} are both drawn on one CT{more}; name the ones to leave out in dataset.toml, such as "
        f'ignore = ["{names[0]}"].'
    )


def _first_folder(folder: Path, path: Path) -> str:
    """Return the name of a case at this path: the first folder below the data set's (below its split)."""
    parts = list(path.relative_to(folder).parts[:-1])
    parts = parts[1:] if parts and parts[0].lower() in SPLIT_NAMES else parts
    return parts[0] if parts else path.name


def _read_headers(folder: Path, toml: DatasetToml) -> list[tuple[Path, pydicom.Dataset]]:
    try:
        return list(_headers(folder, toml))
    except OSError as problem:
        raise DatasetError(
            f"The folder {problem.filename or folder} cannot be read ({problem.strerror}); check its permissions."
        ) from problem


def _headers(folder: Path, toml: DatasetToml) -> Iterator[tuple[Path, pydicom.Dataset]]:
    for path in files_below(folder):
        relative = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in relative.parts)
        if hidden or has_suffix(path, (*TRAINING_FILES, ".toml", ".json")):
            continue
        if any(fnmatch(relative.as_posix(), pattern) for pattern in toml.ignore):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield path, pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS)
        except InvalidDicomError:
            continue
        except Exception as problem:  # pydicom raises many kinds for a damaged header
            raise DatasetError(f"{path} cannot be read as DICOM ({problem}); copy it again, or remove it.") from problem


def _structure_set(path: Path, header: pydicom.Dataset) -> _StructureSet:
    named: list[str] = []
    instances: set[str] = set()
    frame = str(header.get("FrameOfReferenceUID", ""))
    for reference in header.get("ReferencedFrameOfReferenceSequence") or []:
        frame = str(reference.get("FrameOfReferenceUID", "")) or frame
        for study in reference.get("RTReferencedStudySequence") or []:
            for one in study.get("RTReferencedSeriesSequence") or []:
                named.append(str(one.get("SeriesInstanceUID", "")))
                images = one.get("ContourImageSequence") or []
                instances |= {str(i.get("ReferencedSOPInstanceUID", "")) for i in images}
    return _StructureSet(path, str(header.get("PatientID", "")), tuple(named), frozenset(instances), frame)


def _series(
    found: _StructureSet, series: dict[str, list[Path]], series_of: dict[str, str], frames: dict[str, set[str]]
) -> str:
    """Return the CT series that a structure set was drawn on: by its series UID, else by its slices' UIDs, else by a
    frame of reference that only one CT has."""
    for uid in found.series:
        if uid in series:
            return uid
    by_slice = {series_of[i] for i in found.instances if i in series_of}
    by_frame = frames.get(found.frame_of_reference, set()) if not found.series and not found.instances else set()
    for candidates in (by_slice, by_frame):
        if len(candidates) == 1:
            return next(iter(candidates))
    return found.series[0] if found.series else ""


def _name(folder: Path, found: _StructureSet, slices: tuple[Path, ...]) -> tuple[str, str]:
    """Return the case's name and split: the first folder below the data set's (below its split), or the patient's ID if there is none."""
    parts = list(found.path.relative_to(folder).parts[:-1])
    split = SPLIT_NAMES.get(parts[0].lower(), "") if parts else ""
    parts = parts[1:] if split else parts
    return (parts[0] if parts else found.patient or found.path.stem), split


def _common(paths: tuple[Path, ...]) -> Path:
    """Return the deepest folder that holds all slices."""
    common = paths[0].parent
    while not all(path.is_relative_to(common) for path in paths):
        common = common.parent
    return common
