"""``focusnet compare``: two models on held-out corrected cases, in words, numbers and pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from focusnet.cli.main import main
from focusnet.compare.models import Row, Scores, organ_scores, seconds_per_mm
from focusnet.compare.page import MOST_PICTURES, LargestChanges, content, write_comparison_page
from focusnet.compare.summary import sentence, summarise, text_table
from focusnet.errors import DatasetError, ModelError
from focusnet.nets.bundle import load_bundle

from ..helpers_compare import comparison, contours
from ..helpers_dataset import write_dataset
from ..helpers_engine import random_bundle, small_config
from ..helpers_pages import ATTACK, Page

ORGANS = ("Brainstem", "Parotid_R", "Parotid_L")


def test_each_organ_is_told_apart_and_one_that_is_worse_decides() -> None:
    made, _ = comparison()
    summary = summarise(made)
    assert {o.organ: o.verdict for o in summary.organs} == {
        "Brainstem": "not to tell", "Parotid_R": "better", "Parotid_L": "worse",
    }  # fmt: skip
    assert (summary.verdict, summary.worse) == ("worse", ["Parotid_L"])
    text = text_table(made, summary)
    assert "Parotid_R        better       DSC 0.800 -> 0.854 (between +0.052 and +0.055, 8 patients)" in text
    assert (
        "The new model is worse in Parotid_L: mean DSC of all organs 0.800 -> 0.800 (between +0.000 and +0.000" in text
    )


def test_three_cases_are_no_proof() -> None:
    made, _ = comparison(patients=3)
    summary = summarise(made)
    assert summary.verdict == "not to tell"
    assert sentence(summary).startswith(
        "Not to tell: 3 held-out patients; fewer than 6 can prove nothing. Collect more cases."
    )


def test_what_is_left_to_draw_is_told_in_minutes_where_corrections_were_timed() -> None:
    made, _ = comparison()
    made.rows = [row for row in made.rows if row.organ == "Parotid_R"]
    made.seconds_per_mm = 3.0
    summary = summarise(made)
    assert summary.path_mm.mean == pytest.approx(-53.5)
    assert summary.minutes == pytest.approx(53.5 * 3 / 60)
    assert "Left to draw in a case: 100 -> 46 mm, 2.7 minutes less at the pace of your corrections." in sentence(
        summary
    )
    assert seconds_per_mm(Path("no training set")) is None


def test_an_organ_that_only_the_new_model_knows_is_shown_and_decides_nothing() -> None:
    made, _ = comparison()
    made.rows.append(Row("pt_0", "pt_0", "Larynx", None, Scores(0.6, 0.5, 50.0)))
    summary = summarise(made)
    assert summary.new_organs == {"Larynx": 0.6}
    assert "Larynx           new organ    DSC 0.600" in text_table(made, summary)
    made.rows = [row for row in made.rows if row.old is None]
    with pytest.raises(ModelError, match="han and han have no organ in common that a held-out case shows"):
        summarise(made)


def test_an_organ_is_scored_in_its_box_as_in_the_whole_scan() -> None:
    drawn = contours()
    assert organ_scores(drawn.new, drawn.approved, "Parotid_R") == Scores(1.0, 1.0, 0.0)
    old = organ_scores(drawn.old, drawn.approved, "Parotid_R")
    assert old.dsc == pytest.approx(2 / 3)  # half of it is missing
    # of the 3 x 6 x 4 voxels that are missing, the 4-neighbour contour of each of 4 slices has 3 + 3 + 4, of 6 mm each
    assert old.added_path_mm == 4 * (3 + 3 + 4) * 6.0
    drawn.approved.voxels["Parotid_R"] = np.zeros(0, np.int64)  # type: ignore[index]
    absent = organ_scores(drawn.new, drawn.approved, "Parotid_R")
    assert (absent.dsc, absent.added_path_mm) == (0.0, 0.0)


def test_the_page_shows_the_largest_changes_one_of_a_case_and_runs_nothing_from_a_name(tmp_path: Path) -> None:
    made, changes = comparison(patients=8, new=ATTACK)
    assert len(changes.pictures) == MOST_PICTURES
    assert [p.row.case for p in changes.pictures] == ["pt_7", "pt_6", "pt_5", "pt_4", "pt_3", "pt_2"]
    write_comparison_page(made, summarise(made), changes.pictures, tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert not page.all("script")
    assert len(page.all("image")) == 3 * MOST_PICTURES
    assert ATTACK in page.text
    assert "fine-tuned on 20 corrected cases, 2026-11-28" in page.text
    assert {"contour", "model", "shape-prior"} <= {attrs.get("class") for attrs in page.all("g")}
    same = LargestChanges()
    same.look([Row("pt", "pt", "Brainstem", Scores(0.8, 0.8, 1), Scores(0.801, 0.8, 1))], contours())
    assert content(made, summarise(made), same.pictures)["pictures"] == []


def write_models(tmp_path: Path) -> tuple[Path, Path]:
    """An old model and a run with a new one, of other random weights."""
    config = small_config(organs=ORGANS, small_organs=("Brainstem",))
    old, run = random_bundle(tmp_path, config, "old").folder, tmp_path / "run"
    random_bundle(run, config, "bundle", seed=1)
    return old, run


def test_the_command_compares_writes_page_and_record_and_says_what_it_rests_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_dataset(tmp_path / "data", train=2, val=2)
    old, run = write_models(tmp_path)
    arguments = ["compare", str(old), str(run), "--dataset", str(data), "--device", "cpu"]
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert "Not to tell: 2 held-out patients; fewer than 6 can prove nothing" in told
    assert "The cases of the split val helped to choose the new weights" in told
    assert (run / "comparison.html").is_file()
    found = json.loads((run / "comparison.json").read_text())
    assert found["verdict"] == "not to tell"
    assert found["new"]["bundle_sha256"] == load_bundle(run / "bundle").digest
    assert {row["organ"] for row in found["rows"]} == set(ORGANS)
    (run / "training.json").write_text(json.dumps({"cases": {"pt_3": "00", "pt_9": "00"}}))
    assert main(arguments) == 2
    assert "has learned from pt_3, which would be compared on: name another --split" in capsys.readouterr().err
    assert main([*arguments, "--split", "train"]) == 0  # which this run has not seen
    assert main(["compare", str(run), str(run), "--dataset", str(data)]) == 2
    assert "are the same model" in capsys.readouterr().err


def test_a_data_set_that_holds_nothing_back_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_dataset(tmp_path / "data", train=2, val=0)
    old, run = write_models(tmp_path)
    arguments = ["compare", str(old), str(run), "--dataset", str(data)]
    assert main(arguments) == 2
    assert "holds nothing back to compare on (splits test, val). Collect more" in capsys.readouterr().err
    assert main([*arguments, "--split", "tset"]) == 2
    assert "has no split tset; there are train, val." in capsys.readouterr().err
    assert not (run / "comparison.json").exists()


def test_models_that_know_other_organs_than_the_cases_are_refused(tmp_path: Path) -> None:
    from focusnet.compare.models import Comparison, compare_models
    from focusnet.datasets.open_dataset import open_dataset

    data = open_dataset(write_dataset(tmp_path / "data", train=1, val=1))
    other = random_bundle(tmp_path, small_config(organs=("Larynx",), small_organs=("Larynx",)), "other")
    with pytest.raises(DatasetError, match=r"no held-out case has an approved organ that other knows \(Larynx\)"):
        compare_models(Comparison(other, other), data, [("val", "pt_2")], "cpu")
