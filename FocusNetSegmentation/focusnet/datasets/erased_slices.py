"""Find slices from which all but the contoured organs were erased, as a dose planning system may export them.

There the image shows the contour: a network learns to copy it, and scores on such slices are too high.
"""

from __future__ import annotations

import numpy as np

from .raw_contours import Contours

TISSUE_HU = -900.0
LEAST_RATIO = 3.0  # a slice of a body has many times as much tissue as contoured organs
LEAST_SLICES = 3


def count_erased_slices(contours: Contours) -> int:
    """Return the number of slices with contours but hardly any tissue beside them; 0 without a CT or below LEAST_SLICES."""
    if contours.hu is None:
        return 0
    organs = np.zeros(contours.geometry.shape_zyx, bool)
    for flat in contours.voxels.values():
        organs.reshape(-1)[flat] = True
    contoured = organs.sum(axis=(1, 2))
    tissue = (contours.hu > TISSUE_HU).sum(axis=(1, 2))
    count = int(((contoured > 0) & (tissue < LEAST_RATIO * contoured)).sum())
    return count if count >= LEAST_SLICES else 0
