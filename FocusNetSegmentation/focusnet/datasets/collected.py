"""Read a training set that ``focusnet collect`` made: approved organs of corrected cases (docs/learning.md describes the folder)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import DatasetError
from .case_files import SegNrrdCase
from .layouts import FoundCases
from .raw_contours import RawCase

KIND, FORMAT = "focusnet training set", 1
COLLECTION, CASE = "collection.json", "case.json"
PATIENTS, KEY, LOCK = "patients.json", "pseudonym.key", ".lock"
CT, LABEL, MODEL_LABELS = "ct.nrrd", "label.seg.nrrd", "model.seg.nrrd"
LAYOUT = "focusnet collect: approved organs of corrected cases"


@dataclass(frozen=True)
class CollectedCase:
    """One case of the folder. ``contoured``: the approved organs; ``absent``: those of them that are rightly not drawn.

    ``model``: name, version and bundle_sha256 of the model that drew it; None where no model did. ``organs``: what is known of each
    contoured organ. ``audit``: what was corrected (qa.audit), None where the model's own result is not known. ``replaces``: cases that this
    one stands for. ``model_labels``: the model's own result, None where it is missing. ``collected``: the date, YYYY-MM-DD; ``order``: a number
    that rises from case to case.
    """

    folder: Path
    name: str
    patient: str
    scan: str
    split: str
    collected: str
    order: int
    contoured: tuple[str, ...]
    absent: tuple[str, ...] = ()
    model: Mapping[str, Any] | None = None
    organs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    audit: Mapping[str, Any] | None = None
    replaces: tuple[str, ...] = ()

    @property
    def ct(self) -> Path:
        """Return the CT's file."""
        return self.folder / CT

    @property
    def label(self) -> Path:
        """Return the file of the approved organs."""
        return self.folder / LABEL

    @property
    def model_labels(self) -> Path | None:
        """Return the file of the model's own result, None where it is missing."""
        path = self.folder / MODEL_LABELS
        return path if path.is_file() else None


@dataclass(frozen=True)
class Collection:
    """``cases``: in the order of collecting, without those that another case replaces. ``replaced``: the names of these."""

    folder: Path
    format: int
    consent: Mapping[str, Any]
    cases: tuple[CollectedCase, ...]
    replaced: tuple[str, ...] = ()

    @property
    def consent_sentence(self) -> str:
        """Return when and how consent was given, for people."""
        how = {"terminal": "at the terminal", "option": "with --consent", "panel": "in 3D Slicer"}
        asked = str(self.consent.get("asked", ""))
        return f"Consent to keep copies of patients' scans in {self.folder} was given on {self.consent.get('date')} {how.get(asked, asked)}."


def is_collected(folder: Path | str) -> bool:
    """Return whether the folder is a training set of ``focusnet collect``, of any version."""
    path = Path(folder) / COLLECTION
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return path.is_file()  # damaged: read_collection says so
    return not isinstance(content, dict) or content.get("kind") == KIND


def read_collection(folder: Path | str) -> Collection:
    """Return the cases of a training set, without their voxels.

    Raises DatasetError for a folder that is none, is of another version, or has a damaged file.
    """
    folder = Path(folder)
    head = read_head(folder)
    cases = [case for path in sorted(folder.glob(f"[!.]*/{CASE}")) if (case := _case(path.parent)) is not None]
    replaced = {name for case in cases for name in case.replaces}
    cases.sort(key=lambda case: (case.order, case.name))
    kept = tuple(case for case in cases if case.name not in replaced)
    return Collection(folder, FORMAT, head.get("consent") or {}, kept, tuple(sorted(replaced)))


def read_head(folder: Path) -> dict[str, Any]:
    """Return what ``collection.json`` says. Raises DatasetError."""
    path = folder / COLLECTION
    if not path.is_file():
        raise DatasetError(
            f"{folder} is no training set of 'focusnet collect': it has no {COLLECTION} (docs/learning.md)."
        )
    head = read_object(path)
    if head.get("kind") != KIND:
        raise DatasetError(f"{path} is of another program; name a folder that 'focusnet collect' made, or a new one.")
    if head.get("format") != FORMAT:
        raise DatasetError(
            f"{folder} is a training set of format {head.get('format')}; this version of focusnet reads format {FORMAT}. "
            "Use the version that made it, or collect into a new folder."
        )
    return head


def find_collected(folder: Path) -> FoundCases:
    """Return the folder's cases as a data set. Raises DatasetError."""
    cases = [
        CollectedFiles(c.name, c.patient, c.split, c.ct, c.label, c.contoured) for c in read_collection(folder).cases
    ]
    if not cases:
        raise DatasetError(f"{folder} holds no case yet; add some with 'focusnet collect'.")
    return FoundCases(LAYOUT, list(cases))


@dataclass(frozen=True)
class CollectedFiles(SegNrrdCase):
    """The files of a collected case. ``contoured``: the organs that are known, with voxels or without."""

    contoured: tuple[str, ...] = ()

    def paths(self) -> list[Path]:
        """Return every file that is read."""
        return [*super().paths(), self.labels.parent / CASE]

    def read(self) -> RawCase:
        """Read image and contours. Raises InputError or DatasetError."""
        return replace(super().read(), contoured=frozenset(self.contoured))


def read_object(path: Path) -> dict[str, Any]:
    """Return a JSON file's object. Raises DatasetError for a file that is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise DatasetError(
            f"{path} cannot be read ({problem}); restore it from a copy, or take its folder away."
        ) from problem
    if not isinstance(content, dict):
        raise DatasetError(
            f"{path} is damaged: a JSON object is expected; restore it from a copy, or take its folder away."
        )
    return content


def _case(folder: Path) -> CollectedCase | None:
    """Return the case of a folder, None if somebody took it away in the meantime. Raises DatasetError."""
    try:
        content = read_object(folder / CASE)
    except DatasetError:
        if not folder.exists():
            return None
        raise
    if content.get("format") != FORMAT:
        raise DatasetError(
            f"Case {folder.name} is of format {content.get('format')}; this version of focusnet reads format {FORMAT}. "
            "Update focusnet, or take the case away."
        )
    try:
        return CollectedCase(
            folder=folder,
            name=folder.name,
            patient=str(content["patient"]),
            scan=str(content["scan"]),
            split=str(content["split"]),
            collected=str(content["collected"]),
            order=int(content.get("order", 0)),
            contoured=tuple(content["contoured"]),
            absent=tuple(content.get("absent") or ()),
            model=content.get("model"),
            organs=content.get("organs") or {},
            audit=content.get("audit"),
            replaces=tuple(content.get("replaces") or ()),
        )
    except (KeyError, TypeError, ValueError) as problem:
        raise DatasetError(
            f"{folder / CASE} lacks {problem}; restore it from a copy, or take the case away."
        ) from problem
