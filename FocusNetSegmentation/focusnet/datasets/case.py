"""One training case in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import ndimage

from ..errors import DatasetError
from ..image.volume import Geometry


@dataclass(frozen=True)
class Case:
    """A CT with its contours on one upright grid.

    ``hu``: int16 (z, y, x). ``labels``: uint8 (z, y, x), value k is ``organs[k - 1]`` of the data set, 0 anything else.
    ``contoured``: names of the organs that were contoured in this patient; **an organ not named is unknown, not absent**.
    ``center_mm_xyz``: centre of the body, where crops are placed. ``centroids_mm_xyz``: of each contoured organ that is present.
    ``warnings``: the reader's sentences about contours that it could not use as they are. ``answered``: of ``contoured`` those that a model
    drew, not a person (fine-tuning).
    """

    name: str
    hu: np.ndarray
    labels: np.ndarray
    geometry: Geometry
    contoured: frozenset[str]
    center_mm_xyz: tuple[float, float, float]
    centroids_mm_xyz: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    answered: frozenset[str] = frozenset()

    @cached_property
    def boxes_zyx(self) -> dict[int, tuple[slice, slice, slice]]:
        """Return the box of voxels (z, y, x) around each label value that occurs."""
        return {value: box for value, box in enumerate(ndimage.find_objects(self.labels), start=1) if box is not None}


def refuse_without_contour(case: Case, organs: tuple[str, ...]) -> None:
    """Raise DatasetError if no organ has a voxel: such a case could only teach that organs are absent."""
    if case.centroids_mm_xyz:
        return
    found = f" Found: {' '.join(case.warnings)}" if case.warnings else ""
    raise DatasetError(
        f"Case {case.name} has no contour of {', '.join(organs)}.{found} Contour it, or exclude it in dataset.toml."
    )


def organ_centroids_mm(
    labels: np.ndarray, geometry: Geometry, organs: tuple[str, ...], contoured: frozenset[str]
) -> dict[str, tuple[float, float, float]]:
    """Return the centre of mass (x, y, z in LPS mm) of every contoured organ that has voxels in ``labels`` (z, y, x)."""
    found: dict[str, tuple[float, float, float]] = {}
    for label, organ in enumerate(organs, start=1):
        if organ not in contoured:
            continue
        index_zyx = np.argwhere(labels == label)
        if len(index_zyx):
            x, y, z = geometry.index_to_mm(index_zyx.mean(axis=0))
            found[organ] = (float(x), float(y), float(z))
    return found
