"""Volumes and their overlap."""

from __future__ import annotations

import numpy as np


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Dice similarity coefficient 2|a and b| / (|a| + |b|). nan if both are empty, 0 if one is."""
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2.0 * int(np.count_nonzero(a & b)) / total if total else float("nan")


def volume_ml(mask: np.ndarray, spacing_mm_zyx: tuple[float, float, float]) -> float:
    """Volume of a mask in millilitres."""
    return float(np.count_nonzero(mask)) * float(np.prod(spacing_mm_zyx)) / 1000.0


def added_voxels(before: np.ndarray, after: np.ndarray) -> tuple[int, int]:
    """(added, removed) voxels from ``before`` to ``after``."""
    return int(np.count_nonzero(after & ~before)), int(np.count_nonzero(before & ~after))
