"""Masks to closed planar contours and back, slice by slice.

Outlines are drawn by contourpy half-way between the centres of voxels inside and outside, so that testing voxel centres gives back the
mask exactly. A hole is joined to its outline by a channel of no width ("keyhole", DICOM PS3.3 C.8.8.6.3): DICOM's other way, contours of the
type CLOSEDPLANAR_XOR, came in 2020, and a plain inner contour is a hole to some readers and filled by others.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.spatial import cKDTree

CHANNELS_TRIED = 16  # channels to each hole point that are tried for one that keeps clear of voxel centres
CLEARANCE_VOXELS = 0.1


def slice_contours(mask: np.ndarray) -> list[np.ndarray]:
    """Outlines of a 2D mask (rows, columns) as (n, 2) arrays of fractional (column, row), not repeated at the end.

    One contour per separate part, holes joined in. A single voxel becomes a diamond around its centre. Points on a straight line between
    their neighbours are left out.
    """
    from contourpy import FillType, contour_generator

    padded = np.pad(mask.astype(np.float32), 1)  # parts at the border are closed
    generator = contour_generator(z=padded, fill_type=FillType.OuterOffset)
    polygons, offsets = generator.filled(0.5, np.inf)  # type: ignore[misc]
    contours = []
    for points, starts in zip(polygons, offsets, strict=True):
        rings = [np.asarray(points[a:b], dtype=float)[:-1] - 1.0 for a, b in pairwise(starts)]
        contours.append(_without_straight_points(_joined(rings[0], rings[1:])))
    return contours


def fill_contours(contours: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Mask (rows, columns) of the voxel centres inside closed contours of (column, row), by matplotlib: other code than drew them.

    Contours of one slice are combined by exclusive or, so that a hole drawn as a contour of its own stays a hole.
    """
    from matplotlib.path import Path

    mask = np.zeros(shape, bool)
    for contour in contours:
        low = np.maximum(np.floor(contour.min(axis=0)).astype(int), 0)
        high = np.minimum(np.ceil(contour.max(axis=0)).astype(int) + 1, (shape[1], shape[0]))
        if (high <= low).any():
            continue
        columns, rows = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
        inside = Path(np.vstack([contour, contour[:1]])).contains_points(
            np.column_stack([columns.ravel(), rows.ravel()])
        )
        mask[low[1] : high[1], low[0] : high[0]] ^= inside.reshape(rows.shape)
    return mask


def _joined(outline: np.ndarray, holes: list[np.ndarray]) -> np.ndarray:
    """The outline with every hole on a channel. The nearest hole goes first, so that no channel crosses another hole."""
    gaps = [_gap(outline, hole) for hole in holes]
    while holes:
        nearest = int(np.argmin(gaps))
        hole = holes.pop(nearest)
        gaps.pop(nearest)
        outline = _keyhole(outline, hole)
        gaps = [min(gap, _gap(hole, other)) for gap, other in zip(gaps, holes, strict=True)]
    return outline


def _gap(ring: np.ndarray, hole: np.ndarray) -> float:
    return float(cKDTree(ring).query(hole)[0].min())


def _keyhole(outline: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Go along the outline to a point near the hole, around the hole, back, and on.

    The shortest channel that keeps clear of every voxel centre is taken: a centre on the channel would be neither inside nor outside.
    """
    tried = min(CHANNELS_TRIED, len(outline))
    lengths, ends = cKDTree(outline).query(hole, k=np.arange(1, tried + 1))  # (hole points, tried) each
    order = np.argsort(lengths, axis=None, kind="stable")
    pairs = [(int(ends.flat[i]), int(i) // tried) for i in order]
    at, start = next((pair for pair in pairs if _clear(outline[pair[0]], hole[pair[1]])), pairs[0])
    around = np.roll(hole, -start, axis=0)
    return np.vstack([outline[: at + 1], around, around[:1], outline[at:]])


def _clear(a: np.ndarray, b: np.ndarray) -> bool:
    points = a + np.linspace(0, 1, 33)[:, None] * (b - a)
    return bool(np.linalg.norm(points - np.round(points), axis=1).min() > CLEARANCE_VOXELS)


def _without_straight_points(ring: np.ndarray) -> np.ndarray:
    """The same polygon with fewer points. The turn at the end of a channel, straight back, is kept."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    straight = (np.abs(cross) < 1e-9) & ((before * after).sum(axis=1) > 0)
    return np.asarray(ring[~straight])
