"""From a CT node to organ nodes and back, on Slicer's own core with real worker processes.

Where no network is needed, a script stands in for it (a test double): it reads the CT that it is given and writes a real result.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from focusnet.errors import InputError  # noqa: E402
from focusnet.phantom import phantom  # noqa: E402
from FocusNetSegmentationLib.inference import (  # noqa: E402
    BatchItem,
    Callbacks,
    SegmentationError,
    SegmentationRun,
    process,
    process_scene,
)
from FocusNetSegmentationLib.nodes import edited_segments, organ_segments, provenance_of  # noqa: E402
from FocusNetSegmentationLib.process_tree import run_is_alive  # noqa: E402
from FocusNetSegmentationLib.volumes import world_geometry  # noqa: E402
from FocusNetSegmentationLib.worker import QtProcess, SubprocessProcess, WorkerBusyError  # noqa: E402
from FocusNetSegmentationLib.worker_protocol import WorkerRequest, focusnet_command  # noqa: E402

from .helpers_nodes import TURNED, World, erase_a_bit, mask, paint, points_lps  # noqa: E402
from .helpers_worker import worker_python  # noqa: E402

# Bone is "mandible", the upper part of the rest "brain": what matters is where it lies, not whether it is right.
DOUBLE = """
import json, os, sys, time
from pathlib import Path
import numpy as np
from focusnet.io.nrrd_nifti import read_image
from focusnet.io.seg_nrrd import write_seg_nrrd
from focusnet.organs import find_organ
from focusnet.segmentation import OrganResult, Segmentation
def say(event, **values): print(json.dumps({"event": event, **values}), file=sys.stderr, flush=True)
request = json.loads(sys.argv[1])
say("progress", step="Segmenting all organs", fraction=0.5, message=str(os.getpid()))
mode = request["mode"]
if mode == "wait":
    time.sleep(600)
if mode == "refuse" or (mode == "refuse first" and "first" in request["model"]):
    say("error", message="Model x is not there.", status=2)
    sys.exit(2)
ct = read_image(Path(request["input"]))
labels = np.zeros(ct.array.shape, np.uint8)
labels[ct.array > 0] = 2
labels[ct.array > 300] = 1
names = ["Bone_Mandible", "Brain"]
organs = [OrganResult(find_organ(n), i, True, 1.0) for i, n in enumerate(names, 1) if not request["organs"] or n in request["organs"]]
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


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test ends with no temporary file left."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


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


@pytest.mark.parametrize("transformed", [False, True])
def test_one_call_turns_a_ct_into_organs(transformed: bool, world: World, temporary_folder: Path) -> None:
    ct = ct_node(world)
    if transformed:
        world.transform(TURNED, ct)
    before = world.scene.GetNumberOfNodes()
    imported = process(ct, model="m", command=double())
    assert list(organ_segments(imported.node)) == ["Bone_Mandible", "Brain"]
    volume = phantom(0, (6.0, 6.0, 6.0))[0]
    np.testing.assert_array_equal(mask(imported.node, "Bone_Mandible"), volume.array > 300)
    expected = world_geometry(ct).index_to_mm(np.argwhere(volume.array > 300))
    found = points_lps(imported.node, "Bone_Mandible")
    np.testing.assert_allclose(found.mean(axis=0), expected.mean(axis=0), atol=1e-3)
    assert provenance_of(imported.node)["model"] == "m"
    assert imported.warnings == ("Slices are thick.", "cuda: out of memory, trying the CPU"), "the retry is told"
    assert list(temporary_folder.iterdir()) == []
    new = world.scene.GetNumberOfNodes() - before
    names = [world.scene.GetNthNode(before + i).GetClassName() for i in range(new)]
    assert sorted(names) == sorted(
        ["vtkMRMLSegmentationNode", "vtkMRMLSegmentationDisplayNode", "vtkMRMLSegmentationNode"]
    ), "the result, its display and the frozen copy: nothing stray"


