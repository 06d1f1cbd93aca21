"""From scores on the network's grid back to labels on the scan's own grid, without ever holding a full probability volume.

Scores arrive slab by slab along z. Each class is interpolated only where it can win, and a running maximum keeps the winner: the
result is the same as interpolating every class everywhere and taking the arg-max once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..image.orientation import from_upright, is_oblique
from ..image.resample import resample_labels
from ..image.volume import Geometry
from .preprocess import PreprocessRecord

EDGE_VOXELS = 0.5  # a voxel reaches half its size beyond its centre: scan voxels up to there are inside the crop


@dataclass(frozen=True)
class AxisMap:
    """Linear interpolation along one axis. Output ``first + i`` lies between network voxels ``lower[i]`` and ``lower[i] + 1``,
    at ``weight[i]`` of the way. Outputs before ``first`` or after the last are outside the network's grid."""

    first: int
    lower: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.lower)

    def outputs_between(self, low: int, high: int) -> slice:
        """Return the positions (from 0) of the outputs that network voxels ``low``..``high`` (inclusive) can touch."""
        return slice(int(np.searchsorted(self.lower, low - 1)), int(np.searchsorted(self.lower, high, side="right")))


def axis_map(coordinates: np.ndarray, size: int) -> AxisMap:
    """Return the AxisMap of the outputs at increasing network ``coordinates`` (voxels) for an axis of ``size`` network voxels."""
    inside = np.flatnonzero((coordinates > -EDGE_VOXELS - 1e-6) & (coordinates < size - 1 + EDGE_VOXELS + 1e-6))
    if len(inside) == 0:
        return AxisMap(0, np.zeros(0, int), np.zeros(0, np.float32))
    u = np.clip(coordinates[inside], 0, size - 1)
    nearest = np.round(u)
    u = np.where(np.abs(u - nearest) < 1e-4, nearest, u)  # a shared grid is copied, not smeared by rounding errors
    lower = np.minimum(np.floor(u).astype(int), max(size - 2, 0))
    return AxisMap(int(inside[0]), lower, (u - lower).astype(np.float32))


def axis_maps(target: Geometry, network: Geometry) -> tuple[AxisMap, AxisMap, AxisMap]:
    """Return the AxisMaps for z, y and x from the network's grid to a target grid with the same directions."""
    start = network.mm_to_index(target.index_to_mm(np.zeros(3)))
    step = np.array(target.spacing_mm_zyx) / np.array(network.spacing_mm_zyx)
    maps = [
        axis_map(start[axis] + step[axis] * np.arange(target.shape_zyx[axis]), network.shape_zyx[axis])
        for axis in range(3)
    ]
    return maps[0], maps[1], maps[2]


def interpolate_axis(array: np.ndarray, lower: np.ndarray, weight: np.ndarray, axis: int) -> np.ndarray:
    """Interpolate ``array`` (z, y, x) linearly along ``axis`` at ``lower + weight``; a plain copy of voxels where all weights are 0 or 1."""
    upper = np.minimum(lower + 1, array.shape[axis] - 1)
    if not np.any((weight > 0) & (weight < 1)):
        return np.take(array, np.where(weight > 0.5, upper, lower), axis=axis)
    shape = [1, 1, 1]
    shape[axis] = -1
    w = weight.reshape(shape)
    below = np.take(array, lower, axis=axis)
    above = np.take(array, upper, axis=axis)
    above -= below
    above *= w
    above += below
    return above


