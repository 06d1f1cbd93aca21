"""Remove islands: parts of an organ that are much smaller than its main part, or that lie below an organ that is the uppermost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from ..image.volume import Geometry

NECK_MM = 5.0  # half the thickness of a neck at which an uppermost organ is cut
LARGE = 0.1  # of the largest part: a smaller one above it is a speck
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


def remove_loose_parts(labels: np.ndarray, values: Sequence[int], geometry: Geometry) -> dict[int, int]:
    """Remove all but the main part of organs that are one thick body at the head's top, in place. Returns label value -> voxels removed.

    ``values``: of such organs in ``labels`` (uint8 z, y, x on ``geometry``), as the brain. Parts are what falls apart when necks thinner than twice
    NECK_MM are cut; the main part is the uppermost one of at least LARGE of the largest. An organ that is nowhere that thick stays.
    """
    removed: dict[int, int] = {}
    boxes = ndimage.find_objects(labels)
    for value in values:
        box = boxes[value - 1] if value <= len(boxes) else None
        if box is None:
            continue
        part = labels[box]
        mask = part == value
        loose = mask & ~_near_main_part(mask, geometry)
        if loose.any():
            part[loose] = 0
            removed[value] = int(loose.sum())
    return removed


def _near_main_part(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Return where (bool z, y, x) the main part lies, after NECK_MM were taken off the surface and put back. Places within ``mask`` may begin
    anywhere: only which part is higher is asked."""
    steps = np.array([max(1, round(COARSE_MM / mm)) for mm in geometry.spacing_mm_zyx])
    sampling = tuple(steps * geometry.spacing_mm_zyx)
    coarse = np.pad(mask[tuple(slice(None, None, step) for step in steps)], 1)
    # of voxel centres below the surface, which lies half a voxel before the first one outside
    depth_mm = ndimage.distance_transform_edt(coarse, sampling) - max(sampling) / 2
    parts, count = ndimage.label(depth_mm > NECK_MM)
    if not count:
        return np.ones_like(mask)
    numbers = np.arange(1, count + 1)
    sizes = np.bincount(parts.ravel())[1:]
    middles = np.array(ndimage.center_of_mass(parts > 0, parts, numbers)) * steps
    heights_mm = np.where(sizes >= LARGE * sizes.max(), geometry.index_to_mm(middles)[:, 2], -np.inf)
    main = parts == numbers[int(heights_mm.argmax())]
    reach_mm = NECK_MM + 2 * max(sampling)  # the coarse grid may lie a voxel off
    near = (ndimage.distance_transform_edt(~main, sampling) <= reach_mm)[1:-1, 1:-1, 1:-1]
    for axis, step in enumerate(steps):
        near = near.repeat(step, axis=axis)
    return near[tuple(slice(0, n) for n in mask.shape)]
