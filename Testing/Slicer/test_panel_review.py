"""Panel on stand-ins: the review list, its keys and buttons, the shape prior and seeds. Not "tested in Slicer": see stand_ins.py."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ORGANS = ("Brainstem", "SpinalCord", "Parotid_R", "Parotid_L", "Esophagus", "Larynx", "Bone_Mandible")
SCORED = {
    "organs": [
        {"organ": "Larynx", "score": 4.0, "state_hint": "look at", "reasons": ["3 slices are missing inside it.", "Second."]},
        {"organ": "Parotid_L", "score": 1.5, "state_hint": "look at", "reasons": ["Half the size of the right one."]},
        {"organ": "Esophagus", "score": None, "state_hint": "not judged", "reasons": ["No statistics for this organ."]},
        *({"organ": o, "score": 0.2, "state_hint": "probably fine", "reasons": ["Nothing odd was found."]}
          for o in ("Brainstem", "Parotid_R", "SpinalCord", "Bone_Mandible")),
    ],
}  # fmt: skip


@pytest.fixture
def reviewed(panel: Any) -> Any:
    """A panel with a result whose organs have been scored."""
    panel.volume()
    panel.apply()
    open_scored(panel)
    return panel


def open_scored(panel: Any) -> None:
    from FocusNetSegmentationLib.review_scores import scores_from

    section = panel.panel.review
    section.review.set_scores(scores_from(SCORED))
    panel.ui.reviewCollapsibleButton.collapsed = False
    section.fill()
    panel.settle()


def table(panel: Any) -> list[list[str]]:
    widget = panel.ui.reviewTable._target
    return [[widget.item(r, c).text() for c in range(5)] for r in range(widget.rowCount())]


def states(panel: Any) -> dict[str, str]:
    return {row[0]: row[1] for row in table(panel)}


def press(panel: Any, key: str) -> None:
    """The key's shortcut, as Qt would call it."""
    from PySide6 import QtGui

    wanted = QtGui.QKeySequence(key)
    (shortcut,) = (s._target for s in panel.panel.review._shortcuts if s._target.key() == wanted)
    shortcut.activated.emit()
    panel.settle()


def choose(panel: Any, organ: str) -> None:
    """Click on a row."""
    panel.ui.reviewTable._target.selectRow([row[0] for row in table(panel)].index(organ))
    panel.settle()


def paint(panel: Any, organ: str) -> None:
    from FocusNetSegmentationLib.labelmaps import voxels

    node = panel.parameters.resultSegmentation
    segment = node.GetSegmentation().GetSegment(panel.panel.review.review.segments()[organ])
    image = segment.GetRepresentation("Binary labelmap")
    voxels(image)[tuple(np.argwhere(voxels(image) == segment.GetLabelValue())[0])] = 0
    image.Modified()
    panel.until(lambda: not panel.panel.review._timer.active)
    panel.settle()


def three_views(panel: Any) -> list[Any]:
    views = []
    for name in ("Axial", "Sagittal", "Coronal"):
        node = panel.scene.AddNewNodeByClass("vtkMRMLSliceNode", name)
        node.SetDimensions(400, 400, 1)
        getattr(node, f"SetOrientationTo{name}")()
        views.append(node)
    return views


def add_ghost(panel: Any, organ: str, folder: Path) -> None:
    """A ghost that is the organ without its outermost voxels to the left."""
    from focusnet.io.seg_nrrd import write_seg_nrrd
    from FocusNetSegmentationLib.exporting import segmentation_on
    from FocusNetSegmentationLib.ghost import add_ghosts
    from FocusNetSegmentationLib.volumes import world_geometry

    result, _ = segmentation_on(world_geometry(panel.parameters.inputVolume), panel.parameters.resultSegmentation)
    kept = next(r for r in result.results if r.organ.name == organ)
    labels = np.where(result.labels == kept.label, kept.label, 0).astype(np.uint8)
    columns = np.flatnonzero((labels > 0).any(axis=(0, 1)))
    labels[:, :, columns[-3:]] = 0
    write_seg_nrrd(replace(result, labels=labels, results=(kept,)), folder / "ghosts.seg.nrrd", overwrite=True)
    add_ghosts(panel.scene, panel.parameters.resultSegmentation, folder / "ghosts.seg.nrrd")
    (folder / "ghosts.seg.nrrd").unlink()


