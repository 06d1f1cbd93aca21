"""Lay the organs of several results of one scan into one label map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..image.label_boxes import label_boxes, label_counts
from ..image.segmentation import OrganResult, Segmentation
from ..image.volume import Geometry

MUCH = 0.5  # of an organ: where more of it is lost to others, its contour is no longer the organ's


@dataclass(frozen=True)
class Part:
    """What is taken from one model: the results of ``segmentation``, which may be fewer than the labels in it."""

    model: str
    segmentation: Segmentation


def merge_labels(
    parts: Sequence[Part], order: Sequence[str], geometry: Geometry
) -> tuple[np.ndarray, tuple[OrganResult, ...]]:
    """Return labels (uint8, z, y, x) and results, numbered 1, 2, ... in the ``order`` of organ names.

    Where organs of two models overlap, a small organ (as of the organ table) keeps the voxels before a large one, and of two of the same
    kind the one with fewer voxels: it would lose the larger part of itself. Organs that lose voxels say to which, in a note; in a warning where more
    than half of them is lost.
    """
    found = {r.organ.name: (part, r) for part in parts for r in part.segmentation.results}
    numbers = {name: value for value, name in enumerate((name for name in order if name in found), start=1)}
    masks = _Masks(parts)
    labels = np.zeros(geometry.shape_zyx, np.uint8)
    lost: dict[str, dict[str, int]] = {name: {} for name in numbers}
    names = {value: name for name, value in numbers.items()}
    large_first = sorted(numbers, key=lambda name: (found[name][1].organ.small, -masks.voxels(*found[name])))
    for name in large_first:
        box, mask = masks.of(*found[name])
        if box is None:
            continue
        under = labels[box]
        for value, count in zip(*np.unique(under[mask], return_counts=True), strict=True):
            if value:
                lost[names[int(value)]][name] = int(count)
        under[mask] = numbers[name]
    counts = label_counts(labels)
    results = [
        _kept(found[name][1], value, int(counts[value]), lost[name], {n: found[n][0].model for n in numbers}, geometry)
        for name, value in numbers.items()
    ]
    return labels, tuple(results)


class _Masks:
    """Voxels of the organs, each in its box."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._boxes = {id(part): label_boxes(part.segmentation.labels) for part in parts}
        self._counts = {id(part): label_counts(part.segmentation.labels) for part in parts}

    def voxels(self, part: Part, result: OrganResult) -> int:
        return int(self._counts[id(part)][result.label])

    def of(self, part: Part, result: OrganResult) -> tuple[tuple[slice, ...] | None, np.ndarray]:
        boxes = self._boxes[id(part)]
        box = boxes[result.label - 1] if result.label <= len(boxes) else None
        if box is None:
            return None, np.zeros(0, bool)
        return box, part.segmentation.labels[box] == result.label


def _kept(
    result: OrganResult, value: int, voxels: int, lost: dict[str, int], models: dict[str, str], geometry: Geometry
) -> OrganResult:
    """Return the result as it is after the merge."""
    numbered = replace(result, label=value)
    if not lost:
        return numbered
    ml = geometry.voxel_ml
    gone = sum(lost.values())
    to = ", ".join(f"{name} of {models[name]} ({count * ml:.2g} ml)" for name, count in lost.items())
    sentence = f"Overlaps {to}, which keeps the voxels as the smaller organ."
    much = gone > MUCH * (gone + voxels)
    return replace(
        numbered,
        found=result.found and voxels > 0,
        volume_ml=voxels * ml,
        notes=result.notes if much else (*result.notes, sentence),
        warnings=(*result.warnings, sentence) if much else result.warnings,
    )
