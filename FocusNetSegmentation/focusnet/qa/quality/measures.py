"""Measure one organ for the predicted DSC: its size, place, ends, slices, HU inside and around, edges, gaps to its neighbours.

Every measure has a name; docs/qa.md lists them. Places are LPS mm. What does not apply is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from ...image.label_boxes import Box, label_boxes
from .coarse_scan import CoarseScan

AIR_HU, FAT_HU, BONE_HU, DENSE_HU = -300.0, (-150.0, -30.0), 200.0, 1500.0  # dense: teeth, metal
AROUND_MM = 8.0  # how far outside the neighbourhood is looked at
MARGIN_MM = 15.0
CLIP_HU = (-200.0, 300.0)  # of means around: one air or metal voxel must not decide
SIDES = (("below", 0, -1), ("above", 0, 1), ("front", 1, -1), ("back", 1, 1), ("right", 2, -1), ("left", 2, 1))
SURFACE_POINTS = 1500  # per organ, for gaps

Measures = dict[str, float]


def measure_organs(scan: CoarseScan, names: Mapping[int, str]) -> dict[str, Measures]:
    """Measure every organ of ``names`` (label value -> TG-263 name) that has voxels."""
    boxes = label_boxes(scan.labels)
    masks = {
        name: (scan.labels[box] == value, box)
        for value, name in names.items()
        if value <= len(boxes) and (box := boxes[value - 1]) is not None
    }
    surfaces = {name: surface_mm(scan, mask, box) for name, (mask, box) in masks.items()}
    return {name: measure_organ(scan, mask, box, _without(surfaces, name)) for name, (mask, box) in masks.items()}


def measure_organ(scan: CoarseScan, mask: np.ndarray, box: Box, others: Mapping[str, cKDTree]) -> Measures:
    """Measure one organ: ``mask`` (bool, z, y, x) inside ``box`` of the coarse scan. ``others``: surfaces of its neighbours."""
    window, inside = _with_margin(mask, box, scan)
    hu = scan.hu[window]
    return {
        **_size_and_place(scan, mask, box),
        **_slices(mask, scan.spacing_mm_zyx),
        **_inside(hu[inside]),
        **_around(hu, inside, scan.spacing_mm_zyx),
        **_edge(hu, inside),
        **_gaps(scan, mask, box, others),
    }


def surface_mm(scan: CoarseScan, mask: np.ndarray, box: Box) -> cKDTree:
    """Return the organ's border voxels (z, y, x in mm) as a tree; every n-th of many."""
    return cKDTree(_border_mm(scan, mask, box))


