"""The ways in which a header can name a scan's directions wrongly, and the scan as each of them would have it.

Left and right alone are no way of their own: a head is its own mirror image as far as a network is concerned.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from ..image.orientation import to_upright
from ..image.volume import Geometry, Volume

RUNS = ("head to feet", "front to back", "left to right")  # along the axes z, y, x
REVERSED = {
    (True, False): "head and feet reversed",
    (False, True): "front and back reversed",
    (True, True): "head and feet, and front and back, reversed",
}
SYMMETRY_GRID_MM = 5.0
SYMMETRY_HU = (-200.0, 300.0)  # air to bone: what lies beyond is contrast medium and metal


@dataclass(frozen=True)
class Turn:
    """``axes_zyx[i]``: the axis of the upright scan that is the patient's axis i in truth; ``flips_zyx[i]``: whether it is reversed too."""

    axes_zyx: tuple[int, int, int] = (0, 1, 2)
    flips_zyx: tuple[bool, bool, bool] = (False, False, False)

    @property
    def words(self) -> str:
        """Return what the header has wrong, such as "front and back reversed"."""
        if self.axes_zyx == (0, 1, 2):
            return REVERSED[self.flips_zyx[0], self.flips_zyx[1]]
        named = next(axis for axis in range(3) if self.axes_zyx[axis] != axis)
        return f"its axes exchanged (what runs {RUNS[named]} is called {RUNS[self.axes_zyx[named]]})"


AS_IT_IS = Turn()
FLIPS = tuple(Turn(flips_zyx=(z, y, False)) for z, y in ((False, True), (True, False), (True, True)))


def exchanges(left_right_axis: int) -> Iterator[Turn]:
    """Yield the turns that exchange axes and make ``left_right_axis`` (of z, y, x) the patient's left to right."""
    for z, y, x in permutations(range(3)):
        if x == left_right_axis and (z, y, x) != AS_IT_IS.axes_zyx:
            for flips in (AS_IT_IS, *FLIPS):
                yield Turn((z, y, x), flips.flips_zyx)


def turned(volume: Volume, turn: Turn) -> Volume:
    """Return the scan as it would be if its header were wrong by ``turn``: upright, somewhere in space, nothing interpolated or copied."""
    array, upright, _, _ = to_upright(volume.array, volume.geometry)
    view = np.transpose(array, turn.axes_zyx)[tuple(slice(None, None, -1 if flip else 1) for flip in turn.flips_zyx)]
    z, y, x = (upright.spacing_mm_zyx[axis] for axis in turn.axes_zyx)
    return replace(volume, array=view, geometry=Geometry(view.shape, (x, y, z)))


def left_right_axis(volume: Volume) -> int:
    """Return the axis (of z, y, x, upright) along which the body is most like its own mirror image."""
    array, upright, _, _ = to_upright(volume.array, volume.geometry)
    steps = [max(1, round(SYMMETRY_GRID_MM / s)) for s in upright.spacing_mm_zyx]
    coarse = np.clip(array[:: steps[0], :: steps[1], :: steps[2]], *SYMMETRY_HU).astype(np.float32) - SYMMETRY_HU[0]
    return int(np.argmax([_likeness(coarse, axis) for axis in range(3)]))


def _likeness(values: np.ndarray, axis: int) -> float:
    """Return the correlation of ``values`` (0 in air) with their mirror image along ``axis``, about their centre."""
    profile = values.sum(axis=tuple(a for a in range(3) if a != axis), dtype=float)
    if not profile.any():
        return 0.0
    center = float((profile * np.arange(len(profile))).sum() / profile.sum())
    best = 0.0
    for middle in (np.floor(2 * center) / 2, np.ceil(2 * center) / 2):  # between two voxels or on one
        reach = min(middle, len(profile) - 1 - middle)
        part = np.take(values, range(int(np.ceil(middle - reach)), int(np.floor(middle + reach)) + 1), axis=axis)
        if part.shape[axis] > 1 and part.std() > 0:
            best = max(best, float(np.corrcoef(part.ravel(), np.flip(part, axis).ravel())[0, 1]))
    return best
