"""Slices that an organ's contours skip: found, put into words, and filled by interpolation.

People draw every second or third slice and planning systems interpolate between them; read as stored, the others are holes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy.ndimage import distance_transform_edt

from ..wording import counted
from .segmentation import Segmentation

MAXIMUM_FILLED_MM = (
    15.0  # between two drawn slices; beyond it an organ is in two parts, or its shape in between would be invented
)
REGULAR_PART = 0.8  # of the steps between drawn slices that must be equal to call the skipping regular
ORDINALS = {2: "second", 3: "third", 4: "fourth", 5: "fifth"}


def skipped_sentence(drawn: np.ndarray, spacing_mm: float) -> str:
    """Return what to say of the slices between the first and the last drawn one; "" if none is skipped.

    ``drawn``: sorted numbers of the slices that hold a contour. ``spacing_mm``: between slices.
    """
    steps = np.diff(drawn)
    if not len(steps) or steps.max() < 2:
        return ""
    usual = int(np.bincount(steps).argmax())
    if usual > 1 and np.mean(steps == usual) >= REGULAR_PART:
        return (
            f"The contours skip slices: only every {ORDINALS.get(usual, f'{usual}th')} of {spacing_mm:.3g} mm is drawn."
        )
    span = int(drawn[-1] - drawn[0]) + 1
    return f"The contours skip slices: {span - len(drawn)} of the {span} between the first and the last have none."


def find_skipped(segmentation: Segmentation) -> dict[str, str]:
    """Return organ -> sentence, for every organ whose contours skip slices along the body."""
    labels, spacing = _along_the_body(segmentation)
    found = {}
    for result in segmentation.results:
        drawn = np.flatnonzero((labels == result.label).any(axis=(1, 2)))
        sentence = skipped_sentence(drawn, spacing[0])
        if sentence:
            found[result.organ.name] = sentence
    return found


def fill_skipped(segmentation: Segmentation) -> tuple[Segmentation, list[str]]:
    """Return the segmentation with skipped slices interpolated, and a sentence for each organ that was filled.

    Only background is filled; where two organs would fill one voxel, the smaller one gets it.
    """
    labels, spacing = _along_the_body(segmentation)
    filled, notes = fill_label_map(labels, {r.label: r.organ.name for r in segmentation.results}, spacing)
    axis = _body_axis(segmentation)
    counts = np.bincount(filled.reshape(-1), minlength=256)
    voxel_ml = segmentation.geometry.voxel_ml
    results = tuple(replace(r, volume_ml=float(counts[r.label]) * voxel_ml) for r in segmentation.results)
    whole = np.ascontiguousarray(np.moveaxis(filled, 0, axis))
    return Segmentation(whole, segmentation.geometry, results, segmentation.provenance), notes


def fill_label_map(
    labels: np.ndarray, names: Mapping[int, str], spacing_mm_zyx: tuple[float, ...]
) -> tuple[np.ndarray, list[str]]:
    """Return a label map (z along the body, y, x) with skipped slices interpolated, and a sentence for each organ that was filled.

    ``names``: label -> organ. Only background is filled; where two organs would fill one voxel, the smaller one gets it.
    """
    filled = labels.copy()
    voxels = {label: np.flatnonzero(labels == label) for label in names}
    notes = []
    for label in sorted(names, key=lambda k: -len(voxels[k])):
        new, count = filled_voxels(voxels[label], labels.shape, spacing_mm_zyx)
        added = np.setdiff1d(new, voxels[label], assume_unique=True)
        filled.reshape(-1)[added[labels.reshape(-1)[added] == 0]] = label
        if count:
            notes.append(f"{names[label]}: {counted(count, 'skipped slice was', 'skipped slices were')} interpolated.")
    return filled, notes


def filled_voxels(
    flat: np.ndarray, shape_zyx: tuple[int, ...], spacing_mm_zyx: tuple[float, ...]
) -> tuple[np.ndarray, int]:
    """Return an organ's flat indices with skipped slices (along z) filled, sorted, and how many slices were filled.

    Between two drawn slices the signed distance to the outline runs linearly from one to the other (Raya and Udupa, IEEE Transactions on
    Medical Imaging 9, 1990). Gaps of more than MAXIMUM_FILLED_MM stay.
    """
    if not len(flat):
        return flat, 0
    index = np.stack(np.unravel_index(flat, shape_zyx), axis=1)
    low, high = index[:, 1:].min(axis=0), index[:, 1:].max(axis=0) + 1
    drawn, starts = np.unique(index[:, 0], return_index=True)
    slices = dict(zip(drawn.tolist(), np.split(index[:, 1:], starts[1:]), strict=True))
    parts, count = [flat], 0
    for first, last in zip(drawn[:-1].tolist(), drawn[1:].tolist(), strict=True):
        if last - first < 2 or (last - first) * spacing_mm_zyx[0] > MAXIMUM_FILLED_MM:
            continue
        ends = [_signed_distance(slices[z] - low, tuple(high - low), spacing_mm_zyx[1:]) for z in (first, last)]
        for z in range(first + 1, last):
            part = (z - first) / (last - first)
            inside = np.argwhere((1 - part) * ends[0] + part * ends[1] > 0) + low
            parts.append(np.ravel_multi_index((np.full(len(inside), z), inside[:, 0], inside[:, 1]), shape_zyx))
            count += bool(len(inside))
    return np.sort(np.concatenate(parts)), count


def _signed_distance(points: np.ndarray, shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> np.ndarray:
    """Millimetres to the outline (y, x), positive inside; beyond the box is outside."""
    mask = np.zeros((shape[0] + 2, shape[1] + 2), bool)
    mask[points[:, 0] + 1, points[:, 1] + 1] = True
    inside, outside = (distance_transform_edt(m, sampling=spacing_mm) for m in (mask, ~mask))
    return np.asarray((inside - outside)[1:-1, 1:-1])


def _along_the_body(segmentation: Segmentation) -> tuple[np.ndarray, tuple[float, ...]]:
    """Labels and spacing with the axis that runs along the body first."""
    axis = _body_axis(segmentation)
    spacing = list(segmentation.geometry.spacing_mm_zyx)
    return np.ascontiguousarray(np.moveaxis(segmentation.labels, axis, 0)), (spacing.pop(axis), *spacing)


def _body_axis(segmentation: Segmentation) -> int:
    """The axis of (z, y, x) that runs from feet to head."""
    return 2 - int(np.abs(np.asarray(segmentation.geometry.direction_xyz)[2]).argmax())
