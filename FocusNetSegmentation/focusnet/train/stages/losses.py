"""The segmentation losses of the paper (section 3.2, eq. 1 to 3), and how they treat partial contours.

An organ that nobody contoured in a patient is unknown there, not absent. Its voxels are hidden among those labelled background,
so the background's probability in that patient is the sum of background and every unknown organ (a marginal), and the Dice loss
skips the organ.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..settings import HeatmapLoss, Settings

EPSILON = 1e-6


def marginal_probabilities(scores: Tensor, known: Tensor) -> Tensor:
    """Return the softmax of scores (B, C + 1, D, H, W) with unknown organs added to the background and set to 0.

    ``known``: bool (B, C + 1); ``known[:, 0]`` (background) must be True.
    """
    probabilities = scores.float().softmax(dim=1)
    mask = known[:, :, None, None, None].to(probabilities.dtype)
    hidden = (probabilities * (1 - mask)).sum(dim=1, keepdim=True)
    visible = probabilities * mask
    return torch.cat([visible[:, :1] + hidden, visible[:, 1:]], dim=1)


def class_weights(mean_voxels: Tensor, power: float = 1.0) -> Tensor:
    """Return eq. 1's alpha (C + 1,): inversely proportional to the mean size of each class, scaled to a mean of 1.

    ``power`` 1 is the paper. It gives the background next to no weight, and networks learn to draw organs too large; 0 weighs
    classes equally.
    """
    inverse = mean_voxels.clamp(min=1.0) ** -power
    return inverse / inverse.mean()


def focal_loss(probabilities: Tensor, target: Tensor, alpha: Tensor, gamma: float = 2.0) -> Tensor:
    """Return eq. 1: the mean over voxels of -alpha_t (1 - p_t)^gamma log p_t. With gamma 0 and alpha 1 this is cross-entropy.

    ``probabilities``: (B, C + 1, D, H, W) after softmax; ``target``: long (B, D, H, W); ``alpha``: (C + 1,).
    """
    p_true = probabilities.gather(1, target[:, None]).squeeze(1).clamp(min=EPSILON)  # (B, D, H, W)
    weight = alpha.to(p_true.dtype)[target]
    return (-weight * (1 - p_true) ** gamma * p_true.log()).mean()


def binary_focal_loss(probability: Tensor, target: Tensor, alpha: float = 0.5, gamma: float = 2.0) -> Tensor:
    """Return eq. 1 for one organ in its ROI (SOS-Net), a scalar: ``probability`` (B, 1, d, h, w) after sigmoid and ``target`` 0/1, any equal shape."""
    p = probability.float().clamp(EPSILON, 1 - EPSILON)
    target = target.to(p.dtype)
    positive = -alpha * (1 - p) ** gamma * p.log() * target
    negative = -(1 - alpha) * p**gamma * (1 - p).log() * (1 - target)
    return (positive + negative).mean()


def dice_loss(probabilities: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Return eq. 2 as the mean of 1 - soft Dice over the organs that are known and present in the crop; 0 if none is.

    ``probabilities``: (B, C + 1, D, H, W) after softmax; ``target``: long (B, D, H, W); ``known``: bool (B, C + 1). The paper
    sums over all classes. Background is left out here, and a mean does not grow with the number of organs in a crop; what that
    does to the balance with eq. 1 was measured (docs/experiments.md, "Dice as a mean").
    """
    dims = (2, 3, 4)
    one_hot = torch.zeros_like(probabilities).scatter_(1, target[:, None], 1.0)
    overlap = (probabilities * one_hot).sum(dims)
    total = probabilities.sum(dims) + one_hot.sum(dims)
    present = (one_hot.sum(dims) > 0) & known
    present[:, 0] = False
    dice = (2 * overlap + EPSILON) / (total + EPSILON)
    return mean_of(1 - dice, present)


def mean_of(values: Tensor, counted: Tensor) -> Tensor:
    """Return the mean of the finite ``values`` where ``counted`` (bool, same shape) is True, a scalar; 0 where nothing is counted.

    Not by indexing and not by asking whether there is any: either would make a GPU wait for the CPU in every step.
    """
    return (values * counted).sum() / counted.sum().clamp(min=1)


def binary_dice_loss(probability: Tensor, target: Tensor) -> Tensor:
    """Return eq. 2 for one organ in its ROI, the mean over B: ``probability`` after sigmoid and ``target`` 0/1, (B, ...) each."""
    p = probability.float().flatten(1)
    t = target.to(p.dtype).flatten(1)
    return (1 - (2 * (p * t).sum(1) + EPSILON) / (p.sum(1) + t.sum(1) + EPSILON)).mean()


def segmentation_loss(
    scores: Tensor,
    target: Tensor,
    known: Tensor,
    alpha: Tensor,
    settings: Settings,
) -> Tensor:
    """Return eq. 3: focal + lambda * Dice, with the settings' gamma and weights. Shapes as in eq. 1 and 2."""
    probabilities = marginal_probabilities(scores, known)
    focal = focal_loss(probabilities, target, alpha, settings.gamma)
    return settings.focal_weight * focal + settings.dice_weight * dice_loss(probabilities, target, known)


def heatmap_loss(predicted: Tensor, wanted: Tensor, known: Tensor, kind: HeatmapLoss = "l2") -> Tensor:
    """Return SOL-Net's loss over the organs that are known: (B, S, D, H, W) each, ``known`` bool (B, S). ``kind``: Settings.heatmap_loss."""
    predicted = predicted.float()
    if kind == "focal":
        return mean_of(penalty_reduced_focal_loss(predicted, wanted), known)
    if kind == "l2":
        error = (predicted - wanted) ** 2
    else:
        p = predicted.clamp(EPSILON, 1 - EPSILON)
        error = -wanted * p.log() - (1 - wanted) * (1 - p).log()
    return mean_of(error.mean(dim=(2, 3, 4)), known)


def penalty_reduced_focal_loss(predicted: Tensor, wanted: Tensor, alpha: float = 2.0, beta: float = 4.0) -> Tensor:
    """Return CornerNet's loss (Law and Deng 2018, eq. 1; CenterNet, Zhou et al. 2019, eq. 1) of each heat map: (B, S, D, H, W) each -> (B, S).

    The voxel nearest to the centre is the one positive: -(1 - p)^alpha log p. Every other voxel is a negative, the less so the nearer it
    lies: -(1 - wanted)^beta p^alpha log(1 - p). Summed, not averaged: a map of a million voxels has one positive, and a mean would hide it.
    A centre outside the crop leaves no positive (``wanted`` below one half everywhere).
    """
    p = predicted.float().clamp(EPSILON, 1 - EPSILON)
    peak = wanted.amax(dim=(2, 3, 4), keepdim=True)
    positive = (wanted == peak) & (peak > 0.5)
    near = -((1 - p) ** alpha) * p.log()
    far = -((1 - wanted) ** beta) * p**alpha * (1 - p).log()
    return torch.where(positive, near, far).sum(dim=(2, 3, 4))
