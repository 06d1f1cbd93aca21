"""The log of a stage: a live line on a terminal, one message a checkpoint elsewhere, CSV files and, where it is installed,
TensorBoard's."""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import OutputError
from ...files.atomic_write import atomic_path
from ...files.disk import append_whole, reason
from ..heartbeat import tell
from ..logger import LOGGER, stderr_handler
from .tensorboard import open_writer


class TrainingLog:
    """Losses since the last report, pace and time left of one stage. ``updates``: names in order; the first is the stage's own.

    Rows of the CSV files after ``first_step`` are dropped: those steps will be taken again. Raises OutputError.
    """

    def __init__(self, out: Path, stage: str, updates: tuple[str, ...], first_step: int, steps: int) -> None:
        self.out, self.stage, self.updates, self.steps = out, stage, updates, steps
        self.recent: dict[str, list[float]] = {name: [] for name in updates}
        self.pace_s, self.other_s_a_step = 0.0, 0.0  # of training alone; of validations and checkpoints
        self.started, self.first, self.paused = time.monotonic(), first_step, 0.0
        for path in (self._csv, self._validation_csv):
            forget_after(path, first_step)
        folder = out / "tensorboard" / stage
        try:
            self._curves = open_writer(folder, first_step)
        except OSError as problem:
            raise _unwritable(folder, problem) from problem
        self.trouble: OutputError | None = None
        self._bar: Any = None
        handler = stderr_handler()
        if handler is not None and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = handler.bar = tqdm(total=steps, initial=first_step, desc=stage, unit="step", file=sys.stderr)

    @property
    def _csv(self) -> Path:
        return self.out / f"{self.stage}.csv"

    @property
    def _validation_csv(self) -> Path:
        return self.out / f"{self.stage}.validation.csv"

    def add(self, update: str, loss: float) -> None:
        """Take the loss of one update of one batch."""
        self.recent[update].append(loss)

    def tick(self, step: int) -> None:
        """Note that ``step`` steps are made, for the progress bar and whoever asks for the run's state."""
        losses = self.recent[self.updates[0]]
        loss = f", loss {losses[-1]:.4f}" if losses else ""
        self._measure(step)
        tell(f"{self.stage} step {step}/{self.steps}{loss}, {self._left(step)}", self.stage, step, self.steps)
        if self._bar is not None and losses:
            self._bar.set_postfix_str(f"loss {self.recent[self.updates[0]][-1]:.4f}", refresh=False)
            self._bar.update(1)

    @contextmanager
    def pausing(self, doing: str) -> Iterator[None]:
        """Keep what is done in the block, a validation or a checkpoint, out of the pace of a step."""
        began = time.monotonic()
        tell(doing)
        try:
            yield
        finally:
            lasted = time.monotonic() - began
            if self.pace_s:
                self.paused += lasted
            else:  # before the first step: it will not come again
                self.started += lasted

    def _measure(self, step: int) -> None:
        made = max(1, step - self.first)
        self.pace_s = (time.monotonic() - self.started - self.paused) / made
        self.other_s_a_step = self.paused / made

    def _left(self, step: int) -> str:
        """The pace, and the time to the end of the stage, validations and checkpoints as often as so far."""
        left_s = (self.pace_s + self.other_s_a_step) * max(0, self.steps - step)
        left = f"{left_s / 60:.0f} min" if left_s >= 90 else f"{left_s:.0f} s"
        return f"{self.pace_s:.2f} s/step, {left} left"

    def report(self, step: int) -> None:
        """Write one row of STAGE.csv and one message: mean losses since the last report, seconds per step without validations, time left."""
        means = [float(np.mean(values)) for values in self.recent.values()]
        self._measure(step)
        pace = self.pace_s
        others = {f"loss_{name}": round(mean, 5) for name, mean in zip(self.updates[1:], means[1:], strict=True)}
        row = {"step": step, "loss": round(means[0], 5), "seconds_per_step": round(pace, 4), **others}
        curves = {f"loss/{n}": m for n, m in zip(self.updates, means, strict=True)}
        self._attempt(lambda: append_csv(self._csv, row))
        self._attempt(lambda: self._add_curves(step, curves))
        more = "".join(f", {name} loss {mean:.4f}" for name, mean in zip(self.updates[1:], means[1:], strict=True))
        LOGGER.info(f"{self.stage} step {step}/{self.steps}: loss {means[0]:.4f}, {self._left(step)}{more}")
        for values in self.recent.values():
            values.clear()

    def validated(self, step: int, scores: dict[str, float]) -> None:
        """Write one row of STAGE.validation.csv and one message."""
        self._attempt(lambda: append_csv(self._validation_csv, {"step": step, **scores}))
        self._attempt(lambda: self._add_curves(step, {f"validation/{name}": value for name, value in scores.items()}))
        LOGGER.info(f"{self.stage} step {step}: " + " ".join(f"{k} {v:.4f}" for k, v in scores.items()))

    def picture(self, draw: Callable[[Path, int], None], step: int) -> None:
        """Have ``draw`` write the picture of a validation; it takes the file and the step."""
        path = self.out / "pictures" / f"{self.stage}-{step:06d}.png"

        def attempt() -> None:
            try:
                draw(path, step)
            except OutputError as problem:
                raise OutputError(f"{problem} No checkpoint is lost: resume then.") from problem

        self._attempt(attempt)

    def close(self) -> None:
        """Close the progress bar and TensorBoard's file."""
        handler = stderr_handler()
        if self._bar is not None:
            self._bar.close()
            if handler is not None:
                handler.bar = None
        if self._curves is not None:
            self._curves.close()

    def _attempt(self, write: Callable[[], None]) -> None:
        """Keep the first OutputError in ``trouble`` until the training has saved a checkpoint; log nothing more after it."""
        if self.trouble is not None:
            return
        try:
            write()
        except OutputError as problem:
            self.trouble = problem

    def _add_curves(self, step: int, values: dict[str, float]) -> None:
        if self._curves is None:
            return
        try:
            self._curves.add(step, values)
        except OSError as problem:
            raise _unwritable(self._curves.folder, problem) from problem


def append_csv(path: Path, row: dict[str, float]) -> None:
    """Add a row to a CSV file, whole or not at all; the first one brings the header. Raises OutputError."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(row))
    if not path.exists():
        writer.writeheader()
    writer.writerow(row)
    try:
        append_whole(path, text.getvalue().encode())
    except OSError as problem:
        raise _unwritable(path, problem) from problem


def forget_after(path: Path, step: int) -> None:
    """Drop rows of steps that will be taken again, and what a killed process left of a row. Raises OutputError."""
    if not path.is_file():
        return
    text = path.read_text(encoding="utf-8")
    header, *rows = text.splitlines() or [""]
    if not text.endswith("\n"):
        rows = rows[:-1]  # torn, even where every column has a value: the last one may have lost digits
    columns = header.count(",")
    kept = [r for r in rows if r.count(",") == columns and r.split(",")[0].isdigit() and int(r.split(",")[0]) <= step]
    rewritten = "\n".join([header, *kept]) + "\n"
    if not kept:
        path.unlink()
    elif len(rewritten.splitlines()) < len(text.splitlines()):
        with atomic_path(path) as partial:
            partial.write_text(rewritten, encoding="utf-8")


def _unwritable(path: Path, problem: OSError) -> OutputError:
    return OutputError(
        f"{path} cannot be written ({reason(problem, path)}); no checkpoint is lost. Free some space and resume."
    )
