"""Panel on stand-ins: the whole circle with nothing faked but Slicer's widgets: corrected, approved, collected, fine-tuned, compared, adopted."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from focusnet.datasets.collected import read_collection
from FocusNetSegmentationLib.process.training import FocusNetTrainingLogic

from ...Core.helpers_collect import reviewed_case
from ..helpers_panel_review import choose, paint
from ..helpers_worker import worker_python
from .test_learn import add, approve

ROOT = Path(__file__).resolve().parents[3]
OTHERS = 6  # patients that were collected before the one in the panel


@pytest.mark.slow
def test_what_the_panel_collected_becomes_a_version_that_is_adopted_and_given_up_again(
    reviewed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python, training_set = worker_python(), tmp_path / "corrected"
    monkeypatch.setenv("FOCUSNET_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(ROOT / "FocusNetSegmentation"), os.environ.get("PYTHONPATH", "")])
    )

    def focusnet(*words: str | Path) -> str:
        done = subprocess.run(
            [python, "-m", "focusnet", *map(str, words)], capture_output=True, text=True, check=False, timeout=1200
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    for number in range(1, OTHERS + 1):
        case = reviewed_case(tmp_path / f"p{number}", number)
        focusnet(
            "collect",
            case.seg,
            "--ct",
            case.ct,
            "--model-copy",
            case.model,
            "--into",
            training_set,
            "--patient",
            f"p{number}",
            "--consent",
        )
    choose(reviewed, "Parotid_L")
    paint(reviewed, "Parotid_L")
    approve(reviewed, "Parotid_L", "Brainstem")
    reviewed.stand_ins.file_dialog.answers = [str(training_set)]
    add(reviewed)
    assert len(read_collection(training_set).cases) == OTHERS + 1

    logic = FocusNetTrainingLogic()
    logic.python = python
    run = logic.fine_tune(training_set, "han7-openkbp", tmp_path / "run", more=["--steps", "2", "--device", "cpu"])
    reviewed.until(lambda: logic.progress(run).state != "running", 1200)
    assert logic.progress(run).state == "finished", logic.progress(run)
    focusnet("compare", "han7-openkbp", run.out, "--dataset", training_set)
    assert "han7-openkbp 3.1 is in force" in logic.adopt(run, even_if_worse=True)
    assert "fine-tuned from han7-openkbp 3" in focusnet("models", "list")
    assert "han7-openkbp 3 is in force again" in focusnet("models", "back", "han7-openkbp")
