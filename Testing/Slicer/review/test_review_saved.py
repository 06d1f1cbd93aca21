"""A review saved and opened again by Slicer's own core, and what the planning system is told of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydicom
import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from focusnet.io.review_tags import read_reviews
from focusnet.io.seg_nrrd import read_seg_nrrd, write_seg_nrrd
from FocusNetSegmentationLib.exchange.export import export
from FocusNetSegmentationLib.review.scores import scores_from
from FocusNetSegmentationLib.review.states import Review, states_of
from FocusNetSegmentationLib.scene.labelmaps import get_tag, voxels
from FocusNetSegmentationLib.scene.nodes import import_result

from ...Core.helpers_dicom import small_case
from ...Core.helpers_outputs import GRIDS, NAMES, scan_and_organs
from ..helpers_nodes import TURNED, World, erase_a_bit, load_mrb, paint, save_segmentation, segment, segmentation_of
from ..helpers_review import DRAFTS, SCORED, Clock, approve
from ..helpers_slicer import BINARY_LABELMAP, open_segmentation


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("grid", GRIDS)
def test_states_scores_and_times_survive_a_seg_nrrd_on_any_grid(
    world: World, tmp_path: Path, grid: str, crop: bool
) -> None:
    _, imported, _ = world.result(grid)
    clock = Clock()
    review = Review(imported.node, clock=clock)
    review.set_scores(scores_from(SCORED))
    paint(imported.node, "Parotid_L", erase_a_bit)
    approve(review, "Parotid_R", "Dr. Ü | Müller")
    approve(review, "Larynx")
    review.record_activity("Brainstem")
    clock.now += 12
    review.record_activity(None)
    opened = open_segmentation(save_segmentation(imported.node, tmp_path / "case.seg.nrrd", crop))
    back = Review(opened.node)
    assert back.rows() == review.rows()
    assert back.states() == {**DRAFTS, "Parotid_L": "edited", "Parotid_R": "approved", "Larynx": "approved"}
    assert [r.approved_by for r in back.rows() if r.organ == "Parotid_R"] == ["Dr. Ü | Müller"]
    assert back.active_s() == {"Brainstem": 12.0}
    paint(opened.node, "Parotid_R", erase_a_bit)
    assert back.states()["Parotid_R"] == "edited"


@pytest.mark.parametrize("grid", ["upright", "oblique and flipped"])
def test_the_panels_own_export_keeps_the_review_too(world: World, tmp_path: Path, grid: str) -> None:
    """Read by Slicer and by the command line, which both see who approved what."""
    ct, imported, _ = world.result(grid)
    review = Review(imported.node)
    review.set_scores(scores_from(SCORED))
    paint(imported.node, "Parotid_L", erase_a_bit)
    review.check()
    approve(review, "Parotid_R", "Dr. Ü | Müller")
    path, _ = export(imported.node, ct, tmp_path / "case.seg.nrrd", "seg.nrrd")
    opened = open_segmentation(path)
    assert Review(opened.node).rows() == review.rows()
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    assert logic.GetSegmentStatus(segment(opened.node, "Parotid_R")) == logic.Completed
    assert get_tag(segment(opened.node, "Parotid_L"), "DICOM.SegmentAlgorithmType") == "SEMIAUTOMATIC"
    by_engine = read_reviews(path, read_seg_nrrd(path))
    assert {name: entry.state for name, entry in by_engine.items()} == review.states()
    assert by_engine["Parotid_R"].approved_by == "Dr. Ü | Müller"


def test_states_survive_an_mrb_under_a_transform(world: World, tmp_path: Path) -> None:
    ct, imported, _ = world.result("oblique")
    review = Review(imported.node)
    paint(imported.node, "Parotid_L", erase_a_bit)
    approve(review, "Parotid_R", "A. Reader")
    world.transform(TURNED, ct, imported.node, imported.frozen)
    assert review.states()["Parotid_R"] == "approved", "the patient was moved, not the contour in the patient"
    assert world.scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    back = Review(segmentation_of(load_mrb(tmp_path / "scene.mrb", tmp_path / "unpacked")))
    assert back.states() == {**DRAFTS, "Parotid_L": "edited", "Parotid_R": "approved"}
    assert back.check() == []


def test_a_file_changed_outside_of_the_review_has_lost_its_approval_when_it_is_opened(
    world: World, tmp_path: Path
) -> None:
    _, imported, _ = world.result()
    approve(Review(imported.node), "Parotid_R")
    opened = open_segmentation(save_segmentation(imported.node, tmp_path / "case.seg.nrrd"))
    paint(opened.node, "Parotid_R", erase_a_bit)
    assert states_of(opened.node)["Parotid_R"] == "edited"


def test_a_file_of_the_command_line_opened_by_slicer_starts_as_drafts(tmp_path: Path) -> None:
    _, result = scan_and_organs("upright")
    write_seg_nrrd(result, tmp_path / "organs.seg.nrrd")
    opened = open_segmentation(tmp_path / "organs.seg.nrrd")
    review = Review(opened.node)
    assert review.states() == DRAFTS
    image = opened.segment(review.segments()["Parotid_R"]).GetRepresentation(BINARY_LABELMAP)
    erase_a_bit(voxels(image), opened.segment(review.segments()["Parotid_R"]).GetLabelValue())
    image.Modified()
    assert review.states() == {**DRAFTS, "Parotid_R": "edited"}


def test_tags_that_someone_else_has_damaged_do_not_stop_a_review(case: tuple[Any, Review]) -> None:
    node, review = case
    for text in ("no json", "[1]", '{"state": "approved"}', '{"state": "approved", "approved": {"voxels": "x"}}'):
        segment(node, "Parotid_R").SetTag("FocusNet.Review", text)
        segment(node, "Parotid_R").SetTag("FocusNet.Score", text)
        segment(node, "Parotid_R").SetTag("FocusNet.ActiveSeconds", text)
        assert review.states()["Parotid_R"] != "approved"
        assert len(review.rows()) == 5


def test_a_structure_set_is_approved_when_every_drawn_organ_is_and_names_who_approved(
    world: World, tmp_path: Path
) -> None:
    volume, organs = small_case(tmp_path)
    ct = world.volume(volume)
    imported = import_result(world.scene, organs, ct)
    review = Review(imported.node)
    written = {}
    for organ in (*NAMES[:3], "Parotid_L"):
        approve(review, organ, "A. Reader")
        path = tmp_path / f"{organ}.dcm"
        export(imported.node, ct, path, "rtstruct", tmp_path / "ct")
        written[organ] = pydicom.dcmread(path)
    assert {o: d.ApprovalStatus for o, d in written.items()} == {
        **dict.fromkeys(NAMES[:3], "UNAPPROVED"),
        "Parotid_L": "APPROVED",
    }
    assert str(written["Parotid_L"].ReviewerName) == "A. Reader"
    paint(imported.node, "Parotid_R", erase_a_bit)
    export(imported.node, ct, tmp_path / "again.dcm", "rtstruct", tmp_path / "ct")
    assert pydicom.dcmread(tmp_path / "again.dcm").ApprovalStatus == "UNAPPROVED"
