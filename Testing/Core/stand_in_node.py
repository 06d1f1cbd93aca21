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

import numpy as np

from focusnet.errors import InputError
from focusnet.image.organs import find_organ
from focusnet.image.segmentation import OrganResult, Segmentation
from focusnet.node import worker

ORGANS = ("Brainstem", "Parotid_L", "Parotid_R")
NOT_LOCALIZED = "Larynx"  # has voxels, and must not leave


def boxes(volume: Any, _: Any, job: Any) -> Segmentation:
    behave(job)
    labels = np.zeros(volume.array.shape, np.uint8)
    depth, height, width = labels.shape
    results = []
    for label, name in enumerate((*ORGANS, NOT_LOCALIZED), start=1):
        x = width // 4 + (label - 1) * width // 8
        labels[depth // 4 : -(depth // 4), height // 3 : height // 2, x : x + width // 10] = label
        organ = find_organ(name)
        assert organ is not None
        results.append(OrganResult(organ=organ, label=label, found=name != NOT_LOCALIZED, volume_ml=1.0))
    return Segmentation(labels, volume.geometry, tuple(results), {"model": "stand-in", "seconds": 0.0})


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
    worker.run_model = boxes
    sys.exit(worker.main())
