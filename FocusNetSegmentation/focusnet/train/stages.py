"""The stages of training as data: what a step sees, which parts move in which turn, on which loss. ``loop`` runs any of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..config import NetworkConfig
from ..datasets.case import Case
from ..nets.solnet import gaussian_heatmap
from .augment import Augmentation, Sample, draw_sample
from .losses import heatmap_loss, segmentation_loss
from .settings import Settings


@dataclass(frozen=True)
class StageContext:
    """What drawing a sample and a loss may need beside the model."""

    config: NetworkConfig
    settings: Settings
    augmentation: Augmentation
    alpha: Tensor  # (C + 1,), eq. 1; ones where the stage asks for no class weights


Draw = Callable[[Any, StageContext, np.random.Generator], Any]  # one item of the training set -> a sample
Loss = Callable[[Any, Any, StageContext], Tensor]  # model, sample -> a scalar


def always(_: Settings) -> bool:
    return True


@dataclass(frozen=True)
class Turn:
    """One optimizer's turn within a step: ``trained`` are the parts of the model (its children's names) whose weights move; the
    others are frozen, batch statistics included."""

    name: str
    trained: tuple[str, ...]
    loss: Loss
    active: Callable[[Settings], bool] = always


def any_case(case: Any, config: NetworkConfig) -> bool:
    return True


def has_small_organ(case: Case, config: NetworkConfig) -> bool:
    return bool(set(case.centroids_mm_xyz) & set(config.small_organs))


def draw_crop(case: Case, context: StageContext, rng: np.random.Generator) -> Sample:
    """A crop anywhere in the case: a net that never saw the chest finds a larynx there."""
    return draw_sample(case, context.config, context.augmentation, rng, context.settings.crop_slices or None)


@dataclass(frozen=True)
class Stage:
    """``turns`` follow each other in every step (a G turn, then a D turn). ``usable``: which items of the training set are of use.
    ``join``: several samples to one, where ``settings.batch`` may be more than 1."""

    name: str
    turns: tuple[Turn, ...]
    draw: Draw = draw_crop
    usable: Callable[[Any, NetworkConfig], bool] = any_case
    class_weights: bool = False  # the loss wants eq. 1's alpha
    join: Callable[[Sequence[Any]], Any] | None = None
    validates: str = "dice"  # what model selection looks at: a key of ``validation``
    needs: tuple[str, ...] = field(default=())  # stages that must have run before

    @property
    def trained(self) -> tuple[str, ...]:
        return tuple(name for turn in self.turns for name in turn.trained)


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


SNET = Stage("snet", (Turn("S-Net", ("snet",), snet_loss),), class_weights=True)
SOL = Stage(
    "sol",
    (Turn("SOL-Net", ("solnet",), sol_loss),),
    usable=has_small_organ,
    validates="localization",
    needs=("snet",),
)
STAGES = {stage.name: stage for stage in (SNET, SOL)}


def set_trained(model: nn.Module, trained: tuple[str, ...]) -> list[nn.Parameter]:
    """Freeze all but the named parts; frozen parts run with their stored batch statistics."""
    parameters: list[nn.Parameter] = []
    for name, part in model.named_children():
        active = name in trained
        part.train(active)
        for parameter in part.parameters():
            parameter.requires_grad_(active)
        if active:
            parameters.extend(part.parameters())
    return parameters
