"""Say in sentences for a person what is installed and what is missing. Nothing is imported, downloaded or changed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..process.worker_protocol import find_python, worker_environment
from .probe import no_window, nvidia_smi

TORCH = "torch>=2.2"
# What segmenting, scoring, reports and exports need beside torch; a test compares versions with pyproject.toml. No upper bounds: Slicer
# 5.12 brings pydicom 3 itself.
PACKAGES = (
    "safetensors>=0.4",
    "slicerio>=1.2",
    "pynrrd>=1.0",
    "platformdirs>=4.0",
    "psutil>=5.9",
    "pydicom>=2.4",
    "matplotlib>=3.7",
    "pillow>=9.1",
    "jinja2>=3.1",
    *(("tomli>=2.0",) if sys.version_info < (3, 11) else ()),
)
SHIPPED = (
    "numpy>=1.26",
    "scipy>=1.11",
    "SimpleITK>=2.3",
)  # Slicer's own: another one beside them breaks its C++ modules
IMPORT_NAMES = {"pynrrd": "nrrd", "pillow": "PIL"}
FREE_GB = 10.0  # a CUDA build of torch unpacks to several gigabytes, and pip keeps the archives beside it meanwhile
PROBE_MODULE = "FocusNetSegmentationLib.install.probe"
PROBE_TIMEOUT_S = 120.0  # a first import of torch from a cold network disk


@dataclass(frozen=True)
class Item:
    """One line of the preflight list. ``level``: "ok", "warning" (works, but ...) or "missing"."""

    key: str
    title: str
    level: str
    text: str


@dataclass(frozen=True)
class TorchStatus:
    """Result of the probe. ``version`` is None where torch cannot be imported; ``installed`` where pip thinks that it is there. ``cards``: NVIDIA
    GPUs, None where that was not asked. ``looked``: False where the probe itself failed, so that nothing is known; ``error`` says why."""

    version: str | None = None
    installed: str | None = None
    error: str = ""
    cuda_build: str | None = None
    devices: tuple[dict[str, Any], ...] = ()
    smoke: dict[str, str] = field(default_factory=dict)
    details: str = ""
    cards: tuple[dict[str, str], ...] | None = None
    looked: bool = True

    @property
    def half_installed(self) -> bool:
        """Return whether files are there, but torch does not import."""
        absent = self.installed is None and re.search("No module named '?torch'?$", self.error)
        return self.looked and self.version is None and not absent


@dataclass(frozen=True)
class Preflight:
    items: tuple[Item, ...]
    torch: TorchStatus
    missing_packages: tuple[str, ...]

    @property
    def ready(self) -> bool:
        return all(item.level != "missing" for item in self.items)


def preflight(python: str | None = None, torch: TorchStatus | None = None, folder: Path | None = None) -> Preflight:
    """Look at everything. ``torch``: what ``probe_torch`` or ``parse_probe`` gave, else the probe is run here, which takes seconds.
    ``folder``: where packages are installed."""
    torch = torch or probe_torch(python)
    cards = nvidia_smi() if torch.cards is None else torch.cards
    packages = check_packages(PACKAGES)
    shipped = check_packages(SHIPPED)
    missing = tuple(
        requirement for requirement, item in zip(PACKAGES, packages, strict=True) if item.level == "missing"
    )
    items = [python_item(), torch_item(torch), *gpu_items(torch, cards), *packages]
    items += [_shipped_item(item) for item in shipped]
    items += [disk_item(folder or Path(sysconfig.get_paths()["purelib"])), models_item(), *long_path_items()]
    return Preflight(tuple(items), torch, missing)


def python_item() -> Item:
    version = ".".join(map(str, sys.version_info[:3]))
    if not (3, 10) <= sys.version_info[:2] < (3, 14):
        return Item(
            "python",
            "Python",
            "missing",
            f"Python {version} found, 3.10 to 3.13 expected. Use 3D Slicer 5.10 or later.",
        )
    return Item("python", "Python", "ok", f"Python {version}")


def check_packages(requirements: Sequence[str], version_of: Callable[[str], str | None] | None = None) -> list[Item]:
    """Return one Item per requirement such as "psutil>=5.9"."""
    find = version_of or installed_version
    items = []
    for requirement in requirements:
        name, _, wanted = requirement.partition(">=")
        found = find(name)
        if found is None:
            items.append(Item(name, name, "missing", f"{name} is not installed; {wanted} or later is needed."))
        elif _numbers(found) and _numbers(found) < _numbers(wanted):
            items.append(Item(name, name, "missing", f"{name} {found} is installed; {wanted} or later is needed."))
        else:
            items.append(Item(name, name, "ok", f"{name} {found}".rstrip()))
    return items


def installed_version(name: str) -> str | None:
    """Return the version by pip's records; "" for a package without records that can be imported (Slicer's own SimpleITK); None if absent."""
    importlib.invalidate_caches()
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        try:
            return "" if importlib.util.find_spec(IMPORT_NAMES.get(name, name)) is not None else None
        except (ImportError, ValueError):
            return None


def torch_item(torch: TorchStatus) -> Item:
    if not torch.looked:  # a warning: it may well be there and work
        text = f"It is not known whether PyTorch works: {_first_line(torch.error)}. Press Check again."
        return Item("torch", "PyTorch", "warning", text)
    if torch.version is None and torch.half_installed:
        return Item(
            "torch",
            "PyTorch",
            "missing",
            f"PyTorch is only half installed: {_first_line(torch.error)}. Install it again.",
        )
    if torch.version is None:
        return Item("torch", "PyTorch", "missing", "PyTorch is not installed.")
    if _numbers(torch.version) < _numbers(TORCH.partition(">=")[2]):
        return Item(
            "torch",
            "PyTorch",
            "missing",
            f"PyTorch {torch.version} is installed; {TORCH.partition('>=')[2]} or later is needed.",
        )
    broken = [f"{device}: {_first_line(problem)}" for device, problem in torch.smoke.items() if problem]
    if torch.smoke.get("cpu"):
        return Item(
            "torch", "PyTorch", "missing", f"PyTorch {torch.version} cannot compute ({broken[0]}). Install it again."
        )
    backend = f"CUDA {torch.cuda_build}" if torch.cuda_build else "CPU"
    if any(device["name"] == "mps" for device in torch.devices):
        backend = "CPU and MPS"
    if broken:
        return Item(
            "torch",
            "PyTorch",
            "warning",
            f"PyTorch {torch.version} ({backend}), but not on {'; '.join(broken)}. Use the CPU.",
        )
    return Item("torch", "PyTorch", "ok", f"PyTorch {torch.version} ({backend})")


def gpu_items(torch: TorchStatus, cards: Sequence[dict[str, str]]) -> list[Item]:
    """Return what the GPU is, and why it is not used where it is not."""
    used = [d for d in torch.devices if d["name"].startswith("cuda")]
    if used:
        texts = [f"{d['title']} ({d['free_mb'] / 1024:.1f} of {d['total_mb'] / 1024:.1f} GB free)" for d in used]
        driver = f", driver {cards[0]['driver']}" if cards else ""
        return [Item("gpu", "GPU", "ok", "; ".join(texts) + driver)]
    if not cards:
        if any(d["name"] == "mps" for d in torch.devices):
            return [Item("gpu", "GPU", "ok", "Apple GPU (MPS)")]
        return [Item("gpu", "GPU", "ok", "No NVIDIA GPU; the CPU is used.")]
    name = f"{cards[0]['name']}, driver {cards[0]['driver']}"
    if torch.version is None:
        return [Item("gpu", "GPU", "ok", name)]
    if not torch.cuda_build:
        text = f"{name}: not used, because PyTorch here is built for the CPU. Install a CUDA build with the PyTorch extension to use it."
    elif "driver" in torch.details.lower() and "too old" in torch.details.lower():
        text = f"{name}: not used, because the driver is too old for CUDA {torch.cuda_build}. Update the NVIDIA driver."
    else:
        text = f"{name}: not used, because PyTorch cannot reach it. Update the NVIDIA driver or restart the computer."
    return [Item("gpu", "GPU", "warning", text)]


def disk_item(folder: Path) -> Item:
    try:
        free = shutil.disk_usage(folder).free / 1e9
        temporary = shutil.disk_usage(tempfile.gettempdir()).free / 1e9
    except OSError as problem:
        return Item("disk", "Disk", "warning", f"Free space cannot be told ({problem.strerror}).")
    text = f"{free:.0f} GB free where packages are installed, {temporary:.0f} GB for temporary files"
    low = min(free, temporary) < FREE_GB
    return Item(
        "disk",
        "Disk",
        "warning" if low else "ok",
        text + (f"; installing PyTorch may need {FREE_GB:.0f} GB." if low else "."),
    )


def models_item() -> Item:
    from focusnet.nets.bundle import available_bundles

    try:
        names = [folder.name for folder in available_bundles()]
    except ImportError:
        return Item(
            "models", "Models", "warning", "Your own models cannot be listed before the packages are installed."
        )
    if not names:
        return Item("models", "Models", "missing", "No model is installed. Add one from a file in the Model section.")
    return Item("models", "Models", "ok", ", ".join(names))


def long_path_items() -> list[Item]:
    """Return a warning on a Windows without long paths: torch has paths that are too long for Windows' old limit when Slicer lies deep in the folders."""
    if os.name != "nt":
        return []
    try:
        import winreg

        key = winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SYSTEM\CurrentControlSet\Control\FileSystem")  # type: ignore[attr-defined]
        on = bool(winreg.QueryValueEx(key, "LongPathsEnabled")[0])  # type: ignore[attr-defined]
    except OSError:
        on = False
    if on or len(sys.prefix) < 60:
        return []
    text = f"Long paths are off in Windows and Slicer lies in a deep folder ({sys.prefix}). Turn them on, or install Slicer in a shorter one."
    return [Item("long_paths", "Long paths", "warning", text)]


