"""How to train, as one frozen record. The paper's values are the defaults (sections 3.2, 3.3 and 4.2). No torch at import."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ..errors import DatasetError

HEATMAP_LOSSES = ("l2", "cross-entropy", "focal")
PRECISIONS = ("fp32", "bf16", "fp16", "auto")
AAE_MODES = ("adversarial", "frozen", "none")


@dataclass(frozen=True)
class Settings:
    """Settings of a run or of one of its stages."""

    steps: int = 100_000
    learning_rate: float = 5e-4
    schedule: str = "constant"  # or "cosine": to 0 at ``steps``, after a short warm-up
    # eq. 1 to 3
    gamma: float = 2.0  # 0 with alpha_power 0 is cross-entropy
    alpha_power: float = 1.0  # eq. 1's alpha is (mean size) ** -alpha_power; 1 is the paper, 0 no weights
    focal_weight: float = 1.0  # 0: Dice loss alone
    dice_weight: float = 1.0  # eq. 3's lambda
    # SOL-Net: "l2" is the paper. "cross-entropy" against the same Gaussian is lowest for the same map, but keeps its slope where the map
    # is empty: there a sigmoid under L2 has next to none
    # "focal" is CornerNet's penalty-reduced focal loss: one positive voxel a map, its sum instead of a mean
    heatmap_loss: str = "l2"
    # eq. 4 to 8
    aae_mode: str = "adversarial"  # "frozen": Table 6 "w/ origin AE"; "none": no shape constraint
    shape_lambda: float = 5.0  # eq. 7's lambda_1
    shape_parts: tuple[float, float, float] = (1.0, 0.2, 0.2)  # of L_shape: latent code and two decoder features
    # eq. 5 as it stands can be raised without end by scaling the latent code, which L_rec does not see; true: each distance is
    # divided by the sum of both mean squares, which scaling cannot change. false is the paper
    shape_relative: bool = False
    adversarial_lambda: float = 0.001  # eq. 8's lambda_2
    reconstruction_dice: float = 0.0  # weight of a Dice term beside eq. 4's L2; 0 is the paper
    roi_jitter_zyx: tuple[float, float, float] = (1.0, 4.0, 4.0)  # voxels, either way, about the true centre; see docs
    # arithmetic
    precision: str = "fp32"  # or "bf16", "fp16" (losses scaled); "auto": bf16 where the device multiplies it itself
    batch: int = 1  # items a step takes at once
    accumulate: int = 1  # gradients of this many batches are averaged before a step
    crop_slices: int = 0  # 0: config.chunk_slices
    # threads that draw crops ahead of the network; -1: four on a GPU, none on a CPU. No step depends on it
    workers: int = -1
    grad_clip: float = 0.0  # 0: off (the paper)
    ema_decay: float = 0.0  # 0: off (the paper); else a running average of the weights is validated and shipped
    # keeping
    checkpoint_every: int = 200
    validate_every: int = 1000
    validate_cases: int = 0  # 0: all
    pictures: bool = True  # one of the first validation case at every validation
    seed: int = 0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, list):
                object.__setattr__(self, item.name, tuple(value))
        checks = (
            ("learning_rate", self.learning_rate > 0, "a number above 0"),
            ("ema_decay", 0 <= self.ema_decay < 1, "0 (off) to below 1"),
            ("grad_clip", self.grad_clip >= 0, "0 (off) or more"),
            ("schedule", self.schedule in ("constant", "cosine"), "constant or cosine"),
            ("aae_mode", self.aae_mode in AAE_MODES, ", ".join(AAE_MODES)),
            ("heatmap_loss", self.heatmap_loss in HEATMAP_LOSSES, ", ".join(HEATMAP_LOSSES)),
            ("precision", self.precision in PRECISIONS, ", ".join(PRECISIONS)),
            ("shape_parts", len(self.shape_parts) == 3, "three weights: code, first and second decoder feature"),
            ("workers", self.workers >= -1, "-1 (by the device) or a number of threads"),
            ("roi_jitter_zyx", len(self.roi_jitter_zyx) == 3, "three numbers of voxels: z, y, x"),
            *((name, getattr(self, name) >= 1, "at least 1") for name in COUNTS),
        )
        for name, fits, expected in checks:
            if not fits:
                raise DatasetError(f"Setting {name} is {getattr(self, name)!r}; expected {expected}.")


COUNTS = ("steps", "batch", "accumulate", "checkpoint_every", "validate_every")
