"""Training from Slicer's Python console: a background process that goes on when Slicer is closed, and how it stands.

Everything about a run lies in its own folder: ``run.json`` (command, process, when), ``train.log``, checkpoints, ``bundle/``. No
Slicer here: any Python can look at a run, and another Slicer can stop or resume it.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from focusnet.errors import ConfigError, DatasetError, ModelError
from focusnet.nets.bundle import MODELS_VARIABLE, user_models_folder
from focusnet.train.stage_progress import StageProgress, current_stage, read_progress

from .process_tree import is_alive, kill_tree, run_is_alive
from .worker_protocol import explain_end, find_python, worker_environment

RECORD, LOG = "run.json", "train.log"
RUNS = "training-runs.json"
STARTED = "--- started "  # begins each start's part of the log
TAIL_BYTES = 1 << 20
REGISTER_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class TrainingRun:
    """The contents of ``run.json``. ``mark`` is in the environment of every process of the run."""

    out: Path
    dataset: Path
    preset: str = "paper"
    config: Path | None = None
    stages: tuple[str, ...] = ()
    pid: int = 0
    mark: str = ""
    started: str = ""
    stopped: bool = False
    more: tuple[str, ...] = ()  # further arguments of the command
    fine_tunes: str = ""  # the model that is fine-tuned; "" for ``focusnet train``

    def arguments(self, resume: bool) -> list[str]:
        """Return the arguments of ``focusnet``."""
        if self.fine_tunes:
            start = ["finetune", str(self.dataset), "--from", self.fine_tunes, "--out", str(self.out)]
            return [*start, *self.more, *(["--resume"] if resume else [])]
        arguments = ["train", "--dataset", str(self.dataset), "--out", str(self.out), "--preset", self.preset]
        if self.config is not None:
            arguments += ["--config", str(self.config)]
        if self.stages:
            arguments += ["--stages", ",".join(self.stages)]
        return [*arguments, *self.more, *(["--resume"] if resume else [])]


@dataclass(frozen=True)
class TrainingProgress:
    """How a run stands. ``state``: "running", "finished", "stopped" (by a person), "failed" (``message`` says why) or "interrupted"
    (killed from outside, for instance by a restart; ``resume`` goes on).

    The rest is the stage that reported last (``focusnet.train.stage_progress.StageProgress``), empty before its first report.
    ``scores``: that stage's last validation, by name.
    """

    out: Path
    state: str
    message: str = ""
    stage: str = ""
    step: int = 0
    steps: int = 0
    loss: float | None = None
    seconds_per_step: float | None = None
    minutes_left: int | None = None
    scores: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of_stage(cls, out: Path, state: str, message: str, stage: StageProgress | None) -> TrainingProgress:
        """Return a run's state together with the stage that reported last."""
        if stage is None:
            return cls(out, state, message)
        left = None if stage.minutes_left is None else round(stage.minutes_left)
        return cls(
            out, state, message, stage.stage, stage.step, stage.steps, stage.loss, stage.seconds_per_step, left, stage.scores
        )  # fmt: skip

    def __str__(self) -> str:
        parts = [f"{self.out.name}: {self.state}"]
        if self.steps:
            parts.append(
                f"{self.stage} step {self.step} of {self.steps}, loss {self.loss}, {self.minutes_left} min left in this stage"
            )
        if self.scores:
            parts.append("validation " + " ".join(f"{name} {value:.3f}" for name, value in self.scores.items()))
        return "; ".join([*parts, *filter(None, [self.message])])


