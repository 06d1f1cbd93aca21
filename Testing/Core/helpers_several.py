"""Two models for tests of merged results: one "measured on real CT", one with small organs and a caution."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from focusnet.nets.bundle import ModelBundle, load_bundle, save_bundle

from .helpers_engine import random_network, small_config

CAUTION = "Trained on simulated CT only, research preview."
REAL_ORGANS = ("Brainstem", "SpinalCord", "Parotid_R", "Parotid_L", "Larynx")
SIMULATED_ORGANS = ("Brainstem", "Lens_R", "Lens_L", "OpticChiasm")


def real_bundle(folder: Path, name: str = "real7", **metadata: Any) -> ModelBundle:
    """A model of large organs with held-out scores."""
    scores = {organ: {"dsc_mean": 0.8, "dsc_sd": 0.05, "n": 33} for organ in REAL_ORGANS}
    return _bundle(folder, name, REAL_ORGANS, ("Brainstem", "Larynx"), {"held_out": {"organs": scores}, **metadata}, 0)


def simulated_bundle(folder: Path, name: str = "eyes22", **metadata: Any) -> ModelBundle:
    """A model with small organs and a caution, measured on simulated CT."""
    known = {organ: {"dsc": 0.9, "measured_on": "simulated CT"} for organ in SIMULATED_ORGANS}
    about = {"known_organs": known, "caution": CAUTION, **metadata}
    return _bundle(folder, name, SIMULATED_ORGANS, ("Lens_R", "Lens_L"), about, 1, has_sos=True)


def _bundle(
    folder: Path,
    name: str,
    organs: tuple[str, ...],
    small: tuple[str, ...],
    metadata: dict[str, Any],
    seed: int,
    **changes: Any,
) -> ModelBundle:
    config = replace(small_config(), organs=organs, small_organs=small, **changes)
    about = {"version": "1", "data": "none: random weights, for tests", **metadata}
    bundle = save_bundle(folder / name, name, random_network(config, seed), about)
    return load_bundle(bundle.folder)
