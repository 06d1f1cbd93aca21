"""Runs from a CT node to organ nodes in which a script stands in for the network: it reads the CT and writes a real result.

Import it where ``slicer`` is known to be there: ``pytest.importorskip("slicer")`` first.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from focusnet.phantom.write import phantom
from FocusNetSegmentationLib.process.inference import Callbacks, SegmentationRun, process
from FocusNetSegmentationLib.process.worker import SubprocessProcess
from FocusNetSegmentationLib.process.worker_protocol import WorkerRequest

from .helpers_nodes import World

# Bone is "mandible", the upper part of the rest "brain": what matters is where it lies, not whether it is right.
DOUBLE = """
import json, os, sys, time
from pathlib import Path
import numpy as np
from focusnet.io.image_read import read_image
from focusnet.io.seg_nrrd import write_seg_nrrd
from focusnet.image.organs import find_organ
from focusnet.image.segmentation import OrganResult, Segmentation
def say(event, **values): print(json.dumps({"event": event, **values}), file=sys.stderr, flush=True)
request = json.loads(sys.argv[1])
say("progress", step="Segmenting all organs", fraction=0.5, message=str(os.getpid()))
mode = request["mode"]
if mode == "wait":
    time.sleep(600)
if mode == "refuse":
    say("error", message="Model x is not there.", status=2)
    sys.exit(2)
ct = read_image(Path(request["input"]))
labels = np.zeros(ct.array.shape, np.uint8)
labels[ct.array > 0] = 2
labels[ct.array > 300] = 1
names = ["Bone_Mandible", "Brain"]
organs = [OrganResult(organ=find_organ(n), label=i, found=True, volume_ml=1.0) for i, n in enumerate(names, 1)]
organs = [o for o in organs if not request["organs"] or o.organ.name in request["organs"]]
keep = [o.label for o in organs]
labels[~np.isin(labels, keep)] = 0
result = Segmentation(labels, ct.geometry, tuple(organs), {"model": request["model"], "device": "cpu", "created": "now"})
if mode == "garbage":
    Path(request["output"]).write_text("this is no segmentation")
else:
    write_seg_nrrd(result, request["output"])
Path(request["report"]).write_text(json.dumps({"run": {"retries": ["cuda: out of memory, trying the CPU"]}}))
say("warning", message="Slices are thick.")
say("result", segmentation=request["output"], report=request["report"])
"""


def double(mode: str = "good") -> Callable[[WorkerRequest], tuple[str, list[str]]]:
    def command(request: WorkerRequest) -> tuple[str, list[str]]:
        values = {
            "mode": mode,
            "input": str(request.input_path),
            "output": str(request.output_path),
            "report": str(request.report_path),
            "model": request.model,
            "organs": list(request.organs),
        }
        return sys.executable, ["-c", DOUBLE, json.dumps(values)]

    return command


def ct_node(world: World, name: str = "CT 1") -> Any:
    return world.volume(phantom(0, (6.0, 6.0, 6.0))[0], name)


def segmentations(world: World) -> int:
    return int(world.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode"))


class Told:
    """What the callbacks of a run said."""

    def __init__(self) -> None:
        self.progress: list[str] = []
        self.ends: list[tuple[Any, ...]] = []

    @property
    def callbacks(self) -> Callbacks:
        return Callbacks(
            on_progress=lambda event: self.progress.append(event.message),
            on_done=lambda imported: self.ends.append(("done", imported)),
            on_failed=lambda message, details: self.ends.append(("failed", message, details)),
            on_cancelled=lambda: self.ends.append(("cancelled",)),
        )


def start(world: World, ct: Any, mode: str, told: Told, node: Any = None) -> SegmentationRun:
    run: SegmentationRun = process(
        ct, node, wait=False, callbacks=told.callbacks, command=double(mode), process=SubprocessProcess()
    )
    return run


def until_progress(run: SegmentationRun, told: Told) -> int:
    """Wait for the worker's first word: its process id."""
    for _ in range(400):
        run.worker.process.pump(0.05)
        if told.progress:
            return int(told.progress[0])
    raise AssertionError(told.ends)
