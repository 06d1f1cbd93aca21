"""The interface of every data set, and the class for all layouts that have no index file of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import DatasetError, FocusNetError, OutputError
from ..image.organs import ORGANS, guess, has_vendor_word
from ..io.ct_checks import refuse_impossible
from ..io.read import shifted
from ..io.rtstruct_read import NOTHING_INSIDE
from ..wording import counted
from .cache import Cache
from .case import Case, refuse_without_contour
from .case_files import CaseFiles
from .dataset_toml import EVERYWHERE, FILE_NAME, DatasetToml, default_splits, for_datasets, refuse_shared
from .gap_slices import fill_gap_slices
from .layouts import FoundCases
from .raw_contours import Contours, RawCase, upright_contours
from .snapshot import Snapshot


class Dataset(Protocol):
    """The interface of a data set for training, benchmarks and checks.

    ``layout``: the layout that was recognised, for people. ``organs``: in label order. ``notes``: sentences to show the user,
    such as a default split or names that were left out.
    """

    folder: Path
    layout: str
    organs: tuple[str, ...]
    notes: tuple[str, ...]

    def splits(self) -> tuple[str, ...]: ...
    def patients(self, split: str) -> list[str]:
        """Return the case names of a split, sorted. Raises DatasetError for a split that does not exist."""

    def read(self, split: str, name: str) -> Contours:
        """Return all organs of one case, those that share voxels whole. Raises DatasetError that names the case."""

    def case(self, split: str, name: str) -> Case: ...
    def cases(self, split: str) -> Iterator[Case]: ...


class FolderDataset:
    """Cases found in folders, with the settings of ``dataset.toml``."""

    def __init__(self, folder: Path, found: FoundCases, toml: DatasetToml, cache: Cache | None = None) -> None:
        self.folder, self.layout, self.toml = folder, found.layout, toml
        self._cache = cache
        files, self._incomplete = (
            found.cases,
            {n: what for n, what in found.incomplete.items() if n not in toml.exclude},
        )
        _check_names(folder, toml, files, found.incomplete)
        self._case_files = {f.name: f for f in sorted(files, key=lambda f: f.name) if f.name not in toml.exclude}
        if not self._case_files:
            raise DatasetError(f"{folder}: every case is excluded by {FILE_NAME}; leave at least two in.")
        self._snapshot = Snapshot({name: f.paths() for name, f in self._case_files.items()})
        notes: list[str] = []
        if self._incomplete:
            listed = "; ".join(f"{name} ({what})" for name, what in list(self._incomplete.items())[:10])
            notes.append(
                f"Not read, being no whole case: {listed}. Add what is missing, or name it under exclude in {FILE_NAME}."
            )
        self.organs = self._find_organs(notes)
        self._splits = self._find_splits(notes)
        self.notes: tuple[str, ...] = tuple(notes)

    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits."""
        return tuple(self._splits)

    def patients(self, split: str) -> list[str]:
        """Return the case names of a split, sorted. Raises DatasetError for a split that does not exist."""
        if split not in self._splits:
            raise DatasetError(f"{self.folder} has no split {split!r}; there are {', '.join(self._splits)}.")
        return self._splits[split]

    def cases(self, split: str) -> Iterator[Case]:
        """Yield every case of a split."""
        for name in self.patients(split):
            yield self.case(split, name)

    def case(self, split: str, name: str) -> Case:
        """Read one case as a label map. Raises DatasetError that names the case."""
        contours = self.read(split, name)
        try:
            case = contours.as_case(self.organs)
        except FocusNetError as problem:
            raise DatasetError(f"Case {name}: {problem}") from problem
        refuse_without_contour(case, self.organs)
        return case

    def read(self, split: str, name: str) -> Contours:
        """Return all organs of one case, those that share voxels whole. Raises DatasetError that names the case."""
        if name not in self.patients(split):
            raise DatasetError(f"{self.folder} has no case {name!r} in the split {split}.")
        files = self._case_files[name]
        self._snapshot.check(name)
        try:
            cache, paths = self._cache, files.paths()
            read = partial(self._read, files)
            contours = read() if cache is None else cache.get(paths, self._settings(name), read)
        except OutputError:  # the cache's disk is full: nothing is wrong with the case
            raise
        except FocusNetError as problem:
            raise DatasetError(f"Case {name}: {problem}") from problem
        self._snapshot.check(name)  # changed while it was read
        return contours

    def _settings(self, name: str) -> dict[str, object]:
        """Return everything but the files' bytes that decides how a case is read: the cache's key."""
        offset = self.toml.hu_offset.get(name, self.toml.hu_offset.get(EVERYWHERE, 0.0))
        return {
            "name": name,
            "layout": self.layout,
            "organs": self.organs,
            "table": sorted(self.toml.organs.items()),
            "contoured": sorted((k, sorted(v)) for k, v in self.toml.contoured.items()),
            "hu_offset": offset,
            **({"fill_slices": True} if self.toml.fill_slices else {}),  # cases read before this switch stay cached
        }

    def _read(self, files: CaseFiles) -> Contours:
        raw = files.read()
        offset = self.toml.hu_offset.get(files.name, self.toml.hu_offset.get(EVERYWHERE))
        if raw.image is not None:
            image = replace(raw.image, source=raw.image.source or files.name)
            if offset is not None:
                image = shifted(image, offset)
            try:
                refuse_impossible(image)
            except FocusNetError as problem:
                raise DatasetError(for_datasets(str(problem), files.name)) from problem
            raw = replace(raw, image=image)
        voxels, odd = self._organs_of(raw)
        warnings = [*raw.notes, *odd]
        present = {organ for organ, flat in voxels.items() if len(flat)}
        listed = self.toml.contoured.get(files.name)
        everywhere = set(self.toml.contoured.get(EVERYWHERE, ())) | (raw.contoured or frozenset())
        contoured = set(listed) if listed is not None else present | everywhere
        contoured &= set(self.organs)
        kept = {o: voxels.get(o, np.zeros(0, np.int64)) for o in self.organs if o in contoured}
        contours = upright_contours(files.name, self._patient(files), raw, kept, frozenset(contoured), tuple(warnings))
        return fill_gap_slices(contours) if self.toml.fill_slices else contours

    def _organs_of(self, raw: RawCase) -> tuple[dict[str, np.ndarray], list[str]]:
        """Return the voxels of the recognised organs, and one line about each organ whose contours were odd."""
        unnamed = {
            local: flat for local, flat in raw.voxels.items() if self.toml.organ(local) is None and local.isdigit()
        }
        if unnamed:
            raise DatasetError(_unnamed_values(unnamed))
        voxels: dict[str, np.ndarray] = {}
        names: dict[str, str] = {}
        warnings = []
        plain_first = sorted(raw.voxels.items(), key=lambda entry: self._added_by_a_program(entry[0]))
        for local, flat in plain_first:
            organ = self.toml.organ(local)
            if not organ:
                continue
            if organ in voxels and self._added_by_a_program(local) and not self._added_by_a_program(names[organ]):
                warnings.append(f"{local!r} and {names[organ]!r} are both {organ}; {names[organ]!r} was read.")
                continue
            if organ in voxels:
                raise DatasetError(
                    f'{names[organ]!r} and {local!r} are both {organ}; rename one, or leave it out with "{local}" = "" in {FILE_NAME}.'
                )
            voxels[organ], names[organ] = flat, local
            reported = raw.warnings.get(local, ())
            if reported or (not len(flat) and organ not in (raw.contoured or ())):
                warnings.append(_contour_warning(organ, local, reported, empty=not len(flat)))
        return voxels, warnings

    def _added_by_a_program(self, local: str) -> bool:
        """Return whether a name is known only without what a contouring program adds ("Parotid_L_MBS"): the plain name goes first."""
        return local not in self.toml.organs and has_vendor_word(local)

    def _find_organs(self, notes: list[str]) -> tuple[str, ...]:
        local: dict[str, int] = {}
        unreadable = ""  # the first; reading each of them says what is wrong with it, so that one hides no other
        for name, files in self._case_files.items():
            try:
                for structure in files.structures():
                    local[structure] = local.get(structure, 0) + 1
            except FocusNetError as problem:
                unreadable = unreadable or f"Case {name}: {problem} Or exclude the case in {FILE_NAME}."
        known = {self.toml.organ(structure) for structure in local}
        unknown = sorted(s for s in local if self.toml.organ(s) is None)
        found = {o for o in (*known, *self.toml.organs.values()) if o}
        if unknown:
            listed = ", ".join(f"{s} ({local[s]}){guess(s)}" for s in unknown[:40])
            names = counted(
                len(unknown),
                "structure name is no organ that is known here and is",
                "structure names are no organs that are known here and are",
            )
            notes.append(f"{names} left out: {listed}. To use one, map it under [organs] in {FILE_NAME}.")
        missing = [o for o in self.toml.use if o not in found]
        if unreadable and (missing or not found):
            raise DatasetError(unreadable)
        if missing:
            raise DatasetError(f"{self.toml.path}: use names {', '.join(missing)}, which no case has.")
        if not found:
            what = f"it holds {', '.join(unknown[:20])}" if unknown else "its label maps have values without names"
            remedy = f"'focusnet datasets init' writes a {FILE_NAME} to fill in."
            if self.toml.path is not None:
                remedy = f"Name them under [organs] in {self.toml.path} (docs/datasets.md has an example)."
            raise DatasetError(f"{self.folder}: no organ is recognised; {what}. {remedy}")
        return self.toml.use or tuple(o.name for o in ORGANS if o.name in found)

    def _patient(self, files: CaseFiles) -> str:
        return self.toml.patients.get(files.name, files.patient)

    def _find_splits(self, notes: list[str]) -> dict[str, list[str]]:
        by_patient: dict[str, list[str]] = {}
        for name, files in self._case_files.items():
            by_patient.setdefault(self._patient(files), []).append(name)
        if self.toml.splits:
            return self._given_splits(by_patient, notes)
        if all(f.split for f in self._case_files.values()):
            splits: dict[str, set[str]] = {}
            for f in self._case_files.values():
                splits.setdefault(f.split, set()).add(self._patient(f))
            refuse_shared(splits, str(self.folder), "patient", by_patient)
        else:
            splits = {s: set(p) for s, p in default_splits(by_patient).items()}
            own = all(names == [patient] for patient, names in by_patient.items())
            alone = " Every case is taken for a patient of its own; [patients] names those that are not." if own else ""
            notes.append(
                f"No split is given, so one was made by a hash of the patient's name: {counted(len(splits['train']), 'patient')} to train on, "
                f"{len(splits['val'])} to select on. Write [splits] in {FILE_NAME} for your own.{alone}"
            )
        return {s: sorted(n for p in patients for n in by_patient[p]) for s, patients in splits.items()}

    def _given_splits(self, by_patient: dict[str, list[str]], notes: list[str]) -> dict[str, list[str]]:
        case_of = {name: patient for patient, names in by_patient.items() for name in names}
        excluded = set(self.toml.exclude)
        splits: dict[str, set[str]] = {}
        for split, names in self.toml.splits.items():
            unknown = [n for n in names if n not in by_patient and n not in case_of and n not in excluded]
            for name in unknown:
                if name in self._incomplete:
                    raise DatasetError(
                        f"Case {name}: there is {self._incomplete[name]}. Add what is missing, or take it off splits.{split} in {FILE_NAME}."
                    )
            if unknown:
                raise DatasetError(
                    f"{self.toml.path}: splits.{split} names {', '.join(unknown[:10])}, which is neither a patient nor a case of {self.folder}; "
                    f"there are {_some(by_patient)}."
                )
            splits[split] = {n if n in by_patient else case_of[n] for n in names if n not in excluded}
        refuse_shared(splits, str(self.toml.path), "patient", by_patient)
        unused = sorted(set(by_patient) - set().union(*splits.values()))
        if unused:
            notes.append(
                f"{counted(len(unused), 'patient is', 'patients are')} in no split of {FILE_NAME} and not used: {', '.join(unused[:20])}."
            )
        return {s: sorted(n for p in patients for n in by_patient[p]) for s, patients in splits.items()}


