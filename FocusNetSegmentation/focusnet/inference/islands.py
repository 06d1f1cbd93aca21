"""Remove islands: parts of an organ that are much smaller than its main part."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

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
