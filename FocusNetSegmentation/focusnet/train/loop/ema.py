"""The exponential moving average (EMA) of the weights, which is validated and shipped where it is switched on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Moving average of a model's trained parts, batch statistics included; off where ``decay`` is 0.

    torch's AveragedModel keeps it. Integer buffers (batch normalisation's count) are not averaged.
    """

    def __init__(self, model: nn.Module, trained: tuple[str, ...], decay: float) -> None:
        self.parts = nn.ModuleDict({name: getattr(model, name) for name in trained})
        self.decay = decay
        self.steps = 0  # that were averaged
        self.average: dict[str, Tensor] = {}
        if decay > 0:
            self.average = {name: value.clone() for name, value in _floating(self.parts).items()}

    def update(self) -> None:
        """Mix the weights as they are after a step into the average. In one operation: a GPU need not wait for the CPU."""
        if not self.average:
            return
        self.steps += 1
        decay = min(
            self.decay, (1 + self.steps) / (10 + self.steps)
        )  # the first averages forget the random start quickly
        live = _floating(self.parts)
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), [live[name] for name in self.average], 1 - decay)

    def tensors(self) -> dict[str, Tensor]:
        """Return the averaged tensors by their names in the model, for a checkpoint; empty where averaging is off."""
        return self.average

    def load(self, tensors: dict[str, Tensor], step: int) -> None:
        """Go on from a checkpoint's ``tensors``, made after ``step`` steps."""
        for name, value in tensors.items():
            if name in self.average:
                self.average[name].copy_(value)
        self.steps = step

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
