"""Remove islands: parts of an organ that are much smaller than its main part, or that hang on a compact organ by a thin neck."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

COMPACT_MM = 5.0  # half the thickness of a neck that a compact organ is cut at
COARSE_MM = 3.0  # a finer grid would find the same necks, and take seconds
TOUCHING = np.ones((3, 3, 3), bool)  # voxels that share a face, an edge or a corner are one part


def remove_islands(labels: np.ndarray, smallest_fraction: float) -> dict[int, tuple[int, int]]:
    """Remove parts below ``smallest_fraction`` of an organ's largest part from ``labels`` (uint8 z, y, x), in place.

    Each label value is one organ. A cord cut by a gap or a jaw cut by the scan's end keeps its parts: they are not small. Returns label
    value -> (number of parts removed, voxels removed) for the organs that lost something. 0 removes nothing.
    """
    removed: dict[int, tuple[int, int]] = {}
    if smallest_fraction <= 0:
        return removed
    for value, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        part = labels[box]
        parts, count = ndimage.label(part == value, TOUCHING)
        if count < 2:
            continue
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        small = (sizes > 0) & (sizes < smallest_fraction * sizes.max())
        if small.any():
            part[small[parts]] = 0
            removed[value] = (int(small.sum()), int(sizes[small].sum()))
    return removed


def remove_loose_parts(
    labels: np.ndarray, values: Sequence[int], spacing_mm_zyx: tuple[float, float, float]
) -> dict[int, int]:
    """Remove what hangs on the main part of an organ by necks thinner than twice COMPACT_MM, in place. Returns label value -> voxels removed.

    ``values``: of organs in ``labels`` (uint8 z, y, x) that are one compact body, such as the brain; one that is nowhere that thick stays.
    """
    removed: dict[int, int] = {}
    boxes = ndimage.find_objects(labels)
    for value in values:
        box = boxes[value - 1] if value <= len(boxes) else None
        if box is None:
            continue
        part = labels[box]
        mask = part == value
        loose = mask & ~_near_main_body(mask, spacing_mm_zyx)
        if loose.any():
            part[loose] = 0
            removed[value] = int(loose.sum())
    return removed


def _near_main_body(mask: np.ndarray, spacing_mm_zyx: tuple[float, float, float]) -> np.ndarray:
    """Return where (bool z, y, x) the largest part lies that is left after COMPACT_MM are taken off the surface, with these put back."""
    steps = [max(1, round(COARSE_MM / mm)) for mm in spacing_mm_zyx]
    sampling = [step * mm for step, mm in zip(steps, spacing_mm_zyx, strict=True)]
    coarse = np.pad(mask[tuple(slice(None, None, step) for step in steps)], 1)
    depth_mm = (
        ndimage.distance_transform_edt(coarse, sampling) - max(sampling) / 2
    )  # of voxel centres below the surface
    parts, count = ndimage.label(depth_mm > COMPACT_MM)
    if not count:
        return np.ones_like(mask)
    main = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    near = ndimage.distance_transform_edt(~main, sampling) <= COMPACT_MM + 2 * max(
        sampling
    )  # of the coarse grid, which may lie a voxel off
    near = near[1:-1, 1:-1, 1:-1]
    for axis, step in enumerate(steps):
        near = near.repeat(step, axis=axis)
    return near[tuple(slice(0, n) for n in mask.shape)]
