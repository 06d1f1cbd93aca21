"""Score a segmentation against a reference organ by organ, by name and never by label value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..image.organs import find_organ, guess
from ..image.regrid import describe_grid
from ..image.segmentation import Segmentation
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
    """Return the scores of every organ that the reference names (or of ``organs``).

    An organ that the reference does not name was not contoured: it is unknown and gets no row. One that the prediction does not name counts
    as not found. Raises InputError if the grids differ or an organ is not in the reference.
    """
    if not predicted.geometry.same_grid_as(reference.geometry):
        raise InputError(
            f"{case or 'The segmentations'}: the grids differ: {describe_grid(predicted.geometry)}; the reference has "
            f"{describe_grid(reference.geometry)} (x, y, z). Resample one to the other's grid first."
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
    """Return one organ's scores from two bool masks (z, y, x) of one grid. A box around both gives the same numbers as the whole grid."""
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


def _wanted(organs: Sequence[str] | None, known: list[str]) -> list[str]:
    if organs is None:
        return known
    wanted = []
    for name in organs:
        organ = find_organ(name)
        key = organ.name if organ is not None else name
        if key not in known:
            raise InputError(
                f"The reference has no organ {name!r}{guess(name) if organ is None else ''}; it has {', '.join(known)}."
            )
        wanted.append(key)
    return wanted