def test_into_an_existing_node_and_some_organs_only(world: World) -> None:
    ct = ct_node(world)
    first = process(ct, command=double())
    paint(first.node, "Brain", erase_a_bit)
    second = process(ct, first.node, organs=["Bone_Mandible"], command=double())
    assert second.node is first.node
    assert edited_segments(first.node) == ["Brain"]
    assert segmentations(world) == 2


def test_a_failure_is_one_line_and_leaves_the_scene_as_it_was(world: World, temporary_folder: Path) -> None:
    ct = ct_node(world)
    before = world.scene.GetNumberOfNodes()
    with pytest.raises(SegmentationError, match=r"^Model x is not there\.$"):
        process(ct, command=double("refuse"))
    with pytest.raises(SegmentationError, match=r"^\S*organs\.seg\.nrrd cannot be read as a segmentation"):
        process(ct, command=double("garbage"))
    assert world.scene.GetNumberOfNodes() == before
    assert list(temporary_folder.iterdir()) == []


def test_a_node_that_cannot_be_a_ct_is_refused_at_once(world: World, temporary_folder: Path) -> None:
    with pytest.raises(InputError, match="No volume is chosen"):
        process(None, command=double())
    ct = ct_node(world)
    warp = world.scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "Warp")
    ct.SetAndObserveTransformNodeID(warp.GetID())
    with pytest.raises(InputError, match="non-linear transform Warp"):
        process(ct, command=double())
    assert list(temporary_folder.iterdir()) == []


def test_without_waiting_the_callbacks_tell_the_end(world: World) -> None:
    told = Told()
    run = start(world, ct_node(world), "good", told)
    assert run.is_running
    assert run.wait(30)
    assert [end[0] for end in told.ends] == ["done"]
    assert told.ends[0][1].node.GetScene() is world.scene


def test_in_qts_event_loop_the_end_is_told_too(world: World) -> None:
    core = pytest.importorskip("PySide6.QtCore", reason="QProcess is tested with PySide6, which is not installed")
    application = core.QCoreApplication.instance() or core.QCoreApplication([])
    told = Told()
    callbacks, loop, ticks = told.callbacks, core.QEventLoop(), []
    callbacks.on_done = lambda imported: (told.ends.append(("done", imported)), loop.quit())
    timer = core.QTimer()
    timer.timeout.connect(lambda: ticks.append(1))
    timer.start(10)
    core.QTimer.singleShot(30_000, loop.quit)
    process(ct_node(world), wait=False, callbacks=callbacks, command=double(), process=QtProcess(core))
    loop.exec()
    assert [end[0] for end in told.ends] == ["done"]
    assert len(ticks) > 5, "the loop lives while the worker works"
    assert application is not None


def test_a_second_run_is_refused_while_one_is_going_on(world: World, temporary_folder: Path) -> None:
    ct, told = ct_node(world), Told()
    run = start(world, ct, "wait", told)
    with pytest.raises(WorkerBusyError, match="running already"):
        start(world, ct, "good", Told())
    run.cancel()
    assert told.ends == [("cancelled",)]
    assert process(ct, command=double()).node is not None, "and works afterwards"
    assert list(temporary_folder.iterdir()) == []


@pytest.mark.parametrize("how", ["volume removed", "scene closed"])
def test_a_ct_that_goes_during_a_run_stops_it(how: str, world: World, temporary_folder: Path) -> None:
    ct, told = ct_node(world), Told()
    run = start(world, ct, "good", told)
    world.scene.RemoveNode(ct) if how == "volume removed" else world.scene.Clear(False)
    assert run.wait(30)
    assert "The CT was removed during the run" in told.ends[0][1]
    assert len(told.ends) == 1
    assert segmentations(world) == 0
    assert list(temporary_folder.iterdir()) == []


