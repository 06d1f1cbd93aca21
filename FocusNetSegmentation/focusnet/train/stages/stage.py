"""A stage of training: the samples of a step, the parts that each update moves, their losses. ``loop`` runs any stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...datasets.case import Case
from ...nets.config import NetworkConfig
from ..settings import Settings
from .augment import Augmentation, Sample, draw_sample, join_crops


@dataclass(frozen=True)
class StageContext:
    """Everything that drawing a sample and computing a loss may need beside the model."""

    config: NetworkConfig
    settings: Settings
    augmentation: Augmentation
    alpha: Tensor  # (C + 1,), eq. 1; ones where the stage asks for no class weights
    draws_on: torch.device | None = None  # where crops are cut and turned; None: on the CPU


BACKBONE = "snet"
# children of the backbones (nets.backbones) that come after the deepest level; all others are the encoder
DECODER = {"decoders", "skips", "head", "decoder", "up", "full", "low_level"}

Draw = Callable[[Any, StageContext, np.random.Generator], Any]  # one item of the training set -> a sample
Join = Callable[[Sequence[Any]], Any]  # ``settings.batch`` samples -> what the losses take
Loss = Callable[[Any, Any, StageContext], Tensor]  # model, joined samples -> a scalar


def always(_: Settings) -> bool:
    """Return True: the update is made whatever the settings."""
    return True


@dataclass(frozen=True)
class Update:
    """One optimizer's update within a step: ``trained`` are the parts of the model (its children's names) whose weights move; the
    others are frozen, batch statistics included."""

    name: str
    trained: tuple[str, ...]
    loss: Loss
    active: Callable[[Settings], bool] = always


def any_case(case: Any, config: NetworkConfig) -> bool:
    """Return True: every item is of use."""
    return True


def has_small_organ(case: Case, config: NetworkConfig) -> bool:
    """Return whether a small organ is contoured in the case."""
    return bool(set(case.centroids_mm_xyz) & set(config.small_organs))


def draw_crop(case: Case, context: StageContext, rng: np.random.Generator) -> Sample:
    """Return a crop anywhere in the case, also where no organ is: there the network learns to find none."""
    slices = context.settings.crop_slices or None
    return draw_sample(case, context.config, context.augmentation, rng, slices, context.draws_on)


@dataclass(frozen=True)
class Stage:
    """``updates`` follow each other in every step (the SOS-Nets, then the autoencoder). ``usable``: which items of the training set are of use."""

    name: str
    updates: tuple[Update, ...]
    draw: Draw = draw_crop
    usable: Callable[[Any, NetworkConfig], bool] = any_case
    class_weights: bool = False  # the loss wants eq. 1's alpha
    join: Join = join_crops
    validates: str = "dice"  # what model selection looks at: a key of ``validation``
    needs: tuple[str, ...] = field(default=())  # stages that must have run before
    crops_on_device: bool = True  # ``draw`` can cut its crops there

    @property
    def trained(self) -> tuple[str, ...]:
        return tuple(name for update in self.updates for name in update.trained)


def set_trained(model: nn.Module, trained: tuple[str, ...], settings: Settings | None = None) -> list[nn.Parameter]:
    """Freeze all but the named parts and return their weights; frozen parts run with their stored batch statistics.

    ``settings``: with ``encoder_rate`` 0 the backbone's encoder is frozen, too; with ``freeze_statistics`` all batch statistics are.
    """
    parameters: list[nn.Parameter] = []
    for name, part in model.named_children():
        active = name in trained
        part.train(active)
        for parameter in part.parameters():
            parameter.requires_grad_(active)
        if active and name == BACKBONE and settings is not None and settings.encoder_rate == 0:
            _freeze_encoder(part)
        if active:
            parameters.extend(p for p in part.parameters() if p.requires_grad)
    if settings is not None and settings.freeze_statistics:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.eval()
    return parameters


def parameter_groups(model: nn.Module, parameters: Sequence[nn.Parameter], settings: Settings) -> list[dict[str, Any]]:
    """Return Adam's groups of ``parameters``: those of the backbone's encoder, if any is among them, learn at ``encoder_rate`` times the rate."""
    encoder: set[int] = set()
    if settings.encoder_rate != 1 and hasattr(model, BACKBONE):
        children = getattr(model, BACKBONE).named_children()
        encoder = {id(p) for name, child in children if name not in DECODER for p in child.parameters()}
    slow = [p for p in parameters if id(p) in encoder]
    others = [p for p in parameters if id(p) not in encoder]
    groups: list[dict[str, Any]] = [{"params": others, "factor": 1.0}]
    return [*groups, {"params": slow, "factor": settings.encoder_rate}] if slow else groups


def _freeze_encoder(backbone: nn.Module) -> None:
    for name, child in backbone.named_children():
        if name not in DECODER:
            child.eval()
            for parameter in child.parameters():
                parameter.requires_grad_(False)