def _some(names: Iterable[str]) -> str:
    """Return the first five names, to show what names look like here."""
    ordered = sorted(set(names))
    return ", ".join(ordered[:5]) + (f" and {len(ordered) - 5} more" if len(ordered) > 5 else "")


def _contour_warning(organ: str, local: str, reported: Sequence[str], empty: bool) -> str:
    """Return one line about an organ: what its reader reported, and what becomes of a contour without a voxel."""
    if not reported:
        return f"The contour of {organ} is empty; it is taken for not contoured."
    if empty:
        reasons = [sentence for sentence in reported if sentence != NOTHING_INSIDE] or [NOTHING_INSIDE]
        reported = [*reasons, f"Nothing of {organ} is left; it is taken for not contoured."]
    return f"{local}: {' '.join(reported)}"


def _unnamed_values(unnamed: Mapping[str, np.ndarray]) -> str:
    listed = ", ".join(f"{value} ({counted(len(flat), 'voxel')})" for value, flat in list(unnamed.items())[:20])
    one = len(unnamed) == 1
    return (
        f"the label value{'' if one else 's'} {listed} {'is' if one else 'are'} outside the table; "
        f'name {"it" if one else "them"} under [organs] in {FILE_NAME}, or give {"it" if one else "them"} "".'
    )


