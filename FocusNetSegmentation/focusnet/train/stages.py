"""The five stages of the paper (section 4.2) as data, in their order."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..config import NetworkConfig
from ..nets.solnet import gaussian_heatmap
from .adversarial import AAE_TURN_AGAINST_G, shape_constrained_loss, sos_loss
from .augment import Sample
from .losses import heatmap_loss, segmentation_loss
from .shapes import AAE_TURN
from .small import draw_case_shapes, draw_whole
from .stage import Stage, StageContext, Turn, has_small_organ


def snet_loss(model: Any, sample: Sample, context: StageContext) -> Tensor:
    """Eq. 3 on S-Net's scores."""
    _, scores = model.snet(sample.ct[None])
    settings = context.settings
    return segmentation_loss(
        scores,
        sample.labels[None],
        sample.known[None],
        context.alpha,
        settings.gamma,
        settings.dice_weight,
        settings.focal_weight,
    )


def sol_loss(model: Any, sample: Sample, context: StageContext) -> Tensor:
    """L2 between SOL-Net's heat maps and Gaussians at the organs' centres, S-Net fixed."""
    with torch.no_grad():
        features, _ = model.snet(sample.ct[None])
    return heatmaps_against(model.solnet(features), sample, context.config)


def heatmaps_against(predicted: Tensor, sample: Sample, config: NetworkConfig) -> Tensor:
    """SOL-Net's loss for heat maps (1, S, D, H, W): organs that nobody contoured, or that are empty, do not count."""
    shape = (predicted.shape[2], predicted.shape[3], predicted.shape[4])
    wanted = torch.zeros_like(predicted)
    known = torch.zeros(1, len(config.small_organs), dtype=torch.bool, device=predicted.device)
    for i, organ in enumerate(config.small_organs):
        if organ in sample.centers_zyx:
            heat = gaussian_heatmap(
                shape, sample.centers_zyx[organ], config.heatmap_sigma_voxels, config.heatmap_z_window
            )
            wanted[0, i] = heat.to(predicted.device)
            known[0, i] = True
    return heatmap_loss(predicted, wanted, known)


def joint_loss(model: Any, sample: Sample, context: StageContext) -> Tensor:
    """All of the network at once: eq. 3 on S-Net, SOL-Net's L2 and eq. 7 on the SOS-Nets, each with weight 1."""
    settings = context.settings
    features, scores = model.snet(sample.ct[None])
    large = segmentation_loss(
        scores,
        sample.labels[None],
        sample.known[None],
        context.alpha,
        settings.gamma,
        settings.dice_weight,
        settings.focal_weight,
    )
    located = heatmaps_against(model.solnet(features), sample, context.config)
    return large + located + shape_constrained_loss(model, features, sample, context)


STAGES = {
    stage.name: stage
    for stage in (
        Stage("snet", (Turn("S-Net", ("snet",), snet_loss),), class_weights=True),
        Stage(
            "sol",
            (Turn("SOL-Net", ("solnet",), sol_loss),),
            usable=has_small_organ,
            validates="localization",
            needs=("snet",),
        ),
        Stage("aae", (AAE_TURN,), draw=draw_case_shapes, usable=has_small_organ, validates="reconstruction"),
        Stage(
            "sos",
            (Turn("SOS-Net", ("sosnets",), sos_loss), AAE_TURN_AGAINST_G),
            draw=draw_whole,
            usable=has_small_organ,
            validates="small",
            needs=("snet", "sol", "aae"),
        ),
        Stage(
            "joint",
            (Turn("FocusNet", ("snet", "solnet", "sosnets"), joint_loss), AAE_TURN_AGAINST_G),
            draw=draw_whole,
            usable=has_small_organ,
            class_weights=True,
            validates="all",
            needs=("snet", "sol", "aae", "sos"),
        ),
    )
}
