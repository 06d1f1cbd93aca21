"""Installs what the preflight found missing, after the user has agreed, and explains what went wrong in one sentence.

torch comes through the PyTorch extension, which knows which build fits the driver; the rest through Slicer's own pip functions;
everything from a folder of wheels where there is no network.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .preflight import TORCH, Preflight, TorchStatus, probe_torch, torch_item

REQUESTER = "FocusNet Segmentation"
OUTPUT_LINES = 2000
NO_EXTENSION = (
    "PyTorch is installed by the PyTorch extension, which is not there. Install it with the Extensions Manager, restart Slicer and "
    "press Install again; without a network, choose a folder of wheels. In a Slicer without an Extensions Manager, type "
    "slicer.util.pip_install('torch') in its Python console."
)

Output = Callable[[str], object]


class InstallError(RuntimeError):
    """A step that failed. ``output``: what pip wrote."""

    def __init__(self, output: str) -> None:
        super().__init__(output.strip().splitlines()[-1] if output.strip() else "no reason given")
        self.output = output


class Pip(Protocol):
    def install(self, requirements: Sequence[str], options: Sequence[str], on_output: Output) -> None:
        """Raises InstallError."""


class TorchInstaller(Protocol):
    def install(self, requirement: str, reinstall: bool, on_output: Output) -> None:
        """Raises InstallError."""


@dataclass(frozen=True)
class Step:
    """``kind``: "torch", "packages" or "smoke". ``title``: what the user agrees to."""

    kind: str
    title: str
    requirements: tuple[str, ...] = ()
    reinstall: bool = False


@dataclass(frozen=True)
class InstallReport:
    """``message``: one sentence for a person. ``restart``: Slicer has an older copy of something in memory."""

    ok: bool
    message: str
    details: str = ""
    restart: bool = False
    cancelled: bool = False


def plan(found: Preflight) -> list[Step]:
    """Return the steps that make the preflight ready; empty if nothing that can be installed is missing."""
    steps = []
    if torch_item(found.torch).level == "missing":
        again = found.torch.half_installed or found.torch.version is not None
        title = "Install PyTorch again" if again else "Install PyTorch (a large download)"
        steps.append(Step("torch", title, (TORCH,), again))
    if found.missing_packages:
        names = ", ".join(requirement.partition(">=")[0] for requirement in found.missing_packages)
        steps.append(Step("packages", f"Install {names}", found.missing_packages))
    return [*steps, Step("smoke", "Test the installation with a small computation")] if steps else []


class Installer:
    """``consent(steps)`` is asked once, before anything is changed. ``on_progress(title, fraction, line)``.

    ``wheels``: a folder of wheels; then the network is not used at all. ``smoke``: runs torch in a process of its own.
    """

    def __init__(
        self,
        pip: Pip,
        torch: TorchInstaller | None,
        consent: Callable[[Sequence[Step]], bool],
        on_progress: Callable[[str, float, str], object] = lambda *_: None,
        wheels: Path | str | None = None,
        smoke: Callable[[], TorchStatus] = lambda: probe_torch(smoke=True),
    ) -> None:
        self.pip, self.torch, self.consent, self.on_progress, self.smoke = pip, torch, consent, on_progress, smoke
        self.wheels = None if wheels is None else Path(wheels)
        self._lines: list[str] = []

    def install(self, steps: Sequence[Step]) -> InstallReport:
        """Do the steps in order; stop at the first that fails."""
        if not steps:
            return InstallReport(True, "Everything is installed already.")
        if self.wheels is not None and not any(self.wheels.glob("*.whl")):
            return InstallReport(
                False, f"The folder {self.wheels} holds no wheels (*.whl). Choose the folder that holds them."
            )
        if not self.consent(list(steps)):
            return InstallReport(False, "Nothing was installed, as you chose.", cancelled=True)
        loaded = {name for name in ("torch", "numpy", "psutil", "pydicom", "nrrd") if name in sys.modules}
        self._lines = []
        for number, step in enumerate(steps):
            self._tell = lambda line, step=step, number=number: self._output(step, number / len(steps), line)
            self._tell(step.title)
            try:
                message = self._do(step)
            except InstallError as problem:
                message = explain_failure(problem.output or self.details, self.wheels is not None)
            except Exception as problem:  # a helper of Slicer's own or of the PyTorch extension
                self._tell(f"{type(problem).__name__}: {problem}")
                message = explain_failure(self.details)
            if message:
                return InstallReport(False, message, self.details)
        importlib.invalidate_caches()
        self.on_progress("Done", 1.0, "")
        changed = {r.partition(">=")[0].replace("pynrrd", "nrrd") for s in steps for r in s.requirements}
        restart = bool(changed & loaded)
        text = "Everything is installed and works." + (" Restart Slicer before you use it." if restart else "")
        return InstallReport(True, text, self.details, restart)

    @property
    def details(self) -> str:
        return "\n".join(self._lines[-OUTPUT_LINES:])

    def _output(self, step: Step, fraction: float, line: str) -> None:
        self._lines.append(line.rstrip())
        self.on_progress(step.title, fraction, line.strip())

    def _do(self, step: Step) -> str:
        """ "" if the step worked, else the sentence."""
        if step.kind == "smoke":
            item = torch_item(self.smoke())
            return item.text if item.level == "missing" else ""
        if self.wheels is not None:
            options = ["--no-index", "--find-links", str(self.wheels)]
            if step.reinstall:
                options.append("--force-reinstall")
            self.pip.install(step.requirements, options, self._tell)
        elif step.kind == "torch":
            if self.torch is None:
                return NO_EXTENSION
            self.torch.install(step.requirements[0], step.reinstall, self._tell)
        else:
            self.pip.install(step.requirements, [], self._tell)
        return ""


FAILURES = (  # what pip, light-the-torch or the system wrote, and what a person is told; the first that fits
    (r"no space left on device|errno 28|not enough space on the disk|disk quota exceeded",
     "The disk is full. Free some space (PyTorch needs several gigabytes) and press Install again."),
    (r"certificate_verify_failed|sslerror|ssl: ",
     "A certificate could not be checked; a company proxy often causes this. Ask your administrator, or install from a folder of wheels."),
    (r"proxyerror|tunnel connection failed|407 proxy",
     "The proxy refused the download. Set HTTPS_PROXY before Slicer starts, or install from a folder of wheels."),
    (r"winerror 206|filename or extension is too long|path too long|windows long path",
     "A path is too long for Windows. Turn on long paths in Windows, or install Slicer in a folder with a short name such as C:\\Slicer."),
    (r"newconnectionerror|name resolution|getaddrinfo failed|nodename nor servname|network is unreachable|connecttimeout|connection timed out"
     r"|max retries exceeded|connection refused|readtimeout|connection reset|failed to establish a new connection|no route to host",
     "There is no connection to the package server. Check the network, or install from a folder of wheels."),
    (r"driver (on your system )?is too old|cuda driver version is insufficient|driver version.*(unsupported|too old)",
     "The NVIDIA driver is too old for this build of PyTorch. Update the driver, or install the CPU build in the PyTorch module."),
    (r"winerror 32|being used by another process|text file busy|winerror 5\b.*\.(pyd|dll)",
     "A file is in use by this or another Slicer. Close all of them, start one and press Install before anything else."),
    (r"permission denied|permissionerror|winerror 5\b|access is denied|errno 13|read-only file system|externally-managed",
     "Slicer's folder cannot be written. Install Slicer in a folder of your own, or start it once as administrator to install."),
    (r"do not match the hashes|hash mismatch|bad crc|not a zip file|badzipfile|invalid wheel|has an invalid",
     "A download is damaged. Press Install again; if it stays, download the wheels on another machine."),
    (r"resolutionimpossible|conflicting dependencies|violate constraints",
     "Another extension needs other versions of the same packages. The details name them; use a separate Slicer for one of the two."),
    (r"dll load failed|cannot open shared object|undefined symbol|winerror 126|library not loaded|half installed",
     "PyTorch is only half installed. Restart Slicer, uninstall PyTorch in the PyTorch module and press Install again."),
    (r"memoryerror|cannot allocate memory|paging file is too small",
     "The computer ran out of memory during the installation. Close other programs and press Install again."),
    (r"could not find a version|no matching distribution",
     "There is no build of a package for this system and Python, or the package server was not reached. The details name it."),
    (r"subprocess-exited-with-error|failed building wheel|microsoft visual c\+\+",
     "A package would have to be compiled, which Slicer cannot do. The details name it; use a newer Slicer."),
    (r"no module named '?pip|ensurepip", "pip itself is missing in Slicer's Python. Install Slicer again."),
)  # fmt: skip


def explain_failure(output: str, offline: bool = False) -> str:
    """Return one sentence for what pip wrote. ``offline``: it was to take everything from a folder of wheels."""
    if offline and re.search(r"could not find a version|no matching distribution", output, re.IGNORECASE):
        return "The folder lacks a wheel for this Python and system. Download wheels for both, dependencies included."
    for pattern, sentence in FAILURES:
        if re.search(pattern, output, re.IGNORECASE):
            return sentence
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")] or lines
    reason = errors[-1][:200].rstrip(".") if errors else "no reason given"
    return f"The installation failed ({reason}). See the details."


class CommandPip:
    """pip as a command of another Python: without Slicer, and in tests."""

    def __init__(self, python: str, options: Sequence[str] = ()) -> None:
        self.python, self.options = python, list(options)

    def install(self, requirements: Sequence[str], options: Sequence[str], on_output: Output) -> None:
        command = [
            self.python,
            "-m",
            "pip",
            "install",
            "--no-input",
            "--disable-pip-version-check",
            *self.options,
            *options,
            *requirements,
        ]
        lines = []
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, errors="replace",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        ) as process:  # fmt: skip
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                on_output(line)
        if process.returncode != 0:
            raise InstallError("".join(lines))


class SlicerPip:
    """Slicer's own way: ``slicer.packaging.pip_ensure`` (5.12), else ``slicer.util.pip_install``. Call it on the main thread."""

    def __init__(self, slicer: Any = None) -> None:
        self.slicer = slicer if slicer is not None else importlib.import_module("slicer")

    def install(self, requirements: Sequence[str], options: Sequence[str], on_output: Output) -> None:
        with captured(on_output):
            ensure = None if options else self._pip_ensure()
            if ensure is not None:  # consent was given: no second question, and no restart behind our back
                ensure(
                    list(requirements),
                    prompt_install=False,
                    prompt_restart=False,
                    skip_in_testing=False,
                    show_progress=False,
                    requester=REQUESTER,
                )
            else:
                self.slicer.util.pip_install([*options, *requirements])

    def _pip_ensure(self) -> Any:
        packaging = getattr(self.slicer, "packaging", None)
        if packaging is None:
            with contextlib.suppress(ImportError):
                packaging = importlib.import_module("slicer.packaging")
        return getattr(packaging, "pip_ensure", None)


