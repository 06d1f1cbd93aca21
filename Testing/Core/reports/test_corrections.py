"""``focusnet report`` of a training set: what doctors correct most, drift, whether a new version helped, which organs need more cases."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy.stats import mannwhitneyu

from focusnet.cli.main import main
from focusnet.datasets.collected import read_collection
from focusnet.reports.corrections import by_organ, compare_versions, corrections, missing_cases, trend
from focusnet.reports.corrections_page import MOST_CASES, corrections_content

from ..helpers_collect import collect, corrected_set, reviewed_case, two_versions, write_case
from ..helpers_pages import Page


def test_the_organ_with_most_contour_drawn_anew_comes_first(tmp_path: Path) -> None:
    folder = corrected_set(
        tmp_path / "set",
        [("1", {"Brainstem": 10.0, "Parotid_L": 0.0}), ("1", {"Brainstem": 30.0}), ("1", {"Parotid_L": 90.0})],
    )
    first, second = by_organ(corrections(read_collection(folder)))
    assert (first.organ, first.cases, first.changed, first.added_mm, first.total_mm) == ("Parotid_L", 2, 1, 45.0, 90.0)
    assert (second.organ, second.changed, second.part, second.minutes) == ("Brainstem", 2, 0.02, 1.0)


def test_an_organ_left_as_drawn_counts_as_no_correction_and_one_without_a_copy_only_as_corrected(
    tmp_path: Path,
) -> None:
    folder = corrected_set(tmp_path / "set", [("1", {"Larynx": 40.0})])
    organs = {
        "Larynx": {"as_drawn": True, "by_hand": False},
        "Brainstem": {"as_drawn": False, "by_hand": False, "active_s": 30},
    }
    write_case(
        folder,
        1,
        contoured=["Larynx", "Brainstem", "Esophagus"],
        organs=organs | {"Esophagus": {"as_drawn": False, "by_hand": True}},
    )
    larynx, brainstem = by_organ(corrections(read_collection(folder)))
    assert (larynx.cases, larynx.changed, larynx.added_mm) == (2, 1, 20.0)
    assert (brainstem.cases, brainstem.changed, brainstem.measured, brainstem.added_mm) == (1, 1, 0, None)


def test_a_better_version_is_called_better_only_where_enough_cases_show_it(tmp_path: Path) -> None:
    rows = corrections(read_collection(two_versions(tmp_path / "set", 12)))
    words = {c.organ: c.words for c in compare_versions(rows)}
    assert words == {"Parotid_L": "less to correct", "Brainstem": "no clear difference"}
    backwards = [row for row in rows if row.case.model and row.case.model["version"] == "2"] + rows[:24]
    assert {c.organ: c.words for c in compare_versions(backwards)}["Parotid_L"] == "more to correct"
    few = compare_versions(corrections(read_collection(two_versions(tmp_path / "few", 3))))
    assert {c.words for c in few} == {"not to tell: 3 and 3 cases, 10 of each are needed"}
    assert compare_versions(rows[:24]) == []


def test_many_organs_are_not_allowed_to_find_a_difference_by_chance(tmp_path: Path) -> None:
    """A p-value of 0.03 says something of one organ alone, nothing of one out of three."""
    old, new = [float(n) for n in range(10)], [n + 3.6 for n in range(10)]
    assert 0.05 / 3 < mannwhitneyu(old, new).pvalue < 0.05
    others = ("Brainstem", "Larynx")
    cases = [
        (v, {"Parotid_L": mm, **dict.fromkeys(others, mm)}) for v, values in (("1", old), ("2", new)) for mm in values
    ]
    rows = corrections(read_collection(corrected_set(tmp_path / "set", cases)))
    assert {c.words for c in compare_versions(rows)} == {"no clear difference"}
    alone = [row for row in rows if row.organ == "Parotid_L"]
    assert [c.words for c in compare_versions(alone)] == ["more to correct"]


def test_drift_under_one_version_is_told_in_words(tmp_path: Path) -> None:
    rising = corrected_set(tmp_path / "rising", [("1", {"Larynx": 10.0 * n}) for n in range(12)])
    assert "more and more is corrected" in trend(corrections(read_collection(rising)))
    falling = corrected_set(tmp_path / "falling", [("1", {"Larynx": 500.0 - 10.0 * n}) for n in range(12)])
    assert "less and less is corrected" in trend(corrections(read_collection(falling)))
    steady = corrected_set(tmp_path / "steady", [("1", {"Larynx": float((n * 7) % 12)}) for n in range(12)])
    assert trend(corrections(read_collection(steady))).startswith("No clear trend")
    short = corrected_set(tmp_path / "short", [("1", {"Larynx": 10.0 * n}) for n in range(9)])
    assert trend(corrections(read_collection(short))) == ""


def test_organs_that_need_more_cases_are_named_with_what_they_are_needed_for(tmp_path: Path) -> None:
    cases = [("1", {"Brainstem": 1.0, **({"Larynx": 1.0} if n < 3 else {})}) for n in range(25)]
    (larynx,) = missing_cases(read_collection(corrected_set(tmp_path / "set", cases)))
    assert (
        larynx
        == "Larynx: 3 to learn from (10 are wanted), 0 to select on (3 are wanted), 0 to compare on (5 are wanted)."
    )


def test_page_and_text_of_real_cases_say_the_same_and_name_no_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for patient in range(1, 4):
        case = reviewed_case(tmp_path / str(patient), patient, change=("Parotid_L",) if patient > 1 else ())
        assert collect(case, tmp_path / "my-set") == 0
    capsys.readouterr()
    assert main(["report", str(tmp_path / "my-set"), "-o", str(tmp_path / "page.html")]) == 0
    said = capsys.readouterr().out
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    for words in ("Corrections in 3 cases", "Most is corrected in Parotid_L, in 2 of 3 cases", "3 of 3 patients"):
        assert words in said
        assert words in page.text
    assert "Parotid_L: 2 to learn from" in said
    assert str(tmp_path) not in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Consent to keep copies of patients' scans in my-set" in page.text
    assert main(["report", str(tmp_path / "my-set")]) == 0  # the text alone
    assert "Most is corrected in Parotid_L" in capsys.readouterr().out


def test_what_cannot_be_reported_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = corrected_set(tmp_path / "set", [])
    for words, said in (
        (["report", str(empty)], "holds no case yet; add some with 'focusnet collect'"),
        (["report", str(empty), "--ct", "x"], "--ct belongs to the page of one case"),
        (["report", str(tmp_path)], "Give the page to write with -o"),
    ):
        assert main(words) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert said in line


def test_a_thousand_cases_make_one_page_of_a_reasonable_size(tmp_path: Path) -> None:
    folder = corrected_set(
        tmp_path / "set", [("1", {"Larynx": float(n % 7), "Brainstem": 3.0}) for n in range(MOST_CASES + 20)]
    )
    content = corrections_content(read_collection(folder))
    assert (len(content["cases"]), content["left_out"]) == (MOST_CASES, 20)
    assert content["cases"][-1]["number"] == MOST_CASES + 20
