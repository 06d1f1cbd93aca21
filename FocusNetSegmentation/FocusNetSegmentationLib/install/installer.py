"""Does the steps of an installation in processes of their own, so that Slicer stays alive and Cancel works; explains what went wrong."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..process.background import BackgroundCommand
from ..process.worker_protocol import WorkerProcess, find_python, worker_environment
from .failures import explain_failure
from .plan import Step, changed_while_loaded
from .preflight import parse_probe, torch_item

OUTPUT_LINES = 2000
PROGRESS = re.compile(r"^Progress (\d+) of (\d+)$")  # pip's --progress-bar raw: bytes of one download
WEIGHTS = {"packages": 1.0, "torch": 8.0, "smoke": 0.5}  # how long the kinds of step take, compared


@dataclass(frozen=True)
class InstallReport:
    """``message``: for a person. ``details``: what pip wrote. ``restart``: Slicer has an older copy of something in memory."""

    ok: bool
    message: str
    details: str = ""
    restart: bool = False
    cancelled: bool = False


@dataclass(frozen=True)
class InstallCallbacks:
    """``on_progress(title, fraction, line)``, then ``on_end(report)`` once."""

    on_end: Callable[[InstallReport], object]
    on_progress: Callable[[str, float, str], object] = lambda *_: None


class Installer:
    """One installation. A step that fails does not keep the others from being tried; the test at the end is left out then.

    ``make_process``: for each command; a QProcess in Slicer. ``python``: Slicer's own if none is given.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        tell: InstallCallbacks,
        make_process: Callable[[], WorkerProcess | None] = lambda: None,
        python: str | None = None,
    ) -> None:
        self.steps, self.tell, self.make_process, self.python = tuple(steps), tell, make_process, python
        self.is_running = False
        self.command: BackgroundCommand | None = None
        self._lines: list[str] = []
        self._problems: list[str] = []
        self._done: list[Step] = []
        self._queue: list[
            tuple[Step, tuple[str, ...], bool]
        ] = []  # step, arguments, whether it is the step's last command

    @property
    def details(self) -> str:
        return "\n".join(self._lines[-OUTPUT_LINES:])

    def start(self) -> None:
        """Begin, and return at once."""
        self.is_running = True
        self._queue = [(s, c, c is s.commands[-1]) for s in self.steps for c in s.commands]
        self._next()

    def cancel(self) -> None:
        """Kill what runs. What is installed already stays."""
        if self.is_running:
            self.close()
            self.tell.on_end(
                InstallReport(
                    False, "The installation was cancelled. Press Install to go on.", self.details, cancelled=True
                )
            )

    def close(self) -> None:
        """End without a word: Slicer is closing."""
        self.is_running = False
        if self.command is not None:
            self.command.stop()
            self.command = None

    def wait(self, timeout_s: float = 0.1) -> None:
        """Wait for something to happen; for scripts and tests, where no event loop runs."""
        if self.command is not None:
            self.command.wait(timeout_s)

    def _next(self) -> None:
        if self._problems:  # what was not installed cannot be tested
            self._queue = [entry for entry in self._queue if entry[0].kind != "smoke"]
        if not self._queue:
            self._end()
            return
        step, arguments, last = self._queue.pop(0)
        self._line(step, step.title)
        self.command = BackgroundCommand(
            lambda status, out, err: self._ended(step, last, status, out, err),
            self.make_process(),
            lambda line: self._line(step, line),
        )
        try:
            program = self.python or find_python()
        except FileNotFoundError as problem:
            self._ended(step, last, 127, "", str(problem))
            return
        self.command.start(program, list(arguments), worker_environment_for(self), ends_with_us=True)

    def _line(self, step: Step, line: str) -> None:
        found = PROGRESS.match(line.strip())
        within = int(found[1]) / max(1, int(found[2])) if found else 0.0
        if not found:
            self._lines.append(line.rstrip())
        self.tell.on_progress(step.title, self._fraction(step, min(1.0, within)), "" if found else line.strip())

    def _fraction(self, step: Step, within: float) -> float:
        weights = [WEIGHTS[s.kind] for s in self.steps]
        place = self.steps.index(step)
        return (sum(weights[:place]) + weights[place] * within) / sum(weights)

    def _ended(self, step: Step, last: bool, status: int, out: str, err: str) -> None:
        self.command = None
        problem = ""
        if step.kind == "smoke":
            item = torch_item(parse_probe(status, out, err))
            problem = "" if item.level == "ok" or (item.level == "warning" and status == 0) else item.text
        elif status != 0:
            offline = any("--no-index" in command for command in step.commands)
            problem = explain_failure(f"{out}\n{err}", offline)
        if problem:
            self._problems.append(problem)
            self._queue = [entry for entry in self._queue if entry[0] is not step]
        elif last:
            self._done.append(step)
        self._next()

    def _end(self) -> None:
        self.is_running = False
        importlib.invalidate_caches()
        self.tell.on_progress("Done", 1.0, "")
        if self._problems:
            self.tell.on_end(InstallReport(False, " ".join(dict.fromkeys(self._problems)), self.details))
            return
        restart = changed_while_loaded(tuple(self._done))
        tested = any(step.kind == "smoke" for step in self._done)
        text = "Everything is installed and works." if tested else "The packages are installed."
        self.tell.on_end(
            InstallReport(True, text + (" Restart Slicer before you use it." if restart else ""), self.details, restart)
        )


def worker_environment_for(installer: Installer) -> dict[str, str]:
    """Return what is added to the environment of an installer's processes: a mark of its own, by which all of them are found."""
    return worker_environment(f"install-{id(installer):x}")
