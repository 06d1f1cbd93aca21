"""How one soft organ is painted into what surrounds it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .head import Scene

BORDER_NOISE = (
    0.16  # of a blurred mask: the tissue's border strays from the contour by about half a voxel, as two observers' do
)
THINNEST = 0.7  # share of its own tissue that an organ has at least inside its contour


def soft_organ(scene: Scene, name: str, mean_hu: float, blur_mm: float, spread: float) -> None:
    """An organ that fades into its surroundings over ``blur_mm``, with a border that strays a little from the contour."""
    mask = scene.masks.get(name)
    if mask is None or not mask.any():
        return
    window = around(scene, mask, 6.0)
    sigma = [blur_mm / s for s in scene.geometry.spacing_mm_zyx]
    weight = ndimage.gaussian_filter(mask[window].astype(np.float32), sigma)
    weight = np.clip((weight + BORDER_NOISE * scene.field[window] * (weight > 0.02) - 0.5) * 2.5 + 0.5, 0, 1)
    weight = np.maximum(weight, THINNEST * mask[window])  # a gland thinner than the blur is still a gland
    own = mean_hu + spread * scene.field[window]
    hu = scene.hu[window]
    hu[...] = (1 - weight) * hu + weight * own


def around(scene: Scene, mask: np.ndarray, margin_mm: float) -> tuple[slice, ...]:
    """The box of a mask and a margin."""
    box = ndimage.find_objects(mask.view(np.uint8))[0]
    return tuple(
        slice(max(0, part.start - round(margin_mm / s)), min(n, part.stop + round(margin_mm / s)))
        for part, n, s in zip(box, mask.shape, scene.geometry.spacing_mm_zyx, strict=True)
    )
