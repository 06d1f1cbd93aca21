"""Small organs under the shape constraint: SOS-Nets (G) and the shape autoencoder (D), one after the other in every step (section 3.3, eq. 4 to 8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..settings import Settings
from .augment import Crops
from .losses import EPSILON, binary_dice_loss, binary_focal_loss
from .shape_samples import rebuilding_loss
from .stage import StageContext, Update


def adversarial(settings: Settings) -> bool:
    """Return whether the autoencoder is trained against the SOS-Nets."""
    return settings.aae_mode == "adversarial"


def shape_loss(
    true: tuple[Tensor, Sequence[Tensor]],
    predicted: tuple[Tensor, Sequence[Tensor]],
    parts: Sequence[float],
    relative: bool = False,
) -> Tensor:
    """Return eq. 5: the distance of true and predicted shapes, (latent code, decoder features) each, as mean squared differences.

    ``parts`` weighs code and features: (1, 0.2, 0.2), which eq. 7's lambda of 5 makes 5, 1 and 1. ``relative``: each distance
    divided by the sum of both mean squares, which bounds it by 2 (see ``Settings.shape_relative``).
    """
    pairs = zip((true[0], *true[1]), (predicted[0], *predicted[1]), strict=True)
    total = torch.zeros((), device=true[0].device)
    for weight, (a, b) in zip(parts, pairs, strict=True):
        distance = ((a.float() - b.float()) ** 2).mean()
        if relative:
            distance = distance / ((a.float() ** 2).mean() + (b.float() ** 2).mean()).clamp(min=EPSILON)
        total = total + weight * distance
    return total


def organ_loss(probability: Tensor, truth: Tensor, settings: Settings) -> Tensor:
    """Return eq. 3 for organs in their ROIs: (N, 1, d, h, w) each. Alpha is 0.5 for organ and background: in an
    ROI they are of comparable size."""
    focal = binary_focal_loss(probability, truth, 0.5, settings.gamma)
    return settings.focal_weight * focal + settings.dice_weight * binary_dice_loss(probability, truth)


def small_masks(model: Any, features: Tensor, crops: Crops) -> tuple[list[Tensor], list[Tensor]]:
    """Return SOS-Nets' probabilities and the true masks of the organs that lie whole in a crop: per organ (N, 1, d, h, w) of N crops."""
    found, truth = [], []
    for organ, net in model.sosnets.items():
        value = model.config.organs.index(organ) + 1
        rois = [(b, s, s.rois[organ]) for b, s in enumerate(crops.samples) if organ in s.rois]
        if rois:
            inputs = torch.cat([roi.crop(features[b : b + 1]) for b, _, roi in rois])
            ct = torch.cat([roi.crop(s.ct[None]) for _, s, roi in rois])
            found.append(net(inputs, ct)[0].float().sigmoid())
            truth.append(torch.cat([roi.crop((s.labels == value)[None, None].float()) for _, s, roi in rois]))
    return found, truth


def shape_constrained_loss(model: Any, features: Tensor, crops: Crops, context: StageContext) -> Tensor:
    """Return eq. 7: L_seg + lambda_1 L_shape, the autoencoder fixed. What was predicted is left in
    ``crops.carried`` for the autoencoder's update. ``features``: S-Net's, (B, F, D, H, W)."""
    settings = context.settings
    if not any(sample.rois for sample in crops.samples):  # nothing small in reach
        return torch.zeros((), device=features.device)
    masks, true_masks = small_masks(model, features, crops)
    # organ by organ: FocusNetv1's ROIs are of different sizes
    losses = [organ_loss(found, truth, settings) for found, truth in zip(masks, true_masks, strict=True)]
    loss = torch.stack(losses).mean()
    if settings.aae_mode != "none":
        found, truth = torch.cat(masks), torch.cat(true_masks)
        with torch.no_grad():
            _, code, levels = model.aae(truth)
        _, found_code, found_levels = model.aae(found)
        distance = shape_loss((code, levels), (found_code, found_levels), settings.shape_parts, settings.shape_relative)
        loss = loss + settings.shape_lambda * distance
        crops.carried["masks"] = (found.detach(), truth)
    return loss


def sos_loss(model: Any, crops: Crops, context: StageContext) -> Tensor:
    """Return eq. 7 with S-Net fixed, a scalar."""
    with torch.no_grad():
        features = model.snet.features(crops.ct)
    return shape_constrained_loss(model, features, crops, context)


def aae_loss(model: Any, crops: Crops, context: StageContext) -> Tensor:
    """Return eq. 8 as a minimum: L_rec - lambda_2 L_shape, on the shapes of the update before, G fixed.

    True and predicted shapes go through the autoencoder as one batch: its batch statistics must not tell them apart.
    """
    if "masks" not in crops.carried:
        return torch.zeros((), device=crops.samples[0].ct.device)
    found, truth = crops.carried["masks"]
    count = len(truth)
    rebuilt, code, levels = model.aae(torch.cat([truth, found]))
    settings = context.settings
    rec = rebuilding_loss(rebuilt[:count], truth, settings) + rebuilding_loss(rebuilt[count:], found, settings)  # eq. 4
    distance = shape_loss(
        (code[:count], [level[:count] for level in levels]),
        (code[count:], [level[count:] for level in levels]),
        settings.shape_parts,
        settings.shape_relative,
    )
    return rec - settings.adversarial_lambda * distance


AAE_ADVERSARIAL = Update("AAE", ("aae",), aae_loss, active=adversarial)
