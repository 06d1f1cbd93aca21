"""Reorder a scan's axes so that z, y, x run to head, back and left (LPS), and back again; nothing is interpolated."""

from __future__ import annotations

import itertools

import numpy as np

from .volume import Geometry

OBLIQUE_TOLERANCE = 1e-3  # radians: 0.25 mm over a 250 mm field


def to_upright(
    array: np.ndarray, geometry: Geometry
) -> tuple[np.ndarray, Geometry, tuple[int, int, int], tuple[bool, bool, bool]]:
    """Reorder and flip the axes of an array (z, y, x) (a view, nothing is interpolated) so that z, y, x run to head, back and left."""
    direction = np.asarray(geometry.direction_xyz)
    # world axis w (x, y, z) <- the array axis whose direction is closest to it; every axis is used once
    source_xyz = _best_assignment(np.abs(direction))
    signs = [direction[world, axis] < 0 for world, axis in enumerate(source_xyz)]
    axes_zyx = tuple(2 - source_xyz[2 - i] for i in range(3))
    flips_zyx = tuple(bool(signs[2 - i]) for i in range(3))
    view = np.transpose(array, axes_zyx)
    view = view[tuple(slice(None, None, -1) if flip else slice(None) for flip in flips_zyx)]
    spacing_xyz = [geometry.spacing_mm_xyz[axis] for axis in source_xyz]
    columns = [direction[:, axis] * (-1 if sign else 1) for axis, sign in zip(source_xyz, signs, strict=True)]
    first_index_zyx = np.zeros(3)
    for upright_axis in range(3):
        if flips_zyx[upright_axis]:
            first_index_zyx[axes_zyx[upright_axis]] = array.shape[axes_zyx[upright_axis]] - 1
    upright = Geometry(
        shape_zyx=(view.shape[0], view.shape[1], view.shape[2]),
        spacing_mm_xyz=(spacing_xyz[0], spacing_xyz[1], spacing_xyz[2]),
        origin_mm_xyz=tuple(geometry.index_to_mm(first_index_zyx)),
        direction_xyz=tuple(tuple(row) for row in np.stack(columns, axis=1)),
    )
    return view, upright, axes_zyx, flips_zyx  # type: ignore[return-value]


def from_upright(array: np.ndarray, axes_zyx: tuple[int, int, int], flips_zyx: tuple[bool, bool, bool]) -> np.ndarray:
    """Undo ``to_upright``: return an array (z, y, x) of the upright grid in the scan's own axis order."""
    view = array[tuple(slice(None, None, -1) if flip else slice(None) for flip in flips_zyx)]
    return np.ascontiguousarray(np.transpose(view, np.argsort(axes_zyx)))


def is_oblique(upright: Geometry) -> bool:
    """Return whether an upright grid is still not parallel to the patient's axes."""
    return bool(np.abs(np.asarray(upright.direction_xyz) - np.eye(3)).max() > OBLIQUE_TOLERANCE)


def _best_assignment(cosines: np.ndarray) -> list[int]:
    """For each world axis the array axis that follows it best, each array axis used once."""
    orders = itertools.permutations(range(3))  # of six: SciPy's assignment takes longer to import than a scan to read
    return list(max(orders, key=lambda order: sum(cosines[world, axis] for world, axis in enumerate(order))))