# --- the list


def test_without_a_result_the_section_says_what_to_do(panel: Any) -> None:
    assert "Apply first" in panel.text("reviewStatusLabel")
    for name in (
        "reviewApproveButton",
        "reviewNextButton",
        "reviewScoreButton",
        "ghostButton",
        "seedButton",
        "useShapeButton",
    ):
        assert not getattr(panel.ui, name).enabled, name
    assert table(panel) == []


def test_the_list_shows_worst_first_state_score_reason_and_volume(reviewed: Any) -> None:
    rows = table(reviewed)
    assert [row[0] for row in rows[:3]] == ["Larynx", "Parotid_L", "Esophagus"]
    assert rows[0][1:4] == ["draft", "▲ 4.0", "3 slices are missing inside it."]
    assert rows[2][1:4] == ["draft", "n/a", "No statistics for this organ."]
    assert rows[3][2] == "0.2"
    volume = next(r.volume_ml for r in reviewed.panel.review.review.rows() if r.organ == "Larynx")
    assert float(rows[0][4]) == pytest.approx(volume, abs=0.006)
    tip = reviewed.ui.reviewTable._target.item(0, 3).toolTip()
    assert "Second." in tip, "all reasons are a hover away"
    assert reviewed.text("reviewStatusLabel") == "0 of 7 organs approved."


def test_choosing_a_row_shows_the_organ_and_opens_the_editor_on_it(reviewed: Any) -> None:
    views = three_views(reviewed)
    display = reviewed.parameters.inputVolume.GetDisplayNode()
    reviewed.ui.editCollapsibleButton.collapsed = True
    choose(reviewed, "Parotid_L")
    segment_id = reviewed.panel.review.review.segments()["Parotid_L"]
    assert reviewed.panel.result.editor.currentSegmentID() == segment_id
    assert not reviewed.ui.editCollapsibleButton.collapsed
    assert (display.GetWindow(), display.GetLevel()) == (350, 40)
    points = {tuple(round(v.GetSliceToRAS().GetElement(i, 3), 2) for i in range(3)) for v in views}
    assert len(points) == 1, "every view on the same point"
    assert reviewed.text("reviewReasonLabel") == "Parotid_L: Half the size of the right one."


def test_next_and_previous_by_buttons_and_keys(reviewed: Any) -> None:
    reviewed.ui.reviewNextButton.click()
    assert reviewed.panel.review.current == "Larynx"
    press(reviewed, "Ctrl+Down")
    assert reviewed.panel.review.current == "Parotid_L"
    press(reviewed, "Ctrl+Up")
    reviewed.ui.reviewPreviousButton.click()
    assert reviewed.panel.review.current == table(reviewed)[-1][0]
    assert reviewed.ui.reviewTable._target.currentRow() == 6


def test_enter_approves_and_goes_on_to_the_worst_that_is_left(reviewed: Any) -> None:
    reviewed.ui.reviewerLineEdit.text = "A. Reader"
    choose(reviewed, "Parotid_L")
    press(reviewed, "Return")
    assert states(reviewed)["Parotid_L"] == "✓ approved"
    assert reviewed.panel.review.current == "Larynx", "the worst, although it stands above"
    press(reviewed, "Ctrl+Return")
    assert reviewed.panel.review.current == "Esophagus"
    assert reviewed.text("reviewStatusLabel") == "2 of 7 organs approved."
    for _ in range(4):
        reviewed.ui.reviewApproveButton.click()
    press(reviewed, "Enter")
    assert set(states(reviewed).values()) == {"✓ approved"}
    assert reviewed.text("reviewStatusLabel") == "✓ All organs are approved."
    assert reviewed.panel.review.current is None
    choose(reviewed, "Larynx")
    assert "Approved by A. Reader." in reviewed.text("reviewReasonLabel")


