"""Find out whether a scan's header names its directions wrongly: does the model fit far better to the scan turned?

Nothing is run for an ordinary result. Where several organs are missing or unlikely, or lie in the wrong order, S-Net is run on the scan
as it is and turned; what is compared is how much of each organ it finds, and how sure it is. That needs no statistics of a data set, so it
holds for any model with enough organs. How often it is right: docs/input.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ..image.organ_places import place_mm
from ..image.orientation import to_upright
from ..image.orientation_doubt import DOUBT, doubt
from ..image.segmentation import OrganResult
from ..image.volume import Geometry, Volume
from ..progress import Progress, ProgressCallback
from .turns import AS_IT_IS, FLIPS, Turn, exchanges, left_right_axis, turned

CHECK = "orientation_check"  # in a result's provenance: what was done, in words
FEWEST_ORGANS = 4  # of the model: with fewer, one organ that lies outside the scan would decide
COARSE_MM = 3.0  # a centre needs no finer grid
APART_MM = 30.0  # organs whose usual centres lie closer than this along an axis say nothing of their order
FEWEST_PAIRS = 2
USUAL_VOLUME = (
    0.5,
    2.0,
)  # times the 1st, times the 99th percentile of the training volumes: beyond, an organ is unlikely
SMALLEST_ML = 0.02  # half a lens: what is less in every turn is not in the scan
STRAY = 0.2  # of the usual volume: less of an organ is not the organ
# OpenKBP: a scan fits as it is at least 1.32 times as well as turned; one whose header is wrong at most 0.76 times (docs/input.md).
FITS = 0.6  # of 1: the turned scan must fit this well
FAR_BETTER = 0.9  # the scan as it is fits at most this times as well as turned
FEW_FOUND = 0.5  # of the organs: with fewer found in every flip, exchanged axes are tried too


@dataclass(frozen=True)
class OrganFit:
    """What S-Net says of one organ in one orientation: ``volume_ml`` and ``certainty``, the mean probability (0 to 1) of its voxels."""

    volume_ml: float
    certainty: float


Fits = Mapping[str, OrganFit]  # organ -> fit


@dataclass(frozen=True)
class Doubted:
    """A result that may come from a wrongly named orientation. ``results``: every organ of the model; ``labels``: uint8 (z, y, x) on
    ``geometry``; ``usual_ml``: organ -> {"p1_ml", "p99_ml", ...} of the training contours, {} where not known. ``small``: organs of SOS-Nets, which are
    often not found in scans that are right, because they lie outside or are too small. A model of hardly any others is not checked, whose
    fine grid would make each turn slow besides."""

    results: Sequence[OrganResult]
    labels: np.ndarray
    geometry: Geometry
    usual_ml: Mapping[str, Mapping[str, float]]
    small: Collection[str] = ()


def check_orientation(
    volume: Volume, result: Doubted, coarse_run: Callable[[Volume], Fits], report: ProgressCallback
) -> dict[str, Any]:
    """Return what goes into the result's provenance: what was checked, and DOUBT where a turned scan fits far better.

    ``coarse_run``: runs the model's first stage on a scan; called only where ``is_suspicious``.
    """
    if len(_large(result)) < FEWEST_ORGANS:
        return {CHECK: f"does not apply: the model has fewer than {FEWEST_ORGANS} organs that are not small"}
    if not is_suspicious(result):
        return {CHECK: "nothing suspicious"}
    fits: dict[Turn, Fits] = {}

    def run(turns: Sequence[Turn]) -> None:
        for turn in turns:
            report(Progress("Checking the scan's orientation", 0.96, f"orientation {len(fits) + 1}"))
            fits[turn] = coarse_run(turned(volume, turn))

    run((AS_IT_IS, *FLIPS))
    if max(_found(fit, result.usual_ml) for fit in fits.values()) < FEW_FOUND * len(result.results):
        run(tuple(exchanges(left_right_axis(volume))))
    values = fit_values(fits, result.usual_ml)
    best = max(values, key=lambda turn: values[turn])
    if values[best] >= FITS and values[AS_IT_IS] <= FAR_BETTER * values[best]:
        return {CHECK: "fits far better turned", DOUBT: doubt(best.words, values[AS_IT_IS], values[best])}
    return {CHECK: f"suspicious, but fits no better turned ({len(fits)} orientations tried)"}


def is_suspicious(result: Doubted) -> bool:
    """Return whether so many organs are missing or of an unlikely size, or in such an order, that the header may be wrong."""
    large = _large(result)
    odd = sum(not r.found or _unlikely(r, result.usual_ml.get(r.organ.name, {})) for r in large)
    return odd >= max(2, len(large) / 4) or in_wrong_order(result)


def _large(result: Doubted) -> list[OrganResult]:
    return [r for r in result.results if r.organ.name not in result.small]


def in_wrong_order(result: Doubted) -> bool:
    """Return whether most organs lie in the opposite of their usual order, head to feet or front to back."""
    centers = _centers_mm(result)
    named = [(name, place) for name in centers if (place := place_mm(name)) is not None]
    for way, axis in enumerate((2, 1)):  # of LPS: z runs to the head, y to the back, as the usual places do
        agree = [
            (place[way] - other[way]) * (centers[first][axis] - centers[second][axis]) > 0
            for (first, place), (second, other) in combinations(named, 2)
            if abs(place[way] - other[way]) >= APART_MM
        ]
        if len(agree) >= FEWEST_PAIRS and sum(agree) < len(agree) / 2:
            return True
    return False


def fit_values(fits: Mapping[Turn, Fits], usual_ml: Mapping[str, Mapping[str, float]]) -> dict[Turn, float]:
    """Return how well each orientation fits, 0 to 1: the mean over the organs of the volume found times the certainty. A volume counts as a
    part of the largest that any orientation found, or of the usual one if that is smaller. Organs that none finds do not count."""
    organs = next(iter(fits.values()), {})
    largest = {organ: max(fit[organ].volume_ml for fit in fits.values()) for organ in organs}
    whole = {
        organ: min(most, usual_ml.get(organ, {}).get("p50_ml", most))
        for organ, most in largest.items()
        if most >= _least_ml(organ, usual_ml)
    }
    if not whole:
        return dict.fromkeys(fits, 0.0)
    return {
        turn: float(np.mean([min(1.0, fit[o].volume_ml / ml) * fit[o].certainty for o, ml in whole.items()]))
        for turn, fit in fits.items()
    }


def _found(fit: Fits, usual_ml: Mapping[str, Mapping[str, float]]) -> int:
    return sum(o.volume_ml >= _least_ml(name, usual_ml) and o.certainty >= FITS for name, o in fit.items())


def _least_ml(organ: str, usual_ml: Mapping[str, Mapping[str, float]]) -> float:
    """Return the volume below which an organ counts as not there: a few stray voxels are found anywhere."""
    return max(SMALLEST_ML, STRAY * usual_ml.get(organ, {}).get("p50_ml", 0.0))


def _unlikely(result: OrganResult, usual: Mapping[str, float]) -> bool:
    least, most = usual.get("p1_ml"), usual.get("p99_ml")
    if least is None or most is None:
        return False
    return not USUAL_VOLUME[0] * least <= result.volume_ml <= USUAL_VOLUME[1] * most


def _centers_mm(result: Doubted) -> dict[str, np.ndarray]:
    """Return the centre (x, y, z; upright, so LPS) in mm of each organ that has voxels on a coarse grid."""
    labels, upright, _, _ = to_upright(result.labels, result.geometry)
    steps = np.array([max(1, int(COARSE_MM / s)) for s in upright.spacing_mm_zyx])
    coarse = labels[tuple(slice(None, None, step) for step in steps)]
    places, values = np.argwhere(coarse), coarse[coarse > 0]
    names = {r.label: r.organ.name for r in result.results}
    return {
        names[int(v)]: upright.index_to_mm(places[values == v].mean(axis=0) * steps)
        for v in np.unique(values)
        if int(v) in names
    }
