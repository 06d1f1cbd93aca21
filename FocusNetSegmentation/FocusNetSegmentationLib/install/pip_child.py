"""pip in a process of its own, which Slicer can end: ``PythonSlicer -m FocusNetSegmentationLib.install.pip_child [OPTION...] REQUIREMENT...``.

Requirements without options go through ``slicer.packaging.pip_ensure`` where this Slicer has it (5.12 and later): outside Slicer's window it
asks nothing and shows nothing. ``--light-the-torch`` first: as the PyTorch extension does it, with the build that fits the driver. Anything
else is pip's. The parent writes one line to stdin and keeps the pipe open: when it closes, this process and its children end.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from ..process.worker_protocol import parent_has_ended

REQUESTER = "FocusNet Segmentation"
LIGHT_THE_TORCH = "--light-the-torch"
RAW_PROGRESS = (24, 1)  # pip that can tell its progress to a program


def main(arguments: Sequence[str]) -> int:
    """Install; return pip's exit status."""
    if os.name == "posix" and os.getpgrp() != os.getpid():
        os.setpgid(0, 0)  # a group of our own, children included
    threading.Thread(target=end_with_parent, daemon=True).start()
    if arguments[:1] == [LIGHT_THE_TORCH]:
        return run_module("light_the_torch", ["install", *common_options(), *arguments[1:]])
    if not any(argument.startswith("-") for argument in arguments):
        ensure = pip_ensure()
        if ensure is not None:
            return through(ensure, arguments)
    return run_module("pip", ["install", *common_options(), *arguments])


def common_options() -> list[str]:
    """Return what every pip run here gets: no questions, no talk of newer versions, progress for a program."""
    options = ["--no-input", "--disable-pip-version-check"]
    return [*options, "--progress-bar", "raw" if _pip_version() >= RAW_PROGRESS else "off"]


def pip_ensure() -> Callable[..., Any] | None:
    """Return Slicer's own function, None where there is none or it cannot be used outside Slicer's window."""
    try:
        found = getattr(importlib.import_module("slicer.packaging"), "pip_ensure", None)
    except Exception:  # a Slicer without it, or one whose libraries do not load outside its window
        return None
    return found if callable(found) else None


def through(ensure: Callable[..., Any], requirements: Sequence[str]) -> int:
    """Install with Slicer's own function. The user has agreed already, and a restart is not its business."""
    try:
        ensure(
            list(requirements), prompt_install=False, prompt_restart=False, requester=REQUESTER, skip_in_testing=False, show_progress=False
        )  # fmt: skip
    except subprocess.CalledProcessError as problem:  # pip's own lines say why
        return int(problem.returncode) or 1
    except Exception as problem:  # this Slicer's function does not work here: pip itself does
        print(f"slicer.packaging.pip_ensure: {type(problem).__name__}: {problem}", flush=True)
        return run_module("pip", ["install", *common_options(), *requirements])
    return 0


def run_module(name: str, arguments: Sequence[str]) -> int:
    """Run a module as ``python -m NAME ARGUMENTS`` in this process; return its exit status."""
    sys.argv = [name, *arguments]
    try:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except ImportError as problem:
        print(f"ERROR: {problem}", file=sys.stderr)
        return 1
    return 0


def end_with_parent(stdin: int = 0) -> None:
    """Wait for stdin to end, then end this process and its children. A stdin without the parent's line means nothing."""
    if not parent_has_ended(stdin):
        return
    if os.name == "posix":
        os.killpg(os.getpid(), signal.SIGKILL)
    else:
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(os.getpid())], capture_output=True, check=False)
    os._exit(1)


def _pip_version() -> tuple[int, ...]:
    try:
        major, minor = importlib.metadata.version("pip").split(".")[:2]
        return int(major), int(minor)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return (0, 0)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # not sys.exit: the thread that reads stdin would disturb Python's shutdown
