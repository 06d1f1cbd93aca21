"""What a look at a computer found, and installations whose commands are small scripts (test doubles) in place of pip's."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from FocusNetSegmentationLib.install.installer import InstallCallbacks, Installer, InstallReport
from FocusNetSegmentationLib.install.plan import Step
from FocusNetSegmentationLib.install.preflight import Item, Preflight, TorchStatus

GOOD_TORCH = TorchStatus("2.13.0+cpu", "2.13.0+cpu", smoke={"cpu": ""}, cards=())
NO_TORCH = TorchStatus(None, None, "ModuleNotFoundError: No module named 'torch'", cards=())
SMOKE_OK = (
    'import json; print(json.dumps({"torch": "2.13.0", "torch_metadata": "2.13.0", "torch_error": "", "cuda_build": None,'
    ' "devices": [], "smoke": {"cpu": ""}}))'
)


def found(torch: TorchStatus = GOOD_TORCH, packages: Sequence[str] = (), **more: Any) -> Preflight:
    return Preflight((Item("torch", "PyTorch", "ok", ""),), torch, tuple(packages), **more)


def step(kind: str, *scripts: str, title: str = "Install it", requirements: Sequence[str] = ()) -> Step:
    """A step whose commands are Python scripts."""
    return Step(kind, title, tuple(("-c", script) for script in scripts), tuple(requirements))


class Told:
    """What an installer told."""

    def __init__(self) -> None:
        self.progress: list[tuple[str, float, str]] = []
        self.reports: list[InstallReport] = []

    def callbacks(self) -> InstallCallbacks:
        return InstallCallbacks(self.reports.append, lambda *told: self.progress.append(told))


def install(steps: Sequence[Step], process: Any = None, python: str = sys.executable) -> tuple[InstallReport, Told]:
    """Do the steps and wait for the end, which must come once."""
    from FocusNetSegmentationLib.process.worker import SubprocessProcess

    told = Told()
    installer = Installer(steps, told.callbacks(), lambda: process or SubprocessProcess(), python)
    installer.start()
    while installer.is_running:
        installer.wait(0.1)
    (report,) = told.reports
    return report, told
