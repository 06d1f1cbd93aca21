"""The exponential moving average (EMA) of the weights, which is validated and shipped where it is switched on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class WeightAverage:
    """Moving average of a model's trained parts, batch statistics included; off where ``decay`` is 0.

    torch's AveragedModel keeps it. Integer buffers (batch normalisation's count) are not averaged.
    """

    def __init__(self, model: nn.Module, trained: tuple[str, ...], decay: float) -> None:
        self.parts = nn.ModuleDict({name: getattr(model, name) for name in trained})
        self.decay = decay
        self.averaged: AveragedModel | None = None
        if decay > 0:
            self.averaged = AveragedModel(self.parts, avg_fn=self._mix, use_buffers=True)
            self._count(0)

    def _mix(self, average: Tensor, live: Tensor, step: Tensor | int) -> Tensor:
        if not average.is_floating_point():
            return live
        step = int(step)
        decay = min(self.decay, (1 + step) / (10 + step))  # the first averages forget the random start quickly
        return average.lerp(live, 1 - decay)

    def _count(self, steps: int) -> None:
        """Tell torch how many steps were averaged. The start counts as one, so that the first step does not replace it."""
        if self.averaged is not None:
            self.averaged.n_averaged.fill_(steps + 1)

    def update(self) -> None:
        """Mix the weights as they are after a step into the average."""
        if self.averaged is not None:
            self.averaged.update_parameters(self.parts)

    def tensors(self) -> dict[str, Tensor]:
        """Return the averaged tensors by their names in the model, for a checkpoint; empty where averaging is off."""
        return _floating(self.averaged.module) if self.averaged is not None else {}

    def load(self, tensors: dict[str, Tensor], step: int) -> None:
        """Go on from a checkpoint's ``tensors``, made after ``step`` steps."""
        mine = self.tensors()
        for name, value in tensors.items():
            if name in mine:
                mine[name].copy_(value)
        self._count(step)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model the averaged weights within the block, and its own again afterwards."""
        average = self.tensors()
        live = _floating(self.parts) if average else {}
        kept = {name: value.clone() for name, value in live.items()}
        try:
            for name, value in live.items():
                value.copy_(average[name])
            yield
        finally:
            for name, value in live.items():
                value.copy_(kept[name])


def _floating(module: nn.Module) -> dict[str, Tensor]:
    """Return the weights and floating-point buffers of a module; they share its memory."""
    with torch.no_grad():
        return {name: value for name, value in module.state_dict().items() if value.is_floating_point()}
