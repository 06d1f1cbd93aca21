"""Where each label of a label map lies and how many voxels it has, without a pass over the air around the patient.

Organs fill a small part of a scan: both functions look at the box around everything that is labelled.
"""

from __future__ import annotations

import numpy as np

Box = tuple[slice, slice, slice]


def labelled_box(labels: np.ndarray) -> Box | None:
    """Return the box (z, y, x) around all voxels of ``labels`` (whole numbers, z, y, x) that are not 0, None if there are none."""
    if not labels.size:
        return None
    plane = labels.max(axis=0) > 0 if labels.dtype.kind == "u" else (labels != 0).any(axis=0)
    rows, columns = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
    if not rows.size:
        return None
    y, x = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    planes = np.flatnonzero((labels[:, y, x] != 0).any(axis=(1, 2)))
    return slice(int(planes[0]), int(planes[-1]) + 1), y, x


def label_boxes(labels: np.ndarray) -> list[Box | None]:
    """Return the box (z, y, x) of label 1, 2, ... up to the highest one in ``labels`` (z, y, x); None for a label without voxels."""
    from scipy import ndimage  # Slicer loads this module before its packages are there

    outer = labelled_box(labels)
    if outer is None:
        return []
    part = labels[outer]
    found = ndimage.find_objects(part if part.dtype.kind in "iu" else part.astype(np.int32))
    return [None if box is None else _moved(box, outer) for box in found]


def label_counts(labels: np.ndarray) -> np.ndarray:
    """Return how many voxels of ``labels`` (uint8, z, y, x) have each value, as int64 (256,)."""
    counts = np.zeros(256, np.int64)
    outer = labelled_box(labels)
    if outer is not None:
        for plane in labels[outer]:  # plane by plane: bincount makes a copy of eight bytes a voxel
            counts += np.bincount(plane.ravel(), minlength=256)
    counts[0] = labels.size - int(counts[1:].sum())
    return counts


def _moved(box: Box, outer: Box) -> Box:
    z, y, x = (slice(b.start + o.start, b.stop + o.start) for b, o in zip(box, outer, strict=True))
    return z, y, x