def test_a_change_takes_the_approval_back_and_says_so(reviewed: Any) -> None:
    choose(reviewed, "Larynx")
    press(reviewed, "Return")
    paint(reviewed, "Larynx")
    assert states(reviewed)["Larynx"] == "edited"
    assert reviewed.text("reviewStatusLabel") == "⚠ Larynx changed after approval: approve again."
    assert next(row for row in table(reviewed) if row[0] == "Larynx")[3].startswith("Changed since it was scored.")


def test_an_approval_can_be_taken_back(reviewed: Any) -> None:
    choose(reviewed, "Larynx")
    assert not reviewed.ui.reviewWithdrawButton.enabled
    press(reviewed, "Return")
    choose(reviewed, "Larynx")
    reviewed.ui.reviewWithdrawButton.click()
    assert states(reviewed)["Larynx"] == "draft"


@pytest.mark.parametrize("how", ["End review", "collapse", "leave", "another result"])
def test_the_users_own_window_comes_back_when_the_review_ends(reviewed: Any, how: str) -> None:
    display = reviewed.parameters.inputVolume.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(1500, 300)
    choose(reviewed, "Larynx")
    assert display.GetWindow() == 350
    if how == "End review":
        reviewed.ui.reviewEndButton.click()
    elif how == "collapse":
        reviewed.ui.reviewCollapsibleButton.collapsed = True
    elif how == "leave":
        reviewed.leave()
    else:
        reviewed.parameters.resultSegmentation = None
        reviewed.settle()
    assert (display.GetWindow(), display.GetLevel()) == (1500, 300)


def test_keys_work_only_while_the_panel_is_open(reviewed: Any) -> None:
    shortcuts = [s._target for s in reviewed.panel.review._shortcuts]
    assert len(shortcuts) == 5
    reviewed.leave()
    assert reviewed.panel.review._shortcuts == []
    reviewed.enter()
    assert len(reviewed.panel.review._shortcuts) == 5


def test_another_result_has_its_own_list_and_a_closed_scene_none(reviewed: Any) -> None:
    choose(reviewed, "Larynx")
    first = reviewed.parameters.resultSegmentation
    other = reviewed.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "other")
    other.GetSegmentation().AddEmptySegment("a", "GTV")
    reviewed.parameters.resultSegmentation = other
    reviewed.settle()
    reviewed.until(lambda: not reviewed.panel.review.scoring.is_running)
    assert [row[0] for row in table(reviewed)] == ["GTV"]
    reviewed.parameters.resultSegmentation = first
    reviewed.settle()
    assert len(table(reviewed)) == 7
    reviewed.scene.Clear(0)
    reviewed.settle()
    assert table(reviewed) == []


def test_apply_asks_before_approved_organs_are_drawn_anew(reviewed: Any) -> None:
    choose(reviewed, "Larynx")
    press(reviewed, "Return")
    reviewed.stand_ins.answers = [False]
    reviewed.ui.applyButton.click()
    reviewed.settle()
    assert "These organs are approved: Larynx." in reviewed.stand_ins.dialogs[-1][1]
    assert states(reviewed)["Larynx"] == "✓ approved"
    reviewed.stand_ins.answers = [True]
    reviewed.apply()
    assert set(states(reviewed).values()) == {"draft"}


def test_the_list_comes_back_with_a_saved_scene(reviewed: Any, tmp_path: Path) -> None:
    choose(reviewed, "Larynx")
    press(reviewed, "Return")
    before = table(reviewed)
    assert reviewed.scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    reviewed.leave()
    from .helpers_nodes import load_mrb, segmentation_of

    scene = load_mrb(tmp_path / "scene.mrb", tmp_path / "unpacked")
    from FocusNetSegmentationLib.panel_review_table import cells
    from FocusNetSegmentationLib.review import Review

    assert [list(cells(row)) for row in Review(segmentation_of(scene)).rows()] == before


# --- the shape prior


def test_shape_buttons_say_why_they_cannot_be_pressed(reviewed: Any) -> None:
    assert reviewed.ui.ghostButton.toolTip == "Choose an organ in the list first."
    choose(reviewed, "Larynx")
    for name in ("ghostButton", "distanceButton", "useShapeButton", "useShapeHereButton"):
        assert getattr(reviewed.ui, name).toolTip == "There is no shape prior of this organ."
        assert not getattr(reviewed.ui, name).enabled


