"""A stand-in for the worker process: it reads the real CT, speaks the real protocol and writes a real result, but has no network.

``python stand_in_worker.py segment CT -o OUT --report R.json --model M ...`` as the real one. The variable FOCUSNET_STAND_IN says how
it goes: "good", "wait" (until it is killed), "wait a little", "crash" (a signal), "memory" (out of memory after its retries),
"refuse", "missing" (an organ is not found, and a retry was made).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from focusnet.io.nrrd_nifti import read_image
from focusnet.io.seg_nrrd import write_seg_nrrd
from focusnet.organs import find_organ
from focusnet.segmentation import OrganResult, Segmentation

MODELS = Path(__file__).resolve().parents[2] / "FocusNetSegmentation" / "Resources" / "Models"
RETRY = "cuda:0 ran out of memory with chunks of 40 slices; trying chunks of 20"


def say(event: str, **values: Any) -> None:
    print(json.dumps({"event": event, **values}), file=sys.stderr, flush=True)


def progress(step: str, fraction: float, message: str = "") -> None:
    say("progress", step=step, fraction=fraction, message=message)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    parser.add_argument("input", type=Path)
    parser.add_argument("-o", "--output")
    for name in ("--report", "--model", "--device", "--hu-offset"):
        parser.add_argument(name)
    parser.add_argument("--organs", default="")
    parser.add_argument("--json-progress", action="store_true")
    asked = parser.parse_args()
    mode = os.environ.get("FOCUSNET_STAND_IN", "good")
    progress("Reading", 0.02, asked.input.name)
    ct = read_image(asked.input)
    progress("Segmenting all organs", 0.4, "slices 1 to 40")
    if mode.startswith("wait"):
        time.sleep(600 if mode == "wait" else 1.0)
    if mode == "crash":
        print("a last word on stderr", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if mode == "memory":
        progress("Out of memory", 0.05, RETRY)
        raise MemoryError
    if mode == "refuse":
        say("error", message="The slices of this CT are 12 mm apart; 5 mm or less is expected.", status=2)
        return 2
    write(ct, asked, mode)
    return 0


def write(ct: Any, asked: Any, mode: str) -> None:
    """Each organ is a slab of the bone and the soft tissue: where it lies does not matter here."""
    names = asked.organs.split(",") if asked.organs else organs_of(asked.model)
    labels = np.zeros(ct.array.shape, np.uint8)
    inside = np.argwhere(ct.array > 20)
    slabs = np.array_split(inside, len(names))
    results = []
    for label, (name, slab) in enumerate(zip(names, slabs, strict=True), start=1):
        organ = find_organ(name)
        assert organ is not None
        found = not (mode == "missing" and label == len(names))
        if found:
            labels[tuple(slab.T)] = label
        warnings = () if found else ("not found",)
        results.append(OrganResult(organ, label, found, float(len(slab)) if found else 0.0, warnings=warnings))
    made = {"model": asked.model, "device": asked.device, "created": "2026-01-01T00:00:00Z", "version": "stand-in"}
    write_seg_nrrd(Segmentation(labels, ct.geometry, tuple(results), made), asked.output)
    report = {"run": {"retries": [RETRY] if mode == "missing" else []}}
    Path(asked.report).write_text(json.dumps(report), encoding="utf-8")
    progress("Writing", 0.99)
    say("result", segmentation=asked.output, report=asked.report)


def organs_of(model: str) -> list[str]:
    own = Path(os.environ.get("FOCUSNET_MODELS", "")) / model
    folder = own if own.is_dir() else MODELS / model
    manifest = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    return [organ["name"] for organ in manifest["organs"]]


if __name__ == "__main__":
    sys.exit(main())
