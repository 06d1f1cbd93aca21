"""Read every case once and list everything to know before training on it (``focusnet datasets check``)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import FocusNetError, OutputError
from ..progress import Progress, ProgressCallback, silent
from ..wording import counted
from .dataset_toml import SPLIT_REMEDY, never_contoured
from .erased_slices import count_erased_slices
from .file_dataset import Dataset
from .gap_slices import find_gap_slices
from .in_air import organs_in_air
from .outliers import OrganMeasures, find_outliers
from .raw_contours import Contours
from .sides import on_the_wrong_side, orientation_problem


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    ``severity``: "error" (training would stop or learn what is wrong) or "warning". ``remedy``: what to do.
    """

    severity: str
    case: str
    text: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.case + ': ' if self.case else ''}{self.text} {self.remedy}".strip()


@dataclass(frozen=True)
class CaseFacts:
    """One case in numbers.

    ``digest``: SHA-256 of the CT's voxels, "" without a CT. ``erased_slices``: see ``count_erased_slices``. ``in_air``: see
    ``organs_in_air``. ``gap_slices``: see ``find_gap_slices``.
    """

    name: str
    split: str
    patient: str
    spacing_mm_xyz: tuple[float, float, float]
    size_xyz: tuple[int, int, int]
    digest: str
    contoured: frozenset[str]
    measures: OrganMeasures
    erased_slices: int = 0
    in_air: tuple[str, ...] = ()
    gap_slices: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass
class CheckReport:
    """The result of a check: facts of every case and all problems. ``usable`` if none of them is an error."""

    folder: str
    layout: str
    organs: tuple[str, ...]
    notes: tuple[str, ...]
    splits: dict[str, int]
    cases: list[CaseFacts] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        """Return whether the data set can be trained on: no error was found."""
        return not any(p.severity == "error" for p in self.problems)

    def volumes_ml(self, organ: str) -> np.ndarray:
        """Return the organ's volume in ml in every case that has it, (cases,)."""
        return np.array([c.measures.volumes_ml[organ] for c in self.cases if organ in c.measures.volumes_ml])


def check_dataset(dataset: Dataset, progress: ProgressCallback = silent) -> CheckReport:
    """Read every case, check it alone, then compare all of them.

    A case that cannot be read becomes an error in the report. Raises OutputError if the cache's disk is full.
    """
    splits = {split: len(dataset.patients(split)) for split in dataset.splits()}
    report = CheckReport(str(dataset.folder), dataset.layout, dataset.organs, dataset.notes, splits)
    todo = [(split, name) for split in dataset.splits() for name in dataset.patients(split)]
    for number, (split, name) in enumerate(todo):
        progress(Progress("Reading cases", number / max(len(todo), 1), name))
        try:
            contours = dataset.read(split, name)
        except OutputError:  # no room in the cache: true of every case, and a fault of none
            raise
        except FocusNetError as problem:
            report.problems.append(Problem("error", name, str(problem).removeprefix(f"Case {name}: "), ""))
            continue
        facts = _facts(contours, split)
        report.cases.append(facts)
        report.problems += [Problem("warning", name, warning, "") for warning in contours.warnings]
        report.problems += _problems_of_case(contours, facts)
    report.problems += _problems_across_cases(report)
    return report


def _facts(contours: Contours, split: str) -> CaseFacts:
    there = [organ for organ, flat in contours.voxels.items() if len(flat)]
    spacing, shape = contours.geometry.spacing_mm_xyz, contours.geometry.shape_zyx
    return CaseFacts(
        name=contours.name,
        split=split,
        patient=contours.patient,
        spacing_mm_xyz=spacing,
        size_xyz=(shape[2], shape[1], shape[0]),
        digest="" if contours.hu is None else hashlib.sha256(contours.hu.tobytes()).hexdigest(),
        contoured=contours.contoured,
        measures=OrganMeasures({o: contours.volume_ml(o) for o in there}, {o: contours.centroid_mm(o) for o in there}),
        erased_slices=count_erased_slices(contours),
        in_air=organs_in_air(contours),
        gap_slices=find_gap_slices(contours),
    )


