"""What must stand beside a model's organs stands on every page and picture, and beside no other model's organs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.text import Text

from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Volume
from focusnet.io.json_report import write_report
from focusnet.reports.case_page import CaseReport, case_content, write_case_page
from focusnet.reports.cohort import read_cohort
from focusnet.reports.overview import draw

from ..helpers_outputs import CAUTION, MERGED, PROVENANCE, scan_and_organs

BY_EYES = ("Parotid_R", "Parotid_L", "Larynx")
SAID = f"{', '.join(BY_EYES)} by eyes22: {CAUTION}"


def case(provenance: dict[str, object]) -> tuple[Volume, Segmentation]:
    volume, organs = scan_and_organs()
    return volume, replace(organs, provenance=dict(provenance))


def test_a_case_page_names_each_organs_model_and_its_caution(tmp_path: Path) -> None:
    report = CaseReport(*case(MERGED))
    content = case_content(report)
    assert SAID in content["warnings"]
    organs = {organ["name"]: organ for organ in content["organs"]}
    assert [name for name, organ in organs.items() if organ["caution"] == CAUTION] == list(BY_EYES)
    assert organs["Brainstem"]["model"] == "han7-test"
    assert ("Model eyes22", f"version 0, SHA-256 {'cd' * 32}") in content["provenance"]
    write_case_page(report, tmp_path / "case.html")
    page = (tmp_path / "case.html").read_text()
    assert page.count(CAUTION) >= 1 + len(BY_EYES), "once at the top, once beside each organ"
    assert "From han7-test: Brainstem." in page


def test_a_case_page_of_one_model_says_its_caution_at_the_top_and_has_no_column_of_models(tmp_path: Path) -> None:
    report = CaseReport(*case({**PROVENANCE, "caution": CAUTION}))
    assert f"Model han7-test: {CAUTION}" in case_content(report)["warnings"]
    write_case_page(report, tmp_path / "case.html")
    assert '<th scope="col">Model</th>' not in (tmp_path / "case.html").read_text()


def test_a_model_that_could_not_be_used_is_told_on_the_page() -> None:
    failed = [{"model": "eyes22", "reason": "No orbit.", "organs": ["Lens_L"]}]
    warnings = case_content(CaseReport(*case({**PROVENANCE, "failed_models": failed})))["warnings"]
    assert "Model eyes22 could not be used: No orbit. Not drawn: Lens_L." in warnings


@pytest.mark.parametrize("merged", [True, False])
def test_the_picture_marks_the_organs_of_the_model_that_asks_for_caution(merged: bool) -> None:
    figure = draw(*case(MERGED if merged else {**PROVENANCE, "caution": CAUTION}))
    texts = [t.get_text().replace("\n", " ") for t in figure.findobj(Text)]
    assert ("Parotid_L*" in texts) == merged
    assert "Brainstem" in texts
    said = f"* by eyes22: {CAUTION}" if merged else f"Model han7-test 1.2. {CAUTION.rstrip('.')}"
    assert said in texts


def test_the_page_of_many_cases_says_how_many_a_caution_holds_for(tmp_path: Path) -> None:
    for number, provenance in enumerate((MERGED, MERGED, PROVENANCE)):
        write_report(case(provenance)[1], tmp_path / f"p{number}.json")
    assert f"2 cases: {SAID}" in read_cohort(tmp_path).notes
    old = json.loads((tmp_path / "p0.json").read_text())
    del old["cautions"], old["models"]  # a report of an earlier version
    (tmp_path / "p0.json").write_text(json.dumps(old))
    assert f"1 case: {SAID}" in read_cohort(tmp_path).notes
