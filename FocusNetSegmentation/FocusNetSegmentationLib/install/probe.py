"""Looks at a Python environment from inside it and prints one JSON object: ``PythonSlicer -m FocusNetSegmentationLib.install.probe [--smoke]``.

A process of its own, because Slicer's must not import torch: it may be broken, slow or in the way of a later update.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from typing import Any


def look(smoke: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "executable": sys.executable,
        "system": platform.system(),
        "machine": platform.machine(),
        "torch": None,
        "torch_error": "",
        "cuda_build": None,
        "devices": [],
        "smoke": {},
        "cards": nvidia_smi(),
    }
    try:
        found["torch_metadata"] = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        found["torch_metadata"] = None
    known = {key: found[key] for key in ("torch_metadata", "cards")}
    print(json.dumps({"importing": "torch", **known}), flush=True)  # if nothing follows, this import ended Python
    started = time.monotonic()
    try:
        import torch
    except BaseException as problem:  # a broken build raises anything, SystemExit included
        found["torch_error"] = f"{type(problem).__name__}: {problem}"
        return found
    found["import_seconds"] = round(time.monotonic() - started, 2)
    found["torch"] = getattr(torch, "__version__", None)
    if found["torch"] is None or not hasattr(torch, "nn"):
        found["torch"], found["torch_error"] = None, "ImportError: torch is an empty folder"
        return found
    found["cuda_build"] = torch.version.cuda
    found["devices"] = devices(torch)
    if smoke:
        for device in ["cpu", *(d["name"] for d in found["devices"])]:
            found["smoke"][device] = convolve(torch, device)
    return found


def nvidia_smi() -> list[dict[str, str]]:
    """Return name, driver and memory (MB) of each NVIDIA GPU; empty without one or without its tool."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = ["--query-gpu=name,driver_version,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            [program, *query], capture_output=True, text=True, timeout=10, check=False, creationflags=no_window()
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    rows = (
        [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines()]
        if done.returncode == 0
        else []
    )
    return [dict(zip(("name", "driver", "total_mb", "free_mb"), row, strict=True)) for row in rows if len(row) == 4]


def no_window() -> int:
    """Return the flag that keeps a console window of Windows' from opening."""
    return getattr(subprocess, "CREATE_NO_WINDOW", 0)


def devices(torch: Any) -> list[dict[str, Any]]:
    """Return each GPU with its memory in MB, and MPS."""
    found: list[dict[str, Any]] = []
    try:
        for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
            free, total = torch.cuda.mem_get_info(index)
            title = torch.cuda.get_device_name(index)
            found.append({"name": f"cuda:{index}", "title": title, "free_mb": free >> 20, "total_mb": total >> 20})
    except Exception as problem:
        print(f"{type(problem).__name__}: {problem}", file=sys.stderr)
    if getattr(torch.backends, "mps", None) is not None and torch.backends.mps.is_available():
        found.append({"name": "mps", "title": "Apple GPU", "free_mb": None, "total_mb": None})
    return found


def convolve(torch: Any, device: str) -> str:
    """Return "" if a small 3D convolution on ``device`` gives what it must, else what went wrong."""
    try:
        weights = torch.ones(1, 1, 3, 3, 3, device=device)
        out = torch.nn.functional.conv3d(torch.ones(1, 1, 4, 4, 4, device=device), weights)
        value = float(out.sum().cpu())
    except Exception as problem:
        return f"{type(problem).__name__}: {problem}"
    return "" if value == 27.0 * 8 else f"a convolution gave {value} instead of 216"


def main() -> int:
    found = look("--smoke" in sys.argv[1:])
    print(json.dumps(found), flush=True)
    os._exit(0)  # some drivers hang when the process ends the usual way
    return 0


if __name__ == "__main__":
    main()
