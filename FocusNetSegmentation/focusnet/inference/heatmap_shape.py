"""Measure how clear a localization heat map is, chunk by chunk: the next likely place, and how widely the map is spread."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..nets.config import NetworkConfig
from .arrays import first_maximum, values_at_least

LEVELS = np.linspace(0.02, 0.98, 49)
CANDIDATES = 3  # per chunk: its maximum, and what is left away from it
APART_SIGMAS = 3.0  # a target Gaussian has fallen to 1 % there: what lies nearer is the same place


class HeatmapShape:
    """Follows the heat map of one organ over the chunks. ``apart``: voxels, along any axis, between two places."""

    def __init__(self, config: NetworkConfig) -> None:
        self.apart = int(np.ceil(APART_SIGMAS * config.heatmap_sigma_voxels))
        self._candidates: list[tuple[float, tuple[int, int, int]]] = []
        self._above = np.zeros(len(LEVELS), int)

    def add(self, heat: Tensor, start: int) -> tuple[float, tuple[int, int, int]]:
        """Take in the next slices (d, H, W) of the heat map, the first of which is slice ``start`` of the scan.

        Returns the maximum of these slices and its voxel (z, y, x) in the scan.
        """
        rest = heat.float().clone()  # places that were seen are emptied in it
        self._above += _at_least(rest, LEVELS)
        found = []
        for _ in range(CANDIDATES):
            value, place = highest(rest)
            found.append((value, (place[0] + start, place[1], place[2])))
            rest[tuple(slice(max(i - self.apart, 0), i + self.apart + 1) for i in place)] = 0.0
        self._candidates += found
        return found[0]

    def second(self, peak_zyx: tuple[int, int, int]) -> tuple[float, tuple[int, int, int]] | None:
        """Return value and voxel (z, y, x) of the likeliest place away from ``peak_zyx``; None if the heat map has nothing else."""
        away = [
            c for c in self._candidates if max(abs(a - b) for a, b in zip(c[1], peak_zyx, strict=True)) > self.apart
        ]
        best = max(away, default=None)
        return best if best is not None and best[0] > 0 else None

    def voxels_above_half(self, peak: float) -> int:
        """Return how many voxels of the whole scan have at least half of ``peak`` (to the nearest of LEVELS)."""
        return int(self._above[int(np.abs(LEVELS - peak / 2).argmin())])


def ball_radius_mm(voxels: int, spacing_mm_zyx: tuple[float, float, float]) -> float:
    """Return the radius of the ball that is as large as so many voxels. A target Gaussian of sigma 5 voxels of 3 mm: 17.7 mm at half its height."""
    return float((voxels * np.prod(spacing_mm_zyx) * 3 / (4 * np.pi)) ** (1 / 3))


def highest(heat: Tensor) -> tuple[float, tuple[int, int, int]]:
    """Return the maximum of a heat map (d, H, W) and its voxel (z, y, x), the first one of equals."""
    value, flat = first_maximum(heat)
    z, y, x = (int(i) for i in np.unravel_index(flat, heat.shape))
    return value, (z, y, x)


def _at_least(heat: Tensor, levels: np.ndarray) -> np.ndarray:
    """For each level, how many voxels reach it; only those that reach the lowest are sorted and leave the device."""
    high = np.sort(values_at_least(heat, float(levels[0])))
    return len(high) - np.searchsorted(high, levels, side="left")
