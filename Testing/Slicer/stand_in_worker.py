"""A stand-in for the worker process: it takes the real arguments, speaks the real protocol and hands over a result that was made
before (``write_results``); it has no network and does not read the CT.

``python stand_in_worker.py segment CT -o OUT --report R.json --model M ...``. The variable FOCUSNET_STAND_IN says how it goes: "good",
"wait" (until it is killed), "wait a little", "crash" (a signal), "memory" (out of memory after its retries), "refuse", "missing" (an
organ is not found, and a retry was made), "uncertain" (an organ is drawn, but was not localized), "turned" (the
CT's header seems to be wrong), "merged" (the last two organs are by a second model, which asks for caution). FOCUSNET_STAND_IN_RESULTS: the folder of results.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]  # run as a script, so it imports nothing beside itself

RETRY = "cuda:0 ran out of memory with chunks of 40 slices; trying chunks of 20."


def say(event: str, **values: Any) -> None:
    print(json.dumps({"event": event, **values}), file=sys.stderr, flush=True)


def progress(step: str, fraction: float, message: str = "") -> None:
    say("progress", step=step, fraction=fraction, message=message)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    parser.add_argument("input", type=Path)
    parser.add_argument("-o", "--output")
    for name in ("--report", "--model", "--device", "--hu-offset", "--organs", "--seed-point"):
        parser.add_argument(name)
    parser.add_argument("--json-progress", action="store_true")
    parser.add_argument("--orientation-override", action="store_true")
    asked = parser.parse_args()
    mode = os.environ.get("FOCUSNET_STAND_IN", "good")
    if not asked.input.is_file():
        raise FileNotFoundError(asked.input)
    progress("Preparing the scan", 0.0)
    progress("Segmenting all organs", 0.4, "slices 1 to 40")
    if mode.startswith("wait"):
        time.sleep(600 if mode == "wait" else 0.7)
    if mode == "crash":
        print("a last word on stderr", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if mode == "memory":
        progress("Out of memory", 0.05, RETRY)
        raise MemoryError
    if mode == "refuse":
        say("error", message="The slices of this CT are 12 mm apart; 5 mm or less is expected.", status=2)
        return 2
    if mode == "turned" and not asked.orientation_override:
        say("error", message="The header seems to have front and back reversed.", status=2)
        return 2
    result = mode if mode in ("missing", "uncertain", "turned", "merged") else "good"
    shutil.copy(Path(os.environ["FOCUSNET_STAND_IN_RESULTS"]) / f"{result}.seg.nrrd", asked.output)
    report = {"run": {"retries": [RETRY] if mode == "missing" else []}}
    Path(asked.report).write_text(json.dumps(report), encoding="utf-8")
    say("result", segmentation=asked.output, report=asked.report)
    return 0


def write_results(folder: Path, spacing_mm: float) -> None:
    """Write "good", "uncertain" and "missing" on the phantom's grid: the shipped model's organs, each a slab of the body, wherever it lies."""
    from dataclasses import replace

    import numpy as np

    from focusnet.image.organs import ORGANS
    from focusnet.image.orientation_doubt import DOUBT, doubt
    from focusnet.image.segmentation import OrganResult, Segmentation
    from focusnet.io.seg_nrrd import write_seg_nrrd
    from focusnet.phantom.write import phantom

    bundle = ROOT / "FocusNetSegmentation/Resources/Models/han7-openkbp/bundle.json"
    names = [organ["name"] for organ in json.loads(bundle.read_text(encoding="utf-8"))["organs"]]
    made = {"model": "han7-openkbp", "device": "cpu", "created": "2026-01-01T00:00:00Z", "version": "stand-in"}
    ct = phantom(0, (spacing_mm,) * 3)[0]
    labels = np.zeros(ct.array.shape, np.uint8)
    slabs = np.array_split(np.argwhere(ct.array > 20), len(names))
    voxel_ml = spacing_mm**3 / 1000.0
    by_name = {organ.name: organ for organ in ORGANS}
    results = []
    for label, (name, slab) in enumerate(zip(names, slabs, strict=True), start=1):
        labels[tuple(slab.T)] = label
        results.append(OrganResult(organ=by_name[name], label=label, found=True, volume_ml=len(slab) * voxel_ml))
    write_seg_nrrd(Segmentation(labels, ct.geometry, tuple(results), made), folder / "good.seg.nrrd")
    turned = {**made, DOUBT: doubt("front and back reversed", 0.12, 0.95)}
    write_seg_nrrd(Segmentation(labels, ct.geometry, tuple(results), turned), folder / "turned.seg.nrrd")
    write_seg_nrrd(
        Segmentation(labels, ct.geometry, tuple(results), merged_provenance(made, names)), folder / "merged.seg.nrrd"
    )
    last = results[-1]
    results[-1] = replace(last, found=False, warnings=("Uncertain: not localized with confidence.",))
    write_seg_nrrd(Segmentation(labels, ct.geometry, tuple(results), made), folder / "uncertain.seg.nrrd")
    labels[labels == len(names)] = 0
    results[-1] = OrganResult(
        organ=by_name[names[-1]], label=len(names), found=False, volume_ml=0.0, warnings=("not found",)
    )
    write_seg_nrrd(Segmentation(labels, ct.geometry, tuple(results), made), folder / "missing.seg.nrrd")


def merged_provenance(made: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """The last two organs are by head22-synthetic."""
    models: list[dict[str, Any]] = [
        {
            "model": "han7-openkbp",
            "bundle_sha256": "ab" * 32,
            "organs": dict.fromkeys(names[:-2], "Drawn by no other model."),
        },
        {
            "model": "head22-synthetic",
            "bundle_sha256": "cd" * 32,
            "caution": "Trained on simulated CT only, research preview.",
            "organs": dict.fromkeys(names[-2:], "Only head22-synthetic draws it."),
        },
    ]
    return {**made, "model": "han7-openkbp + head22-synthetic", "models": models}


if __name__ == "__main__":
    sys.exit(main())