def _problems_of_case(contours: Contours, facts: CaseFacts) -> list[Problem]:
    problems = []
    if not facts.measures.volumes_ml:
        remedy = "Contour it, or exclude it in dataset.toml."
        return [Problem("error", facts.name, "no organ has a contour.", remedy)]
    for organ in sorted(facts.contoured - set(facts.measures.volumes_ml)):
        text = f"{organ} is listed as contoured but has no voxel, which teaches that it is absent."
        problems.append(Problem("warning", facts.name, text, "Contour it, or take it off the list."))
    if facts.in_air:
        text = f"{', '.join(facts.in_air)} {'lies' if len(facts.in_air) == 1 else 'lie'} mostly in air."
        remedy = "Look at it; the contours may be shifted or turned against the scan."
        problems.append(Problem("warning", facts.name, text, remedy))
    if facts.gap_slices:
        listed = ", ".join(f"{organ} ({count} of {span})" for organ, (count, span) in sorted(facts.gap_slices.items()))
        text = f"slices without a voxel between the first and the last of an organ: {listed}."
        remedy = (
            "Look at it; slices that were skipped in drawing teach that nothing is there: fill them in, or write "
            "fill_slices = true at the top of dataset.toml."
        )
        problems.append(Problem("warning", facts.name, text, remedy))
    return [*problems, *_sides(facts)]


def _sides(facts: CaseFacts) -> list[Problem]:
    centroids = facts.measures.centroids_mm
    problem = orientation_problem(centroids)
    problems = [Problem("error", facts.name, problem, "")] if problem else []
    for organ in on_the_wrong_side(centroids):
        text = f"{organ} lies on the other side of the patient's middle."
        problems.append(Problem("warning", facts.name, text, "Look at it; it may be named for the wrong side."))
    return problems


def _problems_across_cases(report: CheckReport) -> list[Problem]:
    problems = [*_duplicates(report.cases)]
    if report.cases and not any(c.digest for c in report.cases):
        text = "no case has a CT: shapes can be learned from it, organs in scans cannot."
        problems.append(Problem("warning", "", text, "Put the CTs beside the contours to train on them."))
    for split, what in (("train", "train"), ("val", "select")):
        if not report.splits.get(split):
            text = f"there is no case to {what} on (split {split})."
            problems.append(Problem("error", "", text, SPLIT_REMEDY))
    problems += _unseen_organs(report)
    for case, organ, sentence in find_outliers({c.name: c.measures for c in report.cases}):
        remedy = "Look at it; exclude the case in dataset.toml if the contour is wrong."
        problems.append(Problem("warning", case, f"{organ} {sentence}.", remedy))
    erased = [c for c in report.cases if c.erased_slices]
    if erased:
        names = ", ".join(f"{c.name} ({c.erased_slices})" for c in erased)
        text = f"{counted(len(erased), 'case')} with slices that hold hardly any tissue but contoured organs (so many): {names}."
        remedy = "There the image itself shows the contours, so scores come out too high; exclude these cases in dataset.toml if enough remain."
        problems.append(Problem("warning", "", text, remedy))
    return problems


def _unseen_organs(report: CheckReport) -> list[Problem]:
    """List the organs that cannot be learned and those that cannot be judged, one problem each, however many organs."""
    seen = {s: {o for c in report.cases if c.split == s for o in c.measures.volumes_ml} for s in ("train", "val")}
    problems = []
    never = [o for o in report.organs if o not in seen["train"]]
    if never and seen["train"]:
        unread = sum(report.splits.values()) - len(report.cases)
        because = f" (cases that could not be read: {unread})" if unread else ""
        problems.append(Problem("error", "", never_contoured(never, report.organs, because), ""))
    blind = [o for o in report.organs if o in seen["train"] and o not in seen["val"]]
    if blind and seen["val"]:
        text = f"{', '.join(blind)} {'is' if len(blind) == 1 else 'are'} contoured in no case of val: trained, but neither selected by nor judged."
        remedy = f"Move a patient who has {'it' if len(blind) == 1 else 'them'} to val if you can."
        problems.append(Problem("warning", "", text, remedy))
    return problems


