"""The time that a review counts for each organ, on Slicer's own core."""

from __future__ import annotations

import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from focusnet.qa.audit import audit
from FocusNetSegmentationLib.review.states import Review
from FocusNetSegmentationLib.scene.as_segmentation import segmentation_on
from FocusNetSegmentationLib.scene.nodes import frozen_copy
from FocusNetSegmentationLib.scene.volumes import world_geometry

from ..helpers_nodes import World
from ..helpers_review import Clock


def test_time_is_counted_for_the_organ_that_was_worked_on_and_pauses_are_cut(world: World) -> None:
    ct, imported, _ = world.result()
    clock = Clock()
    review = Review(imported.node, clock=clock)
    for organ, seconds in (
        ("Brainstem", 10),
        ("Brainstem", 20),
        ("Parotid_L", 5),
        (None, 500),
        ("Brainstem", 900),
        (None, 0),
    ):
        review.record_activity(organ)
        clock.now += seconds
    assert review.active_s() == {"Brainstem": 10 + 20 + 30, "Parotid_L": 5}
    edited, _ = segmentation_on(world_geometry(ct), imported.node)
    frozen, _ = segmentation_on(world_geometry(ct), frozen_copy(imported.node))
    rows = {o.organ: o.active_s for o in audit(frozen, edited, active_s=review.active_s(), editor="A. Reader").organs}
    assert rows["Brainstem"] == 60
    assert rows["Parotid_R"] is None


def test_many_touches_a_second_write_seldom_and_lose_no_time(world: World) -> None:
    _, imported, _ = world.result()
    clock = Clock()
    review = Review(imported.node, clock=clock)
    written: list[int] = []
    imported.node.GetSegmentation().AddObserver(slicer.vtkSegmentation.SegmentModified, lambda *_: written.append(1))
    for _ in range(101):
        review.record_activity("Brainstem")
        clock.now += 0.1
    review.record_activity(None)
    assert review.active_s() == {"Brainstem": pytest.approx(10.1, abs=0.06)}
    assert len(written) <= 8
