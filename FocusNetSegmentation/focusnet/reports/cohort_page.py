"""Make one page of many cases: volumes, scores, edits, and how they drift in time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..files.atomic_write import check_output
from ..io.json_report import DISCLAIMER
from ..io.suffixes import PAGES
from ..version import __version__
from .cohort import Cohort, CohortCase, model_name, read_cohort
from .plots import by_table_order, color_of, drift_plot, rows_plot
from .render import write_page


def report_folder(folder: Path, out: Path, title: str = "", overwrite: bool = False) -> list[str]:
    """Write the page of every report below ``folder``; return sentences for the user. Raises InputError, OutputError."""
    check_output(out, overwrite, PAGES)
    cohort = read_cohort(folder)
    write_page("cohort.html.j2", cohort_content(cohort, title), out, overwrite)
    return list(cohort.notes)


def cohort_content(cohort: Cohort, title: str = "") -> dict[str, Any]:
    """Return what the template shows, as plain values."""
    cases = cohort.cases
    dates = sorted(case.created[:10] for case in cases if case.created)
    return {
        "title": title or f"{len(cases)} cases",
        "disclaimer": DISCLAIMER,
        "version": __version__,
        "notes": cohort.notes,
        "model": model_name(cohort.usual_model) if cohort.usual_model else "none named",
        "dates": f"{dates[0]} to {dates[-1]}" if dates else "unknown",
        "counts": {kind: sum(kind in case.kinds for case in cases) for kind in ("report", "qa", "audit")},
        "plots": _plots(cohort),
        "organs": [_organ(name, cohort) for name in _organ_names(cohort)],
        "cases": [_case(number, case, cohort) for number, case in enumerate(cases, start=1)],
    }


def _plots(cohort: Cohort) -> list[dict[str, str]]:
    drawn = [
        ("Volumes", rows_plot(cohort, lambda c: c.volumes_ml, "volume, ml (logarithmic)", log=True),
         "One dot a case, the bar at the median. An organ that was not found has no dot."),
        ("Scores", rows_plot(cohort, lambda c: c.scores, "score", limit=1.0),
         "Beyond the dashed line an organ is worth a look. A score is no verdict."),
        ("Edits", rows_plot(cohort, _paths, "added path, mm"), "Length of contour that a person drew anew, of organs that were edited."),
        ("Drift", drift_plot(cohort), "Volumes are divided by the organ's median over all cases; the line is the median of a case's organs. "
         "A vertical line: another model from here on."),
    ]  # fmt: skip
    return [{"title": name, "svg": svg, "note": note} for name, svg, note in drawn if svg]


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