def probe_command(python: str | None = None, smoke: bool = False) -> tuple[str, list[str], dict[str, str]]:
    """Return program, arguments and added environment of the probe, for whoever wants to run it without waiting (``parse_probe`` reads it)."""
    return python or find_python(), ["-m", PROBE_MODULE, *(["--smoke"] if smoke else [])], worker_environment("")


def parse_probe(exit_status: int, stdout: str, stderr: str) -> TorchStatus:
    """Read what the probe printed. One that ended while it imported torch means that torch is broken; one that did not get as far, that
    nothing is known."""
    importing = None
    for line in reversed(stdout.splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and "torch_error" in found:
            return TorchStatus(
                found["torch"],
                found.get("torch_metadata"),
                found["torch_error"],
                found["cuda_build"],
                tuple(found["devices"]),
                found["smoke"],
                stderr[-4000:],
                tuple(found.get("cards") or ()),
            )
        if isinstance(found, dict) and found.get("importing") == "torch":
            importing = found
    if importing is not None:
        cards = tuple(importing.get("cards") or ())
        error = f"its import ends Python (exit status {exit_status})"
        return TorchStatus(None, importing.get("torch_metadata"), error, details=stderr[-4000:], cards=cards)
    said = [line.strip() for line in stderr.splitlines() if line.strip()]
    why = f"the look at it failed with exit status {exit_status}" + (f" ({said[-1].rstrip('.')})" if said else "")
    return TorchStatus(None, None, why, details=stderr[-4000:], looked=False)


def probe_torch(python: str | None = None, smoke: bool = False, timeout_s: float = PROBE_TIMEOUT_S) -> TorchStatus:
    """Run the probe and wait for it."""
    program, arguments, environment = probe_command(python, smoke)
    try:
        done = subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment},
            check=False,
            creationflags=no_window(),
        )
    except subprocess.TimeoutExpired:
        return TorchStatus(None, None, f"it did not answer within {timeout_s:.0f} s", looked=False)
    except OSError as problem:
        return TorchStatus(None, None, f"{program} cannot be started ({problem.strerror})", looked=False)
    return parse_probe(done.returncode, done.stdout, done.stderr)


def _shipped_item(item: Item) -> Item:
    if item.level != "missing":
        return item
    text = f"{item.text} It is part of 3D Slicer and is not replaced here: update or reinstall Slicer."
    return Item(item.key, item.title, "missing", text)


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: enough for the lower bounds above."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def _first_line(text: str) -> str:
    return next((line.strip().rstrip(".") for line in text.splitlines() if line.strip()), "unknown reason")[:300]