def test_a_ct_that_goes_in_the_last_moment_leaves_nothing_in_the_scene(world: World) -> None:
    ct, told = ct_node(world), Told()
    callbacks = told.callbacks
    callbacks.on_warning = lambda _: world.scene.RemoveNode(ct)  # the worker's last words before its result
    run = process(ct, wait=False, callbacks=callbacks, command=double(), process=SubprocessProcess())
    assert run.wait(30)
    assert "no place for its result" in told.ends[0][1]
    assert segmentations(world) == 0


def test_a_segmentation_that_goes_during_a_run_is_made_anew(world: World) -> None:
    ct = ct_node(world)
    node = world.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    told = Told()
    run = start(world, ct, "good", told, node)
    world.scene.RemoveNode(node)
    assert run.wait(30)
    assert told.ends[0][1].node is not node
    assert told.ends[0][1].node.GetScene() is world.scene


def test_a_ct_that_was_resampled_during_a_run_is_told(world: World) -> None:
    ct, told = ct_node(world), Told()
    run = start(world, ct, "good", told)
    other = world.volume(phantom(0, (8.0, 8.0, 8.0))[0], "other")
    ct.SetAndObserveImageData(other.GetImageData())
    assert run.wait(30)
    assert "has changed its size during the run" in told.ends[0][1]
    assert segmentations(world) == 0


def test_closing_during_a_run_leaves_nothing(world: World, temporary_folder: Path) -> None:
    told = Told()
    run = start(world, ct_node(world), "wait", told)
    pid = until_progress(run, told)
    run.close()
    assert not Path(f"/proc/{pid}").exists() or sys.platform != "linux"
    assert told.ends == []
    assert list(temporary_folder.iterdir()) == []


def test_an_offset_and_organs_reach_the_worker(world: World) -> None:
    seen: list[WorkerRequest] = []

    def command(request: WorkerRequest) -> tuple[str, list[str]]:
        seen.append(request)
        return double()(request)

    process(ct_node(world), organs=["Brain"], hu_offset=-1024, device="cpu", command=command)
    _, arguments = focusnet_command(seen[0], "python")
    assert "--hu-offset=-1024" in arguments
    assert arguments[arguments.index("--organs") + 1] == "Brain"
    assert arguments[arguments.index("--device") + 1] == "cpu"


def test_all_cts_of_a_scene_one_after_the_other(world: World) -> None:
    ct_node(world, "first"), ct_node(world, "second")
    mr = ct_node(world, "MR")
    mr.SetAttribute("DICOM.Modality", "MR")
    world.volume(phantom(0, (6.0, 6.0, 6.0))[0], "labels", "vtkMRMLLabelMapVolumeNode")
    fractions: list[float] = []
    items: list[BatchItem] = process_scene(
        world.scene, command=double(), on_progress=lambda e: fractions.append(e.fraction)
    )
    assert [(i.volume_node.GetName(), i.status) for i in items] == [
        ("first", "done"),
        ("second", "done"),
        ("MR", "skipped"),
    ]
    assert "modality MR" in items[2].message
    assert items[0].imported.node is not items[1].imported.node
    assert items[0].imported.node.GetName() == "first organs"
    assert fractions == sorted(fractions)


def test_one_bad_scan_does_not_stop_a_batch(world: World) -> None:
    ct_node(world, "first"), ct_node(world, "second")
    calls: list[str] = []

    def command(request: WorkerRequest) -> tuple[str, list[str]]:
        calls.append(request.model)
        return double("refuse" if len(calls) == 1 else "good")(request)

    items = process_scene(world.scene, command=command)
    assert [i.status for i in items] == ["failed", "done"]
    assert items[0].message == "Model x is not there."


def test_a_batch_can_be_cancelled(world: World, temporary_folder: Path) -> None:
    ct_node(world, "first"), ct_node(world, "second")
    batch = process_scene(world.scene, wait=False, command=double("wait"), process=SubprocessProcess())
    batch.cancel()
    assert not batch.is_running
    assert sorted(i.status for i in batch.items) == ["cancelled", "cancelled"]
    assert list(temporary_folder.iterdir()) == []


