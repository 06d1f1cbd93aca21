"""Where the tests of Slicer's side find a Python with torch."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def worker_python() -> str:
    """A Python with torch: this one, or the one that FOCUSNET_WORKER_PYTHON names (slicer-core's Python need not have it)."""
    python = os.environ.get("FOCUSNET_WORKER_PYTHON", sys.executable)
    done = subprocess.run([python, "-c", "import torch, slicerio, safetensors"], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("no Python with torch: set FOCUSNET_WORKER_PYTHON to one")
    return python
