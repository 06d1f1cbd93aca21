"""A batch worker whose model draws boxes. A scan's name says how its worker behaves: "crash", "crash-once", "raise", "slow"."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from focusnet.batch import contour, worker
from focusnet.jobs.serve import serve

from .stand_in_model import boxes

COMMAND = (sys.executable, "-m", "Testing.Core.stand_in_batch")


def run(job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """As ``focusnet.batch.worker.run_job``; also what a Dask worker is given."""
    name = job["name"]
    memory = Path(job["options"]["output"]) / "crashed"
    if name == "crash" or (name == "crash-once" and not memory.exists()):
        memory.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "raise":
        raise MemoryError("no room")
    if name.startswith("slow"):
        time.sleep(0.5)
    contour.run_model = lambda volume, *_: boxes(volume)  # type: ignore[assignment]
    worker.device_of = lambda device, slot: device  # type: ignore[assignment]
    return worker.run_job(job)


if __name__ == "__main__":
    sys.exit(serve(lambda job: {"rows": run(job)}))
