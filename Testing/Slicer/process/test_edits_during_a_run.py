"""What a person paints while a run goes on is not lost when the run ends: on Slicer's own core, with real worker processes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from FocusNetSegmentationLib.process.inference import Callbacks, process
from FocusNetSegmentationLib.process.worker import SubprocessProcess
from FocusNetSegmentationLib.review.states import Review
from FocusNetSegmentationLib.scene.nodes import edited_segments, frozen_copy
from FocusNetSegmentationLib.scene.results import results_of

from ..helpers_inference import ct_node, double
from ..helpers_nodes import World, erase_a_bit, layers, mask, paint

pytestmark = pytest.mark.usefixtures("temporary_folder")


@pytest.fixture
def drawn(world: World) -> tuple[Any, Any]:
    """A CT and its result, "Bone_Mandible" and "Brain", whose brain was edited before the second run."""
    ct = ct_node(world)
    node = process(ct, command=double()).node
    paint(node, "Brain", erase_a_bit)
    return ct, node


def run_while(ct: Any, node: Any, edit: Any, **callbacks: Any) -> Any:
    """Run again over all organs; ``edit`` happens when the worker has begun."""
    run = process(ct, node, wait=False, command=double(), process=SubprocessProcess(), callbacks=Callbacks(**callbacks))
    edit()
    run.wait()
    assert run.failure is None
    return run.imported


def test_an_organ_that_was_painted_during_the_run_keeps_the_persons_voxels(drawn: tuple[Any, Any]) -> None:
    ct, node = drawn
    original = mask(node, "Bone_Mandible").copy()
    imported = run_while(ct, node, lambda: paint(node, "Bone_Mandible", erase_a_bit))
    assert mask(node, "Bone_Mandible").sum() == original.sum() - 1
    assert imported.kept == ("Bone_Mandible",)
    assert any("Bone_Mandible changed during the run, so your own voxels are kept" in w for w in imported.warnings)
    np.testing.assert_array_equal(mask(frozen_copy(node), "Bone_Mandible"), original)
    assert edited_segments(node) == ["Bone_Mandible"], "the brain is the new run's"
    assert Review(node).states() == {"Bone_Mandible": "edited", "Brain": "draft"}
    assert imported.segment_ids.keys() == {"Bone_Mandible", "Brain"}
    assert layers(frozen_copy(node)) == 1


def test_what_was_edited_before_the_run_is_drawn_anew(drawn: tuple[Any, Any]) -> None:
    ct, node = drawn
    imported = run_while(ct, node, lambda: None)
    assert imported.kept == ()
    assert edited_segments(node) == []


def test_a_person_may_choose_the_models_voxels(drawn: tuple[Any, Any]) -> None:
    ct, node = drawn
    asked: list[tuple[str, ...]] = []

    def replace_them(organs: tuple[str, ...]) -> bool:
        asked.append(organs)
        return True

    imported = run_while(ct, node, lambda: paint(node, "Brain", erase_a_bit), on_conflict=replace_them)
    assert asked == [("Brain",)]
    assert (imported.kept, edited_segments(node)) == ((), [])


def test_a_run_in_which_every_organ_was_painted_changes_none_of_them(drawn: tuple[Any, Any]) -> None:
    ct, node = drawn

    def both() -> None:
        for name in ("Bone_Mandible", "Brain"):
            paint(node, name, erase_a_bit)

    imported = run_while(ct, node, both)
    assert set(imported.kept) == {"Bone_Mandible", "Brain"}
    assert edited_segments(node) == ["Bone_Mandible", "Brain"]


def test_a_ct_knows_its_results(world: World) -> None:
    ct, other = ct_node(world), ct_node(world, "CT 2")
    assert results_of(ct) == []
    first, second = (process(ct, command=double()).node for _ in range(2))
    assert results_of(ct) == [first, second]
    assert results_of(other) == []
    assert results_of(None) == []
