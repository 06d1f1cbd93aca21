"""Where the repository's own files and the real scans beside it lie."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULE = ROOT / "FocusNetSegmentation"
MODELS = MODULE / "Resources" / "Models"
DATA = ROOT.parent / "shared" / "data"  # real scans; absent on most machines
