"""A scan and its labels on a grid of about 3 mm, upright, on which the measures for the predicted DSC are made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ...image.volume import Geometry

GRID_MM = 3.0  # about that of the networks; finer voxels are joined, so that a scan of any resolution gives comparable measures
BODY_HU = -300.0
SHOULDER_WIDTH = 1.4  # times the neck's width


@dataclass(frozen=True)
class CoarseScan:
    """``labels`` (uint8, z, y, x) and ``hu`` (float32, same grid), upright: z to the head, y to the back, x to the left.

    ``shoulders_z_mm``: where the body becomes wide below the neck; ``middle_x_mm``: the body's middle; both None where not seen.
    """

    labels: np.ndarray
    hu: np.ndarray
    spacing_mm_zyx: np.ndarray
    origin_mm_zyx: np.ndarray
    shoulders_z_mm: float | None
    middle_x_mm: float | None

    @property
    def z_range_mm(self) -> tuple[float, float]:
        """Return the centres of the lowest and the highest slice."""
        low = float(self.origin_mm_zyx[0])
        return low, low + (self.labels.shape[0] - 1) * float(self.spacing_mm_zyx[0])


def coarse_scan(labels: np.ndarray, hu: np.ndarray, upright: Geometry) -> CoarseScan:
    """Return upright ``labels`` and ``hu`` (z, y, x) on a grid of about GRID_MM: HU are averaged, labels taken at the middles."""
    spacing = np.array(upright.spacing_mm_zyx)
    steps = [max(1, int(GRID_MM / s + 0.05)) for s in spacing]
    shape = [max(1, n // s) for n, s in zip(labels.shape, steps, strict=True)]
    inside = tuple(slice(0, n * s) for n, s in zip(shape, steps, strict=True))
    middle = tuple(slice(s // 2, n * s, s) for n, s in zip(shape, steps, strict=True))
    hu = hu[inside] if max(steps) == 1 else _averaged(hu[inside], steps, shape)
    hu = hu.astype(np.float32)
    coarse_mm = spacing * steps
    first = upright.index_to_mm(np.array([(s - 1) / 2 for s in steps]))[::-1]
    shoulders, middle_x = _body_marks(hu, coarse_mm)
    return CoarseScan(
        labels=np.ascontiguousarray(labels[middle]),
        hu=hu,
        spacing_mm_zyx=coarse_mm,
        origin_mm_zyx=np.array(first, float),
        shoulders_z_mm=None if shoulders is None else float(first[0] + shoulders * coarse_mm[0]),
        middle_x_mm=None if middle_x is None else float(first[2] + middle_x * coarse_mm[2]),
    )


def _averaged(hu: np.ndarray, steps: list[int], shape: list[int]) -> np.ndarray:
    """Return the means of blocks of ``steps`` voxels; along z first, which leaves the least to add."""
    out: np.ndarray = hu
    for axis in range(3):
        if steps[axis] > 1:
            split = (*out.shape[:axis], shape[axis], steps[axis], *out.shape[axis + 1 :])
            out = out.reshape(split).mean(axis=axis + 1, dtype=np.float32)
    return out


def _body_marks(hu: np.ndarray, spacing_mm_zyx: np.ndarray) -> tuple[float | None, float | None]:
    """Return (slice at which the shoulders begin, column of the body's middle), in voxels; None where there is none."""
    body = ndimage.binary_opening(hu > BODY_HU, np.ones((1, 3, 3), bool))
    columns = body.any(axis=1)  # (z, x)
    seen = columns.any(axis=1)
    if seen.sum() < 10:
        return None, None
    first = np.where(seen, columns.argmax(axis=1), 0)
    last = np.where(seen, columns.shape[1] - 1 - columns[:, ::-1].argmax(axis=1), 0)
    width = ndimage.median_filter(np.where(seen, last - first + 1, 0).astype(float), 5)
    middle = float(np.median(((first + last) / 2)[seen]))
    upper = np.flatnonzero(width > 0)
    # the neck is the narrowest place that is not the crown: leave out the highest 60 mm
    neck_slices = upper[upper < upper.max() - 60.0 / spacing_mm_zyx[0]]
    if len(neck_slices) < 5:
        return None, middle
    neck = int(neck_slices[width[neck_slices].argmin()])
    wide = [z for z in range(neck, int(upper.min()) - 1, -1) if width[z] > SHOULDER_WIDTH * width[neck]]
    return (float(wide[0]) if wide else None), middle