class PyTorchExtension:
    """The PyTorch extension's PyTorchUtils, which picks the build that fits the GPU's driver."""

    def __init__(self, logic: Any) -> None:
        self.logic = logic

    @classmethod
    def find(cls) -> PyTorchExtension | None:
        """Return the installer of the PyTorch extension, None where the extension is not installed."""
        try:
            return cls(importlib.import_module("PyTorchUtils").PyTorchUtilsLogic())
        except ImportError:
            return None

    def install(self, requirement: str, reinstall: bool, on_output: Output) -> None:
        with captured(on_output):
            if reinstall:
                with contextlib.suppress(
                    Exception
                ):  # what is half there may be impossible to uninstall; installing mends it
                    self.logic.uninstallTorch()
            version = requirement.removeprefix("torch")
            if self.logic.installTorch(askConfirmation=False, torchVersionRequirement=version) is None:
                raise InstallError("The PyTorch extension did not install PyTorch.")


@contextlib.contextmanager
def captured(on_output: Output) -> Iterator[None]:
    """Pass printed lines on (Slicer prints what pip says and then raises without it), and turn the exception into InstallError."""
    lines = _Lines(on_output)
    try:
        with contextlib.redirect_stdout(lines):
            yield
    except subprocess.CalledProcessError as problem:
        raise InstallError(lines.text or str(problem.output or problem)) from problem


class _Lines(io.TextIOBase):
    """A stream that hands on whole lines."""

    def __init__(self, on_line: Output) -> None:
        self.on_line, self.text, self._rest = on_line, "", ""

    def write(self, text: str) -> int:
        self.text += text
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self.on_line(line)
        return len(text)