def test_ghost_and_distances_follow_the_organ_and_go_when_the_review_ends(reviewed: Any, tmp_path: Path) -> None:
    from FocusNetSegmentationLib.ghost import ghost_node
    from FocusNetSegmentationLib.ghost_distance import distance_node

    add_ghost(reviewed, "Larynx", tmp_path)
    choose(reviewed, "Larynx")
    reviewed.ui.ghostButton.click()
    reviewed.ui.distanceButton.click()
    node = reviewed.parameters.resultSegmentation
    ghost, model = ghost_node(node).GetDisplayNode(), distance_node(node).GetDisplayNode()
    assert ghost.GetVisibility()
    assert model.GetVisibility()
    choose(reviewed, "Parotid_L")
    assert not ghost.GetVisibility(), "there is none of this organ"
    assert not model.GetVisibility()
    choose(reviewed, "Larynx")
    assert ghost.GetVisibility()
    reviewed.ui.reviewEndButton.click()
    assert not ghost.GetVisibility()
    assert not model.GetVisibility()
    assert "not truth" in ghost_node(node).GetName()


def test_the_shape_is_taken_over_and_undone_in_the_editor(reviewed: Any, tmp_path: Path) -> None:
    add_ghost(reviewed, "Larynx", tmp_path)
    choose(reviewed, "Larynx")
    before = reviewed.panel.review.review.marks()["Larynx"]
    reviewed.ui.useShapeButton.click()
    reviewed.settle()
    assert "took the shape prior's shape. It is not truth" in reviewed.text("reviewStatusLabel")
    assert states(reviewed)["Larynx"] == "edited"
    reviewed.panel.result.editor.undo()
    reviewed.until(lambda: states(reviewed)["Larynx"] == "draft")
    assert reviewed.panel.review.review.marks()["Larynx"].same_as(before)


def test_the_brush_is_around_the_crosshair(reviewed: Any, tmp_path: Path) -> None:
    add_ghost(reviewed, "Larynx", tmp_path)
    choose(reviewed, "Larynx")
    reviewed.ui.useShapeHereButton.click()
    assert "no crosshair" in reviewed.text("reviewStatusLabel")
    crosshair = reviewed.scene.AddNewNodeByClass("vtkMRMLCrosshairNode")
    crosshair.SetCrosshairRAS(500.0, 500.0, 500.0)
    reviewed.ui.useShapeHereButton.click()
    assert "Nothing to change here." in reviewed.text("reviewStatusLabel")
    assert states(reviewed)["Larynx"] == "draft"


# --- seeds


def test_seeds_are_for_models_with_sos_nets_and_others_say_why(reviewed: Any) -> None:
    choose(reviewed, "Larynx")
    manifest = reviewed.panel.models.entry.manifest
    manifest["network"]["has_sos"] = False
    reviewed.panel.review.fill()
    assert not reviewed.ui.seedButton.enabled
    assert "has no SOS-Nets" in reviewed.ui.seedButton.toolTip


def test_a_seed_is_dragged_and_that_organ_alone_is_run_again(reviewed: Any) -> None:
    from FocusNetSegmentationLib.review_seeds import seed_of

    reviewed.panel.models.entry.manifest["network"].update(has_sos=True, small_organs=["Larynx"])
    choose(reviewed, "Brainstem")
    paint(reviewed, "Brainstem")
    choose(reviewed, "Larynx")
    assert not reviewed.ui.runSeedButton.enabled, "where from is not known yet"
    reviewed.ui.seedButton.click()
    seed = seed_of(reviewed.parameters.resultSegmentation, "Larynx")
    assert seed.GetDisplayNode().GetVisibility()
    seed.SetNthControlPointPositionWorld(0, 10.0, 20.0, 30.0)
    asked = []
    process = reviewed.panel.logic.process
    reviewed.panel.logic.process = lambda *args, **options: asked.append(options) or process(*args, **options)
    reviewed.ui.runSeedButton.click()
    reviewed.until(lambda: not reviewed.panel.runs.is_running)
    reviewed.settle()
    assert asked[0]["organs"] == ["Larynx"]
    assert asked[0]["seeds"] == {"Larynx": (-10.0, -20.0, 30.0)}
    assert states(reviewed) == {**dict.fromkeys(ORGANS, "draft"), "Brainstem": "edited"}
    choose(reviewed, "Brainstem")
    assert not seed.GetDisplayNode().GetVisibility()


