"""How long Slicer's window would stand still, and how long scoring takes: a run's result into the scene, the start of a scoring, the scores.

    python benchmarks/gui_gaps.py [--shape 150,512,512] [--worker-python PYTHON]

Needs slicer-core (Python 3.12). The phantom's 22 organs on the grid of a full scan. A gap is the time of one step of work on Slicer's own
thread; between the steps the window lives. Scoring runs in a process of its own, in ``--worker-python``. Not a test: figures depend on the
machine and on what else it does; CPU seconds less so than wall seconds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))

SPACING_MM_XYZ = (0.98, 0.98, 2.4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="150,512,512", help="slices, rows, columns; the phantom is padded with air")
    parser.add_argument("--worker-python", default=sys.executable, help="a Python with torch, for the scoring")
    asked = parser.parse_args()
    shape = tuple(int(n) for n in asked.shape.split(","))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene, ct, organs = scan(shape, folder)
        print(f"{'on Slicers own thread':50} longest gap: wall s, CPU s   in all: wall s")
        node = bring_in(scene, ct, organs)
        start_scoring(scene, ct, node, folder)
        print(f"\n{'focusnet qa, in its own process':50} wall s")
        score(asked.worker_python, folder)


def scan(shape: tuple[int, ...], folder: Path) -> tuple[Any, Any, Path]:
    """Return a scene with the phantom's CT, its node, and its organs as a file of the worker's."""
    import slicer

    from focusnet.io.seg_nrrd import write_seg_nrrd
    from focusnet.phantom.write import phantom
    from FocusNetSegmentationLib.sample_data import add_volume

    volume, reference = phantom(0, SPACING_MM_XYZ)
    sizes = list(zip(shape, volume.array.shape, strict=True))
    window, pad = tuple(slice(0, want) for want, _ in sizes), [(0, max(0, want - have)) for want, have in sizes]
    hu = np.ascontiguousarray(np.pad(volume.array[window], pad, constant_values=-1000))
    labels = np.ascontiguousarray(np.pad(reference.labels[window], pad))
    geometry = replace(reference.geometry, shape_zyx=hu.shape)
    write_seg_nrrd(replace(reference, labels=labels, geometry=geometry), folder / "result.seg.nrrd")
    scene = slicer.vtkMRMLScene()
    scene.logic = slicer.vtkSlicerSegmentationsModuleLogic()
    scene.logic.SetMRMLScene(scene)
    return scene, add_volume(scene, hu, geometry.affine_xyz, "CT"), folder / "result.seg.nrrd"


def bring_in(scene: Any, ct: Any, organs: Path) -> Any:
    """Print the gaps of a result's way into the scene; return its node."""
    import slicerio  # noqa: F401 - loaded before the clock starts, as in a Slicer that has run once

    from focusnet.io.seg_nrrd_steps import SegNrrdReader
    from FocusNetSegmentationLib.process.result_import import ResultImport
    from FocusNetSegmentationLib.scene.volumes import check_node

    started = time.perf_counter()
    gaps = Gaps()
    reader = gaps.of(lambda: SegNrrdReader(organs))
    incoming = ResultImport(scene, ct, None, {}, check_node(ct), lambda _: True)
    imported = gaps.through(incoming.steps(reader))
    gaps.tell("a result into the scene", time.perf_counter() - started)
    return imported.node


def start_scoring(scene: Any, ct: Any, node: Any, folder: Path) -> None:
    """Print the gaps before the scoring's process runs; leave its input in ``folder``."""
    from FocusNetSegmentationLib.review.scoring import write_input
    from FocusNetSegmentationLib.review.states import Review
    from FocusNetSegmentationLib.scene.as_segmentation import segmentation_on
    from FocusNetSegmentationLib.scene.volumes import check_node

    started = time.perf_counter()
    gaps = Gaps()
    review = gaps.of(lambda: Review(node))
    gaps.of(review.rows)
    segmentation, _ = gaps.of(lambda: segmentation_on(check_node(ct), node))
    gaps.through(write_input(ct, segmentation, folder))
    gaps.tell("review opened, scoring started", time.perf_counter() - started)
    del scene


def score(python: str, folder: Path) -> None:
    """Print when the organs get their scores."""
    command = [
        python,
        "-m",
        "focusnet",
        "qa",
        "organs.seg.nrrd",
        "--ct",
        "ct.nrrd",
        "-o",
        "review.json",
        "--json-progress",
    ]
    command += ["--shape-priors", "priors.seg.nrrd"]
    started = time.perf_counter()
    library = str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation")
    with subprocess.Popen(
        command, cwd=folder, env={"PYTHONPATH": library, "PATH": "/usr/bin:/bin"}, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:  # fmt: skip
        assert process.stderr is not None
        moments = []
        for line in process.stderr:
            if json.loads(line).get("event") == "organ" if line.startswith("{") else False:
                moments.append(time.perf_counter() - started)
    if process.returncode != 0 or not moments:
        sys.exit("focusnet qa failed: --worker-python names a Python with torch")
    for count in (1, len(moments) // 2, len(moments)):
        print(f"{f'{count} organs have scores':50} {moments[count - 1]:6.2f}")
    print(f"{'shape priors too':50} {time.perf_counter() - started:6.2f}")


class Gaps:
    """The longest step so far."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def of(self, work: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        self.wall = max(self.wall, time.perf_counter() - wall)
        self.cpu = max(self.cpu, time.process_time() - cpu)
        return result

    def through(self, steps: Generator[None, None, Any]) -> Any:
        ended: list[Any] = []

        def one() -> bool:
            try:
                next(steps)
            except StopIteration as end:
                ended.append(end.value)
            return not ended

        while self.of(one):
            pass
        return ended[0]

    def tell(self, what: str, seconds: float) -> None:
        print(f"{what:50} {self.wall:6.3f} {self.cpu:6.3f} {seconds:14.2f}")


if __name__ == "__main__":
    main()
