"""How far a stage is, by its steps or by the clock."""

from __future__ import annotations

import time
from collections.abc import Callable

TRAINING_SHARE = 0.9  # of a stage's time; the rest is for validations and checkpoints
# of a run's time; S-Net is what everything else stands on
STAGE_WEIGHTS = {"snet": 4.0, "sol": 2.0, "aae": 1.0, "sos": 2.0, "joint": 2.0}


class StageClock:
    """Counts a stage's steps and seconds. ``seconds``: the stage's time, or None where the number of steps decides.

    Time in which no step is made (``pause``) counts for the end of the stage and not for its pace.
    """

    def __init__(
        self, steps: int, seconds: float | None = None, now: Callable[[], float] = time.monotonic, before_s: float = 0.0
    ) -> None:
        self.most, self.seconds, self.now = steps, seconds, now
        self.began, self.paused, self.made = now(), 0.0, 0
        self.before_s = before_s  # of an earlier run that is resumed

    @property
    def spent_s(self) -> float:
        """Seconds since the stage began, earlier runs included."""
        return self.before_s + self.now() - self.began

    @property
    def pace_s(self) -> float:
        """Seconds a step of this run, without what was paused."""
        return (self.now() - self.began - self.paused) / max(1, self.made)

    def progress(self, step: int) -> float:
        """Return how much of the training is done after ``step`` steps, 0 to 1."""
        by_steps = step / max(1, self.most)
        if self.seconds is None:
            return by_steps
        whole = TRAINING_SHARE * (self.before_s + self.seconds)
        return min(1.0, max(by_steps, self.spent_s / whole))

    def over(self, step: int) -> bool:
        """Return whether the training ends after ``step`` steps. At least one is made."""
        return step >= self.most or (self.seconds is not None and step > 0 and self.progress(step) >= 1.0)

    def planned(self, step: int) -> int:
        """Return how many steps the stage will have, at the pace so far."""
        if self.seconds is None or step < 1:
            return self.most
        return min(self.most, max(step, round(step / max(self.progress(step), 1e-6))))

    def pause(self, seconds: float) -> None:
        """Take ``seconds`` out of the pace."""
        self.paused += seconds


def stage_seconds(stage: str, left: list[str], left_s: float) -> float:
    """Return the seconds of ``stage``, the first of the stages ``left``, out of ``left_s``: by weight, so that what a stage leaves over goes to the
    later ones."""
    whole = sum(STAGE_WEIGHTS.get(name, 1.0) for name in left)
    return max(1.0, left_s * STAGE_WEIGHTS.get(stage, 1.0) / whole)


def parse_duration(text: str) -> float:
    """Return the seconds of "90s", "10m", "1.5h" or a plain number of minutes. Raises ValueError."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    text = text.strip().lower()
    unit = units.get(text[-1:])
    seconds = float(text[:-1] if unit is not None else text) * (unit if unit is not None else 60.0)
    if not 0 < seconds < float("inf"):
        raise ValueError(text)
    return seconds