# --- the section in the form


def test_every_button_of_the_section_has_a_tool_tip_and_a_place_in_the_tab_order(reviewed: Any) -> None:
    from xml.etree import ElementTree

    from .stand_ins import MODULE

    tree = ElementTree.parse(MODULE / "Resources" / "UI" / "FocusNetSegmentation.ui")
    section = next(w for w in tree.iter("widget") if w.get("name") == "reviewCollapsibleButton")
    kinds = ("QPushButton", "QSpinBox", "QLineEdit", "QTableWidget")
    names = [w.get("name") for w in section.iter("widget") if w.get("class") in kinds]
    stops = [t.text for t in tree.iter("tabstop")]
    assert len(names) == 15
    for name in names:
        assert getattr(reviewed.ui, str(name)).toolTip, name
        assert name in stops, name
    assert [s for s in stops if s in names] == names, "tab goes down the section as the eye does"


# --- with the real scores


def test_three_planted_errors_are_the_top_three_of_the_list_with_their_reasons(panel: Any) -> None:
    """Nothing here is a stand-in but Qt's widgets: the scores are ``focusnet qa``'s, in its own process, started by opening the section."""
    from FocusNetSegmentationLib.nodes import import_result
    from FocusNetSegmentationLib.sample_data import add_volume

    from ..Core.helpers_qa import far_blob, missing_slices, phantom_case, swapped

    volume, reference = phantom_case()
    wrong = far_blob(swapped(missing_slices(reference, "Parotid_R"), "Eye_L", "Eye_R"), "Brainstem")
    panel.parameters.inputVolume = add_volume(panel.scene, volume.array, volume.geometry.affine_xyz, "Phantom")
    panel.parameters.resultSegmentation = import_result(panel.scene, wrong, panel.parameters.inputVolume).node
    panel.settle()
    assert table(panel)[0][3] == "Not scored yet."
    panel.ui.reviewCollapsibleButton.collapsed = False
    assert panel.text("reviewStatusLabel") == "Scoring the organs..."
    panel.until(lambda: not panel.panel.review.scoring.is_running, 120)
    rows = {row[0]: row for row in table(panel)}
    top = list(rows)[:4]
    assert set(top) == {"Eye_L", "Eye_R", "Brainstem", "Parotid_R"}, "swapped sides are one finding on two organs"
    assert "3 slices are missing inside it" in rows["Parotid_R"][3]
    assert rows["Eye_L"][3].startswith("Left and right are swapped")
    assert "2 separate parts" in rows["Brainstem"][3]
    assert all(rows[name][2].startswith("▲") for name in top)
    assert "A score is a hint, not a verdict." in panel.text("reviewStatusLabel")
    press(panel, "Ctrl+Down")
    assert panel.panel.review.current == top[0]


def test_scoring_that_fails_says_why_in_one_line_and_can_be_tried_again(reviewed: Any) -> None:
    from FocusNetSegmentationLib import review_scoring

    section = reviewed.panel.review
    working = review_scoring.focusnet_arguments
    review_scoring.focusnet_arguments = lambda *a: working("qa", "none.seg.nrrd", "--json-progress")
    reviewed.ui.reviewScoreButton.click()
    assert not reviewed.ui.reviewScoreButton.enabled, "one at a time"
    reviewed.until(lambda: not section.scoring.is_running, 60)
    assert "none.seg.nrrd" in reviewed.text("reviewStatusLabel")
    assert reviewed.text("reviewStatusLabel").startswith("✗")
    review_scoring.focusnet_arguments = working
    assert table(reviewed)[0][2] == "▲ 4.0", "the old scores stay"
    reviewed.ui.reviewScoreButton.click()
    reviewed.until(lambda: not section.scoring.is_running, 60)
    assert "organs to look at first" in reviewed.text("reviewStatusLabel")