def _border_mm(scan: CoarseScan, mask: np.ndarray, box: Box) -> np.ndarray:
    index = np.argwhere(mask & ~ndimage.binary_erosion(mask))
    index = index[:: max(1, len(index) // SURFACE_POINTS)]
    points: np.ndarray = (index + [s.start for s in box]) * scan.spacing_mm_zyx + scan.origin_mm_zyx
    return points


def _size_and_place(scan: CoarseScan, mask: np.ndarray, box: Box) -> Measures:
    spacing, origin = scan.spacing_mm_zyx, scan.origin_mm_zyx
    numbered, count = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(numbered.ravel(), minlength=2)[1:]
    index = np.argwhere(numbered == 1 + int(sizes.argmax()))
    start = np.array([s.start for s in box])
    low, high = ((index.min(axis=0) + start) * spacing + origin, (index.max(axis=0) + start) * spacing + origin)
    center = (index.mean(axis=0) + start) * spacing + origin
    total = int(mask.sum())
    border = total - int(ndimage.binary_erosion(mask).sum())
    scan_low, scan_high = scan.z_range_mm
    lowest, highest = (index[index[:, 0] == f(index[:, 0])].mean(axis=0) + start for f in (np.min, np.max))
    return {
        "log_ml": float(np.log(total * spacing.prod() / 1000)),
        "length_x_mm": float(high[2] - low[2] + spacing[2]),
        "length_y_mm": float(high[1] - low[1] + spacing[1]),
        "length_z_mm": float(high[0] - low[0] + spacing[0]),
        "border_fraction": border / total,
        "other_parts": 1 - float(sizes.max()) / total,
        "parts": float(count),
        "x_mm": float(center[2]),
        "y_mm": float(center[1]),
        "z_mm": float(center[0]),
        "top_mm": float(high[0]),
        "bottom_mm": float(low[0]),
        "top_x_mm": float(highest[2] * spacing[2] + origin[2]),
        "top_y_mm": float(highest[1] * spacing[1] + origin[1]),
        "bottom_x_mm": float(lowest[2] * spacing[2] + origin[2]),
        "bottom_y_mm": float(lowest[1] * spacing[1] + origin[1]),
        "above_scan_bottom_mm": float(low[0] - scan_low),
        "below_scan_top_mm": float(scan_high - high[0]),
        "above_shoulders_mm": np.nan if scan.shoulders_z_mm is None else float(center[0] - scan.shoulders_z_mm),
        "bottom_above_shoulders_mm": np.nan if scan.shoulders_z_mm is None else float(low[0] - scan.shoulders_z_mm),
        "from_middle_mm": np.nan if scan.middle_x_mm is None else float(center[2] - scan.middle_x_mm),
    }


def _slices(mask: np.ndarray, spacing_mm_zyx: np.ndarray) -> Measures:
    """How the organ runs from slice to slice: missing slices, jumps of its middle, the thinnest slice, sudden changes of its area."""
    areas = mask.sum(axis=(1, 2)).astype(float)
    present = np.flatnonzero(areas)
    rows, columns = np.arange(mask.shape[1]), np.arange(mask.shape[2])
    area = areas[present]
    y = (mask[present].sum(axis=2) @ rows) / area * spacing_mm_zyx[1]
    x = (mask[present].sum(axis=1) @ columns) / area * spacing_mm_zyx[2]
    inner = area[1:-1] if len(area) > 4 else area
    jumps = np.hypot(np.diff(x), np.diff(y))
    changes = np.abs(np.diff(area)) / np.maximum(area[1:], area[:-1])
    return {
        "missing_mm": float((np.ptp(present) + 1 - len(present)) * spacing_mm_zyx[0]),
        "jump_mm": float(jumps.max()) if len(jumps) else 0.0,
        "mean_jump_mm": float(jumps.mean()) if len(jumps) else 0.0,
        "thinnest": float(inner.min() / np.median(area)),
        "widest": float(area.max() / np.median(area)),
        "area_change": float(changes[1:-1].max()) if len(changes) > 2 else 0.0,
        "area_mm2": float(np.median(area) * spacing_mm_zyx[1] * spacing_mm_zyx[2]),
    }


def _inside(hu: np.ndarray) -> Measures:
    clipped = np.clip(hu, -1000, 2000)
    return {
        "hu": float(np.median(hu)),
        "hu_spread": float(np.percentile(clipped, 90) - np.percentile(clipped, 10)),
        "air_inside": float(np.mean(hu < AIR_HU)),
        "fat_inside": float(np.mean((hu > FAT_HU[0]) & (hu < FAT_HU[1]))),
        "bone_inside": float(np.mean(hu > BONE_HU)),
        "teeth_inside": float(np.mean(hu > DENSE_HU)),
    }


def _around(hu: np.ndarray, inside: np.ndarray, spacing_mm_zyx: np.ndarray) -> Measures:
    """Mean HU on each side of the organ, AROUND_MM beyond it, and how much of its surroundings is air or bone."""
    near = (
        ndimage.binary_dilation(inside, iterations=max(1, round(AROUND_MM / 2 / float(spacing_mm_zyx.mean()))))
        & ~inside
    )
    values = hu[near]
    out = {"air_around": float(np.mean(values < AIR_HU)), "bone_around": float(np.mean(values > BONE_HU))}
    clipped = np.clip(hu, *CLIP_HU)
    for side, axis, direction in SIDES:
        step = direction * max(1, round(AROUND_MM / float(spacing_mm_zyx[axis])))
        there = _moved(inside, axis, step) & ~inside
        out[f"hu_{side}"] = float(clipped[there].mean()) if there.any() else np.nan
    return out


def _edge(hu: np.ndarray, inside: np.ndarray) -> Measures:
    """Step of HU across the organ's border, and the border's steps against those inside."""
    core = ndimage.binary_erosion(inside)
    rim_in, rim_out = inside & ~core, ndimage.binary_dilation(inside) & ~inside
    clipped = np.clip(hu, *CLIP_HU)
    slope = np.sqrt(sum(np.gradient(clipped, axis=a) ** 2 for a in range(3)))
    border, deep = float(slope[rim_in | rim_out].mean()), slope[core]
    return {
        "hu_step": float(clipped[rim_out].mean() - clipped[rim_in].mean()) if rim_out.any() else np.nan,
        "edge": border,
        "edge_inside": float(deep.mean()) if deep.size else np.nan,
    }


def _gaps(scan: CoarseScan, mask: np.ndarray, box: Box, others: Mapping[str, cKDTree]) -> Measures:
    points = _border_mm(scan, mask, box)
    return {f"gap_to:{name}": float(tree.query(points)[0].min()) for name, tree in others.items()}


def _with_margin(mask: np.ndarray, box: Box, scan: CoarseScan) -> tuple[Box, np.ndarray]:
    """Return the box with MARGIN_MM around it and the mask in it."""
    margin = [int(np.ceil(MARGIN_MM / s)) for s in scan.spacing_mm_zyx]
    shape = scan.labels.shape
    z, y, x = (slice(max(0, b.start - m), min(n, b.stop + m)) for b, m, n in zip(box, margin, shape, strict=True))
    window = (z, y, x)
    inside = np.zeros([w.stop - w.start for w in window], bool)
    inside[tuple(slice(b.start - w.start, b.stop - w.start) for b, w in zip(box, window, strict=True))] = mask
    return window, inside


def _moved(mask: np.ndarray, axis: int, step: int) -> np.ndarray:
    """Return ``mask`` moved by ``step`` voxels; what leaves the array is gone."""
    out = np.zeros_like(mask)
    source, target = [slice(None)] * 3, [slice(None)] * 3
    source[axis] = slice(0, -step) if step > 0 else slice(-step, None)
    target[axis] = slice(step, None) if step > 0 else slice(0, step)
    out[tuple(target)] = mask[tuple(source)]
    return out


def _without(surfaces: Mapping[str, cKDTree], name: str) -> dict[str, cKDTree]:
    return {other: tree for other, tree in surfaces.items() if other != name}
