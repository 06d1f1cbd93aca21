"""Run the circle of docs/learning.md on real CTs, with its own commands: segment, collect, finetune, compare, adopt, back.

    python benchmarks/learning_circle.py DATA/openkbp WORK [--cases 30] [--steps 160]

OpenKBP's clinical contours of the validation scans stand for what a person corrected and approved. WORK must not exist; the adopted model lies in
WORK/models. Prints what each step took on the clock and in CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "FocusNetSegmentation"))

from focusnet.datasets.open_dataset import open_dataset  # noqa: E402
from focusnet.io.review_tags import fingerprint  # noqa: E402
from focusnet.io.seg_nrrd import read_seg_nrrd, write_seg_nrrd  # noqa: E402


class Circle:
    """Runs commands of focusnet with the models folder in WORK, and counts what they took by their first word."""

    def __init__(self, work: Path) -> None:
        self.took: dict[str, list[float]] = {}
        paths = os.pathsep.join([str(ROOT / "FocusNetSegmentation"), os.environ.get("PYTHONPATH", "")])
        self.environment = {**os.environ, "FOCUSNET_MODELS": str(work / "models"), "PYTHONPATH": paths}

    def run(self, *words: str | Path) -> int:
        """Run a command, print what it says where it does not end well, and return its exit status."""
        began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-m", "focusnet", *map(str, words)], env=self.environment, capture_output=True, text=True, check=False
        )  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = self.took.setdefault(str(words[0]), [0.0, 0.0, 0.0])
        spent[0] += 1
        spent[1] += time.monotonic() - began
        spent[2] += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if done.returncode or words[0] not in ("segment", "collect"):
            print(
                f"$ focusnet {' '.join(map(str, words))}  [{done.returncode}]\n{done.stdout}{done.stderr}", flush=True
            )
        return done.returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--cases", type=int, default=30)
    parser.add_argument("--steps", type=int, default=160)
    options = parser.parse_args()
    options.work.mkdir(parents=True)
    circle, dataset = Circle(options.work), open_dataset(options.data)
    training_set, run = options.work / "set", options.work / "run"
    for name in dataset.patients("val")[: options.cases]:
        ct, case = options.data / "val" / name / "ct.nrrd", options.work / "cases" / name
        case.mkdir(parents=True)
        circle.run("segment", ct, "-o", case / "model.seg.nrrd")
        approve(dataset, name, case)
        circle.run("collect", case / "reviewed.seg.nrrd", "--ct", ct, "--model-copy", case / "model.seg.nrrd", "--into", training_set,
                   "--patient", name, "--consent")  # fmt: skip
    circle.run("datasets", "check", training_set)
    circle.run("finetune", training_set, "--from", "han7-openkbp", "--out", run, "--steps", str(options.steps))
    circle.run("compare", "han7-openkbp", run, "--dataset", training_set)
    circle.run("report", training_set, "-o", options.work / "corrections.html")
    if circle.run("models", "adopt", run):
        circle.run("models", "adopt", run, "--even-if-worse")
    circle.run("models", "list")
    circle.run("models", "back", "han7-openkbp")
    for command, (count, wall_s, cpu_s) in circle.took.items():
        print(f"{command:10s} {count:3.0f} times {wall_s:7.1f} s on the clock {cpu_s:7.1f} CPU s")
    print(f"all            {sum(t[1] for t in circle.took.values()):12.1f} s")


def approve(dataset: object, name: str, case: Path) -> None:
    """Write reviewed.seg.nrrd: the clinical contours, approved, in place of what the model drew; other organs stay its draft."""
    drawn = read_seg_nrrd(case / "model.seg.nrrd")
    contours = dataset.read("val", name)  # type: ignore[attr-defined]
    labels, tags = drawn.labels.copy(), {}
    for result in drawn.results:
        organ = result.organ.name
        if organ in contours.contoured:
            labels[labels == result.label] = 0
    for result in drawn.results:
        organ = result.organ.name
        if organ in contours.contoured:
            flat = labels.reshape(-1)
            flat[contours.voxels[organ]] = result.label
    now = replace(drawn, labels=labels)
    for result in drawn.results:
        organ = result.organ.name
        record: dict[str, object] = {"state": "draft", "drawn": fingerprint(drawn.mask(organ), drawn)}
        if organ in contours.contoured and np.any(labels == result.label):
            record |= {
                "state": "approved",
                "approved": fingerprint(now.mask(organ), now),
                "by": "stand-in",
                "when": "2026-11-28",
            }
        tags[organ] = {"FocusNet.Review": json.dumps(record)}
    write_seg_nrrd(now, case / "reviewed.seg.nrrd", tags=tags)


if __name__ == "__main__":
    main()
