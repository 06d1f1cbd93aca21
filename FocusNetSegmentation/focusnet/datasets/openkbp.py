"""Read the OpenKBP layout: ``dataset.json`` and ``<split>/<patient>/{ct,label}.nrrd``, with partial contours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..errors import DatasetError, FocusNetError
from ..image.body import body_center_mm
from ..image.orientation import to_upright
from ..image.skipped_slices import fill_label_map
from ..image.volume import Geometry, Volume
from ..io.ct_checks import refuse_values
from ..io.image_read import as_hu
from ..io.read import shifted
from ..wording import counted
from .case import Case, organ_centroids_mm, refuse_without_contour
from .case_files import refuse_no_label_map, same_grid
from .dataset_toml import EVERYWHERE, FILE_NAME, DatasetToml, for_datasets, read_dataset_toml, refuse_shared
from .raw_contours import Contours, voxels_by_value
from .snapshot import Snapshot


class OpenKBPDataset:
    """Cases of an OpenKBP folder. ``organs`` are in label order. Raises DatasetError for a damaged index."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        index = read_openkbp_index(self.folder)
        self._labels: tuple[str, ...] = tuple(sorted(index["labels"], key=index["labels"].__getitem__))
        self.organs = self._labels
        self.contoured: dict[str, dict[str, list[str]]] = index["contoured"]
        refuse_shared(self.contoured, str(self.folder / "dataset.json"), "patient")
        self.layout = "OpenKBP: dataset.json, ct.nrrd and label.nrrd"
        self.notes: tuple[str, ...] = ()
        self._toml = read_dataset_toml(self.folder)
        self._apply_toml()
        self._snapshot = Snapshot(
            {
                n: [self.folder / s / n / f for f in ("ct.nrrd", "label.nrrd")]
                for s in self.contoured
                for n in self.contoured[s]
            }
        )

    def _apply_toml(self) -> None:
        """Apply what ``dataset.toml`` may set here: cases to exclude, organs to use, skipped slices, HU offsets. The rest is in dataset.json."""
        toml = self._toml
        if (
            toml.path is not None
            and replace(toml, path=None, exclude=(), use=(), hu_offset={}, fill_slices=False) != DatasetToml()
        ):
            raise DatasetError(
                f"{toml.path}: beside a dataset.json only exclude, use, fill_slices and hu_offset are read; splits, organs and contours stand in dataset.json."
            )
        names = {name for patients in self.contoured.values() for name in patients}
        for key, listed in (("exclude", toml.exclude), ("hu_offset", toml.hu_offset)):
            unknown = sorted(set(listed) - names - ({EVERYWHERE} if key == "hu_offset" else set()))
            if unknown:
                raise DatasetError(f"{toml.path}: {key} names {', '.join(unknown)}, which dataset.json does not have.")
        missing = sorted(set(toml.use) - set(self._labels))
        if missing:
            raise DatasetError(
                f"{toml.path}: use names {', '.join(missing)}; dataset.json has {', '.join(self._labels)}."
            )
        self.organs = toml.use or self._labels
        if toml.exclude:
            self.notes = (
                f"{counted(len(toml.exclude), 'case is', 'cases are')} excluded by {FILE_NAME}: {', '.join(toml.exclude)}.",
            )
        self.contoured = {
            split: {name: organs for name, organs in patients.items() if name not in toml.exclude}
            for split, patients in self.contoured.items()
        }

    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits."""
        return tuple(self.contoured)

    def patients(self, split: str) -> list[str]:
        """Return the patient names of a split, sorted. Raises DatasetError for a split that does not exist."""
        if split not in self.contoured:
            raise DatasetError(f"{self.folder} has no split {split!r}; there are {', '.join(self.contoured)}.")
        return sorted(self.contoured[split])

    def cases(self, split: str) -> Iterator[Case]:
        """Yield every case of a split."""
        for name in self.patients(split):
            yield self.case(split, name)

    def read(self, split: str, name: str) -> Contours:
        """Return one patient's organs, each with its voxels. Raises DatasetError."""
        case = self._case(split, name)
        found = voxels_by_value(case.labels)
        voxels = {
            o: found.get(k, np.zeros(0, np.int64)) for k, o in enumerate(self.organs, start=1) if o in case.contoured
        }
        return Contours(name, case.hu, case.geometry, voxels, case.contoured, case.warnings, name)

    def case(self, split: str, name: str) -> Case:
        """Read one patient.

        Raises DatasetError if a file is missing, unreadable or changed, the two grids differ, or nothing is contoured.
        """
        case = self._case(split, name)
        refuse_without_contour(case, self.organs)
        return case

    def _case(self, split: str, name: str) -> Case:
        if name not in self.patients(split):
            raise DatasetError(f"{self.folder} has no case {name!r} in the split {split}.")
        self._snapshot.check(name)
        try:
            case = self._read(self.folder / split / name, frozenset(self.contoured[split][name]))
        except FocusNetError as problem:
            raise DatasetError(for_datasets(f"Case {name}: {problem}", name)) from problem
        self._snapshot.check(name)  # changed while it was read
        return case

    def _read(self, folder: Path, contoured: frozenset[str]) -> Case:
        ct, label = folder / "ct.nrrd", folder / "label.nrrd"
        (hu, geometry), (labels, grid) = _read(ct), _read(label)
        refuse_no_label_map(label, labels)
        same_grid(label, grid, ct, geometry)
        offset = self._toml.hu_offset.get(folder.name, self._toml.hu_offset.get(EVERYWHERE))
        if offset is not None:
            hu = shifted(Volume(hu, geometry, ct.name), offset).array
        refuse_values(Volume(hu, geometry, ct.name))
        if labels.max() > len(self._labels):
            raise DatasetError(
                f"{label} holds the label value {int(labels.max())}; dataset.json names the values 1 to {len(self._labels)}. "
                f"Add its organ to labels there, or correct the label map, or exclude the case in {FILE_NAME}."
            )
        unknown = contoured - set(self._labels)
        if unknown:
            raise DatasetError(
                f"dataset.json lists {', '.join(sorted(unknown))} as contoured; its labels are {', '.join(self._labels)}. Correct the name there."
            )
        hu, upright, _, _ = to_upright(hu, geometry)
        labels, _, _, _ = to_upright(self._used(labels), geometry)
        labels = np.ascontiguousarray(labels, dtype=np.uint8)
        contoured &= set(self.organs)
        unlisted = self._unlisted(labels, contoured)
        labels[np.isin(labels, unlisted)] = 0
        filled: list[str] = []
        if self._toml.fill_slices:
            labels, filled = fill_label_map(labels, dict(enumerate(self.organs, start=1)), upright.spacing_mm_zyx)
        return Case(
            name=folder.name,
            hu=np.ascontiguousarray(np.rint(hu) if hu.dtype.kind == "f" else hu, dtype=np.int16),
            labels=labels,
            geometry=upright,
            contoured=contoured,
            center_mm_xyz=tuple(body_center_mm(hu, upright)),
            centroids_mm_xyz=organ_centroids_mm(labels, upright, self.organs, contoured),
            warnings=(*self._left_out(unlisted), *filled),
        )

    def _unlisted(self, labels: np.ndarray, contoured: frozenset[str]) -> list[int]:
        """Return label values of organs that have voxels but are not listed as contoured."""
        values = [int(k) for k in np.flatnonzero(np.bincount(labels.reshape(-1), minlength=1)) if k]
        return [k for k in values if self.organs[k - 1] not in contoured]

    def _left_out(self, unlisted: list[int]) -> tuple[str, ...]:
        if not unlisted:
            return ()
        names = ", ".join(self.organs[k - 1] for k in unlisted)
        return (
            f"{names} has voxels, but dataset.json does not list it as contoured: it is left out. Add it there if it was contoured.",
        )

    def _used(self, labels: np.ndarray) -> np.ndarray:
        """Return the label map in the order of ``organs``; 0 for an organ that is not used."""
        if self.organs == self._labels:
            return labels
        values = [self.organs.index(organ) + 1 if organ in self.organs else 0 for organ in self._labels]
        used: np.ndarray = np.array([0, *values], np.uint8)[labels.astype(np.int64)]
        return used