def test_leaving_the_scene_during_scoring_leaves_nothing(reviewed: Any) -> None:
    reviewed.ui.reviewScoreButton.click()
    assert reviewed.panel.review.scoring.is_running
    reviewed.scene.Clear(0)
    reviewed.settle()
    assert not reviewed.panel.review.scoring.is_running


def test_a_segmentation_of_nothing_or_without_its_ct_is_not_scored(reviewed: Any) -> None:
    from FocusNetSegmentationLib.labelmaps import voxels

    node = reviewed.parameters.resultSegmentation
    image = node.GetSegmentation().GetNthSegment(0).GetRepresentation("Binary labelmap")
    voxels(image)[:] = 0
    image.Modified()
    reviewed.ui.reviewScoreButton.click()
    assert "Every organ of this segmentation is empty" in reviewed.text("reviewStatusLabel")
    reviewed.scene.RemoveNode(reviewed.parameters.inputVolume)
    reviewed.settle()
    reviewed.ui.reviewScoreButton.click()
    assert "The CT of this segmentation is not in the scene" in reviewed.text("reviewStatusLabel")


def test_ghosts_that_come_with_the_scores_are_there_to_be_shown(reviewed: Any, tmp_path: Path) -> None:
    """A stand-in for ``focusnet qa --ghosts``, which needs torch: it refuses once, as for organs without a prior, then hands over a file."""
    import sys

    from focusnet.io.seg_nrrd import write_seg_nrrd
    from FocusNetSegmentationLib import review_scoring
    from FocusNetSegmentationLib.exporting import segmentation_on
    from FocusNetSegmentationLib.ghost import ghosts_of, is_outdated
    from FocusNetSegmentationLib.volumes import world_geometry

    node = reviewed.parameters.resultSegmentation
    result, _ = segmentation_on(world_geometry(reviewed.parameters.inputVolume), node)
    write_seg_nrrd(result, tmp_path / "made.seg.nrrd")
    (tmp_path / "made.json").write_text(json.dumps(SCORED))
    asked: list[tuple[str, ...]] = []

    def stand_in(*arguments: str) -> tuple[str, list[str], dict[str, str]]:
        asked.append(arguments)
        out = arguments[arguments.index("-o") + 1]
        copies = [("made.json", out)]
        if "--ghosts" in arguments:
            copies.append(("made.seg.nrrd", arguments[arguments.index("--ghosts") + 1]))
        lines = [f"shutil.copy({str(tmp_path / a)!r}, {b!r})" for a, b in copies]
        warning = {"event": "warning", "message": "The model is another version than the one that made this."}
        lines.append(f"import sys; print({json.dumps(warning)!r}, file=sys.stderr)")
        refuse = "--ghosts" in arguments and len(asked) == 1
        return sys.executable, ["-c", "raise SystemExit(2)" if refuse else "import shutil; " + "; ".join(lines)], {}

    working, review_scoring.focusnet_arguments = review_scoring.focusnet_arguments, stand_in
    section = reviewed.panel.review
    found = review_scoring.has_small_organs
    review_scoring.has_small_organs = lambda segmentation: True
    try:
        section.score()
        reviewed.until(lambda: not section.scoring.is_running, 60)
        assert ["--ghosts" in a for a in asked] == [True, False], "the scores are wanted all the same"
        assert "2 organs to look at first" in reviewed.text("reviewStatusLabel")
        assert "another version than the one that made this" in reviewed.text("reviewStatusLabel")
        assert ghosts_of(node) == {}
        section.score()
        paint(reviewed, "Larynx")
        reviewed.until(lambda: not section.scoring.is_running, 60)
    finally:
        review_scoring.focusnet_arguments, review_scoring.has_small_organs = working, found
    assert set(ghosts_of(node)) == set(ORGANS)
    assert is_outdated(node, "Larynx"), "it was changed while the scores were made"
    assert not is_outdated(node, "Brainstem")
    choose(reviewed, "Brainstem")
    assert reviewed.ui.ghostButton.enabled


