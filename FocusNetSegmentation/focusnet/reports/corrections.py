"""What doctors change in the results of a model, over time, by organ and by version of the model, from a training set of corrected cases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..datasets.collected import CollectedCase, Collection
from .plots import by_table_order

WANTED = {"train": 10, "val": 3, "test": 5}  # cases of an organ: fewer teach or prove little (docs/learning.md)
FEWEST = 10  # cases of each version, or in a row, before anything is said of a difference or a trend
LEVEL = 0.05  # of the tests, divided by the number of organs that are tested


@dataclass(frozen=True)
class Correction:
    """What was changed in one organ of one case. ``added_mm``: contour drawn anew, of ``path_mm`` in all; None where it is not known."""

    case: CollectedCase
    organ: str
    changed: bool
    added_mm: float | None = None
    path_mm: float | None = None
    surface_dsc: float | None = None
    active_s: float | None = None


@dataclass(frozen=True)
class OrganCorrections:
    """One organ over all cases. ``measured``: in how many it is known how much was changed; means are over these, ``minutes`` over those
    with a time.

    ``part``: of all contour, what was drawn anew, 0 to 1.
    """

    organ: str
    cases: int
    changed: int
    measured: int
    added_mm: float | None
    total_mm: float
    part: float | None
    surface_dsc: float | None
    minutes: float | None


@dataclass(frozen=True)
class VersionComparison:
    """An organ under two versions of a model, the older one first. ``counts``: cases; ``added_mm``: means. ``words``: what can be said."""

    organ: str
    versions: tuple[str, str]
    counts: tuple[int, int]
    added_mm: tuple[float, float]
    words: str


def corrections(collection: Collection) -> list[Correction]:
    """Return what is known of every approved organ that a model drew, in the order of collecting."""
    found = []
    for case in collection.cases:
        audit = {str(row.get("organ")): row for row in (case.audit or {}).get("organs", [])}
        for organ in case.contoured:
            row, facts = audit.get(organ), case.organs.get(organ, {})
            if row is not None:
                changed = bool(row.get("changed"))
                numbers = (_number(row.get(key)) for key in ("added_path_mm", "path_mm", "surface_dsc", "active_s"))
                found.append(Correction(case, organ, changed, *numbers))
            elif facts.get("as_drawn") is not None and not facts.get("by_hand"):
                nothing = 0.0 if facts["as_drawn"] else None  # it was left as it was: nothing was drawn anew
                found.append(
                    Correction(case, organ, not facts["as_drawn"], nothing, active_s=_number(facts.get("active_s")))
                )
    return found


def by_organ(rows: Sequence[Correction]) -> list[OrganCorrections]:
    """Return every organ, the one with most contour drawn anew first."""
    found = []
    for organ in by_table_order([row.organ for row in rows]):
        own = [row for row in rows if row.organ == organ]
        measured = [row for row in own if row.added_mm is not None]
        whole = [(row.added_mm or 0.0, row.path_mm) for row in measured if row.path_mm]
        found.append(
            OrganCorrections(
                organ,
                cases=len(own),
                changed=sum(row.changed for row in own),
                measured=len(measured),
                added_mm=_mean([row.added_mm for row in measured]),
                total_mm=sum(row.added_mm or 0.0 for row in measured),
                part=sum(added for added, _ in whole) / sum(path for _, path in whole) if whole else None,
                surface_dsc=_mean([row.surface_dsc for row in measured]),
                minutes=_mean([None if row.active_s is None else row.active_s / 60 for row in own]),
            )
        )
    return sorted(found, key=lambda o: -o.total_mm)


def version_of(case: CollectedCase) -> str:
    """Return name and version of the model that drew a case, or the first digits of its hash; "" if none did."""
    model = case.model or {}
    version = model.get("version") or str(model.get("bundle_sha256") or "")[:8]
    return f"{model.get('name')} {version}".strip() if model else ""


def versions_in_order(rows: Sequence[Correction]) -> list[str]:
    """Return the versions in the order in which their first cases were collected."""
    return list(dict.fromkeys(version for row in rows if (version := version_of(row.case))))


def compare_versions(rows: Sequence[Correction]) -> list[VersionComparison]:
    """Return each organ under the last version and the one before it; empty with one version only.

    The patients of the two are not the same, so their added paths are compared by the Mann-Whitney U test (scipy), with Bonferroni's correction for the
    number of organs. Nothing is said with fewer than FEWEST cases of either.
    """
    from scipy.stats import mannwhitneyu

    versions = versions_in_order(rows)
    if len(versions) < 2:
        return []
    old, new = versions[-2:]
    values: dict[str, tuple[list[float], list[float]]] = {}
    for row in rows:
        if row.added_mm is not None and version_of(row.case) in (old, new):
            values.setdefault(row.organ, ([], []))[version_of(row.case) == new].append(row.added_mm)
    both = {organ: pair for organ, pair in values.items() if pair[0] and pair[1]}
    tested = sum(min(map(len, pair)) >= FEWEST for pair in both.values())
    found = []
    for organ in by_table_order(list(both)):
        before, after = both[organ]
        counts, means = (len(before), len(after)), (float(np.mean(before)), float(np.mean(after)))
        if min(counts) < FEWEST:
            words = f"not to tell: {counts[0]} and {counts[1]} cases, {FEWEST} of each are needed"
        elif len({*before, *after}) == 1 or mannwhitneyu(before, after).pvalue >= LEVEL / tested:
            words = "no clear difference"
        else:
            words = "less to correct" if means[1] < means[0] else "more to correct"
        found.append(VersionComparison(organ, (old, new), counts, means, words))
    return found


def trend(rows: Sequence[Correction]) -> str:
    """Return in words whether more or less is corrected from case to case under the last version; "" with fewer than FEWEST cases of it.

    Spearman's rank correlation of the contour drawn anew in a case, divided by its organs, with the order of collecting.
    """
    from scipy.stats import spearmanr

    versions = versions_in_order(rows)
    by_case: dict[str, list[float]] = {}
    for row in rows:
        if row.added_mm is not None and versions and version_of(row.case) == versions[-1]:
            by_case.setdefault(row.case.name, []).append(row.added_mm)
    means = [float(np.mean(values)) for values in by_case.values()]
    if len(means) < FEWEST:
        return ""
    if len(set(means)) == 1:
        return f"Nothing changes from case to case under {versions[-1]}."
    found = spearmanr(range(len(means)), means)
    if found.pvalue >= LEVEL:
        return f"No clear trend from case to case under {versions[-1]} ({len(means)} cases)."
    direction = "more and more" if found.statistic > 0 else "less and less"
    return (
        f"Under {versions[-1]} {direction} is corrected from case to case ({len(means)} cases, rank correlation "
        f"{found.statistic:+.2f}): scanner, patients or habits may have changed."
    )


def missing_cases(collection: Collection) -> list[str]:
    """Return a sentence for each organ of which there are too few cases."""
    counts: dict[str, dict[str, int]] = {}
    for case in collection.cases:
        for organ in case.contoured:
            own = counts.setdefault(organ, dict.fromkeys(WANTED, 0))
            own[case.split] = own.get(case.split, 0) + 1
    purpose = {"train": "to learn from", "val": "to select on", "test": "to compare on"}
    found = []
    for organ in by_table_order(list(counts)):
        few = [
            f"{counts[organ][split]} {purpose[split]} ({wanted} are wanted)"
            for split, wanted in WANTED.items()
            if counts[organ][split] < wanted
        ]
        if few:
            found.append(f"{organ}: {', '.join(few)}.")
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _number(value: object) -> float | None:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None  # type: ignore[arg-type]
