"""A running average of the weights, which is validated and shipped where it is switched on."""

from __future__ import annotations

from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of a model's trained parts, batch statistics included; off where ``decay`` is 0."""

    def __init__(self, model: nn.Module, trained: tuple[str, ...], decay: float) -> None:
        self.model, self.decay = model, decay
        self.trained = tuple(f"{name}." for name in trained)
        self.tensors: dict[str, Tensor] = {}
        if decay > 0:
            self.tensors = {k: v.clone() for k, v in self.live().items()}

    def live(self) -> dict[str, Tensor]:
        return {
            k: v for k, v in self.model.state_dict().items() if k.startswith(self.trained) and v.is_floating_point()
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        if self.tensors:
            self.tensors = {k: v.to(self.tensors[k].device, copy=True) for k, v in tensors.items()}

    def update(self, step: int) -> None:
        if not self.tensors:
            return
        decay = min(self.decay, (1 + step) / (10 + step))  # young averages forget their random start quickly
        live = self.live()
        for key, value in self.tensors.items():
            value.lerp_(live[key], 1 - decay)

    def applied(self) -> _Applied:
        return _Applied(self)


class _Applied:
    """Context: the model carries the averaged weights inside, its own again afterwards."""

    def __init__(self, average: WeightAverage) -> None:
        self.average = average
        self.saved: dict[str, Tensor] = {}

    def __enter__(self) -> None:
        live = self.average.live() if self.average.tensors else {}
        self.saved = {k: v.clone() for k, v in live.items()}
        for key, value in live.items():
            value.copy_(self.average.tensors[key])

    def __exit__(self, *_: object) -> None:
        live = self.average.model.state_dict()
        for key, value in self.saved.items():
            live[key].copy_(value)
