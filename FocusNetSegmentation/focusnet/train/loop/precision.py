"""Mixed precision: autocast by a precision's name, and an optimizer's steps on gradients that fit into it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import ConfigError
from ...inference.devices import DTYPES

MOST_LEFT_OUT = 8  # steps in a row whose gradients are not numbers: then it is the training, not the arithmetic
SMALLEST_SCALE = 2.0**-16  # 32 halvings below where it begins: the gradients are not too large, they are not numbers


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which forward passes and losses are computed; off for "fp32"."""
    return torch.autocast(device.type, DTYPES.get(precision), enabled=precision in ("bf16", "fp16"))


class ScaledOptimizer:
    """One optimizer with its backward passes and, in fp16, its loss scale.

    fp16 ends at 6e-8: there the loss is scaled up before its gradients are taken, and these are scaled back before the step. A step whose
    gradients have grown beyond fp16 (65504) is left out and the next one's loss is scaled by half as much.

    On CPUs with bf16, PyTorch 2.13's convolutions of a few voxels now and then (in one of some hundred passes) give gradients that are not
    numbers, of the same numbers that give good ones the next time. One such step would spoil every weight, so it is left out.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, device: torch.device, precision: str) -> None:
        self.optimizer = optimizer
        self._scaler: torch.amp.GradScaler | None = None
        self._on_cpu, self._left_out = device.type == "cpu", 0
        if precision == "fp16":
            if not hasattr(torch.amp, "GradScaler"):
                raise ConfigError(f"Precision fp16 needs torch 2.3 or newer, this is {torch.__version__}; choose bf16 or fp32.")  # fmt: skip
            self._scaler = torch.amp.GradScaler(device.type)

    def begin(self, learning_rate: float) -> None:
        """Set the learning rate of the next step, times each group's own ``factor``, and forget the gradients of the last one."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group.get("factor", 1.0)
        self.optimizer.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a scalar loss, scaled where the precision is fp16."""
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()

    def step(self, parameters: Sequence[nn.Parameter], grad_clip: float) -> bool:
        """Clip the gradients to a norm (0: off) and step. Returns False where no loss scale, or no step of MOST_LEFT_OUT, gives gradients that
        are numbers."""
        scaler = self._scaler
        if scaler is None:
            if self._on_cpu and not all(bool(p.grad.isfinite().all()) for p in parameters if p.grad is not None):
                self._left_out += 1
                return self._left_out < MOST_LEFT_OUT
            self._left_out = 0
            if grad_clip > 0:
                nn.utils.clip_grad_norm_(parameters, grad_clip)
            self.optimizer.step()
            return True
        if all(p.grad is None for p in parameters):  # nothing to learn from in this step
            return True
        scaler.unscale_(self.optimizer)
        if grad_clip > 0:
            nn.utils.clip_grad_norm_(parameters, grad_clip)
        scaler.step(self.optimizer)
        scaler.update()
        return scaler.get_scale() >= SMALLEST_SCALE

    def scaling(self) -> dict[str, Any] | None:
        """Return the loss scale and when it grows again, for JSON; None where losses are not scaled."""
        return self._scaler.state_dict() if self._scaler is not None else None

    def restore_scaling(self, state: dict[str, Any] | None) -> None:
        """Go on with a stored loss scale."""
        if self._scaler is not None and state is not None:
            self._scaler.load_state_dict(state)
