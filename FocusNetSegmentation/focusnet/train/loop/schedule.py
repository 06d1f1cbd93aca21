"""The learning rate over a stage's steps."""

from __future__ import annotations

import math

from ..settings import Settings


def rate_factor(step: int, settings: Settings) -> float:
    """Return the learning-rate factor at ``step``: 1 for ``constant``; warm-up and half a cosine for ``cosine``."""
    if settings.schedule == "constant":
        return 1.0
    if step < settings.warm_up_steps:
        return (step + 1) / settings.warm_up_steps
    return 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, settings.steps))))
