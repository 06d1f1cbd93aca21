"""An installer whose parts are test doubles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from FocusNetSegmentationLib.install.installer import Installer
from FocusNetSegmentationLib.install.preflight import Item, Preflight, TorchStatus

GOOD_TORCH = TorchStatus("2.13.0+cpu", "2.13.0+cpu", smoke={"cpu": ""})
NO_TORCH = TorchStatus(None, None, "ModuleNotFoundError: No module named 'torch'")


def found(torch: TorchStatus = GOOD_TORCH, packages: Sequence[str] = ()) -> Preflight:
    return Preflight((Item("torch", "PyTorch", "ok", ""),), torch, tuple(packages))


class Told:
    def __init__(self) -> None:
        self.progress: list[tuple[str, float, str]] = []

    def __call__(self, title: str, fraction: float, line: str) -> None:
        self.progress.append((title, fraction, line))


class Recorder:
    """A stand-in for pip or the PyTorch extension that writes down what it was asked."""

    def __init__(self, output: str = "", problem: Exception | None = None) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.output, self.problem = output, problem

    def install(self, *arguments: Any) -> None:
        *rest, on_output = arguments
        self.calls.append(tuple(rest))
        on_output(self.output)
        if self.problem is not None:
            raise self.problem


def installer(
    pip: Any, torch: Any = None, agree: bool = True, smoke: TorchStatus = GOOD_TORCH, **options: Any
) -> Installer:
    return Installer(pip, torch, consent=lambda steps: agree, smoke=lambda: smoke, **options)
