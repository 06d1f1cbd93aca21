"""What a comparison says: organ by organ and over all organs, in numbers and in words, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelError
from ..files.atomic_write import atomic_path, json_text
from ..nets.bundle import ModelBundle
from ..wording import counted
from .models import Comparison, Row, Scores
from .paired import FEWEST_PATIENTS, Difference, Verdict, difference

FORMAT = 1
COMPARISON = "comparison.json"  # beside a run's bundle: what ``focusnet models adopt`` reads


@dataclass(frozen=True)
class OrganSummary:
    """One organ that both models know. ``verdict`` is decided by the DSC."""

    organ: str
    dsc: Difference
    surface_dsc: Difference
    added_path_mm: Difference

    @property
    def verdict(self) -> Verdict:
        return self.dsc.verdict()


@dataclass(frozen=True)
class Summary:
    """``everything``: the mean DSC of all organs of a patient. ``path_mm``: the length left to draw in a case, all organs together.

    ``minutes``: what that difference is in time, None where no corrections were timed. ``new_organs``: mean DSC of organs that the old model does not know.
    """

    organs: tuple[OrganSummary, ...]
    everything: Difference
    path_mm: Difference
    minutes: float | None
    new_organs: dict[str, float]

    @property
    def worse(self) -> list[str]:
        """Return the organs that became worse."""
        return [organ.organ for organ in self.organs if organ.verdict == "worse"]

    @property
    def verdict(self) -> Verdict:
        """Return "worse" if any organ became worse, else what the mean of all organs says."""
        return "worse" if self.worse else self.everything.verdict()


def summarise(comparison: Comparison) -> Summary:
    """Return what the rows of a comparison say. Raises ModelError where the models have no organ in common that a case shows."""
    both = [row for row in comparison.rows if row.old is not None]
    if not both:
        raise ModelError(
            f"{comparison.old.name} and {comparison.new.name} have no organ in common that a held-out case shows."
        )
    organs = []
    for organ in dict.fromkeys(row.organ for row in both):
        mine = [row for row in both if row.organ == organ]
        organs.append(OrganSummary(organ, *(_difference(mine, key) for key in ("dsc", "surface_dsc", "added_path_mm"))))
    cases = {name: [row for row in both if row.case == name] for name in dict.fromkeys(row.case for row in both)}
    everything = _by_case(cases, "dsc", np.mean)
    path = _by_case(cases, "added_path_mm", np.sum)
    pace = comparison.seconds_per_mm
    unknown = [row for row in comparison.rows if row.old is None and row.new is not None]
    added = {
        o: float(np.mean([_of(row.new).dsc for row in unknown if row.organ == o]))
        for o in dict.fromkeys(r.organ for r in unknown)
    }
    return Summary(tuple(organs), everything, path, None if pace is None else -path.mean * pace / 60, added)


def _difference(rows: Sequence[Row], key: str) -> Difference:
    old, new = ([getattr(_of(s), key) for s in side] for side in ((r.old for r in rows), (r.new for r in rows)))
    return difference(old, new, [row.patient for row in rows])


def _by_case(cases: dict[str, list[Row]], key: str, together: Any) -> Difference:
    old = [together([getattr(_of(row.old), key) for row in rows]) for rows in cases.values()]
    new = [together([getattr(_of(row.new), key) for row in rows]) for rows in cases.values()]
    return difference(old, new, [rows[0].patient for rows in cases.values()])


def _of(scores: Scores | None) -> Scores:
    assert scores is not None
    return scores


def label(bundle: ModelBundle) -> str:
    """Return a model's name and version."""
    return f"{bundle.name} {bundle.version}".rstrip()


def text_table(comparison: Comparison, summary: Summary) -> str:
    """Return the comparison for a terminal."""
    lines = [f"{label(comparison.old)} (old) and {label(comparison.new)} (new), sha256 {comparison.new.digest[:8]}"]
    for o in summary.organs:
        lines.append(
            f"{o.organ:<16} {o.verdict:<12} DSC {o.dsc.old:.3f} -> {o.dsc.new:.3f} ({o.dsc.why()}), "
            f"surface DSC {o.surface_dsc.old:.3f} -> {o.surface_dsc.new:.3f}, left to draw {o.added_path_mm.old:.0f} -> {o.added_path_mm.new:.0f} mm"
        )
    lines += [f"{organ:<16} {'new organ':<12} DSC {dsc:.3f}" for organ, dsc in summary.new_organs.items()]
    lines.append(sentence(summary))
    return "\n".join([*lines, *comparison.notes])


def sentence(summary: Summary) -> str:
    """Return the result of a comparison in words."""
    word = {"better": "better", "worse": "worse", "not to tell": "neither better nor worse as far as these cases tell"}[
        summary.verdict
    ]
    if summary.worse:
        word = f"worse in {', '.join(summary.worse)}"
    all_organs = summary.everything
    text = f"The new model is {word}: mean DSC of all organs {all_organs.old:.3f} -> {all_organs.new:.3f} ({all_organs.why()})."
    if all_organs.patients < FEWEST_PATIENTS:
        text = f"Not to tell: {counted(all_organs.patients, 'held-out patient')}; fewer than {FEWEST_PATIENTS} can prove nothing. Collect more cases."
    path = summary.path_mm
    text += f" Left to draw in a case: {path.old:.0f} -> {path.new:.0f} mm"
    if summary.minutes is not None:
        text += f", {abs(summary.minutes):.1f} minutes {'less' if summary.minutes >= 0 else 'more'} at the pace of your corrections"
    return text + "."


def as_dict(comparison: Comparison, summary: Summary) -> dict[str, Any]:
    """Return the comparison as plain values."""
    models = {
        side: {"name": b.name, "version": b.version, "bundle_sha256": b.digest}
        for side, b in (("old", comparison.old), ("new", comparison.new))
    }
    organs = [{**asdict(o), "verdict": o.verdict} for o in summary.organs]
    return {
        "format": FORMAT, **models, "verdict": summary.verdict, "worse": summary.worse, "sentence": sentence(summary), "organs": organs,
        "all_organs": asdict(summary.everything), "added_path_mm": asdict(summary.path_mm), "minutes_less": summary.minutes,
        "new_organs": summary.new_organs, "notes": comparison.notes, "rows": [asdict(row) for row in comparison.rows],
    }  # fmt: skip


def write_comparison(comparison: Comparison, summary: Summary, path: Path) -> None:
    """Write the comparison as JSON; one that is there is replaced. Raises OutputError."""
    with atomic_path(path) as partial:
        partial.write_text(json_text(as_dict(comparison, summary), indent=1) + "\n", encoding="utf-8")


def read_comparison(path: Path) -> dict[str, Any]:
    """Return a comparison that was written; empty where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) and content.get("format") == FORMAT else {}
