"""Measure one organ's mask: volume, extent, parts, holes, missing slices, edges. Every score but the shape's uses this."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from ..image.label_boxes import Box, label_boxes
from ..image.segmentation import Segmentation
from ..image.volume import Geometry
from .organ_scores import Point

PARTS_LOOKED_AT = 6  # the largest ones: a cloud of specks is told from its first few
GAP_MM = 30.0  # a person or a program leaves out slices; farther apart lie different things
EDGES = (("bottom", "top"), ("front", "back"), ("right", "left"))  # (z, y, x) of an upright scan: first and last


@dataclass(frozen=True)
class Part:
    """A connected part beside the main one. ``gap_mm``: the smallest distance to the main part."""

    volume_ml: float
    center_mm_xyz: Point
    gap_mm: float


@dataclass(frozen=True)
class Measured:
    """One organ in numbers.

    ``mask``: the organ (z, y, x) inside ``box`` of the upright scan. ``center_mm_xyz`` (LPS) and ``extent_mm_xyz`` are those of
    its main part. ``hole_fraction``: background inside its slices' outlines, as a fraction of its own size. ``missing_slices``:
    upright slices inside it without a voxel of it. ``edges``: sides of the scan that it touches.
    """

    name: str
    volume_ml: float
    mask: np.ndarray
    box: Box
    center_mm_xyz: Point
    extent_mm_xyz: Point
    parts: tuple[Part, ...]
    hole_fraction: float
    hole_mm_xyz: Point | None
    missing_slices: tuple[int, ...]
    edges: tuple[str, ...]

    @property
    def extra_fraction(self) -> float:
        """Return the volume of the parts beside the main one, as a fraction of the whole."""
        return sum(p.volume_ml for p in self.parts) / self.volume_ml if self.parts else 0.0

    @property
    def gap_mm(self) -> float:
        """Return the largest distance of a part from the main part, in mm."""
        return max((p.gap_mm for p in self.parts), default=0.0)


def measure_all(labels: np.ndarray, geometry: Geometry, segmentation: Segmentation) -> dict[str, Measured]:
    """Measure every organ that has voxels. ``labels`` (z, y, x) and ``geometry`` are the segmentation's, made upright."""
    boxes = label_boxes(labels)
    out = {}
    for result in segmentation.results:
        box = boxes[result.label - 1] if result.label <= len(boxes) else None
        if box is not None:
            out[result.organ.name] = measure(result.organ.name, labels, result.label, box, geometry)
    return out


def measure(name: str, labels: np.ndarray, label: int, box: Box, geometry: Geometry) -> Measured:
    """Measure ``labels == label`` (z, y, x), which lies inside ``box`` of the upright scan."""
    mask = labels[box] == label
    voxel_ml = geometry.voxel_ml
    start = np.array([s.start for s in box])
    numbered, count = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(numbered.ravel(), minlength=count + 1)
    sizes[0] = 0
    order = np.argsort(-sizes)[:count]
    main = numbered == order[0]
    index = np.argwhere(main)
    extent_zyx = (np.ptp(index, axis=0) + 1) * geometry.spacing_mm_zyx
    holes = _holes(mask, labels[box] == 0)
    present = mask.any(axis=(1, 2))
    return Measured(
        name=name,
        volume_ml=float(sizes.sum()) * voxel_ml,
        mask=mask,
        box=box,
        center_mm_xyz=_point(geometry, index.mean(axis=0) + start),
        extent_mm_xyz=(float(extent_zyx[2]), float(extent_zyx[1]), float(extent_zyx[0])),
        parts=_parts(numbered, sizes, order, start, geometry, voxel_ml),
        hole_fraction=float(holes.sum() / sizes.sum()),
        hole_mm_xyz=_point(geometry, np.argwhere(holes)[holes.sum() // 2] + start) if holes.any() else None,
        missing_slices=_missing_slices(present, box[0].start, geometry.spacing_mm_zyx[0]),
        edges=tuple(
            EDGES[axis][last]
            for axis in range(3)
            for last in (0, 1)
            if (box[axis].stop == labels.shape[axis] if last else box[axis].start == 0)
        ),
    )


def _missing_slices(present: np.ndarray, start: int, spacing_mm: float) -> tuple[int, ...]:
    """Return slices without the organ between its first and last; wider gaps than GAP_MM separate parts and do not count."""
    runs, count = ndimage.label(~present)
    sizes = np.bincount(runs, minlength=count + 1) * spacing_mm
    inside = (runs > 0) & (sizes[runs] <= GAP_MM)
    return tuple(int(z) + start for z in np.flatnonzero(inside))


def _holes(mask: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Return background voxels inside the organ's outline, slice by slice. Another organ inside it (lens in eye) is no hole."""
    filled = np.stack([ndimage.binary_fill_holes(m) for m in mask])
    inside: np.ndarray = filled & ~mask & background
    return inside


def _parts(
    numbered: np.ndarray, sizes: np.ndarray, order: np.ndarray, start: np.ndarray, geometry: Geometry, voxel_ml: float
) -> tuple[Part, ...]:
    if len(order) < 2:
        return ()
    spacing = np.array(geometry.spacing_mm_zyx)
    main = numbered == order[0]
    tree = cKDTree(np.argwhere(main & ~ndimage.binary_erosion(main)) * spacing)
    parts = []
    for value in order[1:PARTS_LOOKED_AT]:
        index = np.argwhere(numbered == value)
        gap = float(tree.query(index * spacing)[0].min())
        parts.append(Part(float(sizes[value]) * voxel_ml, _point(geometry, index.mean(axis=0) + start), gap))
    return tuple(parts)


def _point(geometry: Geometry, index_zyx: np.ndarray) -> Point:
    x, y, z = (float(v) for v in geometry.index_to_mm(index_zyx))
    return (x, y, z)
