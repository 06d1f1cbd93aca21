"""The page and the text about a training set of corrected cases: what is corrected most, drift, versions, organs that need more cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..datasets.collected import CollectedCase, Collection, read_collection
from ..errors import DatasetError
from ..files.atomic_write import check_output
from ..io.json_report import DISCLAIMER
from ..io.suffixes import PAGES
from ..version import __version__
from ..wording import counted
from .cohort import Cohort, CohortCase, usual_model
from .corrections import (
    FEWEST,
    OrganCorrections,
    by_organ,
    compare_versions,
    corrections,
    missing_cases,
    trend,
    version_of,
    versions_in_order,
)
from .plots import color_of, drift_plot, rows_plot
from .render import write_page

MOST_CASES = 500  # in the table; the last ones
SPLIT_WORDS = {"train": "to learn from", "val": "to select on", "test": "to compare on"}


def report_corrections(folder: Path, out: Path | None, title: str = "", overwrite: bool = False) -> str:
    """Write the page to ``out`` (None for none) and return the text for a terminal. Raises DatasetError, OutputError."""
    if out is not None:
        check_output(out, overwrite, PAGES)
    collection = read_collection(folder)
    if not collection.cases:
        raise DatasetError(f"{folder} holds no case yet; add some with 'focusnet collect'.")
    content = corrections_content(collection, title)
    if out is not None:
        write_page("corrections.html.j2", content, out, overwrite)
    return corrections_text(content)


def corrections_content(collection: Collection, title: str = "") -> dict[str, Any]:
    """Return what page and text show, as plain values."""
    cases = collection.cases
    rows = corrections(collection)
    organs, versions = by_organ(rows), versions_in_order(rows)
    splits = {split: sum(c.split == split for c in cases) for split in SPLIT_WORDS}
    known = {row.case.name for row in rows if row.added_mm is not None}
    return {
        "title": title or f"Corrections in {counted(len(cases), 'case')}",
        "disclaimer": DISCLAIMER,
        "version": __version__,
        "consent": collection.consent_sentence.replace(
            str(collection.folder), collection.folder.name
        ),  # no path of a file
        "cases_text": f"{len(cases)} of {counted(len({c.patient for c in cases}), 'patient')}: "
        + ", ".join(f"{count} {SPLIT_WORDS[split]}" for split, count in splits.items()),
        "dates": f"{cases[0].collected} to {cases[-1].collected}",
        "versions": versions,
        "unknown": len(cases) - len(known),
        "most": _most_sentence(organs),
        "organs": [{**vars(organ), "color": color_of(organ.organ)} for organ in organs],
        "trend": trend(rows),
        "comparisons": [vars(comparison) for comparison in compare_versions(rows)],
        "fewest": FEWEST,
        "missing": missing_cases(collection),
        "plots": _plots(cases),
        "cases": [_case_row(n, case) for n, case in list(enumerate(cases, start=1))[-MOST_CASES:]],
        "left_out": max(0, len(cases) - MOST_CASES),
    }


def corrections_text(content: dict[str, Any]) -> str:
    """Return the same for a terminal."""
    lines = [f"{content['title']}: {content['cases_text']}. Collected {content['dates']}.", content["consent"], ""]
    lines += [content["most"], ""] if content["most"] else []
    width = max([len(o["organ"]) for o in content["organs"]] or [5])
    if content["organs"]:
        lines.append(
            f"{'organ':<{width}}  {'corrected':>10} {'added path mm':>14} {'of contour':>11} {'surface DSC':>12} {'minutes':>8}"
        )
    for o in content["organs"]:
        part = "-" if o["part"] is None else f"{100 * o['part']:.0f} %"
        corrected = f"{o['changed']} of {o['cases']}"
        lines.append(
            f"{o['organ']:<{width}}  {corrected:>10} {_text(o['added_mm'], 0):>14} {part:>11} {_text(o['surface_dsc'], 3):>12} "
            f"{_text(o['minutes'], 1):>8}"
        )
    if content["unknown"]:
        lines.append(f"Of {counted(content['unknown'], 'case')} it is not known how much was corrected.")
    if content["trend"]:
        lines += ["", content["trend"]]
    if content["comparisons"]:
        old, new = content["comparisons"][0]["versions"]
        lines += ["", f"Did {new} help, against {old}? Added path in mm a case, of different patients:"]
        lines += [
            f"{c['organ']:<{width}}  {c['added_mm'][0]:>8.0f} {c['added_mm'][1]:>8.0f}  {c['words']}"
            for c in content["comparisons"]
        ]
    if content["missing"]:
        lines += ["", "Organs that need more cases:", *content["missing"]]
    return "\n".join(lines)


def _most_sentence(organs: Sequence[OrganCorrections]) -> str:
    changed = [o for o in organs if o.changed]
    if not organs:
        return ""
    if not changed:
        return "Nothing was corrected: every approved organ is as the model drew it."
    most = changed[0]
    part = "" if most.part is None else f", {100 * most.part:.0f} % of it"
    amount = "" if most.added_mm is None else f": {most.added_mm:.0f} mm of contour a case{part}"
    return f"Most is corrected in {most.organ}, in {most.changed} of {counted(most.cases, 'case')}{amount}."


def _plots(cases: Sequence[CollectedCase]) -> list[dict[str, str]]:
    cohort = _as_cohort(cases)
    drawn = [
        ("What is corrected", rows_plot(cohort, _added, "added path, mm"),
         "One dot a case, the bar at the median: length of contour that a person drew anew. Cases without a correction of the organ lie at 0. "
         "A hollow diamond is a case of another version than most."),
        ("Over time", drift_plot(cohort), "Added path of all organs, case by case. A vertical line: another version of the model from here on."),
    ]  # fmt: skip
    return [{"title": name, "svg": svg, "note": note} for name, svg, note in drawn if svg]


def _as_cohort(cases: Sequence[CollectedCase]) -> Cohort:
    """Return the cases as the plots of many reports want them."""
    found = []
    for case in cases:
        model = {key: str(value) for key, value in (case.model or {}).items() if value}
        named = {"model": model.get("name", ""), "model_version": model.get("version", "")}
        edits = {str(o["organ"]): o for o in (case.audit or {}).get("organs", [])}
        found.append(
            CohortCase(case.name, case.collected, {k: v for k, v in named.items() if v}, edits=edits, kinds={"audit"})
        )
    return Cohort(tuple(found), (), usual_model(found))


def _added(case: CohortCase) -> dict[str, float]:
    added = {name: edit.get("added_path_mm") for name, edit in case.edits.items()}
    return {name: float(value) for name, value in added.items() if isinstance(value, (int, float))}


def _case_row(number: int, case: CollectedCase) -> dict[str, Any]:
    rows = (case.audit or {}).get("organs", [])
    seconds = [facts.get("active_s") for facts in case.organs.values()]
    known = [float(s) for s in seconds if isinstance(s, (int, float))]
    return {
        "number": number,
        "name": case.name,
        "collected": case.collected,
        "split": case.split,
        "model": version_of(case),
        "contoured": len(case.contoured),
        "changed": [str(row["organ"]) for row in rows if row.get("changed")],
        "audited": case.audit is not None,
        "added_mm": sum(float(row.get("added_path_mm") or 0.0) for row in rows) if rows else None,
        "minutes": sum(known) / 60 if known else None,
    }


def _text(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
