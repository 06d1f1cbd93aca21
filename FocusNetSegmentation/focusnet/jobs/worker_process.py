"""The other side of a worker process: started when there is work, killed when it takes too long, started again after a crash."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

SIGNALS = {-9: "it was killed, as the system does when memory runs out", -11: "it crashed (segmentation fault)"}


class WorkerDied(Exception):  # noqa: N818 - an event, told to who waits
    """The worker ended or was ended before it answered; the message says how."""


class WorkerProcess:
    """One worker. ``ask`` is called by one thread; ``stop`` by any."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.command, self.environment = command, environment
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str] = queue.Queue()

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def ask(self, job: Mapping[str, Any], timeout_s: float | None = None) -> dict[str, Any]:
        """Return the worker's answer. Raises WorkerDied, OSError if it cannot be started."""
        process = self._started()
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            line = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            self.stop()
            raise WorkerDied(f"no result after {(timeout_s or 0) / 60:g} minutes") from None
        except OSError:
            line = ""
        if not line:
            code = process.wait(timeout=60)
            self.stop()
            raise WorkerDied(f"the worker process ended: {SIGNALS.get(code, f'exit status {code}')}")
        try:
            return dict(json.loads(line))
        except ValueError:
            self.stop()
            raise WorkerDied("the worker process answered with something else than JSON") from None

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self.stop()
            self._answers = queue.Queue()
            self._process = subprocess.Popen(
                list(self.command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # libraries print what they like there; reasons come in the answer
                text=True,
                encoding="utf-8",
                env=None if self.environment is None else dict(self.environment),
            )
            threading.Thread(target=_collect, args=(self._process, self._answers), daemon=True).start()
        return self._process


def _collect(process: subprocess.Popen[str], answers: queue.Queue[str]) -> None:
    assert process.stdout is not None
    try:
        for line in process.stdout:
            answers.put(line)
    except ValueError:  # closed by ``stop``
        pass
    answers.put("")
