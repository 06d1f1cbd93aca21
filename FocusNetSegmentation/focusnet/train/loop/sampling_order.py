"""What a step sees depends on (seed, stage, number) alone: a resumed run goes on as one that was never stopped, and several
processes share one order."""

from __future__ import annotations

import math
import zlib

import numpy as np

from ..settings import Settings

WARM_UP_STEPS = 100


def rate_factor(step: int, settings: Settings) -> float:
    """Learning-rate factor at ``step``: 1 for ``constant``; warm-up and half a cosine for ``cosine``."""
    if settings.schedule == "constant":
        return 1.0
    if step < WARM_UP_STEPS:
        return (step + 1) / WARM_UP_STEPS
    return 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, settings.steps))))


def step_generator(seed: int, stage: str, number: int) -> np.random.Generator:
    """Random numbers of the ``number``-th batch of a stage."""
    return np.random.default_rng([seed, zlib.crc32(stage.encode()), number])


def case_index(seed: int, stage: str, number: int, count: int) -> int:
    """Which of ``count`` items comes ``number``-th: every one once per epoch, in an order drawn anew for each epoch."""
    epoch, position = divmod(number, count)
    return int(np.random.default_rng([seed, zlib.crc32(stage.encode()), epoch, 1]).permutation(count)[position])
