"""The phantom's organs with errors planted in them."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Volume
from focusnet.phantom.write import phantom
from focusnet.qa.reference_statistics import ReferenceStatistics, load_reference_statistics

# The phantom is not anatomical: its organs are held to what real ones measure in everything but size, place and HU.
NOT_ANATOMICAL = ("extent_mm", "position_limit", "hu_outside_limit", "edge_fraction")


@lru_cache(maxsize=1)
def phantom_case() -> tuple[Volume, Segmentation]:
    return phantom(0, (2.0, 2.0, 3.0))


def with_labels(segmentation: Segmentation, labels: np.ndarray) -> Segmentation:
    return replace(segmentation, labels=labels)


def label_of(segmentation: Segmentation, name: str) -> int:
    return next(r.label for r in segmentation.results if r.organ.name == name)


def missing_slices(segmentation: Segmentation, name: str, count: int = 3) -> Segmentation:
    """``count`` slices of its middle emptied."""
    labels, label = segmentation.labels.copy(), label_of(segmentation, name)
    slices = np.flatnonzero((labels == label).any(axis=(1, 2)))
    for z in slices[len(slices) // 2 : len(slices) // 2 + count]:
        labels[z][labels[z] == label] = 0
    return with_labels(segmentation, labels)


def swapped(segmentation: Segmentation, left: str, right: str) -> Segmentation:
    labels = segmentation.labels.copy()
    a, b = label_of(segmentation, left), label_of(segmentation, right)
    labels[segmentation.labels == a], labels[segmentation.labels == b] = b, a
    return with_labels(segmentation, labels)


def far_blob(segmentation: Segmentation, name: str, size: int = 8) -> Segmentation:
    """A cube of ``size`` voxels in a corner of the scan that belongs to nobody."""
    labels = segmentation.labels.copy()
    corner = labels[4 : 4 + size, 8 : 8 + size, 8 : 8 + size]
    assert not corner.any()
    corner[:] = label_of(segmentation, name)
    return with_labels(segmentation, labels)


def statistics_for_the_phantom() -> ReferenceStatistics:
    """What ships, less what a phantom that is not anatomical cannot be held to."""
    real = load_reference_statistics()
    organs = {o: {k: v for k, v in row.items() if k not in NOT_ANATOMICAL} for o, row in real.organs.items()}
    return replace(real, organs=organs, volumes={})
