"""Training of the shape autoencoder alone, on masks: no CT is needed, so that it can learn from contours without their scans.

autoencoder = ShapeModel(config)                       # config.roi_size_zyx is the masks' size
options = StageOptions(config, settings, NO_AUGMENTATION, out)
train_stage(autoencoder, AAE_SHAPES, shapes, ShapeValidator(held_out, config), options)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import DatasetError
from ...metrics.overlap import dice
from ...nets.config import NetworkConfig
from ...nets.shape_autoencoder import ShapeAutoencoder
from ..settings import Settings
from .losses import binary_dice_loss
from .stage import Stage, StageContext, Update


@dataclass(frozen=True)
class Shape:
    """One organ of one patient, cut to the ROI: ``mask`` (d, h, w), 0 and 1. ``name`` is what an error message calls it."""

    name: str
    organ: str
    mask: np.ndarray


@dataclass(frozen=True)
class ShapeSample:
    """``masks`` (N, 1, d, h, w) float32 of the organs ``organs``, which may repeat. ``carried`` as in Crops."""

    masks: Tensor
    organs: tuple[str, ...]
    carried: dict[str, Any] = field(default_factory=dict)

    def to(self, device: torch.device) -> ShapeSample:
        """Return the sample on ``device``."""
        return replace(self, masks=self.masks.to(device))


class ShapeModel(nn.Module):
    """A model for ``train_stage`` whose only part is the autoencoder."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.aae = ShapeAutoencoder(config)


def draw_shape(shape: Shape, context: StageContext, rng: np.random.Generator) -> ShapeSample:
    """Return a shape's mask as it is. Raises DatasetError for one that is not of the ROI's size. A stage may bring its own ``draw`` that moves or bends it."""
    size = context.config.roi_size_zyx
    if shape.mask.shape != size:
        raise DatasetError(
            f"{shape.name}: the mask of {shape.organ} is {shape.mask.shape}; roi_size_zyx {size} expected."
        )
    mask = torch.from_numpy(np.ascontiguousarray(shape.mask > 0, dtype=np.float32))
    return ShapeSample(mask[None, None], (shape.organ,))


def join_shapes(samples: Sequence[ShapeSample]) -> ShapeSample:
    """Return several samples as one."""
    return ShapeSample(torch.cat([s.masks for s in samples]), tuple(o for s in samples for o in s.organs))


def reconstruction_error(reconstruction: Tensor, masks: Tensor) -> Tensor:
    """Return either term of eq. 4, || D(y) - y ||^2, as a mean over voxels of (B, 1, d, h, w): the same scale for every ROI."""
    return ((reconstruction.float() - masks) ** 2).mean()


def rebuilding_loss(reconstruction: Tensor, masks: Tensor, settings: Settings) -> Tensor:
    """Return either term of eq. 4, with a Dice term beside it where ``reconstruction_dice`` is set.

    An organ fills half a per cent of its ROI, so that the L2 of rebuilding nothing at all is small: 0.005.
    """
    loss = reconstruction_error(reconstruction, masks)
    if settings.reconstruction_dice > 0:
        loss = loss + settings.reconstruction_dice * binary_dice_loss(reconstruction, masks)
    return loss


def reconstruction_loss(model: Any, sample: ShapeSample, context: StageContext) -> Tensor:
    """Return eq. 4's first term, for pre-training on true shapes."""
    if not len(sample.masks):
        return torch.zeros((), device=sample.masks.device)
    return rebuilding_loss(model.aae(sample.masks)[0], sample.masks, context.settings)


AAE_PRETRAINING = Update("AAE", ("aae",), reconstruction_loss)
AAE_SHAPES = Stage(
    "aae", (AAE_PRETRAINING,), draw=draw_shape, join=join_shapes, validates="reconstruction", crops_on_device=False
)


class ShapeValidator:
    """Mean Dice of shape and reconstruction (at 0.5) per organ; the score is the mean over organs."""

    def __init__(self, shapes: Sequence[Shape], config: NetworkConfig) -> None:
        if not shapes:
            raise DatasetError("There are no shapes to validate on; hold some patients back.")
        self.shapes, self.config = shapes, config

    @torch.no_grad()
    def __call__(self, model: Any) -> dict[str, float]:
        device = next(model.aae.parameters()).device
        scores: dict[str, list[float]] = {}
        for shape in self.shapes:
            mask = shape.mask > 0
            given = torch.from_numpy(np.ascontiguousarray(mask, dtype=np.float32))[None, None].to(device)
            rebuilt = (model.aae(given)[0][0, 0] > 0.5).cpu().numpy()
            empty = not mask.any() and not rebuilt.any()  # rightly so
            scores.setdefault(shape.organ, []).append(1.0 if empty else dice(mask, rebuilt))
        means = {organ: float(np.mean(values)) for organ, values in sorted(scores.items())}
        return {"score": float(np.mean(list(means.values()))), **means}
