"""``focusnet node`` with a worker that draws three boxes and needs neither a model nor torch. All else is the real thing.

``python -m Testing.Core.stand_in_node SETTINGS`` is the node, ``python -m Testing.Core.stand_in_node`` its worker. What a rule names as
organs tells the worker how to behave: "crash", "crash once", "hang", "slow", "refuse".
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from focusnet.errors import InputError
from focusnet.image.segmentation import Segmentation
from focusnet.node import worker

from .stand_in_model import boxes


def contour(volume: Any, _: Any, job: Any) -> Segmentation:
    behave(job)
    return boxes(volume)


def behave(job: Any) -> None:
    behaviour = job["rule"]["organs"]
    memory = Path(job["out"]).parents[1] / "crashed"
    if "crash" in behaviour or ("crash once" in behaviour and not memory.exists()):
        memory.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if "hang" in behaviour:
        time.sleep(3600)
    if "slow" in behaviour:
        time.sleep(2)
    if "refuse" in behaviour:
        raise InputError(f"{job['scan']}: the scan of Jana Secretova (ZZ-4711-99) cannot be used.")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        from focusnet.cli.node import run, start_log
        from focusnet.node.dicom_net import pynetdicom
        from focusnet.node.settings import read_settings

        pynetdicom()
        start_log()
        sys.exit(run(read_settings(Path(sys.argv[1])), (sys.executable, "-m", "Testing.Core.stand_in_node")))
    worker.load_model = lambda name: name  # type: ignore[assignment, return-value]
    worker.run_model = contour
    sys.exit(worker.main())
