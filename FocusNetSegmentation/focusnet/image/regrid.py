"""Two grids of one scan: the same voxels in another order of axes, or a part of them. Nothing is interpolated here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import InputError
from .segmentation import Segmentation
from .volume import Geometry

LARGEST_SHIFT_VOXELS = 0.02  # between a voxel and its twin: positions in DICOM and NIfTI are rounded


def put_on_grid(segmentation: Segmentation, geometry: Geometry, ct: str = "the CT") -> tuple[Segmentation, list[str]]:
    """Return the segmentation on ``geometry``, and sentences about voxels that lie outside of it and were left out.

    Axes are reordered and flipped and the edges cut or filled up, voxel for voxel: what programs do when they store a scan their own way.
    Raises InputError, with both grids, where voxels do not fall on voxels.
    """
    if segmentation.geometry.same_grid_as(geometry):
        return segmentation, []
    source = segmentation.geometry
    there = geometry.mm_to_index(source.corners_mm())
    relative = (np.linalg.inv(geometry.affine_xyz) @ source.affine_xyz)[2::-1, 2::-1]  # rows: target z, y, x
    steps = np.round(relative).astype(int)
    whole = np.abs(there - np.round(there)).max() <= LARGEST_SHIFT_VOXELS
    if not whole or not np.array_equal(np.abs(steps).sum(axis=0), [1, 1, 1]) or abs(np.linalg.det(steps)) < 0.5:
        raise InputError(
            f"The segmentation lies on another grid than {ct}: {describe_grid(source)}, where {describe_grid(geometry)} is expected; "
            "load both in 3D Slicer, take the CT as the segmentation's source geometry, and save it again."
        )
    return _copied(segmentation, geometry, steps, np.round(there[0]).astype(int), ct)


def describe_grid(geometry: Geometry) -> str:
    """Return a grid as text for a message: voxels, spacing and origin, in x, y, z."""
    x, y, z = geometry.shape_zyx[::-1]
    spacing = " x ".join(f"{s:.4g}" for s in geometry.spacing_mm_xyz)
    return f"{x} x {y} x {z} voxels of {spacing} mm from ({', '.join(f'{o:.1f}' for o in geometry.origin_mm_xyz)})"


def _copied(
    segmentation: Segmentation, geometry: Geometry, steps: np.ndarray, first: np.ndarray, ct: str
) -> tuple[Segmentation, list[str]]:
    """``steps``: 3x3, where one step along each axis of the segmentation leads on the target; ``first``: where its first voxel lies."""
    index = np.argwhere(segmentation.labels > 0)
    values = segmentation.labels[tuple(index.T)]
    target = index @ steps.T + first
    inside = ((target >= 0) & (target < geometry.shape_zyx)).all(axis=1)
    labels = np.zeros(geometry.shape_zyx, np.uint8)
    labels[tuple(target[inside].T)] = values[inside]
    lost = np.bincount(values[~inside], minlength=256)
    notes = [
        f"{lost[r.label]} voxels of {r.organ.name} lie outside {ct} and were left out."
        for r in segmentation.results
        if lost[r.label]
    ]
    counts = np.bincount(labels.ravel(), minlength=256)
    voxel_ml = geometry.voxel_ml
    results = tuple(
        r if not lost[r.label] else replace(r, volume_ml=float(counts[r.label]) * voxel_ml)
        for r in segmentation.results
    )
    return Segmentation(labels, geometry, results, segmentation.provenance), notes
