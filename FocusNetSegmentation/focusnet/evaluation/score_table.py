"""Sum up scores over cases, as text for a terminal and as CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from ..files.atomic_write import atomic_path
from .evaluate import OrganScores


@dataclass(frozen=True)
class OrganSummary:
    """One organ over all cases. ``missed``: cases where it is in one of the two only (their distances are infinite and left out of the
    means of distances; their DSC of 0 counts)."""

    organ: str
    cases: int
    missed: int
    dsc_mean: float
    dsc_sd: float
    dsc_median: float
    hd95_average_mm: float
    hd95_average_sd: float
    hd95_maximum_mm: float
    mean_surface_distance_mm: float
    surface_dsc: float


def summarise(rows: Sequence[OrganScores]) -> list[OrganSummary]:
    """Return the means over cases per organ, in order of appearance; cases where the organ is absent from both are left out."""
    out = []
    for organ in dict.fromkeys(row.organ for row in rows):
        mine = [row for row in rows if row.organ == organ and not np.isnan(row.dsc)]
        both = [row for row in mine if np.isfinite(row.hd95_average_mm)]
        out.append(
            OrganSummary(
                organ=organ,
                cases=len(mine),
                missed=len(mine) - len(both),
                dsc_mean=_mean([r.dsc for r in mine]),
                dsc_sd=_sd([r.dsc for r in mine]),
                dsc_median=float(np.median([r.dsc for r in mine])) if mine else float("nan"),
                hd95_average_mm=_mean([r.hd95_average_mm for r in both]),
                hd95_average_sd=_sd([r.hd95_average_mm for r in both]),
                hd95_maximum_mm=_mean([r.hd95_maximum_mm for r in both]),
                mean_surface_distance_mm=_mean([r.mean_surface_distance_mm for r in both]),
                surface_dsc=_mean([r.surface_dsc for r in mine]),
            )
        )
    return out


def text_table(rows: Sequence[OrganScores], tolerance_mm: float) -> str:
    """Return the summary as text: one case shows its scores, several show mean and standard deviation."""
    head = f"{'organ':<16} {'n':>3} {'missed':>6} {'DSC':>6} {'SD':>6} {'HD95 avg':>9} {'HD95 max':>9} {'MSD':>6} {f'sDSC@{tolerance_mm:g}mm':>10}"
    lines = [head]
    summaries = summarise(rows)
    for s in summaries:
        lines.append(
            f"{s.organ:<16} {s.cases:>3} {s.missed:>6} {s.dsc_mean:>6.3f} {s.dsc_sd:>6.3f} {s.hd95_average_mm:>9.2f} {s.hd95_maximum_mm:>9.2f} "
            f"{s.mean_surface_distance_mm:>6.2f} {s.surface_dsc:>10.3f}"
        )
    scored = [s.dsc_mean for s in summaries if s.cases]
    lines.append(f"{'mean of organs':<16} {'':>3} {'':>6} {_mean(scored):>6.3f}")
    lines.append(
        "Distances in mm, over the cases where both have the organ; organs that the reference does not name are not scored."
    )
    return "\n".join(lines)


def write_csv(rows: Sequence[OrganScores], path: Path) -> None:
    """Write one line per case and organ. Raises OutputError."""
    with atomic_path(path) as partial, partial.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, [f.name for f in fields(OrganScores)])
        writer.writeheader()
        for row in rows:
            writer.writerow({k: round(v, 5) if isinstance(v, float) else v for k, v in asdict(row).items()})


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _sd(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0 if len(values) else float("nan")
