"""Change a training set: start it, put a case into it, remove what was replaced. Nothing half-written is ever seen under its final name.

Every change is one rename under the folder's lock. A case that replaces another comes first and says so in its case.json; the other is
removed afterwards, by the next change if this one is killed in between.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..datasets.collected import (
    CASE,
    COLLECTION,
    CT,
    FORMAT,
    KEY,
    KIND,
    LABEL,
    LOCK,
    MODEL_LABELS,
    PATIENTS,
    CollectedCase,
    Collection,
    is_collected,
    read_collection,
    read_head,
    read_object,
)
from ..datasets.dataset_toml import FILE_NAME
from ..errors import DatasetError, InputError, OutputError
from ..files.atomic_write import atomic_path, ensure_folder, json_text
from ..files.disk import reason, sync, sync_folder
from ..files.leftovers import clean_folders, temporary_name
from ..files.lock import locked
from ..io.itk_write import write_checked
from ..io.seg_nrrd import write_seg_nrrd
from ..version import __version__
from .consent import consent_record
from .new_case import NewCase
from .pseudonym import new_key, patient_pseudonym, scan_name, scan_pseudonym
from .splits import choose_split

ASK, REPLACE, KEEP_BOTH = "ask", "replace", "keep-both"  # what becomes of a patient who is there already
WAIT_S = 60.0  # for another station; a change takes well below a second


class SamePatient(InputError):  # noqa: N818 - a question to the user
    """The patient is in the folder already, and nobody said what to do. ``cases``: the patient's cases there."""

    def __init__(self, message: str, cases: tuple[CollectedCase, ...]) -> None:
        super().__init__(message)
        self.cases = cases


def open_set(folder: Path) -> Collection | None:
    """Return the training set in ``folder``, None where one can be started. Raises DatasetError, also for a folder that holds something else."""
    if is_collected(folder):
        return read_collection(folder)
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise DatasetError(f"{folder} is a file; the folder of a training set is expected.")
    if (folder / COLLECTION).exists():
        read_head(folder)  # says what is wrong with it
    others = sorted(
        p.name for p in folder.iterdir() if p.name not in (KEY, LOCK, FILE_NAME) and not p.name.startswith(".")
    )
    if others:
        raise DatasetError(
            f"{folder} holds {', '.join(others[:4])}{' ...' if len(others) > 4 else ''} and is no training set of 'focusnet collect'; "
            "name an empty or a new folder."
        )
    return None


def start_set(folder: Path, asked: str) -> Collection:
    """Create the training set, or return it if another station was quicker. ``asked``: how consent was asked. Raises OutputError."""
    ensure_folder(folder)
    with _changing(folder):
        if not is_collected(folder):
            if not (folder / KEY).exists():
                _write(folder / KEY, new_key() + "\n")
            head = {
                "kind": KIND,
                "format": FORMAT,
                "created": date.today().isoformat(),
                "consent": consent_record(asked),
            }
            _write(folder / COLLECTION, json_text(head, indent=1) + "\n")
    return read_collection(folder)


def put_case(folder: Path, case: NewCase, same_patient: str = ASK) -> CollectedCase:
    """Add the case and return it as it stands there. ``same_patient``: ASK, REPLACE or KEEP_BOTH, for a patient who is there already.

    REPLACE takes the place of the patient's cases of the same scan, or of all of the patient's if there is none of this scan. Raises
    SamePatient if asked to ASK, DatasetError, and OutputError if it cannot be written: then nothing has changed.
    """
    key = read_key(folder)
    scan = scan_name(key, case.hu, case.geometry)
    patient = patient_pseudonym(key, case.patient) if case.patient else scan_pseudonym(key, scan)
    _there(read_collection(folder), patient, scan, same_patient)  # before the work
    stage = folder / temporary_name("case", "")
    try:
        with _one_line(folder):
            stage.mkdir()
            _write_files(stage, case)
        with _changing(folder):
            _tidy(folder)
            collection = read_collection(folder)
            patient, there = _there(collection, patient, scan, same_patient)
            replaced = _replaced(there, scan) if same_patient == REPLACE else ()
            number = 1 + max((_number(name) for name in _names(folder, patient)), default=0)
            content = {
                "format": FORMAT,
                "case": f"{patient}-{number}",
                "patient": patient,
                "scan": scan,
                "split": _split(folder, patient),
                "replaces": list(replaced),
                "order": 1 + max((c.order for c in collection.cases), default=0),
                "collected": date.today().isoformat(),
                "focusnet": __version__,
                **case.facts,
            }
            _write(stage / CASE, json_text(content, indent=1) + "\n")
            sync_folder(stage)
            os.rename(stage, folder / str(content["case"]))
            sync_folder(folder)
            _tidy(folder)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return next(c for c in read_collection(folder).cases if c.name == content["case"])