def _duplicates(cases: Iterable[CaseFacts]) -> list[Problem]:
    seen: dict[str, CaseFacts] = {}
    problems = []
    for case in cases:
        first = seen.setdefault(case.digest, case) if case.digest else case
        if first is case:
            continue
        across = first.split != case.split
        text = f"its CT is the same, voxel by voxel, as that of {first.name}"
        text += f", in the split {first.split} and not {case.split}." if across else "."
        problems.append(
            Problem("error" if across else "warning", case.name, text, "Exclude one of them in dataset.toml.")
        )
    return problems


def as_json(report: CheckReport) -> dict[str, Any]:
    """Return the report as plain values: layout, splits, organs with counts and volumes, cases, problems."""
    organs = {}
    for organ in report.organs:
        volumes = report.volumes_ml(organ)
        spread = (
            {"minimum": volumes.min(), "median": np.median(volumes), "maximum": volumes.max()} if len(volumes) else {}
        )
        by_split = {
            s: sum(c.split == s and organ in c.measures.volumes_ml for c in report.cases) for s in report.splits
        }
        organs[organ] = {"cases": by_split, "volume_ml": spread}
    return {
        "folder": report.folder,
        "layout": report.layout,
        "usable": report.usable,
        "splits": report.splits,
        "notes": report.notes,
        "organs": organs,
        "cases": [
            {
                "name": c.name,
                "split": c.split,
                "patient": c.patient,
                "spacing_mm_xyz": c.spacing_mm_xyz,
                "size_xyz": c.size_xyz,
                "volumes_ml": c.measures.volumes_ml,
                "contoured": sorted(c.contoured),
                "masked_slices": c.erased_slices,
            }
            for c in report.cases
        ],
        "problems": [vars(p) for p in report.problems],
    }


def as_text(report: CheckReport) -> str:
    """Return the report for a terminal: layout, splits, organs, spacings and sizes, notes, then every problem."""
    lines = [f"{report.folder}: {report.layout}"]
    lines.append("cases: " + ", ".join(f"{split} {count}" for split, count in report.splits.items()))
    width = max([5, *(len(o) for o in report.organs)])
    lines += [
        "",
        f"{'organ':<{width}} " + " ".join(f"{s:>6}" for s in report.splits) + "   volume ml (min, median, max)",
    ]
    for organ in report.organs:
        volumes = report.volumes_ml(organ)
        counts = [sum(c.split == s and organ in c.measures.volumes_ml for c in report.cases) for s in report.splits]
        spread = f"{volumes.min():9.2f} {np.median(volumes):9.2f} {volumes.max():9.2f}" if len(volumes) else ""
        lines.append(f"{organ:<{width}} " + " ".join(f"{n:>6}" for n in counts) + f"  {spread}")
    if report.cases:
        lines += ["", *_grids(report.cases)]
    lines += ["", *(f"note: {note}" for note in report.notes)] if report.notes else []
    ordered = sorted(report.problems, key=lambda p: (p.severity, p.case))
    lines += ["", *map(str, ordered)] if ordered else []
    errors = sum(p.severity == "error" for p in ordered)
    verdict = "usable" if report.usable else "not usable as it is"
    lines += ["", f"{counted(errors, 'error')}, {counted(len(ordered) - errors, 'warning')}: {verdict}."]
    return "\n".join(lines)


def _grids(cases: list[CaseFacts]) -> list[str]:
    """Return spacings and sizes as a table of at most 80 columns: an axis per column, smallest to largest and median."""
    spacings, sizes = np.array([c.spacing_mm_xyz for c in cases]), np.array([c.size_xyz for c in cases])
    lines = [f"{'min to max (median)':<20} " + " ".join(f"{axis:<19}" for axis in "xyz").rstrip()]
    for title, values, digits in (("spacing mm", spacings, 2), ("voxels", sizes, 0)):
        cells = [f"{v.min():.{digits}f} to {v.max():.{digits}f} ({np.median(v):.{digits}f})" for v in values.T]
        lines.append(f"{title:<20} " + " ".join(f"{cell:<19}" for cell in cells).rstrip())
    return lines