def _check_names(folder: Path, toml: DatasetToml, files: Sequence[CaseFiles], incomplete: Iterable[str]) -> None:
    """Raise DatasetError for two cases of one name, and for names in dataset.toml that no case has (typing errors)."""
    names = [f.name for f in files]
    twice = sorted({n for n in names if names.count(n) > 1}) if len(set(names)) < len(names) else []
    if twice:
        where = [f.split for f in files if f.name == twice[0]]
        if len(set(where)) > 1:
            raise DatasetError(
                f"{folder}: a case {twice[0]} is in the splits {' and '.join(where)}. Keep every patient in one; if they are two patients, rename a folder."
            )
        raise DatasetError(f"{folder}: two cases are called {twice[0]}; rename one of their folders.")
    for key, wanted in (
        ("exclude", toml.exclude),
        ("patients", tuple(toml.patients)),
        ("contoured", tuple(toml.contoured)),
        ("hu_offset", tuple(toml.hu_offset)),
    ):
        others = set(incomplete) if key == "exclude" else set()
        unknown = sorted(
            set(wanted) - set(names) - others - ({EVERYWHERE} if key in ("contoured", "hu_offset") else set())
        )
        if unknown:
            raise DatasetError(
                f"{toml.path}: {key} names {', '.join(unknown[:10])}, which is no case of {folder}; there are {_some(names)}."
            )
