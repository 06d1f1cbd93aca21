"""The ranking of a segmentation's organs: scores with reasons, as plain values, as a table, as a file.

A score is a hint where to look, not a verdict. docs/qa.md describes every score and every key of the JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..files.atomic_write import atomic_path, check_output, json_text
from ..image.organs import Organ
from ..wording import RESEARCH_ONLY

SCHEMA_VERSION = 1
LOOK_AT = "look at"
NO_SIGN = "no sign of a mistake"
NOT_JUDGED = "not judged"  # no score is high, but none of those with statistics applies
DISCLAIMER = f"Scores are hints where to look, not verdicts: an organ with 'no sign of a mistake' must be checked as well. {RESEARCH_ONLY}"
HIGHEST = 10.0  # severities are capped at ten times the limit
Point = tuple[float, float, float]


@dataclass(frozen=True)
class PredictedDsc:
    """``dsc``: predicted for an organ; ``low`` to ``high``: four fifths of the organs with such a prediction had a DSC in between;
    ``bad``: the part of them below 0.6. ``why``: sentences, what lowered it most first. ``not_looked_at``: what could not be, in words.
    """

    dsc: float
    low: float
    high: float
    bad: float
    why: tuple[str, ...] = ()
    not_looked_at: str = ""


@dataclass(frozen=True)
class Score:
    """One thing that was checked in one organ.

    ``severity``: 0 is ordinary, 1 is the limit that about 1 of 100 real contours passes; None where the score does not apply, and
    ``reason`` says why. ``counts``: whether it changes group and rank; a score that proved no better than the volume check is
    shown and does not count. ``percentile``: among real contours, 0 to 100, where there is such a scale. ``where_mm_xyz``: a
    place (LPS mm) to look at. ``prediction``: of the score that predicts the DSC, else None.
    """

    id: str
    title: str
    reason: str
    severity: float | None = None
    value: float | None = None
    unit: str = ""
    percentile: float | None = None
    where_mm_xyz: Point | None = None
    counts: bool = True
    prediction: PredictedDsc | None = None

    @property
    def applies(self) -> bool:
        """Return whether the score says something about this organ."""
        return self.severity is not None

    @property
    def flagged(self) -> bool:
        """Return whether the score counts and is at or beyond its limit."""
        return self.counts and self.severity is not None and self.severity >= 1.0


@dataclass(frozen=True)
class OrganRanking:
    """All scores of one organ, the highest severity first. ``rank`` counts from 1; organs of one finding (swapped sides) share it.

    ``caution``: what must stand beside the organ because of the model that drew it.
    """

    organ: Organ
    label: int
    group: str
    severity: float | None
    scores: tuple[Score, ...]
    volume_ml: float
    center_mm_xyz: Point | None
    rank: int = 0
    caution: str = ""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return why the organ is in its group, in words; never empty."""
        flagged = tuple(reason for s in self.scores if s.flagged for reason in _told(s))
        if flagged:
            return flagged
        predicted = self.predicted
        if predicted is not None:
            return next(s.reason for s in self.scores if s.prediction), *filter(None, [predicted.not_looked_at])
        if self.group == NOT_JUDGED:
            return ("No statistics for this organ: nothing can be said of its size, place or shape.",)
        return ("Nothing odd was found.",)

    @property
    def predicted(self) -> PredictedDsc | None:
        """Return the predicted DSC, None where there is none for this organ."""
        return next((s.prediction for s in self.scores if s.prediction is not None), None)


def _told(score: Score) -> tuple[str, ...]:
    """Return a score's reason, and what lies behind a predicted DSC."""
    return score.reason, *(score.prediction.why if score.prediction is not None else ())


@dataclass(frozen=True)
class Ranking:
    """All organs of a segmentation.

    ``organs``: worst first. ``notes``: sentences about the whole case (no CT was given, no shape model ...).
    """

    organs: tuple[OrganRanking, ...]
    model: dict[str, Any] = field(default_factory=dict)
    shape_model: dict[str, Any] | None = None
    source: str = ""
    notes: tuple[str, ...] = ()

    def organ(self, name: str) -> OrganRanking:
        """Return the organ of this TG-263 name; it must be there."""
        return next(o for o in self.organs if o.organ.name == name)


