"""The worker's side: jobs come as JSON lines on stdin, one answer a line goes to stdout. It ends when its stdin does."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any


def serve(answer: Callable[[dict[str, Any]], Mapping[str, Any]]) -> int:
    """Answer jobs until the process that sends them is gone; what is half done then would be thrown away, so it ends at once."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints must not be taken for an answer
    jobs: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(jobs,), daemon=True).start()
    while True:
        done = answer(json.loads(jobs.get()))
        answers.write(json.dumps(done) + "\n")
        answers.flush()


def _read(jobs: queue.Queue[str]) -> None:
    for line in sys.stdin:
        jobs.put(line)
    os._exit(0)
