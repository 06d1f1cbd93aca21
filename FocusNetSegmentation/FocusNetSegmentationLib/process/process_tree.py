"""Kill a process with everything that it started.

PythonSlicer is a launcher: killing it alone leaves the real Python running. Children whose parent has ended are found by an environment
variable (``RUN_VARIABLE``) that every process of a run carries.

psutil is installed with the other packages of this extension. Before that only short commands run here (the look at the installation, the
check of a model), so without psutil it is enough to kill the process itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import Any

from .worker_protocol import RUN_VARIABLE

try:
    import psutil
except ImportError:  # not installed yet
    psutil = None

PAUSE_S = 0.02  # between two looks at what is still alive


def kill_tree(pid: int | None, run: str = "", timeout_s: float = 1.2) -> list[int]:
    """Kill ``pid``, its descendants and every process of ``run``, and return the ids of those that survived.

    Never waits much longer than ``timeout_s`` seconds. The calling process itself is spared.
    """
    if psutil is None:
        return _kill_without_psutil(pid)
    deadline = time.monotonic() + timeout_s
    targets: set[Any] = set()
    while True:
        targets |= _descendants(pid) | _processes_of(run)
        alive = [process for process in targets if _runs(process)]
        if not alive:
            return []
        for process in alive:
            with contextlib.suppress(psutil.Error):  # it ended meanwhile, or is another user's
                process.kill()
        if time.monotonic() > deadline:
            return sorted(process.pid for process in alive if _runs(process))
        time.sleep(PAUSE_S)


def is_alive(pid: int, run: str = "") -> bool:
    """Return whether the process runs and, where that can be told, belongs to ``run``: the system uses ids again."""
    if psutil is None:
        return _is_alive_without_psutil(pid)
    try:
        process = psutil.Process(pid)
    except psutil.Error:
        return False
    return _runs(process) and (not run or _run_of(process) in (run, None))


def run_is_alive(run: str) -> bool:
    """Return whether any process belongs to ``run``, whatever its id: a launcher may have ended before what it launched.

    False without psutil.
    """
    return bool(run) and psutil is not None and bool(_processes_of(run))


def _descendants(pid: int | None) -> set[Any]:
    """Return the process and everything below it; empty if it has ended."""
    if pid is None or pid == os.getpid():
        return set()
    try:
        process = psutil.Process(pid)
        return {process, *process.children(recursive=True)}
    except psutil.Error:
        return set()


def _processes_of(run: str) -> set[Any]:
    if not run:
        return set()
    return {p for p in psutil.process_iter() if p.pid != os.getpid() and _run_of(p) == run and _runs(p)}


def _run_of(process: Any) -> str | None:
    """Return the run that a process belongs to, "" for none, and None if that cannot be told."""
    try:
        return str(process.environ().get(RUN_VARIABLE, ""))
    except (psutil.Error, OSError):  # it has ended, or is another user's
        return None


def _runs(process: Any) -> bool:
    """Return whether a process runs. A zombie does not, nor does another process that got the same id."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _kill_without_psutil(pid: int | None) -> list[int]:
    if pid is None:
        return []
    if os.name == "nt":
        command = ["taskkill", "/F", "/T", "/PID", str(pid)]
        flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
        subprocess.run(command, capture_output=True, check=False, creationflags=flags)
        return []
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return []
    except PermissionError:
        return [pid]
    return []


def _is_alive_without_psutil(pid: int) -> bool:
    if os.name == "nt":  # os.kill would end the process there
        listed = subprocess.run(["tasklist", "/FI", f"PID eq {pid}"], capture_output=True, text=True, check=False)
        return f" {pid} " in listed.stdout
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
