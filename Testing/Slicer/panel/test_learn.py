"""Panel on stand-ins: what was corrected and approved goes into a training set, and a model is fine-tuned on it. Not "tested in Slicer":
see stand_ins.py. The process that collects is the real one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from focusnet.datasets.collected import CollectedCase, read_collection
from focusnet.datasets.open_dataset import open_dataset

from ..helpers_panel_review import choose, paint, press


def approve(panel: Any, *organs: str) -> None:
    for organ in organs:
        choose(panel, organ)
        press(panel, "Return")


def add(panel: Any) -> None:
    """Press the button and wait until the case is there, or not."""
    panel.ui.collectButton.click()
    panel.until(lambda: not panel.panel.review.finish.learn.is_collecting, 120)
    panel.settle()


def cases(folder: Path) -> tuple[CollectedCase, ...]:
    return read_collection(folder).cases


@pytest.fixture
def training_set(tmp_path: Path) -> Path:
    folder = tmp_path / "corrected"
    folder.mkdir()
    return folder


def test_from_apply_to_the_training_set_and_to_a_fine_tuned_model(
    reviewed: Any, training_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole circle by the panel's buttons: segmented, corrected, approved, collected, fine-tuned. ``focusnet finetune`` is a stand-in."""
    assert not reviewed.ui.collectButton.enabled
    choose(reviewed, "Parotid_L")
    paint(reviewed, "Parotid_L")
    approve(reviewed, "Parotid_L", "Brainstem")
    assert "Parotid_L" in reviewed.ui.collectButton.toolTip
    reviewed.stand_ins.file_dialog.answers = [str(training_set)]
    add(reviewed)
    assert "Added" in reviewed.says
    assert "Consent to keep copies of patients' scans" in reviewed.says
    assert "--" not in reviewed.says, "nothing of the command line"
    ((kind, asked, _),) = (d for d in reviewed.stand_ins.dialogs if "new training set" in d[1])
    assert kind == "confirmYesNoDisplay"
    assert "A face can still be made out" in asked
    (case,) = cases(training_set)
    assert set(case.contoured) == {"Parotid_L", "Brainstem"}
    assert (case.organs["Parotid_L"]["as_drawn"], case.organs["Brainstem"]["as_drawn"]) == (False, True)
    assert case.model is not None
    assert case.model["name"] == "han7-openkbp"
    assert case.model_labels is not None
    dataset = open_dataset(training_set)
    read = dataset.case("train", case.name)
    assert read.contoured == {"Parotid_L", "Brainstem"}

    stand_in = write_fine_tune(tmp_path / "python")
    monkeypatch.setattr("FocusNetSegmentationLib.process.training.find_python", lambda: str(stand_in))
    reviewed.ui.finetuneButton.click()
    learn = reviewed.panel.review.finish.learn
    assert "Fine-tuning has started" in reviewed.says
    reviewed.until(lambda: learn._progress().state != "running", 60)
    learn._fine_tuning_goes_on()
    reviewed.settle()
    assert "Fine-tuning has ended. Compare before you adopt it" in reviewed.says
    given = (tmp_path / "python.given").read_text().splitlines()
    run = given[given.index("--out") + 1]
    assert given[:6] == ["-m", "focusnet", "finetune", str(training_set), "--from", "han7-openkbp"]
    assert Path(run).parent == tmp_path / "fine-tuned"


def write_fine_tune(path: Path) -> Path:
    """A program that is called as Python is, and notes what it was given."""
    path.write_text(
        f'#!/bin/sh\nfor word in "$@"; do echo "$word" >> "{path}.given"; done\necho "Wrote han7-openkbp 2 to bundle."\n',
        encoding="utf-8",
    )
    path.chmod(0o755)
    return path


