"""A CT as an array with its place in the patient. No torch here: Slicer starts before torch is installed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import InputError

DIRECTION_TOLERANCE = 1e-3  # |D.T @ D - 1|: DICOM direction cosines are stored with six digits or fewer


def box_corners(low: Sequence[float] | np.ndarray, high: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the eight corners (8, 3) of a box between two opposite ones; ``low`` comes first, ``high`` last."""
    return np.array(np.meshgrid(*zip(low, high, strict=True), indexing="ij")).reshape(3, -1).T


@dataclass(frozen=True)
class Geometry:
    """Where a voxel grid lies in the patient, in LPS millimetres (x to the left, y to the back, z to the head).

    ``direction_xyz`` is 3x3; its columns are the directions of the array's x, y and z axes, as in SimpleITK.
    ``shape_zyx`` is the array's shape. A constructed Geometry is valid: finite, positive spacing, orthonormal, right- or left-handed.
    """

    shape_zyx: tuple[int, int, int]
    spacing_mm_xyz: tuple[float, float, float]
    origin_mm_xyz: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction_xyz: tuple[tuple[float, float, float], ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape_zyx)
        if len(shape) != 3 or min(shape) < 1:
            raise InputError(f"The grid has shape {shape}; three axes with at least one voxel each are expected.")
        spacing = tuple(float(s) for s in self.spacing_mm_xyz)
        if len(spacing) != 3 or not all(np.isfinite(s) and s > 0 for s in spacing):
            raise InputError(
                f"Voxel spacing is {spacing} mm; three finite positive numbers are expected. Correct the image's header."
            )
        origin = tuple(float(o) for o in self.origin_mm_xyz)
        if len(origin) != 3 or not np.all(np.isfinite(origin)):
            raise InputError(
                f"Image origin is {origin}; three finite numbers are expected. Correct the image's header."
            )
        direction = np.asarray(self.direction_xyz, dtype=float).reshape(3, 3)
        if (
            not np.all(np.isfinite(direction))
            or np.abs(direction.T @ direction - np.eye(3)).max() > DIRECTION_TOLERANCE
        ):
            raise InputError(
                "The image's axis directions are not perpendicular unit vectors (sheared or damaged header). "
                "Resample the image to a regular grid first."
            )
        object.__setattr__(self, "shape_zyx", shape)
        object.__setattr__(self, "spacing_mm_xyz", spacing)
        object.__setattr__(self, "origin_mm_xyz", origin)
        object.__setattr__(self, "direction_xyz", tuple(tuple(float(v) for v in row) for row in direction))

    @property
    def spacing_mm_zyx(self) -> tuple[float, float, float]:
        """Voxel spacing in mm in array order (z, y, x)."""
        x, y, z = self.spacing_mm_xyz
        return (z, y, x)

    @property
    def affine_xyz(self) -> np.ndarray:
        """Return the 4x4 matrix from voxel index (x, y, z) to LPS millimetres."""
        affine = np.eye(4)
        affine[:3, :3] = np.asarray(self.direction_xyz) * np.asarray(self.spacing_mm_xyz)
        affine[:3, 3] = self.origin_mm_xyz
        return affine

    def index_to_mm(self, index_zyx: np.ndarray) -> np.ndarray:
        """Convert voxel indices (..., 3) in z, y, x order to LPS millimetres (..., 3) in x, y, z order."""
        index_xyz = np.asarray(index_zyx, dtype=float)[..., ::-1]
        affine = self.affine_xyz
        return index_xyz @ affine[:3, :3].T + affine[:3, 3]

    def mm_to_index(self, point_mm_xyz: np.ndarray) -> np.ndarray:
        """Convert LPS millimetres (..., 3) in x, y, z order to fractional voxel indices (..., 3) in z, y, x order."""
        affine = self.affine_xyz
        index_xyz = (np.asarray(point_mm_xyz, dtype=float) - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
        return index_xyz[..., ::-1]

    @property
    def voxel_ml(self) -> float:
        """Return the volume of one voxel in millilitres."""
        return math.prod(self.spacing_mm_xyz) / 1000.0

    def corners_mm(self) -> np.ndarray:
        """Return the centres of the eight corner voxels, (8, 3) LPS millimetres in x, y, z order; voxel (0, 0, 0) comes first."""
        return self.index_to_mm(box_corners((0, 0, 0), [n - 1 for n in self.shape_zyx]))

    def short(self) -> str:
        """Return the grid's size as text: voxels and spacing in x, y, z."""
        spacing = " x ".join(f"{s:.3g}" for s in self.spacing_mm_xyz)
        return f"{' x '.join(map(str, self.shape_zyx[::-1]))} voxels of {spacing} mm"

    def same_grid_as(self, other: Geometry, tolerance_mm: float = 0.01) -> bool:
        """Return whether both grids have the same shape and every voxel lies within ``tolerance_mm`` of its twin."""
        if self.shape_zyx != other.shape_zyx:
            return False
        return bool(np.abs(self.corners_mm() - other.corners_mm()).max() <= tolerance_mm)


@dataclass(frozen=True, repr=False)
class Volume:
    """A CT in HU: ``array`` (z, y, x) on ``geometry``. ``source`` names where it came from, for messages and provenance.

    ``dicom_uids`` holds study, series, frame-of-reference and per-slice SOP instance UIDs where the scan came from DICOM,
    because a structure set must point at them; empty otherwise.
    """

    array: np.ndarray
    geometry: Geometry
    source: str = ""
    dicom_uids: dict[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what a user should know: an HU offset that was applied, an oblique grid ...

    def __post_init__(self) -> None:
        if self.array.ndim != 3:
            raise InputError(f"{self.source or 'The image'} has {self.array.ndim} dimensions; a 3D scan is expected.")
        if tuple(self.array.shape) != self.geometry.shape_zyx:
            raise InputError(f"Array shape {self.array.shape} does not fit the geometry's {self.geometry.shape_zyx}.")

    def __repr__(self) -> str:  # a dataclass would print the voxels and every slice's UID
        return f"Volume({self.geometry.short()}, {self.array.dtype}{f', {self.source}' if self.source else ''})"
