"""Distances between the surfaces of two masks, computed in a box around both.

A surface is the set of a mask's voxels that touch the outside (6 neighbours); beyond the image's border counts as outside. Distances run
between voxel centres, as in MONAI. google-deepmind/surface-distance instead weighs surface elements by their area; on blocky or very
anisotropic masks the two differ by a fraction of a voxel (docs/evaluation.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree


@dataclass(frozen=True)
class SurfaceDistances:
    """``a_to_b_mm``: from each surface voxel of a to the nearest of b; ``b_to_a_mm`` the other way. Empty arrays for an empty mask."""

    a_to_b_mm: np.ndarray
    b_to_a_mm: np.ndarray

    def percentile_pair(self, percent: float) -> tuple[float, float]:
        """Return the percentile in mm of each direction: (a to b, b to a)."""
        undecided = self._undecided()
        if undecided is not None:
            return undecided, undecided
        return float(np.percentile(self.a_to_b_mm, percent)), float(np.percentile(self.b_to_a_mm, percent))

    @property
    def hd95_average_mm(self) -> float:
        """Return the mean of the two directions' 95th percentiles: the paper's 95HD."""
        a, b = self.percentile_pair(95)
        return (a + b) / 2

    @property
    def hd95_maximum_mm(self) -> float:
        """Return the larger of the two: what MONAI and surface-distance report."""
        return max(self.percentile_pair(95))

    @property
    def hausdorff_mm(self) -> float:
        """Return the largest distance of all."""
        return max(self.percentile_pair(100))

    @property
    def mean_mm(self) -> float:
        """Return the average symmetric surface distance: over all surface voxels of both."""
        undecided = self._undecided()
        if undecided is not None:
            return undecided
        return float(np.concatenate([self.a_to_b_mm, self.b_to_a_mm]).mean())

    def surface_dice(self, tolerance_mm: float) -> float:
        """Return the part of both surfaces that lies within the tolerance of the other. nan if both are empty, 0 if one is."""
        total = len(self.a_to_b_mm) + len(self.b_to_a_mm)
        if total == 0:
            return float("nan")
        if self._undecided() is not None:
            return 0.0
        near = int((self.a_to_b_mm <= tolerance_mm).sum()) + int((self.b_to_a_mm <= tolerance_mm).sum())
        return near / total

    def _undecided(self) -> float | None:
        """nan for two empty masks, infinity for one, None if distances exist."""
        if len(self.a_to_b_mm) and len(self.b_to_a_mm):
            return None
        return float("nan") if len(self.a_to_b_mm) == len(self.b_to_a_mm) else float("inf")


def surface_distances(a: np.ndarray, b: np.ndarray, spacing_mm_zyx: tuple[float, float, float]) -> SurfaceDistances:
    """Return the distances in mm between the surfaces of two bool masks (z, y, x) of equal shape."""
    points_a, points_b = (_surface_points_mm(mask, spacing_mm_zyx) for mask in (a, b))
    if len(points_a) == 0 or len(points_b) == 0:
        # an empty array marks the empty mask; the other's distances are infinite
        return SurfaceDistances(np.full(len(points_a), np.inf), np.full(len(points_b), np.inf))
    return SurfaceDistances(cKDTree(points_b).query(points_a)[0], cKDTree(points_a).query(points_b)[0])


def _surface_points_mm(mask: np.ndarray, spacing_mm_zyx: tuple[float, float, float]) -> np.ndarray:
    """Centres (n, 3) in mm of the voxels that touch the outside; only a box around the organ is looked at."""
    boxes = ndimage.find_objects(mask.astype(np.uint8, copy=False))
    if not boxes or boxes[0] is None:
        return np.zeros((0, 3))
    box = boxes[0]
    part = np.pad(mask[box], 1)
    border = part & ~ndimage.binary_erosion(part)
    start = np.array([s.start for s in box]) - 1
    return (np.argwhere(border) + start) * np.asarray(spacing_mm_zyx)
