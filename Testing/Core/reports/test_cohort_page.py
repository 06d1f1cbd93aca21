"""Many cases as one page: what belongs together is found, what differs is named, what is broken stops nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from focusnet.cli.main import main
from focusnet.io.json_report import report
from focusnet.qa.audit import as_dict, audit
from focusnet.reports.cohort import CohortCase, read_cohort
from focusnet.reports.cohort_page import cohort_content
from focusnet.reports.plots import MOST_DOTS, spread_out

from ..helpers_outputs import scan_and_organs
from ..helpers_pages import ATTACK, Page, edited, scores


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def run_report(minute: int = 0, **model: str) -> dict[str, Any]:
    _, organs = scan_and_organs()
    known = {**organs.provenance, "created": f"2026-01-02T03:{minute:02d}:00+0000", **model}
    return json.loads(json.dumps(report(replace(organs, provenance=known))))  # type: ignore[no-any-return]


def audit_dict() -> dict[str, Any]:
    _, frozen = scan_and_organs()
    content = as_dict(audit(frozen, edited(frozen), active_s={"Brainstem": 30.0}, editor="AB"))
    for organ in content["organs"]:
        organ["hd95_mm"] = None  # infinite where the organ was deleted; JSON has no such number
    return content


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    out = tmp_path / "out"
    for minute, name in enumerate(("c", "a", "b", "d")):
        write(out / f"{name}.json", run_report(minute))
    write(out / "a.qa.json", scores("Parotid_R"))
    write(out / "a.audit.json", audit_dict())
    return out


def test_the_files_of_a_case_are_put_together_in_the_order_in_which_they_were_made(folder: Path) -> None:
    cohort = read_cohort(folder)
    assert [c.name for c in cohort.cases] == ["c", "a", "b", "d"]
    case = cohort.cases[1]
    assert case.kinds == {"report", "qa", "audit"}
    assert case.look_at == ["Parotid_R"]
    assert sorted(case.edited) == ["Brainstem", "Parotid_L"]
    assert case.not_found == ["Larynx"]
    assert cohort.notes == ()


def test_a_folder_per_case_and_one_audit_of_many_are_understood(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name / "report.json", run_report())
        write(tmp_path / name / "qa.json", scores("Larynx"))
    write(tmp_path / "edits.json", {"format": 1, "cases": [{**audit_dict(), "case": n} for n in ("one", "two")]})
    cohort = read_cohort(tmp_path)
    assert [(c.name, c.kinds) for c in cohort.cases] == [(n, {"report", "qa", "audit"}) for n in ("one", "two")]


def test_medians_and_ranges_are_those_of_the_volumes(folder: Path) -> None:
    for n, name in enumerate("abcd"):
        content = json.loads((folder / f"{name}.json").read_text())
        next(o for o in content["organs"] if o["name"] == "Brainstem")["volume_ml"] = float(n + 1)
        write(folder / f"{name}.json", content)
    organs = {o["name"]: o for o in cohort_content(read_cohort(folder))["organs"]}
    brainstem = organs["Brainstem"]
    assert (brainstem["median_ml"], brainstem["lowest_ml"], brainstem["highest_ml"]) == (2.5, 1.0, 4.0)
    assert (organs["Larynx"]["found"], organs["Larynx"]["missing"]) == (0, 4)
    assert (organs["Parotid_L"]["edited"], organs["Parotid_L"]["dsc"]) == ("1 of 1", 0.0)


def test_cases_of_another_model_are_named(folder: Path) -> None:
    write(folder / "d.json", run_report(9, model_version="2.0", bundle_sha256="cd" * 32))
    write(folder / "b.qa.json", scores("Larynx", sha256="ee" * 32))
    cohort = read_cohort(folder)
    assert any(
        n.startswith("d was made by han7-test 2.0 (cdcdcdcd), most cases by han7-test 1.2") for n in cohort.notes
    )
    assert any(n.startswith("b was scored for contours of") for n in cohort.notes)
    assert [c["odd"] for c in cohort_content(cohort)["cases"]] == [False, False, False, True]


def test_a_damaged_a_foreign_and_a_second_file_stop_nothing_and_are_named(folder: Path) -> None:
    (folder / "broken.json").write_text('{"organs": [')
    write(folder / "settings.json", {"colour": "blue"})
    write(folder / "a.report.json", run_report())
    write(folder / "a.labels.json", {"Brainstem": 1})
    cohort = read_cohort(folder)
    text = " ".join(cohort.notes)
    assert len(cohort.cases) == 4
    assert "broken.json cannot be read" in text
    assert "settings.json" in text
    assert "there is another report of a" in text
    assert "labels.json" not in text


def test_the_command_writes_a_page_with_plots_and_nothing_from_outside(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder / "d.json", run_report(9, model_version=ATTACK))
    assert main(["report", str(folder), "-o", str(folder / "all.html"), "--title", ATTACK]) == 0
    html = (folder / "all.html").read_text(encoding="utf-8")
    shown = Page(html)
    assert [t for t, _ in shown.tags if t in ("script", "img")] == []
    assert len(shown.all("svg")) == 4  # volumes, scores, edits, drift
    for _, attributes in shown.tags:
        for key in ("href", "src", "xlink:href"):
            assert attributes.get(key, "#").startswith(("#", "data:")), attributes
    assert "metadata" not in html
    assert "another model" in shown.text
    assert "d was made by" in capsys.readouterr().err
    assert main(["report", str(folder), "-o", str(folder / "all.html")]) == 2
    assert "pass --overwrite" in capsys.readouterr().err


def test_one_case_alone_makes_a_page(tmp_path: Path) -> None:
    write(tmp_path / "in" / "x.json", run_report())
    assert main(["report", str(tmp_path / "in"), "-o", str(tmp_path / "x.html")]) == 0


def test_more_cases_than_fit_go_on_in_further_pages_that_lead_to_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = run_report()
    for n in range(1001):
        content["organs"][0]["volume_ml"] = 10.0 + n
        write(tmp_path / "in" / f"{n:04d}.json", content)
    assert main(["report", str(tmp_path / "in"), "-o", str(tmp_path / "all.html")]) == 0
    assert "goes on in all-2.html to all-3.html" in capsys.readouterr().err
    pages = [Page((tmp_path / name).read_text(encoding="utf-8")) for name in ("all.html", "all-2.html", "all-3.html")]
    assert [len(page.all("svg")) for page in pages] == [2, 0, 0]
    assert "1001 cases" in pages[0].text
    assert "Cases 501 to 1000" in pages[1].text
    links = [{a["href"] for a in page.all("a") if a["href"].endswith("html")} for page in pages]
    assert links == [{"all-2.html", "all-3.html"}, {"all.html", "all-3.html"}, {"all.html", "all-2.html"}]
    assert (tmp_path / "all.html").stat().st_size < 3_000_000
    assert main(["report", str(tmp_path / "in"), "-o", str(tmp_path / "all.html")]) == 2


def test_the_dots_of_many_cases_reach_from_the_lowest_to_the_highest() -> None:
    cases = [(CohortCase(str(n)), float(n * 7919 % 5000)) for n in range(5000)]
    shown = [value for _, value in spread_out(cases)]
    assert len(shown) == MOST_DOTS
    assert (shown[0], shown[-1]) == (0.0, 4999.0)
    assert spread_out(cases[:10]) == cases[:10]
