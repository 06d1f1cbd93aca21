"""The shape autoencoder alone: masks in, masks out. No CT is needed, so that it can learn from contours whose scans nobody has.

autoencoder = ShapeModel(config)                       # config.roi_size_zyx is the masks' size
train_stage(autoencoder, AAE_SHAPES, shapes, config, settings, NO_AUGMENTATION, out, ShapeValidator(held_out, config))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import DatasetError
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
    """``masks`` (N, 1, d, h, w) float32 of the organs ``organs``, which may repeat. ``carried`` as in Sample."""

    masks: Tensor
    organs: tuple[str, ...]
    carried: dict[str, Any] = field(default_factory=dict)

    def to(self, device: torch.device) -> ShapeSample:
        return replace(self, masks=self.masks.to(device))


class ShapeModel(nn.Module):
    """What ``train_stage`` wants of a model whose only part is the autoencoder."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.aae = ShapeAutoencoder(config)


def draw_shape(shape: Shape, context: StageContext, rng: np.random.Generator) -> ShapeSample:
    """The mask as it is. A stage may bring its own ``draw`` that moves or bends it."""
    size = context.config.roi_size_zyx
    if shape.mask.shape != size:
        raise DatasetError(
            f"{shape.name}: the mask of {shape.organ} is {shape.mask.shape}; roi_size_zyx {size} expected."
        )
    mask = torch.from_numpy(np.ascontiguousarray(shape.mask > 0, dtype=np.float32))
    return ShapeSample(mask[None, None], (shape.organ,))


def join_shapes(samples: Sequence[ShapeSample]) -> ShapeSample:
    return ShapeSample(torch.cat([s.masks for s in samples]), tuple(o for s in samples for o in s.organs))


def reconstruction_error(reconstruction: Tensor, masks: Tensor) -> Tensor:
    """Either term of eq. 4, || D(y) - y ||^2, as a mean over voxels: the same scale for every ROI."""
    return ((reconstruction.float() - masks) ** 2).mean()


def rebuilding_loss(reconstruction: Tensor, masks: Tensor, settings: Settings) -> Tensor:
    """Either term of eq. 4; a Dice term beside it where ``reconstruction_dice`` is set.

    An organ fills half a per cent of its ROI, so that the L2 of rebuilding nothing at all is small: 0.005.
    """
    loss = reconstruction_error(reconstruction, masks)
    if settings.reconstruction_dice > 0:
        loss = loss + settings.reconstruction_dice * binary_dice_loss(reconstruction, masks)
    return loss


def reconstruction_loss(model: Any, sample: ShapeSample, context: StageContext) -> Tensor:
    """Pre-training on true shapes: eq. 4's first term."""
    if not len(sample.masks):
        return torch.zeros((), device=sample.masks.device)
    return rebuilding_loss(model.aae(sample.masks)[0], sample.masks, context.settings)


AAE_PRETRAINING = Update("AAE", ("aae",), reconstruction_loss)
AAE_SHAPES = Stage("aae", (AAE_PRETRAINING,), draw=draw_shape, join=join_shapes, validates="reconstruction")


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
            mask = torch.from_numpy(np.ascontiguousarray(shape.mask > 0, dtype=np.float32))[None, None].to(device)
            found = model.aae(mask)[0] > 0.5
            total = float(mask.sum() + found.sum())
            scores.setdefault(shape.organ, []).append(2 * float((mask * found).sum()) / total if total else 1.0)
        means = {organ: float(np.mean(values)) for organ, values in sorted(scores.items())}
        return {"score": float(np.mean(list(means.values()))), **means}
