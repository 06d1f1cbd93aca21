"""One organ's mask in the box that the shape autoencoder sees: the network's spacing, upright, the organ in the middle, and back.

Left organs are mirrored onto the right: the autoencoder has one handedness to learn and twice the shapes to learn it from, and a left
nerve that is drawn like a right one is then odd. No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..image.label_boxes import Box
from ..image.organs import side_of
from ..image.volume import Geometry, box_corners
from .config import NetworkConfig

Point = tuple[float, float, float]


@dataclass(frozen=True)
class ShapeBox:
    """Where a box lies: its centre in LPS mm, and whether it is mirrored left to right."""

    center_mm_xyz: Point
    mirrored: bool
    size_zyx: tuple[int, int, int]
    spacing_mm_zyx: tuple[float, float, float]

    @classmethod
    def around(
        cls,
        center_mm_xyz: Point,
        organ: str,
        config: NetworkConfig,
        spacing_mm_zyx: tuple[float, float, float] | None = None,
    ) -> ShapeBox:
        """Return the box of ``config``'s ROI size and spacing about a point (LPS mm), mirrored for a left organ. ``spacing_mm_zyx``: the organ's
        own, in place of the configuration's."""
        return cls(
            center_mm_xyz, side_of(organ) == "left", config.roi_size_zyx, spacing_mm_zyx or config.spacing_mm_zyx
        )

    def to_mm(self, linear: np.ndarray | None = None) -> np.ndarray:
        """Return the 4x4 map from box voxels (z, y, x, 1) to LPS mm (x, y, z, 1). ``linear``: 3x3 (x, y, z) on top, about the centre."""
        spacing = np.array(self.spacing_mm_zyx[::-1]) * ((-1.0 if self.mirrored else 1.0), 1.0, 1.0)
        axes = (np.eye(3) if linear is None else linear) @ np.diag(spacing)
        matrix = np.eye(4)
        matrix[:3, :3] = axes[:, ::-1]  # columns for z, y, x
        middle_zyx = (np.array(self.size_zyx) - 1) / 2
        matrix[:3, 3] = np.array(self.center_mm_xyz) - matrix[:3, :3] @ middle_zyx
        return matrix


def cut(mask: np.ndarray, geometry: Geometry, box: ShapeBox, linear: np.ndarray | None = None) -> np.ndarray:
    """Return what of ``mask`` (z, y, x on ``geometry``, any axis order) lies inside the box: bool (d, h, w), linear interpolation at one half."""
    return _resample(mask, _index_from_mm(geometry) @ box.to_mm(linear), box.size_zyx) >= 0.5


def paste(probability: np.ndarray, box: ShapeBox, geometry: Geometry) -> np.ndarray:
    """Undo ``cut``: return what lies in the box (probabilities or a mask, d, h, w) at one half, as bool (z, y, x) on ``geometry``; False
    outside the box."""
    out = np.zeros(geometry.shape_zyx, bool)
    place, part = paste_part(probability, box, geometry)
    out[place] = part
    return out


def paste_part(probability: np.ndarray, box: ShapeBox, geometry: Geometry) -> tuple[Box, np.ndarray]:
    """Return where ``paste`` would write into a scan (z, y, x), and the mask there."""
    back = np.linalg.inv(box.to_mm()) @ np.linalg.inv(_index_from_mm(geometry))
    corners = box_corners((-0.5, -0.5, -0.5), np.array(box.size_zyx) - 0.5).T
    index = (np.linalg.inv(back) @ np.vstack([corners, np.ones(8)]))[:3]
    low = np.clip(np.floor(index.min(axis=1)).astype(int), 0, geometry.shape_zyx)
    high = np.clip(np.ceil(index.max(axis=1)).astype(int) + 1, low, geometry.shape_zyx)
    z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    shape = (z.stop - z.start, y.stop - y.start, x.stop - x.start)
    if 0 in shape:
        return (z, y, x), np.zeros(shape, bool)
    shift = np.eye(4)
    shift[:3, 3] = low
    return (z, y, x), _resample(probability, back @ shift, shape) >= 0.5


def _index_from_mm(geometry: Geometry) -> np.ndarray:
    """4x4 map from LPS mm (x, y, z, 1) to voxels (z, y, x, 1)."""
    matrix = np.eye(4)
    matrix[:3] = np.linalg.inv(geometry.affine_xyz)[[2, 1, 0]]
    return matrix


def _resample(array: np.ndarray, matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    values: np.ndarray = ndimage.affine_transform(
        array.astype(np.float32), matrix[:3, :3], matrix[:3, 3], output_shape=shape, order=1, mode="constant"
    )
    return values
