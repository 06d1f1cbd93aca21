"""Masks to closed planar contours and back, slice by slice.

Outlines are drawn by contourpy half-way between the centres of voxels inside and outside, so that testing voxel centres gives back the
mask exactly. A hole is joined to its outline by a channel of no width ("keyhole", DICOM PS3.3 C.8.8.6.3): that is what DICOM describes and
every planning system reads; an inner contour of its own is filled by some.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

CHANNELS_TRIED = 500
CLEARANCE_VOXELS = 0.1


def slice_contours(mask: np.ndarray) -> list[np.ndarray]:
    """Outlines of a 2D mask (rows, columns) as (n, 2) arrays of fractional (column, row), not repeated at the end.

    One contour per separate part, holes joined in. A single voxel becomes a diamond around its centre.
    """
    from contourpy import FillType, contour_generator

    padded = np.pad(mask.astype(np.float32), 1)  # parts at the border are closed
    generator = contour_generator(z=padded, fill_type=FillType.OuterOffset)
    polygons, offsets = generator.filled(0.5, np.inf)  # type: ignore[misc]
    contours = []
    for points, starts in zip(polygons, offsets, strict=True):
        rings = [np.asarray(points[a:b], dtype=float)[:-1] - 1.0 for a, b in pairwise(starts)]
        outline = rings[0]
        for hole in sorted(rings[1:], key=lambda ring: float(ring[:, 0].min())):
            outline = _keyhole(outline, hole)
        contours.append(outline)
    return contours


def fill_contours(contours: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
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


def _keyhole(outline: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Go along the outline to a point near the hole, around the hole, back, and on.

    The shortest channel that keeps clear of every voxel centre is taken: a centre on the channel would be neither inside nor outside.
    """
    distances = np.linalg.norm(outline[:, None] - hole[None], axis=2)
    nearest = np.argsort(distances, axis=None, kind="stable")[:CHANNELS_TRIED]
    pairs = [np.unravel_index(int(flat), distances.shape) for flat in nearest]
    at, start = next((pair for pair in pairs if _clear(outline[pair[0]], hole[pair[1]])), pairs[0])
    around = np.roll(hole, -int(start), axis=0)
    return np.vstack([outline[: at + 1], around, around[:1], outline[at:]])


def _clear(a: np.ndarray, b: np.ndarray) -> bool:
    points = a + np.linspace(0, 1, 33)[:, None] * (b - a)
    return bool(np.linalg.norm(points - np.round(points), axis=1).min() > CLEARANCE_VOXELS)
