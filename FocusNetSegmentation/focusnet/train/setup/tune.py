"""Fine-tuning on corrected cases (``focusnet finetune``): which settings are safe for how many cases, the network, and the bundle's lineage."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ...datasets.case import Case
from ...datasets.dataset_toml import never_contoured
from ...errors import DatasetError
from ...image.organs import mirrored
from ...nets.bundle import WEIGHTS, ModelBundle
from ...nets.config import NetworkConfig, with_changes
from ..settings import TUNE, Settings
from ..stages.augment import Augmentation
from .plan import Plan
from .tune_options import TuneOptions

FEWEST_CASES = 4  # to learn from: with less, one odd contour decides
FROZEN_BELOW = (
    100  # training cases: with less the encoder keeps its weights (docs/learning.md, "Fine-tune"; measured up to 32)
)
ENCODER_RATE = 0.1  # of the learning rate, with more cases; not measured
MEASURED_VOLUMES = 20  # cases of an organ from which its own volumes replace those of the old model
# of the old model's bundle.json: what would no longer be true of the new one
NOT_INHERITED = {
    "format_version", "name", "organs", "network", "sha256", "training", "held_out", "known_organs", "volume_statistics",
}  # fmt: skip


def tune_settings(cases: int, changes: Mapping[str, Any]) -> Settings:
    """Return the settings for a number of training cases, with the user's ``changes`` on top. Raises ConfigError.

    The values were measured: docs/learning.md, "Fine-tune".
    """
    values: dict[str, Any] = {
        "steps": 160,
        "learning_rate": 5e-4,
        "schedule": "cosine",
        "warm_up_steps": 20,
        "encoder_rate": 0.0 if cases < FROZEN_BELOW else ENCODER_RATE,
        "freeze_statistics": True,
        "alpha_power": 0.0,
        "aae_mode": "none",
        "precision": "auto",
        "crop_slices": 24,
        "grad_clip": 5.0,
        "ema_decay": 0.98,
        "checkpoint_every": 20,
        "validate_every": 40,
        "validate_cases": 8,
        "patience": 2,
        "minutes": 15.0,
    }
    return Settings(**{**values, **changes})


def tune_plan(
    bundle: ModelBundle, organs: tuple[str, ...], training: Sequence[Case], changes: Mapping[str, Any], preset: str
) -> Plan:
    """Return network and settings: the old model's network, with a row for each organ that is new to it.

    ``organs``: the old model's in its order, then new ones. Raises DatasetError for too few cases and for a new organ without a contour.
    """
    if len(training) < FEWEST_CASES:
        raise DatasetError(
            f"There are {len(training)} cases to learn from; at least {FEWEST_CASES} are needed. Collect more corrected cases first."
        )
    drawn = {organ for case in training for organ in case.centroids_mm_xyz}
    unseen = [organ for organ in organs if organ not in bundle.config.organs and organ not in drawn]
    if unseen:
        raise DatasetError(never_contoured(unseen, [organ for organ in organs if organ in drawn]))
    config = with_changes(bundle.config, organs=organs)
    settings = tune_settings(len(training), changes)
    if settings.crop_slices > config.chunk_slices or config.has_sos:
        # whole small organs need the whole chunk
        settings = tune_settings(len(training), {**changes, "crop_slices": config.chunk_slices})
    about = {k: v for k, v in bundle.manifest.items() if k not in NOT_INHERITED}
    return Plan(preset, config, {TUNE: settings}, _augmentation(config), about)


def _augmentation(config: NetworkConfig) -> Augmentation:
    """Return milder maps than in training from scratch; mirrored only where every organ has its other side."""
    both_sides = all(mirrored(organ) in config.organs for organ in config.organs)
    return Augmentation(10.0, 5.0, (0.9, 1.1), mirror=both_sides, noise_hu=10.0)


def tuned_metadata(
    bundle: ModelBundle, options: TuneOptions, corrected: Sequence[Case], statistics: Mapping[str, Any]
) -> dict[str, Any]:
    """Return name, version, lineage and volumes of the new bundle.

    ``corrected``: the training cases as they were contoured, without the old model's answers. ``statistics``: volumes by organ in them.
    """
    counts = Counter(organ for case in corrected for organ in case.contoured)
    volumes = dict(bundle.manifest.get("volume_statistics", {}))
    for organ, row in statistics.items():
        if organ not in volumes or row["n"] >= MEASURED_VOLUMES:
            volumes[organ] = row
    before = bundle.manifest.get("lineage", [])
    step = {
        "parent": bundle.name,
        "parent_version": bundle.version,
        "parent_bundle_sha256": bundle.digest,
        "parent_weights_sha256": bundle.manifest["sha256"][WEIGHTS],
        "cases": len(corrected),
        "cases_by_organ": dict(sorted(counts.items())),
        "date": time.strftime("%Y-%m-%d"),
    }
    data = str(bundle.manifest.get("data", "")).split("; fine-tuned on ")[0]
    return {
        "name": options.name or bundle.name,
        "version": next_version(bundle.version, len(before)),
        "data": f"{data}; fine-tuned on {len(corrected)} corrected cases",
        "lineage": [*before, step],
        "volume_statistics": volumes,
    }


def next_version(version: str, generation: int) -> str:
    """Return the version after ``version`` of a model that was fine-tuned ``generation`` times: 3, 3.1, 3.2."""
    base, dot, last = version.rpartition(".")
    if generation and dot and last.isdigit():
        return f"{base}.{int(last) + 1}"
    return f"{version or '1'}.1"
