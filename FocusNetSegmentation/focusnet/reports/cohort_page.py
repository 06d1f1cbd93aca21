"""Make one page of many cases: volumes, scores, edits, and how they drift in time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files.atomic_write import check_output
from ..io.json_report import DISCLAIMER
from ..io.suffixes import PAGES
from ..version import __version__
from .cohort import Cohort, CohortCase, model_name, read_cohort
from .plots import MOST_DOTS, by_table_order, color_of, drift_plot, rows_plot
from .render import write_page

CASES_PER_PAGE = 500
MOST_NOTES = 20


def report_folder(folder: Path, out: Path, title: str = "", overwrite: bool = False) -> list[str]:
    """Write the page of every report below ``folder``; return sentences for the user. Raises InputError, OutputError.

    Beyond CASES_PER_PAGE cases, the table goes on in OUT-2.html and so on; the first page sums up all of them. Files are read one by
    one, and of each only the numbers that the page shows are kept.
    """
    check_output(out, overwrite, PAGES)
    cohort = read_cohort(folder)
    pages = page_paths(out, len(cohort.cases))
    for path in pages[1:]:
        check_output(path, overwrite, PAGES)
    for number, path in reversed(
        list(enumerate(pages))
    ):  # the first page last: its links lead somewhere when it is there
        write_page("cohort.html.j2", cohort_content(cohort, title, number, pages), path, overwrite)
    more = [f"The table of cases goes on in {pages[1].name} to {pages[-1].name}."] if len(pages) > 1 else []
    return [*more, *cohort.notes]


def page_paths(out: Path, cases: int) -> list[Path]:
    """Return the names of all pages, ``out`` first."""
    count = max(1, -(-cases // CASES_PER_PAGE))
    return [out, *(out.with_name(f"{out.stem}-{n}{out.suffix}") for n in range(2, count + 1))]


def cohort_content(cohort: Cohort, title: str = "", page: int = 0, pages: Sequence[Path] = ()) -> dict[str, Any]:
    """Return what the template shows, as plain values. ``page``: which of ``pages`` it is; only the first one has the plots."""
    cases = cohort.cases
    first = page * CASES_PER_PAGE
    dates = sorted(case.created[:10] for case in cases if case.created)
    return {
        "title": title or f"{len(cases)} cases",
        "disclaimer": DISCLAIMER,
        "version": __version__,
        "notes": shortened(cohort.notes),
        "model": model_name(cohort.usual_model) if cohort.usual_model else "none named",
        "dates": f"{dates[0]} to {dates[-1]}" if dates else "unknown",
        "counts": {kind: sum(kind in case.kinds for case in cases) for kind in ("report", "qa", "audit")},
        "page": page,
        "pages": [path.name for path in pages],
        "any_odd": any(cohort.odd_model(case) for case in cases),
        "plots": [] if page else _plots(cohort),
        "organs": [] if page else [_organ(name, cohort) for name in _organ_names(cohort)],
        "cases": [
            _case(number, case, cohort)
            for number, case in enumerate(cases[first : first + CASES_PER_PAGE], start=first + 1)
        ],
    }


def shortened(notes: Sequence[str]) -> list[str]:
    """Return the first notes, and how many there are besides: a thousand cases of another model are one thing to know."""
    more = len(notes) - MOST_NOTES
    return [*notes[:MOST_NOTES], *([f"{more} more notes of this kind."] if more > 0 else [])]


def _plots(cohort: Cohort) -> list[dict[str, str]]:
    drawn = [
        ("Volumes", rows_plot(cohort, lambda c: c.volumes_ml, "volume, ml (logarithmic)", log=True),
         f"One dot a case{_of_many(cohort)}, the bar at the median. An organ that was not found has no dot."),
        ("Scores", rows_plot(cohort, lambda c: c.scores, "score", limit=1.0),
         "Beyond the dashed line an organ is worth a look. A score is no verdict."),
        ("Edits", rows_plot(cohort, _paths, "added path, mm"), "Length of contour that a person drew anew, of organs that were edited."),
        ("Drift", drift_plot(cohort), "Volumes are divided by the organ's median over all cases; the line is the median of a case's organs. "
         "A vertical line: another model from here on."),
    ]  # fmt: skip
    return [{"title": name, "svg": svg, "note": note} for name, svg, note in drawn if svg]


def _of_many(cohort: Cohort) -> str:
    return f" ({MOST_DOTS} of each organ's, from the lowest to the highest)" if len(cohort.cases) > MOST_DOTS else ""


def _paths(case: CohortCase) -> dict[str, float]:
    return {
        name: float(case.edits[name]["added_path_mm"]) for name in case.edited if case.edits[name].get("added_path_mm")
    }


def _organ_names(cohort: Cohort) -> list[str]:
    return by_table_order([n for c in cohort.cases for n in (*c.volumes_ml, *c.not_found, *c.scores, *c.edits)])


def _organ(name: str, cohort: Cohort) -> dict[str, Any]:
    volumes = [case.volumes_ml[name] for case in cohort.cases if name in case.volumes_ml]
    audited = [case for case in cohort.cases if name in case.edits]
    edited = [case.edits[name] for case in audited if name in case.edited]
    numbers = [float(e["dsc"]) for e in edited if isinstance(e.get("dsc"), (int, float))]
    return {
        "name": name,
        "color": color_of(name),
        "found": len(volumes) - sum(name in case.uncertain for case in cohort.cases),
        "uncertain": sum(name in case.uncertain for case in cohort.cases),
        "missing": sum(name in case.not_found for case in cohort.cases),
        "median_ml": float(np.median(volumes)) if volumes else None,
        "lowest_ml": min(volumes, default=None),
        "highest_ml": max(volumes, default=None),
        "look_at": sum(name in case.look_at for case in cohort.cases),
        "edited": f"{len(edited)} of {len(audited)}" if audited else "",
        "dsc": float(np.median(numbers)) if numbers else None,
    }


def _case(number: int, case: CohortCase, cohort: Cohort) -> dict[str, Any]:
    seconds = [e["active_s"] for e in case.edits.values() if isinstance(e.get("active_s"), (int, float))]
    return {
        "number": number,
        "name": case.name,
        "created": case.created[:16].replace("T", " "),
        "model": model_name(case.model) if case.model else "",
        "odd": cohort.odd_model(case),
        "found": len(case.volumes_ml) - len(case.uncertain) if "report" in case.kinds else None,
        "uncertain": case.uncertain,
        "not_found": case.not_found,
        "look_at": case.look_at,
        "scored": "qa" in case.kinds,
        "edited": case.edited,
        "audited": bool(case.edits),
        "path_mm": case.added_path_mm,
        "active_s": sum(seconds) if seconds else None,
        "editor": case.editor,
    }
