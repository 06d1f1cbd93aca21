"""Volumes and their overlap."""

from __future__ import annotations

import numpy as np


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Return the Dice similarity coefficient 2|a and b| / (|a| + |b|) of two bool masks (z, y, x) of equal shape. nan if both are empty, 0 if one is."""
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2.0 * int(np.count_nonzero(a & b)) / total if total else float("nan")


def volume_ml(mask: np.ndarray, spacing_mm_zyx: tuple[float, float, float]) -> float:
    """Return the volume of a bool mask (z, y, x) in millilitres."""
    return float(np.count_nonzero(mask)) * float(np.prod(spacing_mm_zyx)) / 1000.0


def added_voxels(before: np.ndarray, after: np.ndarray) -> tuple[int, int]:
    """Return the numbers of (added, removed) voxels from ``before`` to ``after``, bool masks (z, y, x)."""
    return int(np.count_nonzero(after & ~before)), int(np.count_nonzero(before & ~after))
