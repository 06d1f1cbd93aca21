"""The plan of an installation: its steps, what each costs, and the arguments of Slicer's Python that do it.

PyTorch comes the way the PyTorch extension takes it (light-the-torch, which picks the build that fits the GPU's driver), or from the
package index; the rest through Slicer's own ``pip_ensure`` where it exists, else pip; everything from a folder of wheels without a network.
"""

from __future__ import annotations

import importlib.util
import platform
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from .preflight import PROBE_MODULE, TORCH, Preflight, TorchStatus, torch_item

PIP_MODULE = "FocusNetSegmentationLib.install.pip_child"
LIGHT_THE_TORCH = "light-the-torch>=0.5"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # PyTorch's own: its builds for Linux on the general index need CUDA's libraries
EXTENSION_FIRST = "PyTorch is still missing. Install the extension PyTorch in the Extensions Manager, restart Slicer and press Install again."


class TorchSource(Enum):
    """Where PyTorch comes from. NOWHERE: a person installs the PyTorch extension first."""

    EXTENSION = "extension"
    INDEX = "index"
    NOWHERE = "nowhere"


@dataclass(frozen=True)
class Cost:
    """The rough cost of a step: megabytes to download and on the disk, minutes (at least, at most)."""

    download_mb: int
    disk_mb: int
    minutes: tuple[int, int]

    def __str__(self) -> str:
        first, last = self.minutes
        return (
            f"about {_size(self.download_mb)} to download, {_size(self.disk_mb)} on the disk, {first} to {last} minutes"
        )


@dataclass(frozen=True)
class Step:
    """``kind``: "packages", "torch" or "smoke". ``title``: what the user agrees to. ``commands``: arguments of Slicer's Python, one process after
    the other. ``requirements``: what is there afterwards."""

    kind: str
    title: str
    commands: tuple[tuple[str, ...], ...]
    requirements: tuple[str, ...] = ()
    cost: Cost | None = None

    def __str__(self) -> str:
        return f"{self.title} ({self.cost})" if self.cost is not None else self.title


def plan(found: Preflight, source: TorchSource = TorchSource.INDEX, wheels: Path | str | None = None) -> list[Step]:
    """Return the steps that make the preflight ready; empty if nothing that can be installed is missing.

    The small packages come first: they are there whatever becomes of PyTorch. ``wheels``: a folder; then no network is used.
    """
    offline = () if wheels is None else ("--no-index", "--find-links", str(wheels))
    steps = []
    if found.missing_packages:
        names = ", ".join(requirement.partition(">=")[0] for requirement in found.missing_packages)
        cost = None if offline else Cost(4 * len(found.missing_packages), 12 * len(found.missing_packages), (1, 3))
        command = _pip(*offline, *found.missing_packages)
        steps.append(Step("packages", f"Install {names}", (command,), found.missing_packages, cost))
    if torch_item(found.torch).level == "missing" and (offline or source is not TorchSource.NOWHERE):
        steps.append(_torch_step(found.torch, source, offline))
    if not steps:
        return []
    smoke = Step("smoke", "Test the installation with a small computation", (("-m", PROBE_MODULE, "--smoke"),))
    return [*steps, smoke] if found.torch.version is not None or steps[-1].kind == "torch" else steps


def find_source() -> TorchSource | None:
    """Return EXTENSION where the PyTorch extension is installed; None where a person has to choose."""
    try:
        return TorchSource.EXTENSION if importlib.util.find_spec("PyTorchUtils") is not None else None
    except (ImportError, ValueError):
        return None


def index_build(nvidia: bool, system: str = "", machine: str = "") -> tuple[str, tuple[str, ...], Cost]:
    """Return name, pip options and cost of the build of PyTorch that the package index gives this computer.

    ``nvidia``: it has an NVIDIA GPU. ``system``, ``machine``: as ``platform`` names them, by default this computer's.
    """
    system, machine = system or platform.system(), (machine or platform.machine()).lower()
    if system == "Darwin":
        return ("the build for Macs", (), Cost(90, 450, (1, 5)))
    if system == "Linux" and machine in ("x86_64", "amd64"):
        if nvidia:
            return ("the CUDA build", (), Cost(3000, 7000, (5, 30)))
        return ("the CPU build", ("--index-url", CPU_INDEX), Cost(200, 900, (1, 5)))
    return ("the CPU build", (), Cost(200, 900, (1, 5)))  # what the general index has for Windows and for Linux on ARM


def _torch_step(torch: TorchStatus, source: TorchSource, offline: tuple[str, ...]) -> Step:
    again = torch.half_installed or torch.version is not None
    reinstall = ("--force-reinstall",) if again else ()
    verb = "Install PyTorch again" if again else "Install PyTorch"
    if offline:
        return Step("torch", verb, (_pip(*offline, *reinstall, TORCH),), (TORCH,))
    if source is TorchSource.EXTENSION:
        build = "the build that fits this computer, as the PyTorch extension does"
        commands = (_pip(LIGHT_THE_TORCH), _pip("--light-the-torch", *reinstall, TORCH, "torchvision"))
        cost = Cost(3000, 7000, (5, 30)) if torch.cards else index_build(False)[2]
        return Step("torch", f"{verb}: {build}", commands, (TORCH,), cost)
    build, options, cost = index_build(bool(torch.cards))
    return Step(
        "torch", f"{verb}: {build} from the package index", (_pip(*options, *reinstall, TORCH),), (TORCH,), cost
    )


def _pip(*arguments: str) -> tuple[str, ...]:
    return ("-m", PIP_MODULE, *arguments)


def _size(megabytes: int) -> str:
    return f"{megabytes / 1000:.0f} GB" if megabytes >= 1000 else f"{megabytes} MB"


def changed_while_loaded(steps: tuple[Step, ...]) -> bool:
    """Return whether Slicer has an older copy of something that the steps installed in memory."""
    names = {"pynrrd": "nrrd", "pillow": "PIL"}
    installed = {r.partition(">=")[0] for step in steps for r in step.requirements}
    return any(names.get(name, name) in sys.modules for name in installed)
