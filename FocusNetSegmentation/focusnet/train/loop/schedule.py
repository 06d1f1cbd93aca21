"""The learning rate over a stage's steps."""

from __future__ import annotations

import math

from ..settings import Settings

WARM_UP_SHARE = 0.1  # of a stage that is run by the clock: it may have fewer steps than Settings.warm_up_steps


def rate_factor(step: int, settings: Settings, clock_progress: float | None = None) -> float:
    """Return the learning-rate factor at ``step``: 1 for ``constant``; warm-up and half a cosine for ``cosine``.

    ``clock_progress``: of a stage that ends by the clock, how much of its time is over (0 to 1); None where the steps decide.
    """
    if settings.schedule == "constant":
        return 1.0
    if clock_progress is not None:
        warm_up = max((step + 1) / max(1, settings.warm_up_steps), clock_progress / WARM_UP_SHARE)
        return min(1.0, warm_up) * 0.5 * (1 + math.cos(math.pi * clock_progress))
    if step < settings.warm_up_steps:
        return (step + 1) / settings.warm_up_steps
    return 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, settings.steps))))
