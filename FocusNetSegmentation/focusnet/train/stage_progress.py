"""How far the stages of a run are, read from the CSV files in its folder. No torch: Slicer and other computers ask as well."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path

from .setup.run_manifest import read_manifest


@dataclass(frozen=True)
class StageProgress:
    """One stage as its log files have it. ``step`` is 0 and ``loss`` and ``seconds_per_step`` are None before the first report.

    ``scores``: the last validation by name ("score" selects the model), made at ``scores_step``. ``written``: when the last
    report was written, in seconds since 1970; 0 before the first. ``ended``: the bundle was written after it.
    """

    stage: str
    steps: int
    step: int = 0
    loss: float | None = None
    seconds_per_step: float | None = None
    scores: dict[str, float] = field(default_factory=dict)
    scores_step: int = 0
    written: float = 0.0
    ended: bool = False

    @property
    def done(self) -> bool:
        """Whether all steps were made, or the stage ended before."""
        return self.ended or self.step >= self.steps

    @property
    def minutes_left(self) -> float | None:
        """Minutes to the end of this stage at the last pace; None before the first report."""
        if self.seconds_per_step is None:
            return None
        return max(0, self.steps - self.step) * self.seconds_per_step / 60


def read_progress(out: Path) -> list[StageProgress]:
    """Return the stages of the run in ``out``, in the order in which they run. Raises ConfigError where there is no run."""
    return [_stage(out, name, int(settings["steps"])) for name, settings in read_manifest(out)["settings"].items()]


def current_stage(stages: list[StageProgress]) -> StageProgress | None:
    """Return the stage that reported last; None before the first report."""
    reported = [(stage.written, number) for number, stage in enumerate(stages) if stage.written]
    return stages[max(reported)[1]] if reported else None


def _stage(out: Path, name: str, steps: int) -> StageProgress:
    path = out / f"{name}.csv"
    row, scores = _last_row(path), _last_row(out / f"{name}.validation.csv")
    if not row:
        return StageProgress(name, steps)
    return StageProgress(
        name,
        steps,
        int(row["step"]),
        float(row["loss"]),
        float(row["seconds_per_step"]),
        {key: float(value) for key, value in scores.items() if key != "step"},
        int(scores.get("step", 0)),
        path.stat().st_mtime,
        _bundle_written(out) >= path.stat().st_mtime,
    )


def _bundle_written(out: Path) -> float:
    """Return when the run's bundle was written, in seconds since 1970; 0 before that."""
    try:
        return (out / "bundle" / "bundle.json").stat().st_mtime
    except OSError:
        return 0.0


def _last_row(path: Path) -> dict[str, str]:
    """Return the last whole row of a CSV file; empty where there is none yet."""
    try:
        with path.open(newline="", encoding="utf-8") as handle:
            rows = [row for row in csv.DictReader(handle) if None not in row.values()]
    except OSError:
        return {}
    return rows[-1] if rows else {}
