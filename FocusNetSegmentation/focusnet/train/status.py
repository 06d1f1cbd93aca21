"""How a run stands, in words, from its files alone: another computer that sees the folder can ask."""

from __future__ import annotations

import time
from pathlib import Path

from ..wording import counted
from .heartbeat import RunState, read_state
from .setup.run_manifest import MANIFEST, read_manifest
from .setup.tune_options import OLD_ANSWERS
from .stage_progress import StageProgress, read_progress


def status_text(out: Path, now: float | None = None) -> str:
    """Return one line per stage: done, going on (with the time left at the last pace) or waiting.

    ``now``: seconds since 1970 (default: the clock's). Raises ConfigError for a folder that is no run.
    """
    state = read_state(out)
    if not (out / MANIFEST).is_file() and (begun := _before_the_steps(out, state)):
        return "\n".join([f"{out}: {begun}", *(_heard(state, now) if state is not None else ())])
    manifest, stages = read_manifest(out), read_progress(out)
    cases = int(manifest["data"].split()[0])
    lines = [f"{out}: preset {manifest['preset']}, {counted(cases, 'training case')}, started {manifest['started']}"]
    running = state if state is not None and state.alive else None
    lines += [_line(stage, running) for stage in stages]
    if (out / "bundle" / "bundle.json").is_file():
        lines.append(f"  bundle {out / 'bundle'}")
    newest = max((stage.written for stage in stages), default=0.0)
    if state is not None:
        lines += _heard(state, now)
    elif newest:
        ago = (time.time() if now is None else now) - newest
        lines.append(f"  last written {ago / 60:.0f} min ago" if ago >= 120 else f"  last written {ago:.0f} s ago")
    return "\n".join(lines)


def _before_the_steps(out: Path, state: RunState | None) -> str:
    """What a run does that has not begun with its first stage; "" where nothing tells."""
    if (out / OLD_ANSWERS).is_dir():
        done = len(list((out / OLD_ANSWERS).glob("[!.]*.nrrd")))
        return f"fine-tuning, the old model's answers are being computed: {counted(done, 'case')} so far"
    return state.doing if state is not None else ""


def _heard(state: RunState, now: float | None) -> list[str]:
    """What the process does, or that it is gone."""
    ago_s = max(0.0, (time.time() if now is None else now) - state.written)
    ago = f"{ago_s / 60:.0f} min ago" if ago_s >= 120 else f"{ago_s:.0f} s ago"
    if state.ended:
        return [f"  {state.doing}, {ago}"]
    if not state.alive:
        return [
            f"  the process ended without a word, {ago}, while: {state.doing}. The same command with --resume goes on"
        ]
    return [f"  now: {state.doing} (written {ago})"]


def _line(stage: StageProgress, now: RunState | None) -> str:
    if stage.loss is None and now is not None and now.stage == stage.stage:
        return f"  {stage.stage:<6} running, step {now.step} of {now.steps or stage.steps}"
    if stage.loss is None:
        return f"  {stage.stage:<6} waiting, {stage.steps} steps"
    state = "done   " if stage.done else f"{100 * stage.step // stage.steps:3d} %  "
    text = f"  {stage.stage:<6} {state} step {stage.step} of {max(stage.step, stage.steps)}, loss {stage.loss:.4f}"
    if not stage.done:
        text += f", {stage.seconds_per_step} s/step, {stage.minutes_left:.0f} min left in this stage"
    if stage.scores:
        text += f", {_score_in_words(stage)} at step {stage.scores_step}"
    return text


def _score_in_words(stage: StageProgress) -> str:
    """Word the score by which a stage is selected; SOL-Net's is a distance with a minus, so that higher is better."""
    score = stage.scores["score"]
    if stage.stage == "sol":
        return f"validation: {-score:.1f} mm from the organs' centres"
    return f"validation: mean Dice {score:.4f}"
