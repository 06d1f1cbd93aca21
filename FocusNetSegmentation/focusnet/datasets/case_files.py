"""The files of one case, one class per kind of contour file: which files, which structures, and how to read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import DatasetError, InputError
from ..image.volume import Geometry, Volume
from ..io.image_read import read_image
from ..io.label_map import names_path
from ..io.seg_nrrd import read_segments, segment_names
from ..wording import counted
from .bit_masks import read_bit_mask, voxels_by_name
from .dataset_toml import FILE_NAME
from .raw_contours import RawCase, voxels_by_value

GRID_TOLERANCE_MM = 0.1  # programs round positions; a tenth of a millimetre is below what training can notice


class CaseFiles(Protocol):
    """The files of one case. ``name`` is the case's, ``patient`` the patient's; ``split`` is "" where the folders do not name one."""

    @property
    def name(self) -> str: ...
    @property
    def patient(self) -> str: ...
    @property
    def split(self) -> str: ...
    def paths(self) -> list[Path]:
        """Return every file that is read."""

    def structures(self) -> list[str]:
        """Return the local names, without reading voxels; empty for a label map without names."""

    def read(self) -> RawCase:
        """Read the case. Raises InputError or DatasetError."""


@dataclass(frozen=True)
class LabelMapCase:
    """A CT and one label map; ``names``: value -> name, from the layout or ``NAME.labels.json``."""

    name: str
    patient: str
    split: str
    image: Path
    labels: Path
    names: Mapping[int, str] = field(default_factory=dict)

    def paths(self) -> list[Path]:
        """Return every file that is read."""
        table = names_path(self.labels)
        return [self.image, self.labels, *([table] if table.is_file() else [])]

    def structures(self) -> list[str]:
        """Return the local names, without reading voxels; empty for a label map without names."""
        return list(self._names().values())

    def read(self) -> RawCase:
        """Read image and contours. Raises InputError or DatasetError."""
        image, labels = read_ct(self.image), read_label_map(self.labels)
        same_grid(self.labels, labels.geometry, self.image, image.geometry)
        names = self._names()
        found = voxels_by_value(labels.array)
        return RawCase(image, image.geometry, {names.get(v, str(v)): flat for v, flat in found.items()})

    def _names(self) -> Mapping[int, str]:
        if self.names or not names_path(self.labels).is_file():
            return self.names
        import json

        path = names_path(self.labels)
        try:
            return {int(value): str(name) for name, value in json.loads(path.read_text(encoding="utf-8")).items()}
        except (ValueError, AttributeError, TypeError) as problem:
            raise DatasetError(f'{path} is no table of names; {{"Parotid_L": 1, ...}} is expected.') from problem


@dataclass(frozen=True)
class SegNrrdCase:
    """A CT and one ``.seg.nrrd`` that brings its own names."""

    name: str
    patient: str
    split: str
    image: Path
    labels: Path

    def paths(self) -> list[Path]:
        """Return every file that is read."""
        return [self.image, self.labels]

    def structures(self) -> list[str]:
        """Return the local names, without reading voxels."""
        return segment_names(self.labels)

    def read(self) -> RawCase:
        """Read image and contours. Raises InputError or DatasetError."""
        image = read_ct(self.image)
        geometry, segments = read_segments(self.labels)
        same_grid(self.labels, geometry, self.image, image.geometry)
        return RawCase(image, image.geometry, segments)


@dataclass(frozen=True)
class MaskFilesCase:
    """A CT and one mask file per organ; ``masks``: local name -> file."""

    name: str
    patient: str
    split: str
    image: Path
    masks: Mapping[str, Path]

    def paths(self) -> list[Path]:
        """Return every file that is read."""
        return [self.image, *self.masks.values()]

    def structures(self) -> list[str]:
        """Return the local names, without reading voxels."""
        return list(self.masks)

    def read(self) -> RawCase:
        """Read image and contours. Raises InputError or DatasetError."""
        image = read_ct(self.image)
        voxels = {}
        for local, path in self.masks.items():
            geometry, flat = _mask(path)
            same_grid(path, geometry, self.image, image.geometry)
            voxels[local] = flat
        return RawCase(image, image.geometry, voxels)


@dataclass(frozen=True)
class BitMaskCase:
    """Contours without a CT: one uint32 image, one bit per structure (tcia-oars). ``bits``: local name -> bit."""

    name: str
    patient: str
    split: str
    labels: Path
    bits: Mapping[str, int]

    def paths(self) -> list[Path]:
        """Return every file that is read."""
        return [self.labels]

    def structures(self) -> list[str]:
        """Return the local names, without reading voxels."""
        return list(self.bits)

    def read(self) -> RawCase:
        """Read the contours. Raises InputError or DatasetError."""
        array, geometry = read_bit_mask(self.labels)
        return RawCase(None, geometry, voxels_by_name(array, self.bits, self.labels))


def same_grid(path: Path, found: Geometry, image: Path, expected: Geometry) -> None:
    """Raise DatasetError that says how two grids differ, if they do by more than GRID_TOLERANCE_MM."""
    if found.same_grid_as(expected, GRID_TOLERANCE_MM):
        return
    if found.shape_zyx != expected.shape_zyx:
        how = f"{_x(found.shape_zyx[::-1])} voxels, the CT {_x(expected.shape_zyx[::-1])}"
    elif np.abs(np.subtract(found.spacing_mm_xyz, expected.spacing_mm_xyz)).max() > 1e-3:
        how = f"spacing {_x(found.spacing_mm_xyz)} mm, the CT {_x(expected.spacing_mm_xyz)} mm"
    elif np.abs(np.subtract(found.direction_xyz, expected.direction_xyz)).max() > 1e-3:
        how = "other axis directions than the CT, perhaps mirrored"
    else:
        shift = np.subtract(found.origin_mm_xyz, expected.origin_mm_xyz)
        how = f"shifted against the CT by {_x(shift)} mm"
    raise DatasetError(
        f"{path.name} and {image.name} lie on different grids ({how}). Resample the contours to the CT, or export both again."
    )


def _x(values: object) -> str:
    return " x ".join(f"{v:.4g}" for v in np.asarray(values).ravel())


def read_ct(path: Path) -> Volume:
    """Return the CT at ``path``. Raises DatasetError if it is missing, InputError if it cannot be read."""
    if not path.exists():
        raise DatasetError(
            f"{path} is missing; the CT that the contours were drawn on is expected there, in any format that is read. "
            f"Copy it there, or exclude the case in {FILE_NAME}."
        )
    return read_image(path)


def read_label_map(path: Path) -> Volume:
    """Return a label map (z, y, x) of whole numbers from 0.

    Raises DatasetError if the file is missing, InputError with the value that is not a whole number from 0.
    """
    if not path.is_file():
        raise DatasetError(f"{path} is missing. Copy it there, or exclude the case in {FILE_NAME}.")
    volume = read_image(path)
    refuse_no_label_map(path, volume.array)
    return volume


def refuse_no_label_map(path: Path, array: np.ndarray) -> None:
    """Raise InputError if ``array`` (z, y, x) has a value that is not a whole number from 0."""
    odd = array[array != np.rint(array)] if array.dtype.kind == "f" else array[array < 0]
    if len(odd):
        found = counted(len(odd), "voxel has a value", "voxels have values")
        raise InputError(
            f"{path} is not a label map: {found} such as {odd[0]:.4g}; whole numbers from 0 are expected. "
            "Export the contours again, and resample label maps with the nearest neighbour."
        )


def _mask(path: Path) -> tuple[Geometry, np.ndarray]:
    if path.name.lower().endswith(".seg.nrrd"):
        if not path.is_file():
            raise DatasetError(f"{path} is missing. Copy it there, or exclude the case in {FILE_NAME}.")
        geometry, segments = read_segments(path)
        parts = list(segments.values())
        return geometry, np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int64)
    volume = read_label_map(path)
    return volume.geometry, np.flatnonzero(volume.array)