@pytest.mark.slow
def test_the_whole_way_of_a_seed_with_the_real_worker(open_panel: Any, tmp_path: Path) -> None:
    """Apply, drag the seed, run again: real networks (random weights) in the real worker draw that organ where the person said."""
    from .helpers_worker import worker_python

    python = worker_python()
    make = (
        "from pathlib import Path; import sys; from Testing.Core.helpers_engine import random_bundle, small_config;"
        "random_bundle(Path(sys.argv[1]), small_config(has_sos=True, location_threshold=1.01), seed=6)"
    )
    subprocess.run([python, "-c", make, str(tmp_path / "models")], check=True, cwd=Path(__file__).resolve().parents[2])
    panel = open_panel(python=python)
    panel.volume()
    panel.parameters.model = "random"
    panel.settle()
    panel.ui.applyButton.click()
    panel.until(lambda: not panel.panel.runs.is_running, 240)
    panel.settle()
    panel.ui.reviewCollapsibleButton.collapsed = False
    panel.until(lambda: not panel.panel.review.scoring.is_running, 120)
    review = panel.panel.review.review
    before = review.marks()
    choose(panel, "Larynx")
    panel.ui.seedButton.click()
    from FocusNetSegmentationLib.review_seeds import seed_of
    from FocusNetSegmentationLib.review_views import box_ras

    seed = seed_of(panel.parameters.resultSegmentation, "Larynx")
    place = np.array([0.0, -20.0, -30.0])
    seed.SetNthControlPointPositionWorld(0, *(float(v) for v in place))
    panel.ui.runSeedButton.click()
    panel.until(lambda: not panel.panel.runs.is_running, 240)
    panel.settle()
    low, high = box_ras(panel.parameters.resultSegmentation, review.segments()["Larynx"])
    half_roi_mm = np.array([48.0, 48.0, 24.0]) + 12.0
    assert ((low > place - half_roi_mm) & (high < place + half_roi_mm)).all()
    after = review.marks()
    assert not after["Larynx"].same_as(before["Larynx"])
    assert all(after[name].same_as(before[name]) for name in after if name != "Larynx")
    said = next(row for row in review.rows() if row.organ == "Larynx")
    assert said.state == "draft"


@pytest.mark.slow
def test_the_shape_model_that_ships_makes_ghosts_that_can_be_shown_and_measured(open_panel: Any) -> None:
    """The phantom's own organs, the real worker, the real autoencoder."""
    from focusnet.qa.shape_prior import DEFAULT

    from ..Core.helpers_qa import phantom_case
    from .helpers_worker import worker_python
    from .stand_ins import MODULE

    if not (MODULE / "Resources" / "Models" / DEFAULT / "bundle.json").is_file():
        pytest.skip(f"the shape model {DEFAULT} does not ship")
    panel = open_panel(python=worker_python())
    from FocusNetSegmentationLib.ghost import ghost_node, ghosts_of
    from FocusNetSegmentationLib.ghost_distance import ARRAY, distance_node
    from FocusNetSegmentationLib.nodes import import_result
    from FocusNetSegmentationLib.sample_data import add_volume

    volume, reference = phantom_case()
    panel.parameters.inputVolume = add_volume(panel.scene, volume.array, volume.geometry.affine_xyz, "Phantom")
    node = panel.parameters.resultSegmentation = import_result(
        panel.scene, reference, panel.parameters.inputVolume
    ).node
    panel.settle()
    panel.ui.reviewCollapsibleButton.collapsed = False
    panel.until(lambda: not panel.panel.review.scoring.is_running, 120)
    assert "OpticNrv_L" in ghosts_of(node), panel.text("reviewStatusLabel")
    choose(panel, "OpticNrv_L")
    panel.ui.ghostButton.click()
    panel.ui.distanceButton.click()
    assert ghost_node(node).GetDisplayNode().GetVisibility()
    low, high = distance_node(node).GetPolyData().GetPointData().GetArray(ARRAY).GetRange()
    assert -30 < low < high < 30
    panel.ui.useShapeButton.click()
    panel.until(lambda: states(panel)["OpticNrv_L"] == "edited")
