"""What a run is doing, at every moment: a small file beside its checkpoints, and a line in the log when nothing else was said for a while.
No torch: Slicer and other computers read the file."""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from .logger import LOGGER, stderr_handler

STATE = "status.json"
QUIET_S = 15.0  # without a line before one is written: with a second's grace a person never waits for 20 s
FRESH_S = 5.0  # the file is written at least so often


@dataclass(frozen=True)
class RunState:
    """What a run is doing: ``doing`` in words; ``step`` of ``steps`` where it is training. ``written``: seconds since 1970."""

    doing: str
    stage: str = ""
    step: int = 0
    steps: int = 0
    written: float = 0.0
    pid: int = 0
    host: str = ""
    ended: bool = False

    @property
    def alive(self) -> bool:
        """Whether the process still runs, as far as this computer can know: of another computer's it is believed."""
        if self.ended or self.host != platform.node():
            return not self.ended
        with suppress(ImportError):
            import psutil

            return bool(psutil.pid_exists(self.pid))
        return True


def read_state(out: Path) -> RunState | None:
    """Return what the run in ``out`` was doing last; None where nothing is known."""
    try:
        return RunState(**json.loads((out / STATE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


class Heartbeat(logging.Handler):
    """Keeps ``out/status.json`` true and the log alive, from a thread of its own: a step, a scan or a case may take long."""

    def __init__(self, out: Path, quiet_s: float = QUIET_S) -> None:
        super().__init__()
        self.out, self.quiet_s = out, quiet_s
        self.state = RunState("starting", pid=os.getpid(), host=platform.node())
        self.since = self.spoken = time.monotonic()  # of what is being done; of the last line
        self._written = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="heartbeat", daemon=True)

    def emit(self, record: logging.LogRecord) -> None:
        """Note that a line was written."""
        self.spoken = time.monotonic()

    def tell(self, doing: str, stage: str | None, step: int | None, steps: int | None) -> None:
        """Take in what the run does now; a new ``stage`` reaches the file at once, all else within FRESH_S. None: as before."""
        before = self.state
        fresh = (stage is not None and stage != before.stage) or not self._written
        if stage is None and before.stage:
            doing = f"{before.stage} step {before.step}/{before.steps}: {doing}"
        self.since = time.monotonic()
        self.state = RunState(
            doing,
            before.stage if stage is None else stage,
            before.step if step is None else step,
            before.steps if steps is None else steps,
            pid=before.pid,
            host=before.host,
        )
        if fresh:
            self._write()

    def start(self) -> None:
        LOGGER.addHandler(self)
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        LOGGER.removeHandler(self)
        if self._thread.is_alive():
            self._thread.join()
        super().close()

    def end(self, doing: str) -> None:
        """Write the last state of the run."""
        self.state = RunState(**{**asdict(self.state), "doing": doing, "ended": True})
        if self._written:
            self._write()

    def _watch(self) -> None:
        while not self._stop.wait(min(1.0, self.quiet_s / 2)):
            now = time.monotonic()
            if self._written and now - self._written >= FRESH_S:
                self._write()
            handler = stderr_handler()
            if now - self.spoken >= self.quiet_s and (handler is None or handler.bar is None):
                for_s = now - self.since
                LOGGER.info(self.state.doing + (f" (for {for_s:.0f} s)" if for_s >= self.quiet_s else ""))

    def _write(self) -> None:
        """Write the file beside its name and rename it. A full disk must not end a training here."""
        partial = self.out / f".{STATE}.{self.state.pid}"
        state = RunState(**{**asdict(self.state), "written": time.time()})
        with suppress(OSError):
            self.out.mkdir(exist_ok=True)  # not its parents: a refused run leaves nothing behind
            partial.write_text(json.dumps(asdict(state)), encoding="utf-8")
            os.replace(partial, self.out / STATE)
        self._written = time.monotonic()


_current: list[Heartbeat] = []


def tell(doing: str, stage: str | None = None, step: int | None = None, steps: int | None = None) -> None:
    """Say what the run does now, in which stage and at which step of how many (None: as before); nothing outside of ``heartbeat``."""
    if _current:
        _current[-1].tell(doing, stage, step, steps)


@contextmanager
def heartbeat(out: Path, active: bool = True, quiet_s: float = QUIET_S) -> Iterator[None]:
    """Keep a run's state file and log alive while the block runs. The file is there from the first ``tell`` on.

    A run that is refused before it began leaves nothing behind. ``active``: False in all but the first process of a group. Within another one
    it does nothing.
    """
    if not active or _current:
        yield
        return
    existed = out.exists()
    beat = Heartbeat(out, quiet_s)
    _current.append(beat)
    beat.start()
    try:
        yield
    except BaseException as problem:
        beat.close()
        beat.end(_last_words(problem))
        _forget_empty(out, existed)
        raise
    else:
        beat.close()
        beat.end("done")
    finally:
        _current.remove(beat)


def _last_words(problem: BaseException) -> str:
    """What ended a run, in a line."""
    if isinstance(problem, KeyboardInterrupt):
        return "stopped"
    return f"stopped: {(str(problem) or type(problem).__name__).splitlines()[0]}"


def _forget_empty(out: Path, existed: bool) -> None:
    """Remove a folder in which a refused run left its state alone."""
    with suppress(OSError):
        if {path.name for path in out.iterdir()} <= {STATE}:
            (out / STATE).unlink(missing_ok=True)
            if not existed:
                shutil.rmtree(out, ignore_errors=True)
