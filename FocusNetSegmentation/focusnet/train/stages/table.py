"""The five stages of the paper (section 4.2) as data, in the order of ``settings.STAGE_ORDER``, and that of fine-tuning."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...nets.solnet import gaussian_heatmap
from ..settings import TUNE
from .adversarial import AAE_ADVERSARIAL, shape_constrained_loss, sos_loss
from .augment import Crops, Sample
from .losses import heatmap_loss, segmentation_loss
from .shape_samples import AAE_PRETRAINING, join_shapes
from .small_organ_crops import draw_case_shapes, draw_whole_organs
from .stage import Stage, StageContext, Update, draw_crop, has_small_organ


def snet_loss(model: Any, crops: Crops, context: StageContext) -> Tensor:
    """Return eq. 3 for S-Net, a scalar."""
    _, scores = model.snet(crops.ct)
    return loss_of_scores(scores, crops, context)


def loss_of_scores(scores: Tensor, crops: Crops, context: StageContext) -> Tensor:
    """Return eq. 3 on S-Net's scores (B, C + 1, D, H, W)."""
    return segmentation_loss(scores, crops.labels, crops.known, context.alpha, context.settings)


def sol_loss(model: Any, crops: Crops, context: StageContext) -> Tensor:
    """Return the loss, a scalar, between SOL-Net's heat maps and Gaussians at the organs' centres, S-Net fixed."""
    with torch.no_grad():
        features, scores = model.snet(crops.ct)
    return heatmaps_against(model.solnet(features, scores), crops, context)


def heatmaps_against(predicted: Tensor, crops: Crops, context: StageContext) -> Tensor:
    """Return SOL-Net's loss for heat maps (B, S, D, H, W): organs that nobody contoured, or that are empty, do not count."""
    config = context.config
    shape = (predicted.shape[2], predicted.shape[3], predicted.shape[4])
    wanted = torch.zeros_like(predicted)
    known = torch.zeros(predicted.shape[:2], dtype=torch.bool, device=predicted.device)
    for b, sample in enumerate(crops.samples):
        for i, organ in enumerate(config.small_organs):
            if organ in sample.centers_zyx:
                center, sigma = sample.centers_zyx[organ], config.heatmap_sigma_voxels
                wanted[b, i] = gaussian_heatmap(shape, center, sigma, config.heatmap_z_window, predicted.device)
                known[b, i] = True
    return heatmap_loss(predicted, wanted, known, context.settings.heatmap_loss)


def joint_loss(model: Any, crops: Crops, context: StageContext) -> Tensor:
    """Return the loss of the whole network, a scalar: eq. 3 on S-Net, SOL-Net's L2 and eq. 7 on the SOS-Nets, each with weight 1."""
    features, scores = model.snet(crops.ct)
    located = heatmaps_against(model.solnet(features, scores), crops, context)
    return loss_of_scores(scores, crops, context) + located + shape_constrained_loss(model, features, crops, context)


def tune_loss(model: Any, crops: Crops, context: StageContext) -> Tensor:
    """Return the loss of ``focusnet finetune``, a scalar: eq. 3 on S-Net and, where the network has them, SOL-Net's L2 and eq. 3 on the SOS-Nets.

    SOL-Net learns to read the features as they change, but does not change them.
    """
    for old in model.old:
        crops = with_answers_on_crops(crops, old, context.config.organs)
    features, scores = model.snet(crops.ct)
    loss = loss_of_scores(scores, crops, context)
    if model.solnet is not None:
        loss = loss + heatmaps_against(model.solnet(features.detach(), scores.detach()), crops, context)
    if len(model.sosnets):
        loss = loss + shape_constrained_loss(model, features, crops, context)
    return loss


def with_answers_on_crops(crops: Crops, old: Any, organs: tuple[str, ...]) -> Crops:
    """Return the crops with what ``old`` draws in them for the organs that it drew in their cases, under what people drew.

    The answer in the case went through two interpolations, from ``old``'s grid to the case's and to the crop's, which make thin organs thinner.
    ``organs``: what label values mean, the old model's first.
    """
    if not any(sample.answered for sample in crops.samples):
        return crops
    with torch.no_grad():
        answers = old.snet(crops.ct)[1].argmax(dim=1)  # (B, D, H, W)
    samples = []
    for sample, answer in zip(crops.samples, answers, strict=True):
        values = torch.tensor([organs.index(organ) + 1 for organ in sorted(sample.answered)], device=answer.device)
        by_people = (sample.labels > 0) & ~torch.isin(sample.labels, values)
        answered = torch.where(torch.isin(answer, values), answer, torch.zeros_like(answer))
        samples.append(replace(sample, labels=torch.where(by_people, sample.labels, answered)))
    return replace(crops, samples=tuple(samples))


def draw_for_tuning(case: Any, context: StageContext, rng: np.random.Generator) -> Sample:
    """Return a crop anywhere, or, where the network has SOS-Nets, one that holds small organs whole."""
    draw = draw_whole_organs if context.config.has_sos else draw_crop
    return draw(case, context, rng)


STAGES = {
    stage.name: stage
    for stage in (
        Stage("snet", (Update("S-Net", ("snet",), snet_loss),), class_weights=True),
        Stage(
            "sol",
            (Update("SOL-Net", ("solnet",), sol_loss),),
            usable=has_small_organ,
            validates="localization",
            needs=("snet",),
        ),
        Stage(
            "aae",
            (AAE_PRETRAINING,),
            draw=draw_case_shapes,
            join=join_shapes,
            usable=has_small_organ,
            validates="reconstruction",
            crops_on_device=False,
        ),
        Stage(
            "sos",
            (Update("SOS-Net", ("sosnets",), sos_loss), AAE_ADVERSARIAL),
            draw=draw_whole_organs,
            usable=has_small_organ,
            validates="small",
            needs=("snet", "sol", "aae"),
        ),
        Stage(
            "joint",
            (Update("FocusNet", ("snet", "solnet", "sosnets"), joint_loss), AAE_ADVERSARIAL),
            draw=draw_whole_organs,
            usable=has_small_organ,
            class_weights=True,
            validates="all",
            needs=("snet", "sol", "aae", "sos"),
        ),
        Stage(
            TUNE,
            (Update("FocusNet", ("snet", "solnet", "sosnets"), tune_loss),),
            draw=draw_for_tuning,
            validates="tune",
        ),
    )
}
