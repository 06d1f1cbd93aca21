"""Find the patient's body in a CT."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..errors import InputError
from .volume import Geometry

BODY_HU = -300.0  # skin and fat lie above, air and most couch foam below
BODY_GRID_MM = 4.0  # coarse enough that one erosion removes a couch top, fine enough for a centre
HEAD_NECK_MM = (
    300.0  # the crop's centre is taken from this much of the body below its top: shoulders and trunk would pull it
)
RIM_STEPS = 3  # of the coarse grid, about 12 mm of air around the body: the opening at its edge looks at one


def body_center_mm(array: np.ndarray, upright: Geometry) -> np.ndarray:
    """Return the centre (x, y, z) in LPS mm of the body in the upper HEAD_NECK_MM of a CT (HU, z, y, x). Never from labels.

    x and y are the centre of the body's bounding box averaged over slices, which shoulders and a tilted chin move less than
    they move the centroid. Raises InputError if nothing in the scan is as dense as a body.
    """
    body, steps = _coarse_body(array, upright)
    slices = np.flatnonzero(body.any(axis=(1, 2)))
    top_first = slices[slices > slices.max() - HEAD_NECK_MM / (steps[0] * upright.spacing_mm_zyx[0])]
    middles = []
    for z in top_first:
        rows = np.flatnonzero(body[z].any(axis=1))
        columns = np.flatnonzero(body[z].any(axis=0))
        middles.append((z, (rows[0] + rows[-1]) / 2, (columns[0] + columns[-1]) / 2))
    center_zyx = np.mean(middles, axis=0) * steps
    return upright.index_to_mm(center_zyx)


def body_box(array: np.ndarray, upright: Geometry) -> tuple[slice, slice, slice]:
    """Return the box (z, y, x) of all slices, cropped in plane to the body of a CT (HU, z, y, x) and a rim of air.

    ``body_center_mm`` finds the same centre in the cropped array: what is cut off is not part of the body, and the coarse grid that the
    centre is found on keeps its voxels. Raises InputError as it does.
    """
    body, steps = _coarse_body(array, upright)
    box = [slice(0, array.shape[0])]
    for axis in (1, 2):
        there = np.flatnonzero(body.any(axis=tuple(i for i in range(3) if i != axis)))
        low, high = there[0] - RIM_STEPS, there[-1] + RIM_STEPS + 1
        box.append(slice(max(0, int(low)) * steps[axis], min(array.shape[axis], int(high) * steps[axis])))
    return box[0], box[1], box[2]


def _coarse_body(array: np.ndarray, upright: Geometry) -> tuple[np.ndarray, list[int]]:
    """Return the body as a mask of every n-th voxel (z, y, x), and these three n. Raises InputError if there is none."""
    steps = [max(1, int(BODY_GRID_MM / s)) for s in upright.spacing_mm_zyx]
    coarse = array[:: steps[0], :: steps[1], :: steps[2]]
    body = ndimage.binary_opening(coarse > BODY_HU, structure=np.ones((1, 3, 3), bool))
    parts, count = ndimage.label(body)
    if count == 0:
        raise InputError(
            f"No body found: nothing in the image is denser than {BODY_HU:g} HU. A head-and-neck CT in Hounsfield units is expected."
        )
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    body = parts == sizes.argmax()
    return body, steps
