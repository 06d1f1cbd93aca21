"""What happens when a second run, a cancel, a closed scene or a changed CT comes into a run; a script stands in for the network."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from focusnet.phantom.write import phantom
from FocusNetSegmentationLib.process.inference import process
from FocusNetSegmentationLib.process.worker import SubprocessProcess, WorkerBusyError

from ..helpers_inference import Told, ct_node, double, segmentations, start, until_progress
from ..helpers_nodes import World

pytestmark = pytest.mark.usefixtures("temporary_folder")


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