def ranked(organs: Sequence[OrganRanking]) -> tuple[OrganRanking, ...]:
    """Return the organs in order: look at, not judged, no sign of a mistake; within a group the highest score first.

    Organs with the same finding (swapped sides) share a rank.
    """
    from dataclasses import replace

    order = {LOOK_AT: 0, NOT_JUDGED: 1, NO_SIGN: 2}
    listed = sorted(organs, key=lambda o: (order[o.group], -(o.severity or 0.0), -_sum(o), o.label))
    out: list[OrganRanking] = []
    for number, organ in enumerate(listed, start=1):
        shared = out and organ.organ.mirrored_name == out[-1].organ.name and _swapped(organ) and _swapped(out[-1])
        out.append(replace(organ, rank=out[-1].rank if shared else number))
    return tuple(out)


def _swapped(organ: OrganRanking) -> bool:
    return any(s.id == "sides" and s.flagged for s in organ.scores)


def _sum(organ: OrganRanking) -> float:
    return sum(s.severity for s in organ.scores if s.counts and s.severity is not None)


def as_dict(ranking: Ranking) -> dict[str, Any]:
    """Return the ranking as plain values; keys stay as they are within one ``schema_version``."""
    return {
        "schema_version": SCHEMA_VERSION,
        "disclaimer": DISCLAIMER,
        "source": ranking.source,
        "model": ranking.model,
        "shape_model": ranking.shape_model,
        "notes": list(ranking.notes),
        "organs": [organ_dict(o) for o in ranking.organs],
    }


def write_ranking(ranking: Ranking, path: Path | str, overwrite: bool = False) -> None:
    """Write the ranking as JSON. Raises OutputError."""
    check_output(path, overwrite, (".json",))
    with atomic_path(path) as partial:
        partial.write_text(json_text(as_dict(ranking), indent=1) + "\n", encoding="utf-8")


def text_table(ranking: Ranking) -> str:
    """Return the ranking for a terminal, one organ per line and one further line for each further reason."""
    width = max((len(o.organ.name) for o in ranking.organs), default=5)
    lines = []
    group = ""
    for o in ranking.organs:
        if o.group != group:
            group = o.group
            lines.append(f"{group}:")
        score = "-" if o.severity is None else f"{o.severity:.2f}"
        first, *more = o.reasons
        lines.append(f"{o.rank:>3}  {o.organ.name:<{width}}  {score:>5}  {first}")
        lines.extend(f"{'':>{width + 14}}{reason}" for reason in more)
    lines += [f"note: {note}" for note in ranking.notes]
    return "\n".join(lines)


def organ_dict(o: OrganRanking) -> dict[str, Any]:
    """Return one organ's entry of the JSON."""
    return {
        "organ": o.organ.name,
        "title": o.organ.title,
        "label": o.label,
        "rank": o.rank,
        "state_hint": o.group,
        "score": None if o.severity is None else round(o.severity, 3),
        "reasons": list(o.reasons),
        "caution": o.caution or None,
        "predicted_dsc": _predicted(o.predicted),
        "volume_ml": round(o.volume_ml, 4),
        "center_mm_lps": _place(o.center_mm_xyz),
        "scores": [_score(s) for s in o.scores],
    }


def _score(s: Score) -> dict[str, Any]:
    return {
        "id": s.id,
        "title": s.title,
        "applies": s.applies,
        "counts": s.counts,
        "flagged": s.flagged,
        "severity": None if s.severity is None else round(s.severity, 3),
        "value": None if s.value is None else round(s.value, 4),
        "unit": s.unit,
        "percentile": None if s.percentile is None else round(s.percentile, 1),
        "reason": s.reason,
        "where_mm_lps": _place(s.where_mm_xyz),
    }


def _predicted(p: PredictedDsc | None) -> dict[str, float] | None:
    values = None if p is None else {"dsc": p.dsc, "low": p.low, "high": p.high, "part_below_0.6": p.bad}
    return values and {key: round(value, 3) for key, value in values.items()}


def _place(point: Point | None) -> list[float] | None:
    return None if point is None else [round(float(v), 2) for v in point]
