"""How a run stands, from its files alone: another computer that sees the folder can ask."""

from __future__ import annotations

import csv
import time
from pathlib import Path

from ..wording import counted
from .setup.run_manifest import read_manifest


def status_text(out: Path, now: float | None = None) -> str:
    """One line per stage: done, going on (with the time left at the last pace) or waiting. Raises DatasetError for another folder."""
    manifest = read_manifest(out)
    cases = int(manifest["data"].split()[0])
    lines = [f"{out}: preset {manifest['preset']}, {counted(cases, 'training case')}, started {manifest['started']}"]
    newest = 0.0
    for stage, settings in manifest["settings"].items():
        rows, scores = _last_row(out / f"{stage}.csv"), _last_row(out / f"{stage}.validation.csv")
        steps = settings["steps"]
        if not rows:
            lines.append(f"  {stage:<6} waiting, {steps} steps")
            continue
        newest = max(newest, (out / f"{stage}.csv").stat().st_mtime)
        step, left = int(rows["step"]), (steps - int(rows["step"])) * float(rows["seconds_per_step"])
        state = "done   " if step >= steps else f"{100 * step // steps:3d} %  "
        text = f"  {stage:<6} {state} step {step} of {max(step, steps)}, loss {float(rows['loss']):.4f}"
        if step < steps:
            text += f", {rows['seconds_per_step']} s/step, {left / 60:.0f} min left in this stage"
        if scores:
            text += f", {_in_words(stage, float(scores['score']))} at step {scores['step']}"
        lines.append(text)
    if (out / "bundle" / "bundle.json").is_file():
        lines.append(f"  bundle {out / 'bundle'}")
    if newest:
        ago = (time.time() if now is None else now) - newest
        lines.append(f"  last written {ago / 60:.0f} min ago" if ago >= 120 else f"  last written {ago:.0f} s ago")
    return "\n".join(lines)


def _in_words(stage: str, score: float) -> str:
    """The score by which a stage is selected (``Stage.validates``); SOL-Net's is a distance with a minus, so that higher is better."""
    if stage == "sol":
        return f"validation: {-score:.1f} mm from the organs' centres"
    return f"validation: mean Dice {score:.4f}"


def _last_row(path: Path) -> dict[str, str]:
    """The last whole row of a CSV file; empty where there is none yet."""
    try:
        with path.open(newline="", encoding="utf-8") as handle:
            rows = [row for row in csv.DictReader(handle) if None not in row.values()]
    except OSError:
        return {}
    return rows[-1] if rows else {}