class FocusNetTrainingLogic:
    """Start, watch, stop, resume and register training runs. ``python``: Slicer's own if none is given. ``folder``: where the list of
    runs is kept; the models folder's parent if none is given.

    ``run`` arguments take a run's folder or a TrainingRun; without one the last run that was started here, or any, is meant.
    """

    def __init__(self, python: str | None = None, folder: Path | str | None = None) -> None:
        self.python = python
        self.folder = Path(folder) if folder is not None else _data_folder()
        self._last: Path | None = None

    def start(
        self,
        dataset: Path | str,
        out: Path | str,
        preset: str = "paper",
        config: Path | str | None = None,
        resume: bool = False,
        stages: Sequence[str] = (),
        more: Sequence[str] = (),
    ) -> TrainingRun:
        """Start in the background and return at once. Raises DatasetError for what can be told now; the rest is in ``progress``.

        ``more``: further arguments of ``focusnet train``, as in ``["--init", "han7-openkbp", "--steps", "2000"]``.
        """
        record = TrainingRun(
            Path(out).expanduser().resolve(),
            Path(dataset).expanduser().resolve(),
            preset,
            None if config is None else Path(config).expanduser().resolve(),
            tuple(stages),
            more=tuple(more),
        )
        if record.config is not None and not record.config.is_file():
            raise ConfigError(f"The configuration {record.config} does not exist; give a TOML file.")
        return self._launch(record, resume)

    def fine_tune(
        self,
        dataset: Path | str,
        model: str = "han7-openkbp",
        out: Path | str | None = None,
        resume: bool = False,
        more: Sequence[str] = (),
    ) -> TrainingRun:
        """Start ``focusnet finetune`` in the background: a new version of ``model`` from corrected cases (docs/learning.md).

        ``dataset``: a training set of ``focusnet collect``, or any other. ``out``: the run's folder; by default a new one beside the user's
        models. ``more``: further arguments. Raises DatasetError for what can be told now; the rest is in ``progress``.
        """
        if out is None:
            out = self.folder / "fine-tuned" / f"{Path(model).name}-{time.strftime('%Y%m%d-%H%M%S')}"
        record = TrainingRun(
            Path(out).expanduser().resolve(),
            Path(dataset).expanduser().resolve(),
            more=tuple(more),
            fine_tunes=str(model),
        )
        return self._launch(record, resume)

    def resume(self, run: TrainingRun | Path | str | None = None) -> TrainingRun:
        """Go on from the last checkpoint, with the settings that the run was started with."""
        return self._launch(self.find(run), True)

    def stop(self, run: TrainingRun | Path | str | None = None) -> TrainingProgress:
        """Kill the run; checkpoints are written whole, so at most the steps since the last one are lost."""
        record = self.find(run)
        survivors = kill_tree(record.pid if is_alive(record.pid, record.mark) else None, record.mark, timeout_s=5.0)
        if survivors:
            raise ConfigError(
                f"The run in {record.out} could not be stopped (processes {survivors}); end them by hand."
            )
        if self.progress(record).state == "interrupted":
            _write_json(record.out / RECORD, _plain({**asdict(record), "stopped": True}))
        return self.progress(record.out)

    def progress(self, run: TrainingRun | Path | str | None = None) -> TrainingProgress:
        """Return how a run stands, from its folder alone."""
        record = self.find(run)
        running = run_is_alive(
            record.mark
        )  # before the log is read: a run that ends in between has written its last line by then
        lines = _log_lines(record.out / LOG)
        state, message = ("running", "") if running else _end(record, lines)
        return TrainingProgress.of_stage(record.out, state, message, _reported(record.out))

    def log(self, run: TrainingRun | Path | str | None = None, lines: int = 20) -> str:
        """Return the last lines that the run wrote."""
        return "\n".join(_log_lines(self.find(run).out / LOG)[-lines:])

    def list_runs(self) -> list[TrainingProgress]:
        """Return every run that was started from this computer's Slicer and still has its folder, the newest last."""
        return [self.progress(out) for out in self._known() if (out / RECORD).is_file()]

    def register(self, run: TrainingRun | Path | str | None = None, overwrite: bool = False) -> str:
        """Install the run's bundle among the user's models and return its name. Raises ModelError."""
        out = self.find(run).out
        if not (out / "bundle" / "bundle.json").is_file():
            raise ModelError(f"{out} holds no bundle yet ({self.progress(out).state}); a finished run writes one.")
        # in a process of its own, because checking a bundle imports torch
        arguments = ["models", "install", str(out / "bundle"), *(["--overwrite"] if overwrite else [])]
        done = subprocess.run(
            [self.python or find_python(), "-m", "focusnet", *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            env={**os.environ, **worker_environment("")},
            timeout=REGISTER_TIMEOUT_S,
            check=False,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        if done.returncode != 0:
            raise ModelError(_refusal(done.stderr.splitlines()) or explain_end(done.returncode, False, done.stderr))
        manifest = json.loads((out / "bundle" / "bundle.json").read_text(encoding="utf-8"))
        return str(manifest["name"])

    def find(self, run: TrainingRun | Path | str | None = None) -> TrainingRun:
        """Return the run as its folder has it now. Raises DatasetError."""
        known = self._known()
        out = run.out if isinstance(run, TrainingRun) else run if run is not None else self._last
        if out is None and not known:
            raise ConfigError("No training run is known; start one, or give the folder of one.")
        out = Path(out if out is not None else known[-1]).expanduser().resolve()
        try:
            values = json.loads((out / RECORD).read_text(encoding="utf-8"))
            config = values.get("config")
            return TrainingRun(
                out,
                Path(values["dataset"]),
                values["preset"],
                Path(config) if config else None,
                tuple(values["stages"]),
                int(values["pid"]),
                values["mark"],
                values["started"],
                bool(values["stopped"]),
                tuple(values.get("more", ())),
                str(values.get("fine_tunes", "")),
            )
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise ConfigError(f"{out} is no training run of this extension (no readable {RECORD}).") from problem

    def _launch(self, record: TrainingRun, resume: bool) -> TrainingRun:
        out = record.out
        if not record.dataset.is_dir():  # what is in it is for the command to judge, which reads every layout
            raise DatasetError(
                f"{record.dataset} is no folder; the folder of a data set is expected, in any layout of docs/datasets.md."
            )
        if (out / RECORD).is_file() and run_is_alive(self.find(out).mark):
            raise ConfigError(f"A run in {out} is going on already; stop it first or choose another folder.")
        if not resume and any(out.glob("*.last.safetensors")):
            raise ConfigError(f"{out} holds a run already; resume it or choose another folder.")
        mark = uuid.uuid4().hex
        started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        try:
            out.mkdir(parents=True, exist_ok=True)
            with (out / LOG).open("ab") as log:
                log.write(f"{STARTED}{started}\n".encode())
                log.flush()
                process = subprocess.Popen(
                    [self.python or find_python(), "-m", "focusnet", *record.arguments(resume)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=out,
                    env={**os.environ, **worker_environment(mark)},
                    start_new_session=os.name == "posix",  # neither Slicer's end nor Ctrl+C in its terminal reaches it
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0)
                    | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
                )
            _forget(process)
            record = replace(record, pid=process.pid, mark=mark, started=started, stopped=False)
            _write_json(out / RECORD, _plain(asdict(record)))
        except OSError as problem:
            raise ConfigError(f"The run cannot be started in {out} ({problem.strerror or problem}).") from problem
        self._last = out
        self._remember(out)
        return record

    def _known(self) -> list[Path]:
        try:
            return [Path(p) for p in json.loads((self.folder / RUNS).read_text(encoding="utf-8"))]
        except (OSError, ValueError, TypeError):
            return []

    def _remember(self, out: Path) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write_json(self.folder / RUNS, [str(p) for p in [*(k for k in self._known() if k != out), out]])
        except OSError:
            pass  # only the list is lost: the run itself is found by its folder


def _end(record: TrainingRun, lines: list[str]) -> tuple[str, str]:
    """Return state and message of a run that is no longer alive."""
    if any(line.startswith("Wrote the bundle " if not record.fine_tunes else "Wrote ") for line in lines):
        return "finished", ""
    if record.stopped:
        return "stopped", "resume() goes on from the last checkpoint."
    refusal = _refusal(lines)
    if refusal:
        return "failed", refusal
    text = "\n".join(lines[-50:])
    if "Traceback" in text or "Error" in text or "No module named" in text:
        return "failed", explain_end(1, False, text)
    return "interrupted", "It ended without a word: the computer was restarted, or memory ran out. resume() goes on."


def _reported(out: Path) -> StageProgress | None:
    """Return the stage that reported last; None while the run still reads its data."""
    try:
        return current_stage(read_progress(out))
    except ConfigError:
        return None


def _refusal(lines: Sequence[str]) -> str:
    """Return what ``focusnet`` itself said last, without its name."""
    said = [line.removeprefix("focusnet: ") for line in lines if line.startswith("focusnet: ")]
    return said[-1].strip() if said else ""


def _log_lines(path: Path) -> list[str]:
    """Return the lines that were written since the last start, as far as they fit into TAIL_BYTES."""
    try:
        with path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - TAIL_BYTES))
            lines = log.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    starts = [number for number, line in enumerate(lines) if line.startswith(STARTED)]
    return lines[starts[-1] + 1 :] if starts else lines


def _forget(process: subprocess.Popen[bytes]) -> None:
    """Let the process outlive this object without a warning, and do not leave a zombie while Slicer runs."""
    import threading

    threading.Thread(target=process.wait, daemon=True).start()


def _data_folder() -> Path:
    if os.environ.get(MODELS_VARIABLE):
        return Path(os.environ[MODELS_VARIABLE]).expanduser().parent
    try:
        return user_models_folder().parent
    except ImportError:  # platformdirs comes with the installation
        return Path.home() / ".focusnet"


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}


def _write_json(path: Path, value: Any) -> None:
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    partial.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, path)
