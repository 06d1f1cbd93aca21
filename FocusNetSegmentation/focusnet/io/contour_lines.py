"""Masks to closed planar contours and back, slice by slice.

Outlines are drawn by contourpy between the centres of voxels inside and outside, so that testing voxel centres gives back the mask exactly.
Half-way between them each outline would cut its corners and lose half a voxel in all, 2 % of a lens on a 1 mm grid; they are drawn as much
farther outside as gives the area of the mask back. A hole is joined to its outline by a channel of no width ("keyhole", DICOM PS3.3
C.8.8.6.3): DICOM's other way, contours of the type CLOSEDPLANAR_XOR, came in 2020, and a plain inner contour is a hole to some readers
and filled by others.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.spatial import cKDTree

ON_CONTOUR_VOXELS = 0.01  # coordinates are often rounded to 0.01 mm
CHANNELS_TRIED = 500
NEIGHBOURS = 16  # points around each point of a hole that are looked at first
CLEARANCE_VOXELS = 0.1
LEVELS = (0.2, 0.8)  # an outline may leave the middle between two voxel centres by 0.3 voxels
LEVEL_STEPS = 8


def slice_contours(mask: np.ndarray) -> list[np.ndarray]:
    """Return the outlines of a 2D mask (rows, columns) as (n, 2) arrays of fractional (column, row), not repeated at the end.

    One contour per separate part, holes joined in. A single voxel becomes a diamond of one voxel's area. Points on a straight line
    between their neighbours are left out.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    corner = np.array([columns[0] - 1, rows[0] - 1])
    rings = _rings(np.pad(part.astype(np.float32), 1), float(np.count_nonzero(part)))  # padded: closed at the border
    return [_without_straight_points(_joined(outer, holes)) + corner for outer, *holes in rings]


def _rings(values: np.ndarray, area: float) -> list[list[np.ndarray]]:
    """Per part its outline and its holes, at the level between 0 (outside) and 1 at which they enclose ``area`` pixels."""
    from contourpy import FillType, contour_generator

    generator = contour_generator(z=values, fill_type=FillType.OuterOffset)
    low, high = LEVELS
    rings: list[list[np.ndarray]] = []
    for _ in range(LEVEL_STEPS):
        level = (low + high) / 2
        polygons, offsets = generator.filled(level, np.inf)  # type: ignore[misc]
        rings = [
            [np.asarray(points[a:b], dtype=float)[:-1] for a, b in pairwise(starts)]
            for points, starts in zip(polygons, offsets, strict=True)
        ]
        enclosed = sum(_signed_area(ring) for part in rings for ring in part)
        low, high = (low, level) if enclosed < area else (level, high)  # a lower level lies farther outside
    return rings


