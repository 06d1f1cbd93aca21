"""The stages of training as data: what is trained, on which loss, on which crops. ``loop`` runs any of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..config import NetworkConfig
from ..nets.focusnet import FocusNet
from ..nets.solnet import gaussian_heatmap
from .augment import Sample
from .losses import heatmap_loss, segmentation_loss


@dataclass(frozen=True)
class Settings:
    """How to train; the paper's values are the defaults (section 4.1)."""

    steps: int = 100_000
    learning_rate: float = 5e-4
    schedule: str = "constant"  # or "cosine": to 0 at ``steps``, after a short warm-up
    gamma: float = 2.0
    alpha_power: float = 1.0  # eq. 1's alpha is (mean size) ** -alpha_power; 1 is the paper, 0 no weights
    dice_weight: float = 1.0
    ema_decay: float = 0.0  # 0: off (the paper); else a running average of the weights is validated and shipped
    precision: str = "fp32"  # or "bf16"
    crop_slices: int = 0  # 0: config.chunk_slices
    grad_clip: float = 0.0  # 0: off (the paper)
    checkpoint_every: int = 200
    validate_every: int = 1000
    validate_cases: int = 0  # 0: all
    seed: int = 0


@dataclass(frozen=True)
class StageContext:
    """What a stage's loss may need beside the model and the sample."""

    config: NetworkConfig
    settings: Settings
    alpha: Tensor  # (C + 1,), eq. 1


Loss = Callable[[FocusNet, Sample, StageContext], Tensor]


@dataclass(frozen=True)
class Stage:
    """``trained``: names of FocusNet's parts whose weights move; the others are frozen, batch statistics included.
    ``small``: only cases with a contour of a small organ are of use. Crops lie
    anywhere in them: a net that never saw the chest finds a larynx there."""

    name: str
    trained: tuple[str, ...]
    loss: Loss
    small: bool = False
    needs: tuple[str, ...] = field(default=())  # stages that must have run before


def snet_loss(model: FocusNet, sample: Sample, context: StageContext) -> Tensor:
    """Eq. 3 on S-Net's scores."""
    _, scores = model.snet(sample.ct[None])
    return segmentation_loss(
        scores,
        sample.labels[None],
        sample.known[None],
        context.alpha,
        context.settings.gamma,
        context.settings.dice_weight,
    )


def sol_loss(model: FocusNet, sample: Sample, context: StageContext) -> Tensor:
    """L2 between SOL-Net's heat maps and Gaussians at the organs' centres, S-Net fixed."""
    assert model.solnet is not None
    config = context.config
    with torch.no_grad():
        features, _ = model.snet(sample.ct[None])
    predicted = model.solnet(features)
    shape = (predicted.shape[2], predicted.shape[3], predicted.shape[4])
    wanted = torch.zeros_like(predicted)
    known = torch.zeros(1, len(config.small_organs), dtype=torch.bool)
    for i, organ in enumerate(config.small_organs):
        if organ in sample.centers_zyx:  # contoured and not empty
            wanted[0, i] = gaussian_heatmap(
                shape, sample.centers_zyx[organ], config.heatmap_sigma_voxels, config.heatmap_z_window
            )
            known[0, i] = True
    return heatmap_loss(predicted, wanted, known)


STAGES = {
    "snet": Stage("snet", ("snet",), snet_loss),
    "sol": Stage("sol", ("solnet",), sol_loss, small=True, needs=("snet",)),
}


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
