"""The cases and random numbers of a step, which depend on (seed, stage, number) alone: a resumed run goes on as one that was never stopped, and several
processes share one order."""

from __future__ import annotations

import zlib

import numpy as np


def step_generator(seed: int, stage: str, number: int) -> np.random.Generator:
    """Return the random numbers of the ``number``-th batch of a stage."""
    return np.random.default_rng([seed, zlib.crc32(stage.encode()), number])


def case_index(seed: int, stage: str, number: int, count: int) -> int:
    """Return which of ``count`` items comes ``number``-th: every one once per epoch, in an order drawn anew for each epoch."""
    epoch, position = divmod(number, count)
    return int(np.random.default_rng([seed, zlib.crc32(stage.encode()), epoch, 1]).permutation(count)[position])
