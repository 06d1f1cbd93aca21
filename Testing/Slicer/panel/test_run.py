"""Panel on stand-ins: runs, and everything that can go wrong in them. The worker is a real process that speaks the real protocol.

Not "tested in Slicer": see stand_ins.py.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest


def start(panel: Any, mode: str) -> Any:
    """A run that has told where it is."""
    panel.worker(mode)
    panel.ui.applyButton.click()
    panel.until(lambda: "Segmenting all organs" in panel.says)
    return panel.panel.runs.run


def nothing_runs(run: Any) -> bool:
    from FocusNetSegmentationLib.process.process_tree import run_is_alive

    return not run.is_running and not run_is_alive(run.worker.process._run)


def test_a_run_names_its_step_and_can_be_cancelled(panel: Any) -> None:
    panel.volume()
    run = start(panel, "wait")
    assert panel.says == "Segmenting all organs: slices 1 to 40"
    assert panel.shown("progressBar")
    assert panel.ui.progressBar.value == 40
    assert panel.ui.cancelButton.enabled
    for name in (
        "inputVolumeSelector",
        "modelComboBox",
        "removeModelButton",
        "huOffsetSpinBox",
        "hardenButton",
    ):
        assert not getattr(panel.ui, name).enabled, name
    assert panel.ui.applyButton.toolTip == "A segmentation is running."
    assert panel.ui.applyButton.text == "Running..."
    panel.ui.cancelButton.click()
    assert nothing_runs(run)
    panel.settle()
    assert panel.says == "Cancelled. Nothing was changed."
    assert not panel.shown("progressBar")
    assert panel.ui.applyButton.enabled
    assert panel.count() == 0


def test_a_second_apply_during_a_run_does_nothing(panel: Any) -> None:
    from FocusNetSegmentationLib.process.worker import WorkerBusyError

    ct = panel.volume()
    run = start(panel, "wait")
    panel.ui.applyButton.click()
    panel.panel.runs.onApply()  # as a shortcut would
    assert panel.panel.runs.run is run
    assert run.is_running
    with pytest.raises(WorkerBusyError, match="running already"):
        panel.panel.logic.process(ct, wait=False)
    panel.ui.cancelButton.click()


def test_a_crash_of_the_worker_is_one_line_with_the_rest_a_click_away(panel: Any) -> None:
    panel.volume()
    panel.worker("crash")
    panel.apply()
    assert panel.says == (
        "✗ The segmentation crashed. Try again; if it happens again with the device cpu, report it with the details."
    )
    assert panel.shown("detailsButton")
    panel.ui.detailsButton.click()
    name, text, options = panel.stand_ins.dialogs[-1]
    assert name == "infoDisplay"
    assert "crashed" in text
    assert "a last word on stderr" in options["detailedText"]
    assert panel.count() == 0
    panel.worker("good")
    panel.apply()
    assert panel.says.endswith("7 organs."), "and the next run works"
    assert not panel.shown("detailsButton")


def test_running_out_of_memory_is_told_with_the_retries_that_were_made(panel: Any) -> None:
    panel.volume()
    panel.worker("memory")
    panel.apply()
    assert panel.says == "✗ The computer ran out of memory. Close other programs or scans and try again."
    panel.ui.detailsButton.click()
    details = panel.stand_ins.dialogs[-1][2]["detailedText"]
    assert "trying chunks of 20" in details
    assert "MemoryError" in details


def test_a_refusal_of_the_engine_is_shown_as_it_is(panel: Any) -> None:
    panel.volume()
    panel.worker("refuse")
    panel.apply()
    assert panel.says == "✗ The slices of this CT are 12 mm apart; 5 mm or less is expected."


def test_not_found_is_not_said_of_an_organ_that_is_drawn(panel: Any) -> None:
    panel.volume()
    panel.worker("uncertain")
    panel.apply()
    assert "6 organs. Uncertain: Bone_Mandible." in panel.says
    assert "Not found" not in panel.says


def test_organs_that_were_not_found_and_retries_stand_beside_the_result(panel: Any) -> None:
    panel.volume()
    panel.worker("missing")
    panel.apply()
    assert "6 organs. Not found: Bone_Mandible." in panel.says
    assert "trying chunks of 20" in panel.says
    assert panel.says.startswith("⚠")


def test_two_runs_in_a_row_fill_the_same_segmentation(panel: Any) -> None:
    panel.volume()
    panel.apply()
    first = panel.parameters.resultSegmentation
    panel.apply()
    assert panel.parameters.resultSegmentation is first
    assert panel.count() == 2, "the result and the model's own copy"
    assert panel.stand_ins.dialogs == [], "nothing was edited, so nothing is asked"
    panel.ui.resultSelector.setCurrentNode(None)
    panel.apply()
    assert panel.parameters.resultSegmentation is not first
    assert panel.count() == 4


def test_edited_organs_are_not_overwritten_without_a_question(panel: Any) -> None:
    from ..helpers_nodes import erase_a_bit, paint, segment

    panel.volume()
    panel.apply()
    node = panel.parameters.resultSegmentation
    paint(node, "Parotid_L", erase_a_bit)
    edited = node.GetSegmentation().GetSegment(node.GetSegmentation().GetNthSegmentID(3))
    assert edited.GetName() == "Parotid_L"
    box = panel.stand_ins.message_box
    box.answers = [None]
    panel.apply()
    _, text, answers = box.shown[-1]
    assert "were changed by hand: Parotid_L." in text
    assert answers == ["Only the 6 organs that nobody touched", "All 7 organs"]
    assert panel.says == "Nothing was changed."
    from FocusNetSegmentationLib.scene.nodes import edited_segments

    assert edited_segments(node) == ["Parotid_L"]
    panel.apply()
    assert "6 organs" in panel.says, "by default only the others are drawn"
    assert edited_segments(node) == ["Parotid_L"], "and it stays as the person left it"
    panel.tick("Parotid_L", False)
    panel.apply()
    assert len(box.shown) == 2, "no question: it is not drawn anew"
    panel.tick("Parotid_L", True)
    box.answers = [1]
    panel.apply()
    assert edited_segments(node) == [], "asked for, it is drawn anew"
    assert segment(node, "Parotid_L") is not None


def test_chosen_organs_only_are_drawn(panel: Any) -> None:
    panel.volume()
    panel.ui.noOrgansButton.click()
    panel.tick("Larynx", True)
    panel.apply()
    segmentation = panel.parameters.resultSegmentation.GetSegmentation()
    assert [segmentation.GetNthSegment(i).GetName() for i in range(segmentation.GetNumberOfSegments())] == ["Larynx"]


def test_closing_the_scene_stops_the_run(panel: Any) -> None:
    panel.volume()
    run = start(panel, "wait")
    panel.scene.Clear(0)
    assert nothing_runs(run)
    panel.settle()
    assert panel.says == "The scene was closed, so the run was stopped."
    assert panel.count() == 0
    panel.volume("another patient")
    panel.worker("good")
    panel.apply()
    assert panel.says.endswith("7 organs."), "the panel works in the new scene"


def test_removing_the_ct_stops_the_run(panel: Any) -> None:
    ct = panel.volume()
    panel.volume("other")
    run = start(panel, "wait")
    panel.scene.RemoveNode(ct)
    panel.until(lambda: nothing_runs(run))
    panel.settle()
    assert panel.says == "The CT was removed, so the run was stopped."
    assert panel.count() == 0
    assert panel.parameters.inputVolume.GetName() == "other"


def test_removing_the_result_during_the_run_makes_a_new_one(panel: Any) -> None:
    panel.volume()
    panel.apply()
    first = panel.parameters.resultSegmentation
    start(panel, "wait a little")
    panel.scene.RemoveNode(first)
    panel.until(lambda: not panel.panel.runs.is_running)
    panel.settle()
    assert panel.says.endswith("7 organs.")
    assert panel.parameters.resultSegmentation.GetScene() is panel.scene
    assert panel.count() == 2, "the new result and its copy: the old copy went with its segmentation"


def test_a_bundle_that_is_removed_during_the_run(panel: Any, tmp_path: Path) -> None:
    """The worker has read it by then; the next run says what is missing."""
    from FocusNetSegmentationLib.panel.model_list import SHIPPED

    own = tmp_path / "models" / "mine"
    shutil.copytree(SHIPPED / "han7-openkbp", own)
    panel.panel.models.reload()
    panel.parameters.model = "mine"
    panel.volume()
    start(panel, "wait a little")
    shutil.rmtree(own)
    panel.until(lambda: not panel.panel.runs.is_running)
    panel.settle()
    assert not panel.ui.applyButton.enabled
    assert panel.says == "⚠ The model mine is not on this computer. Choose another, or add it."
    assert panel.ui.modelComboBox.currentIndex == -1
    panel.ui.modelComboBox.setCurrentIndex(0)
    panel.settle()
    panel.worker("good")
    panel.apply()
    assert panel.says.endswith("7 organs.")


def test_every_ct_of_the_scene_gets_its_own_result(panel: Any) -> None:
    panel.volume("first")
    panel.volume("second")
    mr = panel.volume("MR")
    mr.SetAttribute("DICOM.Modality", "MR")
    panel.worker("wait a little")
    panel.ui.allVolumesButton.click()
    panel.until(lambda: "CT 2 of 3" in panel.says)
    panel.until(lambda: not panel.panel.runs.is_running)
    panel.settle()
    assert panel.says == "⚠ 2 of 3 volumes segmented."
    panel.ui.detailsButton.click()
    assert "MR: skipped. MR has the modality MR" in panel.stand_ins.dialogs[-1][2]["detailedText"]
    assert panel.parameters.resultSegmentation.GetName() == "second organs"
    assert panel.parameters.inputVolume.GetName() == "second"


def test_the_batch_asks_before_a_ct_gets_a_second_result(panel: Any) -> None:
    panel.volume("first")
    panel.apply()
    panel.volume("second")
    box = panel.stand_ins.message_box
    box.answers = [None]
    panel.ui.allVolumesButton.click()
    panel.settle()
    _, text, answers = box.shown[-1]
    assert "These CTs have a result already: first." in text
    assert answers == ["Only the others (1)", "All, with a second result"]
    assert panel.says == "Nothing was changed."
    panel.ui.allVolumesButton.click()
    panel.until(lambda: not panel.panel.runs.is_running)
    panel.settle()
    assert panel.says == "✓ 1 of 1 volumes segmented."
    assert panel.count() == 4, "two results, each with its copy"
    panel.stand_ins.answers = [False]
    panel.ui.allVolumesButton.click()
    assert panel.stand_ins.dialogs[-1][0] == "confirmOkCancelDisplay", "all have one: no default that makes another"
    assert not panel.panel.runs.is_running


def test_cancelling_a_batch_keeps_what_is_done(panel: Any) -> None:
    panel.volume("first")
    panel.volume("second")
    panel.worker("wait a little")
    panel.ui.allVolumesButton.click()
    panel.until(lambda: "CT 2 of 2" in panel.says)
    panel.ui.cancelButton.click()
    panel.settle()
    assert panel.says == "⚠ 1 of 2 volumes segmented."
    assert panel.count() == 2


def test_closing_slicer_during_a_run_leaves_no_process(panel: Any) -> None:
    panel.volume()
    run = start(panel, "wait")
    panel.widget.cleanup()
    assert nothing_runs(run)


def test_a_run_goes_on_while_another_module_is_open(panel: Any) -> None:
    panel.volume()
    start(panel, "wait a little")
    panel.leave()
    panel.until(lambda: not panel.panel.runs.is_running)
    panel.enter()
    panel.settle()
    assert panel.says.endswith("7 organs.")
    assert panel.ui.resultSelector.currentNode() is panel.parameters.resultSegmentation