def read_openkbp_index(folder: Path) -> dict[str, Any]:
    """Return ``dataset.json``, checked. Raises DatasetError with the entry that is wrong."""
    path = folder / "dataset.json"
    if not path.is_file():
        raise DatasetError(f"{folder} has no dataset.json; a folder in the OpenKBP layout is expected.")
    try:
        index = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as problem:
        raise DatasetError(
            f"{path} cannot be read as JSON: {problem}. An object with 'labels' and 'contoured' is expected (docs/datasets.md)."
        ) from problem
    labels, contoured = (index.get(key) if isinstance(index, dict) else None for key in ("labels", "contoured"))
    if not isinstance(labels, dict) or not isinstance(contoured, dict):
        raise DatasetError(
            f"{path}: an object with the tables 'labels' and 'contoured' is expected (docs/datasets.md)."
        )
    values = list(labels.values())
    if not values or any(type(v) is not int for v in values) or sorted(values) != list(range(1, len(values) + 1)):
        raise DatasetError(f"{path}: labels are {labels}; values 1, 2, 3 ... without a gap are expected.")
    for split, patients in contoured.items():
        if not isinstance(patients, dict):
            raise DatasetError(
                f'{path}: contoured.{split} is {patients!r}; a table such as {{"pt_1": ["Brainstem"]}} is expected.'
            )
        for name, organs in patients.items():
            if not isinstance(organs, list) or not all(isinstance(o, str) for o in organs):
                raise DatasetError(
                    f'{path}: contoured.{split}.{name} is {organs!r}; a list of organs such as ["Brainstem"] is expected.'
                )
    return dict(index)


def _read(path: Path) -> tuple[np.ndarray, Geometry]:
    """Return voxels (z, y, x) as stored, int16 or uint8 where they are whole, and their grid."""
    if not path.is_file():
        raise DatasetError(f"{path} is missing. Copy it there, or exclude the case in {FILE_NAME}.")
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as problem:
        raise DatasetError(
            f"{path} cannot be read as an image; the file may be damaged or cut short. Copy it again, or exclude the case in {FILE_NAME}."
        ) from problem
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise DatasetError(
            f"{path} has {image.GetDimension()} dimensions and {image.GetNumberOfComponentsPerPixel()} values per voxel; "
            "a 3D image with one value per voxel is expected. Export it again."
        )
    direction = np.asarray(image.GetDirection()).reshape(3, 3)
    geometry = Geometry(image.GetSize()[::-1], image.GetSpacing(), image.GetOrigin(), tuple(map(tuple, direction)))
    return as_hu(sitk.GetArrayFromImage(image), path), geometry
