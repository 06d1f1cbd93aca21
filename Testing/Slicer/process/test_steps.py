"""A result comes into the scene in short steps, between which the window lives, and anything may happen between two of them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")
core = pytest.importorskip("PySide6.QtCore", reason="QProcess is tested with PySide6, which is not installed")

from FocusNetSegmentationLib.process import inference, steps
from FocusNetSegmentationLib.process.inference import SegmentationRun, process
from FocusNetSegmentationLib.process.steps import Steps
from FocusNetSegmentationLib.process.worker import QtProcess
from FocusNetSegmentationLib.scene.nodes import edited_segments, frozen_copy

from ..helpers_inference import Told, ct_node, double, segmentations
from ..helpers_nodes import World

pytestmark = pytest.mark.usefixtures("temporary_folder")


class Timer:
    """Fires when the test says so. ``fired``: how often."""

    def __init__(self) -> None:
        self.slot: Callable[[], None] | None = None
        self.waiting, self.fired = False, 0

    def connect(self, signal: str, slot: Callable[[], None]) -> None:
        assert signal == "timeout()"
        self.slot = slot

    def start(self) -> None:
        self.waiting = True

    def stop(self) -> None:
        self.waiting = False

    def fire(self) -> None:
        assert self.waiting
        assert self.slot is not None
        self.waiting, self.fired = False, self.fired + 1
        self.slot()


class Work:
    """Three steps and a result. ``done``: how many steps were worked on."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.done, self.problem = 0, problem
        self.ends: list[Any] = []

    def steps(self) -> Generator[None, None, str]:
        for _ in range(3):
            self.done += 1
            yield
        if self.problem is not None:
            raise self.problem
        return "result"

    def start(self, timer: Timer | None) -> Steps[str]:
        made = Steps(self.steps(), self.ends.append, self.ends.append, timer)
        made.start()
        return made


@pytest.fixture(autouse=True)
def one_part_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast this computer is."""
    monkeypatch.setattr(steps, "BUDGET_S", 0.0)


def test_each_firing_does_one_step_and_the_end_is_told_once() -> None:
    work, timer = Work(), Timer()
    running = work.start(timer)
    assert work.done == 0, "nothing before the event loop runs"
    for count in (1, 2, 3):
        timer.fire()
        assert (work.done, work.ends) == (count, [])
        assert running.is_running
    timer.fire()
    assert work.ends == ["result"]
    assert not running.is_running
    assert not timer.waiting


def test_what_goes_wrong_is_told_and_what_is_stopped_is_silent() -> None:
    problem = ValueError("no")
    failing, timer = Work(problem), Timer()
    failing.start(timer)
    while timer.waiting:
        timer.fire()
    assert failing.ends == [problem]
    stopped, timer = Work(), Timer()
    running = stopped.start(timer)
    timer.fire()
    running.stop()
    assert (stopped.done, stopped.ends, timer.waiting) == (1, [], False)
    running.finish()
    assert stopped.ends == []


def test_without_an_event_loop_or_when_it_must_be_done_now_it_is_done_now() -> None:
    alone = Work()
    alone.start(None)
    assert alone.ends == ["result"]
    hurried, timer = Work(), Timer()
    hurried.start(timer).finish()
    assert hurried.ends == ["result"]


# --- a run


class Arriving:
    """A run whose worker has ended, and whose result waits for the timer."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.timer, self.told = world, Timer(), Told()
        monkeypatch.setattr(inference, "make_timer", lambda: self.timer)
        self.ct = ct_node(world)
        made: Any = process(
            self.ct, wait=False, callbacks=self.told.callbacks, command=double(), process=QtProcess(core)
        )
        assert isinstance(made, SegmentationRun)
        self.run = made
        while self.run.worker.is_running:
            self.run.worker.process.pump(0.1)

    def fire_until_touched(self) -> None:
        while not segmentations(self.world):
            self.timer.fire()


@pytest.fixture
def arriving(world: World, monkeypatch: pytest.MonkeyPatch) -> Arriving:
    return Arriving(world, monkeypatch)


def test_nothing_is_in_the_scene_before_the_event_loop_runs_and_all_of_it_in_the_end(
    arriving: Arriving, temporary_folder: Path
) -> None:
    assert arriving.run.is_running, "Apply stays locked meanwhile"
    assert list(temporary_folder.iterdir()) == [], "the file has been read already"
    assert segmentations(arriving.world) == 0
    assert arriving.told.ends == []
    while arriving.timer.waiting:
        arriving.timer.fire()
    assert arriving.timer.fired > 3
    ((end, imported),) = arriving.told.ends
    assert end == "done"
    assert set(imported.segment_ids) == {"Bone_Mandible", "Brain"}
    assert frozen_copy(imported.node) is not None
    assert edited_segments(imported.node) == []
    assert not arriving.run.is_running


def test_cancel_before_the_scene_is_touched_leaves_nothing(arriving: Arriving) -> None:
    arriving.timer.fire()
    arriving.run.cancel()
    assert arriving.told.ends == [("cancelled",)]
    assert segmentations(arriving.world) == 0
    assert not arriving.run.is_running
    assert not arriving.timer.waiting


def test_cancel_after_that_completes_what_is_there(arriving: Arriving) -> None:
    arriving.fire_until_touched()
    assert segmentations(arriving.world) == 1, "the model's own copy is not there yet"
    arriving.run.cancel()
    assert [end[0] for end in arriving.told.ends] == ["done"]
    assert frozen_copy(arriving.run.segmentation_node) is not None


def test_a_ct_that_goes_between_two_steps_is_told(arriving: Arriving) -> None:
    arriving.timer.fire()
    arriving.world.scene.RemoveNode(arriving.ct)
    while arriving.timer.waiting:
        arriving.timer.fire()
    assert "no place for its result" in arriving.told.ends[0][1]
    assert segmentations(arriving.world) == 0


def test_a_segmentation_that_goes_between_two_steps_is_told(arriving: Arriving) -> None:
    arriving.fire_until_touched()
    node = arriving.world.scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    arriving.world.scene.RemoveNode(node)
    while arriving.timer.waiting:
        arriving.timer.fire()
    assert "was removed" in arriving.told.ends[0][1]
    assert segmentations(arriving.world) == 0


def test_leaving_slicer_between_two_steps_tells_nobody(arriving: Arriving) -> None:
    arriving.timer.fire()
    arriving.run.close()
    assert arriving.told.ends == []
    assert not arriving.timer.waiting
    assert not arriving.run.is_running


def test_a_script_that_waits_gets_the_whole_result(arriving: Arriving) -> None:
    assert arriving.run.wait(60)
    assert arriving.run.imported is not None
    assert [end[0] for end in arriving.told.ends] == ["done"]
