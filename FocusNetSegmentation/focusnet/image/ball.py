"""How large a ball a number of voxels would fill."""

from __future__ import annotations

import numpy as np


def ball_radius_mm(voxels: int, spacing_mm_zyx: tuple[float, float, float]) -> float:
    """Return the radius of the ball that is as large as so many voxels. A target Gaussian of sigma 5 voxels of 3 mm: 17.7 mm at half its height."""
    return float((voxels * np.prod(spacing_mm_zyx) * 3 / (4 * np.pi)) ** (1 / 3))
