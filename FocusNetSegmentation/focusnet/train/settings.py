"""How to train, as one frozen dataclass. The paper's values are the defaults (sections 3.2, 3.3 and 4.2). No torch at import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ..errors import ConfigError

STAGE_ORDER = ("snet", "sol", "aae", "sos", "joint")  # as they run; ``stages.table.STAGES`` says what each one is
TUNE = "tune"  # the one stage of ``focusnet finetune``, which no other run has

Schedule = Literal["constant", "cosine"]
HeatmapLoss = Literal["l2", "cross-entropy", "focal"]
AaeMode = Literal["adversarial", "frozen", "none"]
Crops = Literal["auto", "cpu", "device"]
Precision = Literal["fp32", "bf16", "fp16", "auto"]


@dataclass(frozen=True)
class Settings:
    """Settings of a run or of one of its stages. Raises ConfigError for a value outside its range."""

    steps: int = 100_000
    learning_rate: float = 5e-4
    schedule: Schedule = "constant"  # "cosine": to 0 at ``steps``, after a short warm-up
    warm_up_steps: int = 100  # of "cosine"
    encoder_rate: float = 1.0  # factor on the learning rate of the backbone's encoder; 0: it is frozen
    freeze_statistics: bool = (
        False  # batch normalisation keeps the statistics that it came with: a few cases would spoil them
    )
    # eq. 1 to 3
    gamma: float = 2.0  # 0 with alpha_power 0 is cross-entropy
    alpha_power: float = 1.0  # eq. 1's alpha is (mean size) ** -alpha_power; 1 is the paper, 0 no weights
    focal_weight: float = 1.0  # 0: Dice loss alone
    dice_weight: float = 1.0  # eq. 3's lambda
    # SOL-Net: "l2" is the paper. "cross-entropy" against the same Gaussian is lowest for the same map, but keeps its slope where the map
    # is empty: there a sigmoid under L2 has next to none
    # "focal" is CornerNet's penalty-reduced focal loss: one positive voxel a map, its sum instead of a mean
    heatmap_loss: HeatmapLoss = "l2"
    # eq. 4 to 8
    aae_mode: AaeMode = "adversarial"  # "frozen": Table 6 "w/ origin AE"; "none": no shape constraint
    shape_lambda: float = 5.0  # eq. 7's lambda_1
    shape_parts: tuple[float, float, float] = (1.0, 0.2, 0.2)  # of L_shape: latent code and two decoder features
    # eq. 5 as it stands can be raised without end by scaling the latent code, which L_rec does not see; true: each distance is
    # divided by the sum of both mean squares, which scaling cannot change. false is the paper
    shape_relative: bool = False
    adversarial_lambda: float = 0.001  # eq. 8's lambda_2
    reconstruction_dice: float = 0.0  # weight of a Dice term beside eq. 4's L2; 0 is the paper
    roi_jitter_zyx: tuple[float, float, float] = (1.0, 4.0, 4.0)  # voxels, either way, about the true centre; see docs
    # arithmetic
    precision: Precision = "fp32"  # "fp16" scales the losses; "auto": bf16 where the device multiplies it itself
    batch: int = 1  # items a step takes at once
    accumulate: int = 1  # gradients of this many batches are averaged before a step
    crop_slices: int = 0  # 0: config.chunk_slices
    # threads that draw crops ahead of the network; -1: four on a GPU, none on a CPU. No step depends on it
    workers: int = -1
    # where crops are cut and turned: "device", "cpu", or "auto", which is the device if it is a GPU. The places do not depend on it, the noise does
    crops: Crops = "auto"
    grad_clip: float = 0.0  # 0: off (the paper)
    ema_decay: float = 0.0  # 0: off (the paper); else a running average of the weights is validated and shipped
    # keeping
    checkpoint_every: int = 200
    validate_every: int = 1000
    validate_cases: int = 0  # 0: all, or as many as take a tenth of a short stage's work
    pictures: bool = True  # one of the first validation case at every validation
    patience: int = 0  # a stage ends after this many validations without a better score; 0: never before its last step
    minutes: float = 0.0  # a stage ends after this time, all its starts together; 0: never before its last step
    seed: int = 0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, list):
                object.__setattr__(self, item.name, tuple(value))
        checks = (
            ("learning_rate", self.learning_rate > 0, "a number above 0"),
            ("ema_decay", 0 <= self.ema_decay < 1, "0 (off) to below 1"),
            *((name, getattr(self, name) >= 0, "0 (off) or more") for name in ("grad_clip", "patience", "minutes")),
            *((name, getattr(self, name) >= 0, "0 or more") for name in ("encoder_rate", "warm_up_steps")),
            ("shape_parts", len(self.shape_parts) == 3, "three weights: code, first and second decoder feature"),
            ("workers", self.workers >= -1, "-1 (by the device) or a number of threads"),
            ("roi_jitter_zyx", len(self.roi_jitter_zyx) == 3, "three numbers of voxels: z, y, x"),
            *((name, getattr(self, name) in values, ", ".join(values)) for name, values in _choices().items()),
            *((name, getattr(self, name) >= 1, "at least 1") for name in COUNTS),
        )
        for name, fits, expected in checks:
            if not fits:
                raise ConfigError(f"Setting {name} is {getattr(self, name)!r}; expected {expected}.")


COUNTS = ("steps", "batch", "accumulate", "checkpoint_every", "validate_every")


@cache
def _choices() -> dict[str, tuple[Any, ...]]:
    """Return the allowed values of the settings whose type is a Literal."""
    return {name: get_args(t) for name, t in get_type_hints(Settings).items() if get_origin(t) is Literal}


def refuse_unknown_stages(wanted: Sequence[str] | None) -> None:
    """Raise ConfigError for a stage that does not exist, or for an empty list; None stands for all stages."""
    unknown = [name for name in wanted or () if name not in STAGE_ORDER]
    if unknown or (wanted is not None and not wanted):
        raise ConfigError(
            f"Stage {', '.join(unknown) or '(none)'} is unknown; choose from {', '.join(STAGE_ORDER)}. They run in this order."
        )