def _signed_area(ring: np.ndarray) -> float:
    """Positive for outlines and negative for holes, as contourpy turns them."""
    x, y = ring.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def fill_contours(contours: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Return the mask (rows, columns) of the voxel centres inside closed contours of (column, row), by matplotlib: other code than drew them.

    Contours of one slice are combined by exclusive or, so that a hole drawn as a contour of its own stays a hole. Centres on a contour are
    inside, as DICOM has it (PS3.3 C.8.8.6.3): some programs draw through the centres of the outermost voxels.
    """
    from matplotlib.path import Path

    mask, on_contour = np.zeros(shape, bool), np.zeros(shape, bool)
    for contour in contours:
        low = np.maximum(np.floor(contour.min(axis=0)).astype(int), 0)
        high = np.minimum(np.ceil(contour.max(axis=0)).astype(int) + 1, (shape[1], shape[0]))
        if (high <= low).any():
            continue
        columns, rows = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
        inside = Path(np.vstack([contour, contour[:1]])).contains_points(
            np.column_stack([columns.ravel(), rows.ravel()])
        )
        mask[low[1] : high[1], low[0] : high[0]] ^= inside.reshape(rows.shape)
        for column, row in centres_on(contour):
            if 0 <= row < shape[0] and 0 <= column < shape[1]:
                on_contour[row, column] = True
    return mask | on_contour


def crosses_itself(contour: np.ndarray) -> bool:
    """Return whether two edges of a closed contour (n, 2) cross. Edges that touch or lie on each other, as a keyhole's channel does, do not."""
    steps = np.roll(contour, -1, axis=0) - contour
    apart = contour[None, :, :] - contour[:, None, :]  # (edge, point, 2)
    side = steps[:, None, 0] * apart[..., 1] - steps[:, None, 1] * apart[..., 0]
    side[np.abs(side) < ON_CONTOUR_VOXELS**2] = 0
    parted = side * np.roll(side, -1, axis=1) < 0  # the edge's line runs between both ends of the other edge
    return bool((parted & parted.T).any())


def centres_on(contour: np.ndarray) -> np.ndarray:
    """Return the (n, 2) voxel centres (column, row) that lie on a closed contour, within ON_CONTOUR_VOXELS."""
    found = []
    for along in (0, 1):  # a steep line is followed from row to row, a flat one from column to column
        start, end = contour, np.roll(contour, -1, axis=0)
        step = end - start
        chosen = np.abs(step[:, along]) >= np.abs(step[:, 1 - along])
        start, end, step = start[chosen], end[chosen], step[chosen]
        first = np.ceil(np.minimum(start, end)[:, along] - ON_CONTOUR_VOXELS)
        last = np.floor(np.maximum(start, end)[:, along] + ON_CONTOUR_VOXELS)
        counts = np.maximum(last - first + 1, 0).astype(int)
        line = np.repeat(np.arange(len(counts)), counts)
        whole = first[line] + np.arange(len(line)) - np.repeat(np.cumsum(counts) - counts, counts)
        length = np.where(step[line, along] == 0, 1, step[line, along])  # a point given twice
        other = start[line, 1 - along] + step[line, 1 - along] * (whole - start[line, along]) / length
        on = np.abs(other - np.round(other)) <= ON_CONTOUR_VOXELS
        pair = np.column_stack([whole[on], np.round(other[on])]).astype(int)
        found.append(pair if along == 0 else pair[:, ::-1])
    return np.concatenate(found)


def _joined(outline: np.ndarray, holes: list[np.ndarray]) -> np.ndarray:
    """The outline with every hole on a channel: along a ring to where a channel begins, around the hole, back, and on.

    Each hole hangs on the outline or on a hole that lies nearer to the outline.
    """
    if not holes:
        return outline
    gaps = cKDTree(outline).query(np.vstack(holes))[0]
    ends = np.cumsum([len(hole) for hole in holes])
    nearest_first = np.argsort([part.min() for part in np.split(gaps, ends[:-1])], kind="stable")
    rings = [outline, *(holes[i] for i in nearest_first)]
    first = np.cumsum([0, *(len(ring) for ring in rings)]).tolist()
    points, owner = np.vstack(rings), np.repeat(np.arange(len(rings)), np.diff(first))
    tree = cKDTree(points)
    hangs_at: dict[int, list[list[int]]] = {}  # point -> the holes that hang there, each as the way around it
    for ring in range(1, len(rings)):
        at, start = _channel(tree, points, owner, range(first[ring], first[ring + 1]))
        around = [*range(start, first[ring + 1]), *range(first[ring], start + 1)]
        hangs_at.setdefault(at, []).append(around)
    way: list[int] = []
    ahead = list(range(len(outline)))[::-1]
    while ahead:
        point = ahead.pop()
        way.append(point)
        for around in hangs_at.pop(point, []):
            ahead += [point, *reversed(around)]
    return np.asarray(points[way])


def _channel(tree: cKDTree, points: np.ndarray, owner: np.ndarray, hole: range) -> tuple[int, int]:
    """(point on a ring before this one, point of the hole): the ends of the shortest channel that keeps clear of every voxel centre.

    A centre on the channel would be neither inside nor outside. Without a clear one the shortest is taken.
    """
    k = 0
    while True:
        k = min(max(4 * k, NEIGHBOURS), len(points))
        lengths, ends = tree.query(points[hole.start : hole.stop], k=np.arange(1, k + 1))  # (hole points, k) each
        before = np.flatnonzero(owner[ends] < owner[hole.start])
        pairs = before[np.argsort(lengths.flat[before], kind="stable")][:CHANNELS_TRIED]
        found = [(int(ends.flat[i]), hole.start + int(i) // k) for i in pairs]
        clear = next((pair for pair in found if _clear(points[pair[0]], points[pair[1]])), None)
        if clear is not None:
            return clear
        if k == len(points):
            return found[0]


def _clear(a: np.ndarray, b: np.ndarray) -> bool:
    points = a + np.linspace(0, 1, 33)[:, None] * (b - a)
    return bool(np.linalg.norm(points - np.round(points), axis=1).min() > CLEARANCE_VOXELS)


def _without_straight_points(ring: np.ndarray) -> np.ndarray:
    """The same polygon with fewer points. The turn at the end of a channel, straight back, is kept."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    straight = (np.abs(cross) < 1e-9) & ((before * after).sum(axis=1) > 0)
    return np.asarray(ring[~straight])
