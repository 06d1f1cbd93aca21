"""A scene and a .seg.nrrd that Slicer saved before the modules moved into rooms are opened after it, with their review."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from focusnet.io.read import read_segmentation
from focusnet.io.review_tags import read_reviews
from FocusNetSegmentationLib.review.states import Review
from FocusNetSegmentationLib.scene.nodes import edited_segments, frozen_copy, provenance_of

from ...Core.helpers_outputs import PROVENANCE, scan_and_organs
from ..helpers_nodes import load_mrb, mask, segmentation_of
from ..helpers_review import DRAFTS, SCORED
from ..helpers_slicer import open_segmentation

MADE_BEFORE = Path(__file__).parents[2] / "Fixtures" / "before-rooms"
STATES = {**DRAFTS, "Parotid_L": "edited", "Parotid_R": "approved"}


def check_review(node: Any) -> None:
    review = Review(node)
    rows = {row.organ: row for row in review.rows()}
    assert review.states() == STATES
    assert rows["Parotid_R"].approved_by == "Dr. Ü | Müller"
    assert review.active_s() == {"Brainstem": 12.0}
    assert [rows[organ["organ"]].score for organ in SCORED["organs"]] == [o["score"] for o in SCORED["organs"]]
    assert review.check() == []
    review.close()


def test_a_scene_saved_before_opens_with_its_result_its_review_and_the_models_own_copy(tmp_path: Path) -> None:
    scene = load_mrb(MADE_BEFORE / "scene.mrb", tmp_path)  # held: without it, nodes lose their references
    node = segmentation_of(scene)
    check_review(node)
    _, drawn = scan_and_organs("oblique")
    assert mask(node, "Parotid_R").sum() == drawn.mask("Parotid_R").sum()
    assert mask(node, "Parotid_L").sum() == drawn.mask("Parotid_L").sum() - 1
    assert mask(frozen_copy(node), "Parotid_L").sum() == drawn.mask("Parotid_L").sum()
    assert edited_segments(node) == ["Parotid_L"]
    assert provenance_of(node)["bundle_sha256"] == PROVENANCE["bundle_sha256"]


def test_a_segmentation_saved_by_slicer_before_opens_with_its_review() -> None:
    check_review(open_segmentation(MADE_BEFORE / "reviewed.seg.nrrd").node)


def test_a_segmentation_saved_by_slicer_before_is_read_by_the_command_line_with_its_review() -> None:
    back = read_segmentation(MADE_BEFORE / "reviewed.seg.nrrd")
    reviews = read_reviews(MADE_BEFORE / "reviewed.seg.nrrd", back)
    assert {name: review.state for name, review in reviews.items()} == STATES
    assert reviews["Parotid_R"].approved_by == "Dr. Ü | Müller"
    assert reviews["Brainstem"].active_s == 12.0
    assert reviews["Brainstem"].run["model"] == PROVENANCE["model"]
    assert back.results[0].peak == 0.875