class StreamingArgmax:
    """Collects slabs of class probabilities and builds labels on the upright target grid.

    ``labels``: uint8 on ``target``; outside the network's grid it stays 0.
    """

    def __init__(self, target: Geometry, network: Geometry) -> None:
        self.labels = np.zeros(target.shape_zyx, np.uint8)
        self.maps = axis_maps(target, network)
        self.slices = network.shape_zyx[0]
        self._carried: list[np.ndarray] | None = None  # the last slice of the slab before: interpolation crosses slabs
        self._next = 0

    def add(self, channels: list[np.ndarray], values: np.ndarray) -> None:
        """Add the next slab: K ``channels`` (n, H, W) of probabilities, background first, that sum to 1 in each voxel, and their
        K label ``values``. The slab is read, not copied: only its last slice is kept."""
        start = self._next
        self._next += channels[0].shape[0]
        if self._carried is not None:
            # outputs between the slab before and this one see one slice of each
            between = [
                np.concatenate([last, channel[:1]]) for last, channel in zip(self._carried, channels, strict=True)
            ]
            self._write(between, values, start - 1, self._outputs(start - 1, start))
        last_slab = self._next >= self.slices
        self._carried = None if last_slab else [channel[-1:].copy() for channel in channels]
        self._write(channels, values, start, self._outputs(start, self.slices if last_slab else self._next - 1))

    def _outputs(self, low: int, high: int) -> slice:
        """The outputs whose lower network slice is in ``low`` .. ``high - 1``."""
        lower = self.maps[0].lower
        return slice(int(np.searchsorted(lower, low)), int(np.searchsorted(lower, high)))

    def _write(self, channels: list[np.ndarray], values: np.ndarray, start: int, outputs: slice) -> None:
        z_map, y_map, x_map = self.maps
        if outputs.stop <= outputs.start or not len(y_map) or not len(x_map):
            return
        whole = (outputs, slice(0, len(y_map)), slice(0, len(x_map)))
        best = self._interpolated(channels[0], start, whole)
        offset = (z_map.first, y_map.first, x_map.first)
        target = self.labels[tuple(slice(o + s.start, o + s.stop) for o, s in zip(offset, whole, strict=True))]
        # A winner has at least 1/K, and interpolation never exceeds its corners: elsewhere this class cannot win.
        threshold = (1.0 / len(values)) * (1 - 1e-3)
        for channel, value in zip(channels[1:], values[1:], strict=True):
            box = _bounding_box(channel >= threshold)
            if box is None:
                continue
            (z0, z1), (y0, y1), (x0, x1) = box
            z_part = z_map.outputs_between(z0 + start, z1 + start)
            part = (
                slice(max(z_part.start, outputs.start), min(z_part.stop, outputs.stop)),
                y_map.outputs_between(y0, y1),
                x_map.outputs_between(x0, x1),
            )
            if any(s.stop <= s.start for s in part):
                continue
            score = self._interpolated(channel, start, part)
            local = (slice(part[0].start - outputs.start, part[0].stop - outputs.start), part[1], part[2])
            wins = score > best[local]
            target[local][wins] = value
            np.copyto(best[local], score, where=wins)

    def _interpolated(self, channel: np.ndarray, start: int, part: tuple[slice, slice, slice]) -> np.ndarray:
        """One class at the outputs ``part``; only the network voxels that it needs are read."""
        out = channel
        shift = (start, 0, 0)
        for axis in range(3):
            mapping = self.maps[axis]
            lower = mapping.lower[part[axis]] - shift[axis]
            out = interpolate_axis(out, lower, mapping.weight[part[axis]], axis)
        return out


def roi_on_target(
    probability: np.ndarray, start_zyx: tuple[int, int, int], target: Geometry, network: Geometry
) -> tuple[tuple[slice, slice, slice], np.ndarray]:
    """Resample a small organ's probability in its ROI (d, h, w; from network voxel ``start_zyx``) onto the target grid.

    Returns the window of the target under the ROI and the probability there. Nothing is extrapolated beyond the ROI.
    """
    windows, out = [], probability
    for axis, mapping in enumerate(axis_maps(target, network)):
        size = probability.shape[axis]
        u = mapping.lower + mapping.weight - start_zyx[axis]
        inside = np.flatnonzero((u >= -EDGE_VOXELS) & (u <= size - 1 + EDGE_VOXELS))
        first = int(inside[0]) if len(inside) else 0
        u = np.clip(u[inside], 0, size - 1)
        lower = np.minimum(np.floor(u).astype(int), max(size - 2, 0))
        out = interpolate_axis(out, lower, (u - lower).astype(np.float32), axis)
        windows.append(slice(mapping.first + first, mapping.first + first + len(inside)))
    return (windows[0], windows[1], windows[2]), out


def working_grid(record: PreprocessRecord) -> Geometry:
    """Return the grid that labels are built on: the scan's upright grid, or an unrotated grid of the same spacing around an oblique scan."""
    if not record.oblique:
        return record.upright
    upright = record.upright
    points = upright.corners_mm()
    low, high = points.min(axis=0), points.max(axis=0)
    spacing = np.array(upright.spacing_mm_xyz)
    size_xyz = np.ceil((high - low) / spacing).astype(int) + 1
    return Geometry(tuple(int(n) for n in size_xyz[::-1]), upright.spacing_mm_xyz, tuple(low))  # type: ignore[arg-type]


def restore(labels: np.ndarray, working: Geometry, record: PreprocessRecord) -> np.ndarray:
    """Bring labels (uint8, z, y, x) from ``working_grid(record)`` to the scan's own grid and axis order. Exact unless the scan is oblique."""
    if is_oblique(record.upright):
        labels = resample_labels(labels, working, record.upright)
    return from_upright(labels, record.axes_zyx, record.flips_zyx)


def _bounding_box(mask: np.ndarray) -> list[tuple[int, int]] | None:
    """First and last index of True along each axis, None if there is none."""
    box = []
    for axis in range(3):
        hits = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        if len(hits) == 0:
            return None
        box.append((int(hits[0]), int(hits[-1])))
    return box
