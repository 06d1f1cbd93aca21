"""Read folders of bit masks (tcia-oars): contours without their CT, one image per scan and annotator, one bit per structure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..errors import DatasetError, InputError
from ..image.organs import find_organ
from ..image.orientation import to_upright
from ..image.volume import Geometry

BITS = 32  # of a voxel


@dataclass(frozen=True)
class LabelMap:
    """Contours of one patient as they were drawn.

    ``bits``: uint32 (z, y, x), upright. ``organs``: name -> bit.
    """

    name: str
    bits: np.ndarray
    geometry: Geometry
    organs: dict[str, int]

    def mask(self, organ: str) -> tuple[tuple[slice, ...], np.ndarray]:
        """Return an organ's box in the array and its boolean mask (z, y, x) inside that box; both empty where it was not drawn.

        The box is one voxel wider than the organ on each side, where the scan goes on.
        """
        box = self.boxes.get(organ)
        if box is None:
            return (slice(0, 0),) * 3, np.zeros((0, 0, 0), bool)
        return box, (self.bits[box] & np.uint32(1 << self.organs[organ])) != 0

    @cached_property
    def boxes(self) -> dict[str, tuple[slice, ...]]:
        """Return the array box (z, y, x) of every organ that was drawn, one voxel wider than the organ where the scan goes on."""
        profiles = [
            np.bitwise_or.reduce(np.bitwise_or.reduce(self.bits, axis=b), axis=a) for a, b in ((1, 1), (1, 0), (0, 0))
        ]
        found: dict[str, tuple[slice, ...]] = {}
        for organ, bit in self.organs.items():
            filled = [np.flatnonzero(p & np.uint32(1 << bit)) for p in profiles]
            if all(len(f) for f in filled):
                found[organ] = tuple(slice(max(0, int(f[0]) - 1), min(n, int(f[-1]) + 2)) for f, n in zip(filled, self.bits.shape, strict=True))  # fmt: skip
        return found

    @cached_property
    def centres_mm(self) -> dict[str, np.ndarray]:
        """Return the centre of mass (x, y, z in LPS mm) of every organ that was drawn.

        The whole drawing counts, whatever part of it is simulated.
        """
        found = {}
        for organ in self.boxes:
            box, mask = self.mask(organ)
            step = 3 if mask.size > 1_000_000 else 1  # the brain's centre needs no more
            index = np.argwhere(mask[::step, ::step, ::step]).mean(axis=0) * step + [s.start for s in box]
            found[organ] = self.geometry.index_to_mm(index)
        return found


@dataclass(frozen=True)
class BitMaskFolder:
    """A folder of bit masks: ``FOLDER/dataset.json`` with ``bits`` and ``cases``, and ``FOLDER/<annotator>/<case>.nrrd``."""

    folder: Path
    organs: dict[str, int]  # TG-263 name -> bit
    cases: dict[str, tuple[str, ...]]  # official split -> names
    unknown: tuple[str, ...] = ()  # names in dataset.json that are no organ that focusnet knows

    @classmethod
    def open(cls, folder: Path) -> BitMaskFolder:
        """Open a folder of bit masks. Raises DatasetError for a folder that is not of this kind or has no known organ."""
        path = folder / "dataset.json"
        if not path.is_file():
            raise DatasetError(f"{folder} has no dataset.json; a folder of bit masks with 'bits' and 'cases' is expected (docs/simulator.md).")  # fmt: skip
        bits, cases = read_index(path)
        known = {organ.name: bit for name, bit in bits.items() if (organ := find_organ(name)) is not None}
        if not known:
            raise DatasetError(f"{path}: none of the names {', '.join(bits) or '(none)'} is an organ that focusnet knows; use TG-263 names.")  # fmt: skip
        return cls(folder, known, cases, tuple(name for name in bits if find_organ(name) is None))

    def annotators(self) -> list[str]:
        """Return the names of the subfolders that hold images, sorted."""
        return sorted(p.name for p in self.folder.iterdir() if p.is_dir() and any(p.glob("*.nrrd")))

    def read(self, annotator: str, case: str) -> LabelMap:
        """Return one annotator's contours of a case, upright.

        Raises DatasetError if the file is missing or damaged, InputError if it does not say where the patient's left is.
        """
        array, stored = read_bit_mask(self.folder / annotator / f"{case}.nrrd")
        bits, upright, _, _ = to_upright(array, stored)
        return LabelMap(case, np.ascontiguousarray(bits), upright, self.organs)


def read_index(path: Path) -> tuple[dict[str, int], dict[str, tuple[str, ...]]]:
    """Return (local name -> bit, official split -> cases) of a ``dataset.json``. Raises DatasetError."""
    try:
        index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        bits = {str(name): int(bit) for name, bit in index["bits"].items()}
        cases = {str(split): tuple(map(str, names)) for split, names in index["cases"].items()}
        if not all(0 <= bit < BITS for bit in bits.values()):
            raise ValueError(f"a bit is not one of 0 to {BITS - 1}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise DatasetError(f"{path}: {problem!r}; an object with 'bits' (name to bit) and 'cases' (split to names) is expected.") from problem  # fmt: skip
    return bits, cases


def read_bit_mask(path: Path) -> tuple[np.ndarray, Geometry]:
    """Return a bit mask, uint32 (z, y, x) as stored, and its grid.

    Raises DatasetError for a missing or damaged file, InputError for one that is no bit mask or does not say where the patient's
    left is.
    """
    if not path.is_file():
        raise DatasetError(f"{path} is missing; dataset.json lists the case {path.stem}.")
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as problem:
        raise DatasetError(f"{path} cannot be read as an image; the file may be damaged or cut short.") from problem
    if "NRRD_space" not in image.GetMetaDataKeys():
        raise InputError(
            f"{path} does not say where the patient's left is (no NRRD space). "
            "Export it again from a program that knows, such as 3D Slicer."
        )
    if (
        image.GetNumberOfComponentsPerPixel() != 1
        or image.GetDimension() != 3
        or "integer" not in image.GetPixelIDTypeAsString()
    ):
        raise InputError(
            f"{path} is a {image.GetPixelIDTypeAsString()} image of {image.GetDimension()} dimensions; "
            "one 3D integer bit mask is expected."
        )
    direction = tuple(map(tuple, np.asarray(image.GetDirection()).reshape(3, 3)))
    geometry = Geometry(image.GetSize()[::-1], image.GetSpacing(), image.GetOrigin(), direction)
    return sitk.GetArrayFromImage(image).astype(np.uint32, copy=False), geometry


def voxels_by_name(array: np.ndarray, bits: Mapping[str, int], path: Path) -> dict[str, np.ndarray]:
    """Return the flat indices of every structure that was drawn in ``array`` (z, y, x).

    Raises DatasetError if a bit is set that ``bits`` does not name.
    """
    there = np.flatnonzero(array)
    values = array.reshape(-1)[there]
    if np.any(values & ~np.uint32(sum(1 << bit for bit in bits.values()))):
        raise DatasetError(f"{path} has bits set that dataset.json does not name.")
    voxels = {name: there[(values >> np.uint32(bit)) & np.uint32(1) == 1] for name, bit in bits.items()}
    return {name: flat for name, flat in voxels.items() if len(flat)}


def patient_of(case: str) -> str:
    """Return the patient of a case: two scans of one patient differ by a last letter (0522c0727a, 0522c0727b)."""
    return re.sub(r"(?<=\d)[a-z]$", "", case)
