"""Lay small organs over large ones (section 3.1.3): SOS-Net's contours replace S-Net's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

THRESHOLD = 0.5  # of SOS-Net's probability


@dataclass(frozen=True)
class SmallOrgan:
    """One small organ on the scan's grid: label ``value``, the ``window`` of the scan that it was looked for in, and its
    ``probability`` there (z, y, x)."""

    value: int
    window: tuple[slice, slice, slice]
    probability: np.ndarray


def erase_organ(labels: np.ndarray, large_only: np.ndarray, value: int, slices: slice = slice(None)) -> None:
    """Replace label ``value`` of ``labels`` (z, y, x) in place by what stands there without the small organs.

    ``slices``: where; an organ that is longer than its ROI keeps what S-Net drew above and below it.
    """
    part = labels[slices]
    own = part == value
    part[own] = large_only[slices][own]


def overlay(labels: np.ndarray, organs: list[SmallOrgan]) -> np.ndarray:
    """Write small organs over ``labels`` (uint8 z, y, x) in place. Where two of them overlap the likelier wins."""
    if not organs:
        return labels
    low = [min(o.window[a].start for o in organs) for a in range(3)]
    high = [max(o.window[a].stop for o in organs) for a in range(3)]
    strongest = np.full([h - n for n, h in zip(low, high, strict=True)], THRESHOLD, np.float32)
    for organ in organs:
        local = tuple(slice(w.start - n, w.stop - n) for w, n in zip(organ.window, low, strict=True))
        wins = organ.probability > strongest[local]
        labels[organ.window][wins] = organ.value
        np.copyto(strongest[local], organ.probability, where=wins)
    return labels