# --- the real network


def bundle(python: str, folder: Path) -> Path:
    """A bundle of random weights, made by the Python that has torch."""
    root = Path(__file__).resolve().parents[2]
    code = f"import sys; sys.path[:0] = [{str(root)!r}, {str(root / 'FocusNetSegmentation')!r}]\n"
    code += f"from pathlib import Path; from Testing.Core.helpers_engine import random_bundle; random_bundle(Path({str(folder)!r}))"
    subprocess.run([python, "-c", code], check=True)
    return folder / "random"


@pytest.mark.slow
def test_the_real_engine_in_a_real_process_from_node_to_node(
    world: World, tmp_path: Path, temporary_folder: Path
) -> None:
    python = worker_python()
    model = bundle(python, tmp_path)
    ct = ct_node(world)
    world.transform(TURNED, ct)
    steps: list[str] = []
    imported = process(
        ct,
        model=str(model),
        device="cpu",
        command=lambda request: focusnet_command(request, python),
        callbacks=Callbacks(on_progress=lambda event: steps.append(event.step)),
    )
    assert "Segmenting all organs" in steps
    assert list(organ_segments(imported.node)) == ["Brainstem", "SpinalCord", "Parotid_R", "Parotid_L", "Larynx"]
    provenance = provenance_of(imported.node)
    assert provenance["model"] == "random"
    assert len(provenance["bundle_sha256"]) == 64
    assert mask(imported.node, "Brainstem").shape == phantom(0, (6.0, 6.0, 6.0))[0].array.shape
    assert list(temporary_folder.iterdir()) == []


@pytest.mark.slow
def test_the_real_engine_is_cancelled_within_two_seconds(world: World, tmp_path: Path, temporary_folder: Path) -> None:
    python = worker_python()
    model = bundle(python, tmp_path)
    ct = world.volume(phantom(0, (2.0, 2.0, 2.0))[0])
    told = Told()
    run = process(
        ct,
        model=str(model),
        device="cpu",
        wait=False,
        callbacks=told.callbacks,
        command=lambda request: focusnet_command(request, python),
        process=SubprocessProcess(),
    )
    deadline = time.monotonic() + 60
    while not told.progress and run.is_running and time.monotonic() < deadline:
        run.worker.process.pump(0.02)
    assert run.is_running, told.ends
    mark = run.worker.process._run
    assert run_is_alive(mark)
    started = time.monotonic()
    run.cancel()
    took = time.monotonic() - started
    print(f"cancelled in {took:.3f} s")
    assert took < 2.0
    assert not run_is_alive(mark)
    assert told.ends == [("cancelled",)]
    assert list(temporary_folder.iterdir()) == []


@pytest.mark.slow
def test_the_packages_that_are_installed_are_enough_to_segment(tmp_path: Path) -> None:
    """What pyproject.toml lists for DICOM, pictures and the terminal is not needed in Slicer: made unimportable here."""
    python = worker_python()
    model = bundle(python, tmp_path)
    blocked = (
        "pylibjpeg",
        "libjpeg",
        "openjpeg",
        "matplotlib",
        "tqdm",
        "highdicom",
        "monai",
        "nibabel",
        "slicer",
        "vtk",
        "qt",
    )
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nfor name in {blocked!r}: sys.modules[name] = None\n")
    import SimpleITK as sitk

    volume = phantom(0, (6.0, 6.0, 6.0))[0]
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.geometry.spacing_mm_xyz)
    sitk.WriteImage(image, str(tmp_path / "ct.nrrd"))
    root = Path(__file__).resolve().parents[2] / "FocusNetSegmentation"
    done = subprocess.run(
        [python, "-m", "focusnet", "segment", str(tmp_path / "ct.nrrd"), "-o", str(tmp_path / "o.seg.nrrd"), "--report",
         str(tmp_path / "r.json"), "--model", str(model), "--device", "cpu", "--json-progress"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(root)])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "o.seg.nrrd").is_file()
