"""Reader of the OpenKBP layout: ``dataset.json`` and ``<split>/<patient>/{ct,label}.nrrd``, with partial contours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..errors import DatasetError
from ..preprocess import body_center_mm, to_upright
from ..volume import Geometry
from .case import Case, organ_centroids_mm
from .contours import Contours, voxels_by_value
from .snapshot import Snapshot
from .table import FILE_NAME, Table, read_table, refuse_shared


class OpenKBPDataset:
    """Cases of an OpenKBP folder. ``organs`` are in label order; ``patients(split)`` lists names, ``case`` reads one."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        index = _read_index(self.folder)
        by_value = sorted(index["labels"].items(), key=lambda item: item[1])
        if [value for _, value in by_value] != list(range(1, len(by_value) + 1)):
            raise DatasetError(
                f"{self.folder}: labels are {index['labels']}; values 1, 2, 3 ... without a gap are expected."
            )
        self.organs: tuple[str, ...] = tuple(name for name, _ in by_value)
        self.contoured: dict[str, dict[str, list[str]]] = index["contoured"]
        refuse_shared(self.contoured, str(self.folder / "dataset.json"), "patient")
        self.layout = "OpenKBP: dataset.json, ct.nrrd and label.nrrd"
        self.notes: tuple[str, ...] = ()
        self._exclude()
        self._snapshot = Snapshot(
            {
                n: [self.folder / s / n / f for f in ("ct.nrrd", "label.nrrd")]
                for s in self.contoured
                for n in self.contoured[s]
            }
        )

    def _exclude(self) -> None:
        """Leave out what ``dataset.toml`` excludes; everything else stands in dataset.json."""
        table = read_table(self.folder)
        names = {name for patients in self.contoured.values() for name in patients}
        unknown = sorted(set(table.exclude) - names)
        if unknown:
            raise DatasetError(f"{table.path}: exclude names {', '.join(unknown)}, which dataset.json does not have.")
        if table.path is not None and replace(table, path=None, exclude=()) != Table():
            raise DatasetError(
                f"{table.path}: beside a dataset.json only exclude is read; splits, organs and contours stand in dataset.json."
            )
        if table.exclude:
            self.notes = (f"{len(table.exclude)} cases are excluded by {FILE_NAME}: {', '.join(table.exclude)}.",)
        self.contoured = {
            split: {name: organs for name, organs in patients.items() if name not in table.exclude}
            for split, patients in self.contoured.items()
        }

    def splits(self) -> tuple[str, ...]:
        return tuple(self.contoured)

    def patients(self, split: str) -> list[str]:
        """Patient names of a split, sorted. Raises DatasetError for a split that is not there."""
        if split not in self.contoured:
            raise DatasetError(f"{self.folder} has no split {split!r}; there are {', '.join(self.contoured)}.")
        return sorted(self.contoured[split])

    def cases(self, split: str) -> Iterator[Case]:
        for name in self.patients(split):
            yield self.case(split, name)

    def read(self, split: str, name: str) -> Contours:
        """One patient's organs, each with its voxels."""
        case = self.case(split, name)
        found = voxels_by_value(case.labels)
        voxels = {
            o: found.get(k, np.zeros(0, np.int64)) for k, o in enumerate(self.organs, start=1) if o in case.contoured
        }
        return Contours(name, case.hu, case.geometry, voxels, case.contoured, (), name)

    def case(self, split: str, name: str) -> Case:
        """Read one patient. Raises DatasetError if a file is missing, unreadable or changed, or the two grids differ."""
        if name not in self.patients(split):
            raise DatasetError(f"{self.folder} has no case {name!r} in the split {split}.")
        self._snapshot.check(name)
        folder = self.folder / split / name
        ct, label = _read(folder / "ct.nrrd"), _read(folder / "label.nrrd")
        geometry = _geometry(ct)
        if not geometry.same_grid_as(_geometry(label)):
            raise DatasetError(
                f"{folder}: ct.nrrd and label.nrrd lie on different grids; resample the labels to the CT first."
            )
        hu, upright, _, _ = to_upright(sitk.GetArrayFromImage(ct), geometry)
        labels, _, _, _ = to_upright(sitk.GetArrayFromImage(label), geometry)
        if labels.max() > len(self.organs):
            raise DatasetError(
                f"{folder}/label.nrrd holds the value {labels.max()}; dataset.json names {len(self.organs)} labels."
            )
        contoured = frozenset(self.contoured[split][name])
        unknown = contoured - set(self.organs)
        if unknown:
            raise DatasetError(
                f"{self.folder}: {name} lists {', '.join(sorted(unknown))} as contoured; dataset.json has no such label."
            )
        labels = np.ascontiguousarray(labels, dtype=np.uint8)
        return Case(
            name=name,
            hu=np.ascontiguousarray(hu, dtype=np.int16),
            labels=labels,
            geometry=upright,
            contoured=contoured,
            center_mm_xyz=tuple(body_center_mm(hu, upright)),
            centroids_mm_xyz=organ_centroids_mm(labels, upright, self.organs, contoured),
        )


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / "dataset.json"
    if not path.is_file():
        raise DatasetError(f"{folder} has no dataset.json; a folder in the OpenKBP layout is expected.")
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(index["labels"], dict) or not isinstance(index["contoured"], dict):
            raise TypeError("labels and contoured must be tables")
    except (ValueError, KeyError, TypeError) as problem:
        raise DatasetError(f"{path}: {problem}; an object with 'labels' and 'contoured' is expected.") from problem
    return dict(index)


def _read(path: Path) -> sitk.Image:
    if not path.is_file():
        raise DatasetError(f"{path} is missing.")
    try:
        return sitk.ReadImage(str(path))
    except RuntimeError as problem:
        raise DatasetError(f"{path} cannot be read as an image; the file may be damaged or cut short.") from problem


def _geometry(image: sitk.Image) -> Geometry:
    direction = np.asarray(image.GetDirection()).reshape(3, 3)
    return Geometry(image.GetSize()[::-1], image.GetSpacing(), image.GetOrigin(), tuple(map(tuple, direction)))
