"""Kill a process with everything that it started: by /proc on Linux, which is quickest, else by psutil if it is there, else by what
the system offers.

PythonSlicer is a launcher: killing it alone leaves the real Python running. Children of dead parents are found by an environment
variable that every process of a run carries.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from .worker_protocol import RUN_VARIABLE

try:
    import psutil
except ImportError:  # installed later, with the rest
    psutil = None


def kill_tree(pid: int | None, run: str = "", timeout_s: float = 1.2) -> list[int]:
    """Kill ``pid``, its descendants and every process marked with ``run``. Returns the ids of survivors; never waits longer
    than about ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    targets: set[int] = set()
    while True:
        table = _table()
        targets |= _descendants(table, pid) | _marked(table, run)
        targets.discard(os.getpid())
        alive = {target for target in targets if target in table}
        if not alive:
            return []
        for target in alive:
            _kill(target)
        if time.monotonic() > deadline:
            return sorted(alive & set(_table()))
        time.sleep(0.02)


def is_alive(pid: int, run: str = "") -> bool:
    """True if the process runs and, where that can be told, belongs to ``run`` (ids are used again by the system)."""
    table = _table()
    if pid not in table:
        return False
    return not run or _mark(pid) in (run, None)


def run_is_alive(run: str) -> bool:
    """True if any process carries this mark, whatever its id: a launcher may have ended before what it launched."""
    return any(_mark(pid) == run for pid in _table())


def _descendants(table: dict[int, int], pid: int | None) -> set[int]:
    if pid is None or pid not in table:
        return set()
    found = {pid}
    while True:
        more = {child for child, parent in table.items() if parent in found} - found
        if not more:
            return found
        found |= more


def _marked(table: dict[int, int], run: str) -> set[int]:
    return {pid for pid in table if _mark(pid) == run} if run else set()


def _table() -> dict[int, int]:
    """Process id to parent id of everything that runs; a zombie does not."""
    if sys.platform == "linux":
        return _proc_table()
    if psutil is not None:
        found = {}
        for process in psutil.process_iter(["ppid", "status"]):
            if process.info["status"] != psutil.STATUS_ZOMBIE:
                found[process.pid] = process.info["ppid"] or 0
        return found
    if os.name == "nt":
        return _windows_table()
    done = subprocess.run(["ps", "-axo", "pid=,ppid=,stat="], capture_output=True, text=True, check=False)
    rows = [line.split() for line in done.stdout.splitlines()]
    return {int(row[0]): int(row[1]) for row in rows if len(row) >= 3 and not row[2].startswith("Z")}


def _proc_table() -> dict[int, int]:
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] not in "ZX":
            found[int(folder.name)] = int(fields[1])
    return found


def _windows_table() -> dict[int, int]:
    query = 'Get-CimInstance Win32_Process | ForEach-Object { "$($_.ProcessId) $($_.ParentProcessId)" }'
    done = subprocess.run(
        ["powershell", "-NoProfile", "-Command", query],
        capture_output=True,
        text=True,
        check=False,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    rows = [line.split() for line in done.stdout.splitlines()]
    return {int(row[0]): int(row[1]) for row in rows if len(row) == 2}


def _mark(pid: int) -> str | None:
    """The run that a process belongs to; None if that cannot be told."""
    try:
        if sys.platform == "linux":
            for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                if entry.startswith(RUN_VARIABLE.encode() + b"="):
                    return entry.partition(b"=")[2].decode(errors="replace")
            return ""
        if psutil is not None:
            value: str | None = psutil.Process(pid).environ().get(RUN_VARIABLE, "")
            return value
    except Exception:  # psutil's errors, OSError: gone, or another user's
        return None
    return None


def _kill(pid: int) -> None:
    if os.name == "nt":
        subprocess.run(
            ["taskkill", "/F", "/T", "/PID", str(pid)],
            capture_output=True,
            check=False,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
