"""What a run says about itself: one line a checkpoint, and CSV files beside the checkpoints."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Log = Callable[[str], None]


def to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Journal:
    """Losses since the last report, pace and time left of one stage. ``turns``: names in order; the first is the stage's own."""

    def __init__(self, out: Path, stage: str, turns: tuple[str, ...], first_step: int, steps: int, log: Log) -> None:
        self.out, self.stage, self.turns, self.steps, self.log = out, stage, turns, steps, log
        self.recent: dict[str, list[float]] = {name: [] for name in turns}
        self.started, self.first = time.monotonic(), first_step

    def add(self, turn: str, loss: float) -> None:
        self.recent[turn].append(loss)

    def report(self, step: int) -> None:
        """One row of STAGE.csv and one line: mean losses since the last report, seconds per step, minutes left."""
        means = [float(np.mean(values)) for values in self.recent.values()]
        pace = (time.monotonic() - self.started) / max(1, step - self.first)
        others = {f"loss_{name}": round(mean, 5) for name, mean in zip(self.turns[1:], means[1:], strict=True)}
        row = {"step": step, "loss": round(means[0], 5), "seconds_per_step": round(pace, 4), **others}
        append_csv(self.out / f"{self.stage}.csv", row)
        left = pace * (self.steps - step) / 60
        more = "".join(f", {name} loss {mean:.4f}" for name, mean in zip(self.turns[1:], means[1:], strict=True))
        self.log(
            f"{self.stage} step {step}/{self.steps}: loss {means[0]:.4f}, {pace:.2f} s/step, {left:.0f} min left{more}"
        )
        for values in self.recent.values():
            values.clear()

    def validated(self, step: int, scores: dict[str, float]) -> None:
        append_csv(self.out / f"{self.stage}.validation.csv", {"step": step, **scores})
        self.log(f"{self.stage} step {step}: " + " ".join(f"{k} {v:.4f}" for k, v in scores.items()))


def append_csv(path: Path, row: dict[str, float]) -> None:
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)
