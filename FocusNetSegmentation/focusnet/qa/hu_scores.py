"""The range of HU that an organ's inside may have, by tissue."""

from __future__ import annotations

import numpy as np

from ..image.organs import without_side
from .measure import Measured

SOFT, BONE, EYE, EAR, LUNG = (-150.0, 250.0), (100.0, 3071.0), (-100.0, 150.0), (-1100.0, 3071.0), (-1100.0, 200.0)
# (low, high) HU by the name without its side: what lies outside is another tissue, noise and partial volume apart
RANGES = {
    "Bone_Mandible": BONE,
    "Joint_TM": (-100.0, 3071.0),
    "Eye": EYE,
    "Lung": LUNG,
    "Cochlea": (100.0, 3071.0),  # fluid in the densest bone: at this resolution it is bone
    "Ear_Middle": EAR,  # air and bone: any value may lie in it
    "Ear_Internal": (0.0, 3071.0),
    "Larynx": EAR,  # airway, soft tissue and cartilage
    "Esophagus": (-1100.0, 300.0),  # may hold air
}
ORDINARY = SOFT


def tissue_range(organ: str) -> tuple[float, float]:
    """Return (lowest, highest) HU that the organ's inside may have."""
    return RANGES.get(without_side(organ), ORDINARY)


def outside_fraction(measured: Measured, hu: np.ndarray) -> float:
    """Return the fraction of the organ's voxels whose HU are those of another tissue. ``hu`` (z, y, x): the upright CT."""
    low, high = tissue_range(measured.name)
    values = hu[measured.box][measured.mask]
    return float(np.mean((values < low) | (values > high)))


def median_hu(measured: Measured, hu: np.ndarray) -> float:
    """Return the median HU inside the organ. ``hu`` (z, y, x): the upright CT."""
    return float(np.median(hu[measured.box][measured.mask]))
