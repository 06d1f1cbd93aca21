"""Compare segmentations organ by organ, by name and never by label value; one case or two folders of them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files.atomic_write import atomic_path, check_output
from ..image.organs import find_organ
from ..image.regrid import put_on_grid
from ..image.segmentation import Segmentation
from ..image.volume import Volume
from ..io.read import read_segmentation
from ..io.suffixes import SEGMENTATIONS, has_suffix, stem
from ..metrics import dice, surface_distances, volume_ml


@dataclass(frozen=True)
class OrganScores:
    """One organ of one case. Distances are in mm; nan where the organ is absent from both, infinite where from one."""

    case: str
    organ: str
    dsc: float
    hd95_average_mm: float
    hd95_maximum_mm: float
    mean_surface_distance_mm: float
    surface_dsc: float
    volume_predicted_ml: float
    volume_reference_ml: float


def evaluate(
    predicted: Segmentation,
    reference: Segmentation,
    organs: Sequence[str] | None = None,
    tolerance_mm: float = 2.0,
    case: str = "",
) -> list[OrganScores]:
    """Scores of every organ that the reference names (or of ``organs``).

    An organ that the reference does not name was not contoured: it is unknown and gets no row. One that the prediction does not name counts
    as not found. Raises InputError if the grids differ or an organ is not in the reference.
    """
    if not predicted.geometry.same_grid_as(reference.geometry):
        a, b = predicted.geometry, reference.geometry
        raise InputError(
            f"{case or 'The segmentations'}: the grids differ: {a.shape_zyx} voxels at {_rounded(a.spacing_mm_zyx)} mm from {_rounded(a.origin_mm_xyz)}, "
            f"reference {b.shape_zyx} at {_rounded(b.spacing_mm_zyx)} mm from {_rounded(b.origin_mm_xyz)}. Resample one to the other's grid first."
        )
    in_reference = {r.organ.name: r.label for r in reference.results}
    in_prediction = {r.organ.name: r.label for r in predicted.results}
    wanted = _wanted(organs, list(in_reference))
    spacing = reference.geometry.spacing_mm_zyx
    rows = []
    for name in wanted:
        truth = reference.labels == in_reference[name]
        found = predicted.labels == in_prediction[name] if name in in_prediction else np.zeros_like(truth)
        rows.append(score_organ(case, name, found, truth, spacing, tolerance_mm))
    return rows


def score_organ(
    case: str,
    organ: str,
    found: np.ndarray,
    truth: np.ndarray,
    spacing_mm_zyx: tuple[float, float, float],
    tolerance_mm: float = 2.0,
) -> OrganScores:
    """One organ's scores from two bool masks (z, y, x) of one grid. A box around both gives the same numbers as the whole grid."""
    distances = surface_distances(found, truth, spacing_mm_zyx)
    return OrganScores(
        case=case,
        organ=organ,
        dsc=dice(found, truth),
        hd95_average_mm=distances.hd95_average_mm,
        hd95_maximum_mm=distances.hd95_maximum_mm,
        mean_surface_distance_mm=distances.mean_mm,
        surface_dsc=distances.surface_dice(tolerance_mm),
        volume_predicted_ml=volume_ml(found, spacing_mm_zyx),
        volume_reference_ml=volume_ml(truth, spacing_mm_zyx),
    )


def evaluate_files(
    predicted: Path,
    reference: Path,
    out: Path | None = None,
    organs: Sequence[str] | None = None,
    tolerance_mm: float = 2.0,
    overwrite: bool = False,
    ct: Volume | None = None,
) -> str:
    """Compare two files, or every file of ``predicted`` with the one of the same name in ``reference``. Returns a table for a terminal.

    With ``out`` every case's scores are written as CSV. ``ct``: the scan that RTSTRUCTs belong to; both are compared on its grid.
    Raises InputError, OutputError.
    """
    if not tolerance_mm > 0:
        raise InputError(f"The tolerance is {tolerance_mm} mm; a number above 0 is expected.")
    if out is not None:
        check_output(out, overwrite)
    rows: list[OrganScores] = []
    for case, ours, theirs in pairs(Path(predicted), Path(reference)):
        found, truth = read_segmentation(ours, None, ct), read_segmentation(theirs, organs, ct)
        if ct is not None:
            (found, _), (truth, _) = (put_on_grid(s, ct.geometry, ct.source) for s in (found, truth))
        rows.extend(evaluate(found, truth, organs, tolerance_mm, case))
    if out is not None:
        write_csv(rows, out)
    return text_table(rows, tolerance_mm)


def write_csv(rows: Sequence[OrganScores], path: Path) -> None:
    """One line per case and organ."""
    with atomic_path(path) as partial, partial.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, [f.name for f in fields(OrganScores)])
        writer.writeheader()
        for row in rows:
            writer.writerow({k: round(v, 5) if isinstance(v, float) else v for k, v in asdict(row).items()})


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
    """Means over cases per organ, in order of appearance; cases where the organ is absent from both are left out."""
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
    """The summary as text: one case shows its scores, several show mean and standard deviation."""
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


def pairs(predicted: Path, reference: Path) -> list[tuple[str, Path, Path]]:
    """(case, file, file) of two files, or of the files of two folders that have the same name. Raises InputError."""
    if predicted.is_dir() != reference.is_dir():
        raise InputError(f"{predicted} and {reference}: two files or two folders are expected, not one of each.")
    if not predicted.is_dir():
        return [(stem(predicted), predicted, reference)]
    ours, theirs = (
        {stem(p): p for p in sorted(folder.iterdir()) if has_suffix(p, SEGMENTATIONS)}
        for folder in (predicted, reference)
    )
    common = sorted(set(ours) & set(theirs))
    if not common:
        raise InputError(
            f"{predicted} and {reference} have no file name in common; a prediction is compared with the reference of the same name."
        )
    missing = sorted(set(ours) - set(theirs))
    if missing:
        raise InputError(
            f"{reference} has no reference for {', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}; add it or remove the prediction."
        )
    return [(name, ours[name], theirs[name]) for name in common]


def _wanted(organs: Sequence[str] | None, known: list[str]) -> list[str]:
    if organs is None:
        return known
    wanted = []
    for name in organs:
        organ = find_organ(name)
        key = organ.name if organ is not None else name
        if key not in known:
            raise InputError(f"The reference has no organ {name!r}; it has {', '.join(known)}.")
        wanted.append(key)
    return wanted


def _rounded(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(v, 3) for v in values)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _sd(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0 if len(values) else float("nan")
