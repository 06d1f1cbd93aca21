"""Only what was shown is approved, and nothing is approved as absent that is drawn; what the model itself says stands in each row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from focusnet.errors import InputError
from focusnet.io.review_tags import read_reviews
from focusnet.io.seg_nrrd import read_seg_nrrd
from FocusNetSegmentationLib.exchange.export import export
from FocusNetSegmentationLib.review.rows import Row
from FocusNetSegmentationLib.review.states import Review, untouched_organs
from FocusNetSegmentationLib.scene.labelmaps import get_tag
from FocusNetSegmentationLib.scene.nodes import import_result, replace_organs

from ...Core.helpers_dicom import small_case
from ...Core.helpers_outputs import MISSING, NAMES, scan_and_organs
from ..helpers_nodes import World, erase_a_bit, paint, save_segmentation, segment
from ..helpers_review import DRAFTS, approve
from ..helpers_slicer import open_segmentation


def row_of(review: Review, organ: str) -> Row:
    return next(row for row in review.rows() if row.organ == organ)


def test_an_organ_that_was_not_shown_cannot_be_approved(case: tuple[Any, Review]) -> None:
    _, review = case
    with pytest.raises(InputError, match=r"^Brainstem was not shown yet: look at it first\.$"):
        review.approve("Brainstem")
    assert review.states() == DRAFTS
    review.seen("Brainstem")
    assert [row.organ for row in review.rows() if row.seen] == ["Brainstem"]
    review.approve("Brainstem")
    assert review.states()["Brainstem"] == "approved"


def test_what_the_model_draws_anew_has_not_been_shown(world: World) -> None:
    ct, imported, result = world.result()
    review = Review(imported.node)
    for organ in ("Brainstem", "Parotid_L"):
        review.seen(organ)
    replace_organs(world.scene, result, ct, imported.node, ["Brainstem"])
    assert [row.organ for row in review.rows() if row.seen] == ["Parotid_L"]


def test_an_organ_that_was_seen_may_be_approved_after_it_was_saved_and_loaded(world: World, tmp_path: Path) -> None:
    _, imported, _ = world.result()
    Review(imported.node).seen("Brainstem")
    opened = open_segmentation(save_segmentation(imported.node, tmp_path / "case.seg.nrrd"))
    back = Review(opened.node)
    back.approve("Brainstem")
    assert back.states()["Brainstem"] == "approved"


def test_an_empty_organ_is_approved_as_absent_and_in_no_other_way(case: tuple[Any, Review]) -> None:
    node, review = case
    review.seen(MISSING)
    with pytest.raises(InputError, match="Larynx is empty: confirm that it is absent, or draw it first"):
        review.approve(MISSING)
    review.seen("Brainstem")
    with pytest.raises(InputError, match="Brainstem has voxels, so it is not absent"):
        review.approve_absent("Brainstem")
    review.approve_absent(MISSING, "A. Reader")
    row = row_of(review, MISSING)
    assert (row.state, row.state_text, row.absent, row.approved_by) == (
        "approved",
        "absent, confirmed",
        True,
        "A. Reader",
    )
    assert not row_of(review, "Brainstem").absent
    cord = segment(node, "SpinalCord").GetLabelValue()
    paint(node, MISSING, lambda array, label: array.__setitem__(array == cord, label))
    assert MISSING in review.check(), "it is drawn now"


def test_an_absence_is_confirmed_only_after_it_was_looked_for(case: tuple[Any, Review]) -> None:
    with pytest.raises(InputError, match="Larynx was not shown yet"):
        case[1].approve_absent(MISSING)


def test_a_confirmed_absence_goes_into_the_files(world: World, tmp_path: Path) -> None:
    volume, organs = small_case(tmp_path)
    ct = world.volume(volume)
    node = import_result(world.scene, organs, ct).node
    review = Review(node)
    approve(review, MISSING, "A. Reader")
    path, notes = export(node, ct, tmp_path / "case.seg.nrrd", "seg.nrrd")
    assert "Confirmed absent: Larynx." in notes
    entry = read_reviews(path, read_seg_nrrd(path))[MISSING]
    assert (entry.absent, entry.state_text, entry.approved_by) == (True, "absent, confirmed", "A. Reader")
    _, notes = export(node, ct, tmp_path / "rs.dcm", "rtstruct", tmp_path / "ct")
    assert "Confirmed absent: Larynx." in notes
    assert not any("Left out, because empty: Larynx" in note for note in notes)
    assert "Confirmed absent: Larynx." in pydicom.dcmread(tmp_path / "rs.dcm").StructureSetDescription


def test_a_row_says_what_the_model_says_until_the_organ_is_edited(world: World) -> None:
    scan, result = scan_and_organs()
    unsure = replace(result.results[0], found=False, warnings=("Not localized with confidence.",))
    result = replace(result, results=(unsure, *result.results[1:]))
    imported = import_result(world.scene, result, world.volume(scan))
    assert (imported.missing, imported.uncertain) == ((MISSING,), ("Brainstem",)), (
        "not found is never said of what is drawn"
    )
    review = Review(imported.node)
    assert {row.organ: row.found for row in review.rows()} == {
        **dict.fromkeys(NAMES, "found"),
        "Brainstem": "uncertain",
        MISSING: "not found",
    }
    assert row_of(review, "Brainstem").warnings == ("Not localized with confidence.",)
    assert row_of(review, MISSING).warnings[0] == "Not found in this scan."
    paint(imported.node, "Brainstem", erase_a_bit)
    assert (row_of(review, "Brainstem").found, row_of(review, "Brainstem").warnings) == ("found", ())


def test_a_second_run_is_offered_only_what_nobody_touched(case: tuple[Any, Review]) -> None:
    node, review = case
    approve(review, "Brainstem")
    paint(node, "Parotid_L", erase_a_bit)
    node.GetSegmentation().AddEmptySegment("GTV", "GTV")
    assert untouched_organs(node) == ["SpinalCord", "Parotid_R", "Larynx"]
    assert get_tag(segment(node, "Parotid_L"), "FocusNet.Organ") == "Parotid_L"


def test_the_panels_export_leaves_out_or_marks_what_was_not_localized(world: World, tmp_path: Path) -> None:
    volume, organs = small_case(tmp_path)
    results = tuple(replace(r, found=r.found and r.organ.name != "SpinalCord") for r in organs.results)
    ct = world.volume(volume)
    node = import_result(world.scene, replace(organs, results=results), ct).node
    path = tmp_path / "rs.dcm"

    def names() -> list[str]:
        return [str(roi.ROIName) for roi in pydicom.dcmread(path).StructureSetROISequence]

    _, notes = export(node, ct, path, "rtstruct", tmp_path / "ct")
    assert "Left out, because not localized with confidence: SpinalCord." in notes
    assert "SpinalCord" not in names()
    _, notes = export(node, ct, path, "rtstruct", tmp_path / "ct", "mark")
    assert "Not localized with confidence, written all the same: SpinalCord." in notes
    assert "SpinalCord" in names()
    approve(Review(node), "SpinalCord")
    _, notes = export(node, ct, path, "rtstruct", tmp_path / "ct")
    assert not any("localized" in note for note in notes), "a person has looked after it"
    assert "SpinalCord" in names()
    pytest.importorskip("highdicom")
    export(node, ct, path, "dicom-seg", tmp_path / "ct")
    assert "SpinalCord" in [s.SegmentLabel for s in pydicom.dcmread(path).SegmentSequence]
