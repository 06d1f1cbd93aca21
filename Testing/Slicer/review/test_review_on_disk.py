"""What a review in Slicer saved, the command line reads: the same states, who approved, the time, and the model, for the same voxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from focusnet.io.review_tags import read_reviews, with_run
from focusnet.io.seg_nrrd import read_seg_nrrd
from FocusNetSegmentationLib.review.states import Review

from ...Core.helpers_outputs import GRIDS
from ..helpers_nodes import World, erase_a_bit, paint, save_segmentation
from ..helpers_review import approve


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("grid", GRIDS)
def test_states_approvals_time_and_model_come_back(world: World, grid: str, crop: bool, tmp_path: Path) -> None:
    _, imported, _ = world.result(grid)
    node = imported.node
    times = iter([0.0, 12.0])
    review = Review(node, clock=lambda: next(times))
    review.record_activity("Parotid_R")
    review.record_activity(None)
    paint(node, "Parotid_R", erase_a_bit)
    review.check()
    approve(review, "Brainstem", "Dr. Who")
    review.close()
    path = save_segmentation(node, tmp_path / "case.seg.nrrd", crop)
    found = read_seg_nrrd(path)
    reviews = read_reviews(path, found)
    assert {n: r.state for n, r in reviews.items()} == review.states()
    assert reviews["Brainstem"].state == "approved"
    assert reviews["Brainstem"].approved_by == "Dr. Who"
    assert (reviews["Parotid_R"].state, reviews["Parotid_R"].active_s) == ("edited", 12.0)
    assert not any(r.by_hand for r in reviews.values())
    assert with_run(found, reviews).provenance["model"] == "han7-test"


def test_voxels_that_another_program_changed_are_not_approved(world: World, tmp_path: Path) -> None:
    import slicerio

    _, imported, _ = world.result()
    review = Review(imported.node)
    approve(review, "Brainstem")
    review.close()
    path = save_segmentation(imported.node, tmp_path / "case.seg.nrrd")
    content = slicerio.read_segmentation(str(path))
    voxels = np.array(content["voxels"])
    label = next(s["labelValue"] for s in content["segments"] if s["name"] == "Brainstem")
    voxels[tuple(np.argwhere(voxels == label)[0])] = 0
    slicerio.write_segmentation(str(path), {**content, "voxels": voxels})
    assert read_reviews(path, read_seg_nrrd(path))["Brainstem"].withdrawn