def read_key(folder: Path) -> str:
    """Return the secret of the folder's pseudonyms. Raises DatasetError if it is gone."""
    path = folder / KEY
    key = path.read_text(encoding="ascii").strip() if path.is_file() else ""
    if not key:
        raise DatasetError(
            f"{path} is missing: without it a patient who is there already would not be recognised. Restore it from a copy, or collect into a new folder."
        )
    return key


def _there(collection: Collection, patient: str, scan: str, same_patient: str) -> tuple[str, tuple[CollectedCase, ...]]:
    """Return the pseudonym that the folder has for the patient, and the patient's cases. Raises SamePatient."""
    known = next((c.patient for c in collection.cases if c.scan == scan), patient)
    cases = tuple(c for c in collection.cases if c.patient == known)
    if cases and same_patient == ASK:
        same = "this scan" if any(c.scan == scan for c in cases) else "another scan"
        raise SamePatient(
            f"{collection.folder}: this patient is there already with {same} ({', '.join(c.name for c in cases)}); say --replace or --keep-both.",
            cases,
        )
    return known, cases


def _replaced(there: tuple[CollectedCase, ...], scan: str) -> tuple[str, ...]:
    """Return the cases that a new one of this scan takes the place of, and those that these had replaced."""
    chosen = [c for c in there if c.scan == scan] or list(there)
    return tuple(dict.fromkeys(name for c in chosen for name in (c.name, *c.replaces)))


def _write_files(stage: Path, case: NewCase) -> None:
    image = sitk.GetImageFromArray(case.hu)
    image.SetSpacing(case.geometry.spacing_mm_xyz)
    image.SetOrigin(case.geometry.origin_mm_xyz)
    image.SetDirection(np.asarray(case.geometry.direction_xyz).ravel().tolist())
    write_checked(image, stage / CT)
    sync(stage / CT)
    write_seg_nrrd(case.approved, stage / LABEL)
    if case.drawn is not None:
        write_seg_nrrd(case.drawn, stage / MODEL_LABELS)


def _split(folder: Path, patient: str) -> str:
    """Return the patient's split, chosen and written down if the patient is new. A split never changes, even if the case is taken out."""
    path = folder / PATIENTS
    splits = dict(read_object(path).get("patients") or {}) if path.is_file() else {}
    splits = {c.patient: c.split for c in read_collection(folder).cases} | splits
    if patient not in splits:
        splits[patient] = choose_split(patient, list(splits.values()))
        _write(path, json_text({"format": FORMAT, "patients": splits}, indent=1) + "\n")
    return str(splits[patient])


def _tidy(folder: Path) -> None:
    """Remove replaced cases and what killed processes of this computer left. What cannot be removed now (a file that is open) stays for later."""
    for name in read_collection(folder).replaced:
        gone = folder / temporary_name("gone", "")
        try:
            os.rename(folder / name, gone)  # a case disappears as a whole, as it appears
        except OSError:
            continue
        shutil.rmtree(gone, ignore_errors=True)
    clean_folders(folder)


def _names(folder: Path, patient: str) -> Iterator[str]:
    """Yield the names that cases of the patient have or had."""
    for path in folder.glob(f"{patient}-*/{CASE}"):
        yield path.parent.name
        yield from read_object(path).get("replaces") or ()


def _number(name: str) -> int:
    number = name.rpartition("-")[2]
    return int(number) if number.isdigit() else 0


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def _changing(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. Raises OutputError if another station does not let go of it, or the disk refuses."""
    with _one_line(folder):
        try:
            with locked(folder / LOCK, WAIT_S):
                yield
        except TimeoutError as problem:
            raise OutputError(
                f"{folder} has been in use by another program for {WAIT_S:g} s; nothing was added. Try again."
            ) from problem


@contextmanager
def _one_line(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as problem:
        raise OutputError(
            f"{folder}: nothing was added, because it cannot be written ({reason(problem, folder)}). Free some space or check the permissions."
        ) from problem


def as_row(case: CollectedCase) -> dict[str, Any]:
    """Return what a program wants to know of a case that was added."""
    return {"case": case.name, "patient": case.patient, "split": case.split, "organs": list(case.contoured)}
