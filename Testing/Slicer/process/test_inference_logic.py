"""From a CT node to organ nodes on Slicer's own core, with real worker processes; a script stands in for the network (helpers_inference.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from focusnet.errors import InputError
from focusnet.phantom.write import phantom
from FocusNetSegmentationLib.process.inference import BatchItem, SegmentationError, process, process_scene
from FocusNetSegmentationLib.process.worker import QtProcess, SubprocessProcess
from FocusNetSegmentationLib.process.worker_protocol import WorkerRequest, focusnet_command
from FocusNetSegmentationLib.scene.nodes import edited_segments, organ_segments, provenance_of
from FocusNetSegmentationLib.scene.volumes import world_geometry

from ..helpers_inference import Told, ct_node, double, segmentations, start
from ..helpers_nodes import TURNED, World, erase_a_bit, mask, paint, points_lps

pytestmark = pytest.mark.usefixtures("temporary_folder")


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
    assert sorted(names) == sorted(2 * ["vtkMRMLSegmentationNode", "vtkMRMLSegmentationDisplayNode"]), (
        "the result, the frozen copy and the display of each: nothing stray"
    )


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


# --- all CTs of a scene


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