def test_the_folder_and_the_consent_are_asked_once(reviewed: Any, training_set: Path) -> None:
    approve(reviewed, "Brainstem")
    reviewed.stand_ins.file_dialog.answers = [str(training_set)]
    add(reviewed)
    dialogs = len(reviewed.stand_ins.dialogs)
    add(reviewed)  # the same patient: asked, and replaced by the first answer
    assert len(reviewed.stand_ins.dialogs) == dialogs
    assert [c.name.rpartition("-")[2] for c in cases(training_set)] == ["2"]


def test_without_consent_nothing_is_written(reviewed: Any, training_set: Path) -> None:
    approve(reviewed, "Brainstem")
    reviewed.stand_ins.file_dialog.answers = [str(training_set)]
    reviewed.stand_ins.answers = [False]
    add(reviewed)
    assert "Nothing was added: copies of scans are kept only where that is allowed." in reviewed.says
    assert list(training_set.iterdir()) == []


def test_the_same_patient_is_replaced_kept_twice_or_left(reviewed: Any, training_set: Path) -> None:
    approve(reviewed, "Brainstem")
    reviewed.stand_ins.file_dialog.answers = [str(training_set)]
    add(reviewed)
    reviewed.stand_ins.app.testing = False
    reviewed.stand_ins.message_box.answers = [1]  # keep both
    add(reviewed)
    assert len(cases(training_set)) == 2
    reviewed.stand_ins.message_box.answers = [None]
    add(reviewed)
    assert "Nothing was added: the patient is there already." in reviewed.says
    assert len(cases(training_set)) == 2


def test_a_folder_of_something_else_is_refused_in_one_line(reviewed: Any, training_set: Path) -> None:
    (training_set / "beach.jpg").write_bytes(b"")
    approve(reviewed, "Brainstem")
    reviewed.stand_ins.file_dialog.answers = [str(training_set)]
    add(reviewed)
    assert "holds beach.jpg and is no training set" in reviewed.says


def test_the_process_that_fails_says_why_and_leaves_no_file(reviewed: Any, training_set: Path) -> None:
    approve(reviewed, "Brainstem")
    reviewed.stand_ins.file_dialog.answers = [str(training_set)]
    add(reviewed)
    head = json.loads((training_set / "collection.json").read_text())
    (training_set / "pseudonym.key").unlink()
    add(reviewed)
    assert "pseudonym.key is missing" in reviewed.says
    (training_set / "collection.json").write_text(json.dumps({**head, "format": 9}))
    add(reviewed)
    assert "training set of format 9" in reviewed.says


def test_closing_the_panel_ends_a_collecting_and_nothing_half_is_left(
    open_panel: Callable[..., Any], training_set: Path
) -> None:
    from ..helpers_panel_review import open_scored

    panel = open_panel()
    panel.volume()
    panel.apply()
    open_scored(panel)
    approve(panel, "Brainstem")
    panel.stand_ins.file_dialog.answers = [str(training_set)]
    panel.ui.collectButton.click()
    panel.until(lambda: panel.panel.review.finish.learn.collecting.command is not None, 60)
    panel.widget.cleanup()
    assert [p for p in training_set.iterdir() if p.is_dir() and not p.name.startswith(".")] == []


def test_a_script_collects_in_one_call(reviewed: Any, training_set: Path) -> None:
    approve(reviewed, "Brainstem", "Parotid_L")
    logic = reviewed.module.FocusNetSegmentationLogic()
    node, ct = reviewed.parameters.resultSegmentation, reviewed.parameters.inputVolume
    with pytest.raises(Exception, match="say so with consent=True"):
        logic.collect(node, ct, training_set)
    added = logic.collect(node, ct, training_set, organs=["Brainstem"], consent=True, patient="4711")
    assert added["organs"] == ["Brainstem"]
    with pytest.raises(Exception, match='same_patient="replace" or "keep-both"'):
        logic.collect(node, ct, training_set)
    again = logic.collect(node, ct, training_set, same_patient="keep-both")
    assert set(again["organs"]) == {"Brainstem", "Parotid_L"}
    assert len(cases(training_set)) == 2
    with pytest.raises(Exception, match="Larynx: not approved"):
        logic.collect(node, ct, training_set, organs=["Larynx"])
