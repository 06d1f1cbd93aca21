"""From scores on the network's grid back to labels on the scan's own grid, without ever holding a full probability volume.

Scores arrive slab by slab along z. Each class is interpolated only where it can win, and a running maximum keeps the winner: the
result is the same as interpolating every class everywhere and taking the arg-max once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..image.orientation import from_upright, is_oblique
from ..image.resample import resample_labels
from ..image.volume import Geometry
from .arrays import Box, box_of, boxes_at_least, take, uses_numpy
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


def interpolate_axis(array: Tensor, lower: np.ndarray, weight: np.ndarray, axis: int) -> Tensor:
    """Interpolate ``array`` (z, y, x) linearly along ``axis`` at ``lower + weight``; voxels as they are (perhaps a view) where all weights
    are 0 or 1."""
    upper = np.minimum(lower + 1, array.shape[axis] - 1)
    if not np.any((weight > 0) & (weight < 1)):
        return take(array, np.where(weight > 0.5, upper, lower), axis)
    shape = [1, 1, 1]
    shape[axis] = -1
    w = torch.from_numpy(np.ascontiguousarray(weight)).to(array.device).reshape(shape)
    below = take(array, lower, axis)
    between = take(array, upper, axis) - below
    between *= w
    between += below
    return between


class StreamingArgmax:
    """Collects slabs of class probabilities, on whatever ``device``, and builds labels on the upright target grid there.

    ``labels``: uint8 on ``target``, 0 outside the network's grid. ``without_small`` (None without ``small``): what stands where a class of
    ``small`` won if these classes did not exist and their probability were the background's; 0 elsewhere.
    """

    def __init__(
        self, target: Geometry, network: Geometry, small: Sequence[int] = (), device: torch.device | str = "cpu"
    ) -> None:
        self.labels = torch.zeros(target.shape_zyx, dtype=torch.uint8, device=device)
        self.without_small = torch.zeros_like(self.labels) if small else None
        self.small = tuple(small)
        self.maps = axis_maps(target, network)
        self.slices = network.shape_zyx[0]
        self._carried: Tensor | None = None  # the last slice of the slab before: interpolation crosses slabs
        self._next = 0

    def add(self, probabilities: Tensor) -> None:
        """Add the next slab (K, n, H, W): probabilities that sum to 1 in each voxel, background first; a class's label is its place.
        The slab is read, not copied: only its last slice is kept."""
        start = self._next
        self._next += probabilities.shape[1]
        if self._carried is not None:
            # outputs between the slab before and this one see one slice of each
            between = torch.cat([self._carried, probabilities[:, :1]], dim=1)
            self._write(between, start - 1, self._outputs(start - 1, start))
        last_slab = self._next >= self.slices
        self._carried = None if last_slab else probabilities[:, -1:].clone()
        self._write(probabilities, start, self._outputs(start, self.slices if last_slab else self._next - 1))

    def _outputs(self, low: int, high: int) -> slice:
        """The outputs whose lower network slice is in ``low`` .. ``high - 1``."""
        lower = self.maps[0].lower
        return slice(int(np.searchsorted(lower, low)), int(np.searchsorted(lower, high)))

    def _write(self, slab: Tensor, start: int, outputs: slice) -> None:
        _, y_map, x_map = self.maps
        if outputs.stop <= outputs.start or not len(y_map) or not len(x_map):
            return
        whole = (outputs, slice(0, len(y_map)), slice(0, len(x_map)))
        labels = self._on_target(self.labels, whole)
        self._decide(dict(enumerate(slab)), start, whole, labels)
        if self.without_small is None:
            return
        drawn = torch.zeros_like(labels, dtype=torch.bool)
        for value in self.small:
            drawn |= labels == value
        box = box_of(drawn)
        if box is not None:
            low = outputs.start
            part = (slice(box[0].start + low, box[0].stop + low), box[1], box[2])
            self._decide(self._large_only(slab), start, part, self._on_target(self.without_small, part))

    def _large_only(self, slab: Tensor) -> dict[int, Tensor]:
        """The channels of a slab by label as if there were no small classes."""
        hidden = slab[self.small[0]].clone()
        for value in self.small[1:]:
            hidden += slab[value]
        hidden += slab[0]
        return {0: hidden, **{value: slab[value] for value in range(1, len(slab)) if value not in self.small}}

    def _decide(self, channels: dict[int, Tensor], start: int, part: Box, target: Tensor) -> None:
        """Write the strongest of ``channels`` (by label; background first; their slice 0 is network slice ``start``) into ``target``, the
        part ``part`` of the outputs."""
        background, *others = channels.values()
        best = self._interpolated(background, start, part)
        # a view of the network's own output must not be written into
        best = best.clone() if best.untyped_storage().data_ptr() == background.untyped_storage().data_ptr() else best
        # A winner has at least 1/K, and interpolation never exceeds its corners: elsewhere this class cannot win.
        threshold = (1.0 / len(channels)) * (1 - 1e-3)
        for value, channel, box in zip(list(channels)[1:], others, boxes_at_least(others, threshold), strict=True):
            if box is None:
                continue
            (z0, z1), y_box, x_box = (box[0].start + start, box[0].stop - 1 + start), box[1], box[2]
            seen = (
                self.maps[0].outputs_between(z0, z1),
                self.maps[1].outputs_between(y_box.start, y_box.stop - 1),
                self.maps[2].outputs_between(x_box.start, x_box.stop - 1),
            )
            window = tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(seen, part, strict=True))
            if any(s.stop <= s.start for s in window):
                continue
            score = self._interpolated(channel, start, (window[0], window[1], window[2]))
            local = tuple(slice(s.start - p.start, s.stop - p.start) for s, p in zip(window, part, strict=True))
            wins = score > best[local]
            target[local].masked_fill_(wins, value)
            torch.maximum(best[local], score, out=best[local])

    def _on_target(self, labels: Tensor, part: Box) -> Tensor:
        """The voxels of ``labels`` under the outputs ``part``."""
        return labels[tuple(slice(m.first + s.start, m.first + s.stop) for m, s in zip(self.maps, part, strict=True))]

    def _interpolated(self, channel: Tensor, start: int, part: Box) -> Tensor:
        """One class at the outputs ``part``; only the network voxels that they need are read."""
        out = channel
        for axis, shift in enumerate((start, 0, 0)):
            mapping = self.maps[axis]
            lower = mapping.lower[part[axis]] - shift
            out = interpolate_axis(out, lower, mapping.weight[part[axis]], axis)
        return out


def roi_on_target(
    probability: Tensor, start_zyx: tuple[int, int, int], target: Geometry, network: Geometry
) -> tuple[Box, Tensor]:
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


def download(labels: Tensor, record: PreprocessRecord) -> np.ndarray:
    """Return labels (uint8, z, y, x) on ``working_grid(record)`` as an array. Of another device's, only what lies under the network's grid
    is fetched: all else is 0."""
    if uses_numpy(labels):
        return labels.numpy()
    window = tuple(slice(m.first, m.first + len(m)) for m in axis_maps(working_grid(record), record.network))
    out = np.zeros(tuple(labels.shape), np.uint8)
    out[window] = labels[window].cpu().numpy()
    return out


def restore(labels: np.ndarray, working: Geometry, record: PreprocessRecord) -> np.ndarray:
    """Bring labels (uint8, z, y, x) from ``working_grid(record)`` to the scan's own grid and axis order. Exact unless the scan is oblique."""
    if is_oblique(record.upright):
        labels = resample_labels(labels, working, record.upright)
    return from_upright(labels, record.axes_zyx, record.flips_zyx)
