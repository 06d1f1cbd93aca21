"""Find contours that differ from the same organ in the other patients, in volume or in place relative to the other organs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

MINIMUM_CASES = 10  # fewer say nothing about what is usual
LIMIT = 5.0  # robust standard deviations
VOLUME_FLOOR = 0.10  # of the logarithm: contours that agree within a tenth must not make a little difference an outlier
PLACE_FLOOR_MM = 3.0
LEAST_MM = 12.0
LEAST_FACTOR = 2.0


@dataclass(frozen=True)
class OrganMeasures:
    """Measures of one case that are compared: ``volumes_ml`` and ``centroids_mm`` (x, y, z) of the organs that a case has."""

    volumes_ml: Mapping[str, float]
    centroids_mm: Mapping[str, np.ndarray]


def find_outliers(cases: Mapping[str, OrganMeasures]) -> list[tuple[str, str, str]]:
    """Return (case, organ, sentence) of every outlier.

    An organ needs MINIMUM_CASES patients. Volumes are compared as logarithms. Places are compared as the vector to each other
    organ of the same patient; an organ is out of place if most of these vectors are outliers.
    """
    return [*_volumes(cases), *_places(cases)]


def _volumes(cases: Mapping[str, OrganMeasures]) -> list[tuple[str, str, str]]:
    found = []
    for organ in sorted({o for place in cases.values() for o in place.volumes_ml}):
        names = [name for name, place in cases.items() if place.volumes_ml.get(organ, 0) > 0]
        if len(names) < MINIMUM_CASES:
            continue
        volumes = np.array([cases[name].volumes_ml[organ] for name in names])
        score = _robust(np.log(volumes)[:, None], VOLUME_FLOOR)[:, 0]
        usual = float(np.median(volumes))
        factor = np.maximum(volumes / usual, usual / volumes)
        for i in np.flatnonzero((np.abs(score) > LIMIT) & (factor > LEAST_FACTOR)):
            found.append((names[i], organ, f"has {volumes[i]:.2f} ml, {usual:.2f} ml is usual here"))
    return found


def _places(cases: Mapping[str, OrganMeasures]) -> list[tuple[str, str, str]]:
    organs = sorted({o for place in cases.values() for o in place.centroids_mm})
    votes: dict[tuple[str, str], list[tuple[bool, float, str]]] = {}
    for i, organ in enumerate(organs):
        for other in organs[i + 1 :]:
            names = [n for n, place in cases.items() if organ in place.centroids_mm and other in place.centroids_mm]
            if len(names) < MINIMUM_CASES:
                continue
            apart = np.array([cases[n].centroids_mm[organ] - cases[n].centroids_mm[other] for n in names])
            score, off = _robust(apart, PLACE_FLOOR_MM), apart - np.median(apart, axis=0)
            out = ((np.abs(score) > LIMIT) & (np.abs(off) > LEAST_MM)).any(axis=1)
            for name, is_out, vector in zip(names, out, off, strict=True):
                length = float(np.linalg.norm(vector))
                votes.setdefault((name, organ), []).append((bool(is_out), length, other))
                votes.setdefault((name, other), []).append((bool(is_out), length, organ))
    return _blamed(votes)


def _blamed(votes: dict[tuple[str, str], list[tuple[bool, float, str]]]) -> list[tuple[str, str, str]]:
    """Within a case the organ that is out of place from most others takes the blame for its pairs; then the next, of the pairs left."""
    found = []
    for case in sorted({case for case, _ in votes}):
        left = {o: {other: (out, mm) for out, mm, other in v} for (c, o), v in votes.items() if c == case}
        while left:
            share = {
                o: (sum(out for out, _ in pairs.values()) / len(pairs), sum(mm for out, mm in pairs.values() if out))
                for o, pairs in left.items()
                if pairs
            }
            if not share:
                break
            worst = max(share, key=lambda o: share[o])
            if share[worst][0] < 0.5:
                break
            away = float(np.median([mm for out, mm in left[worst].values() if out]))
            found.append(
                (case, worst, f"lies about {away:.0f} mm from where it usually lies relative to the other organs")
            )
            del left[worst]
            for pairs in left.values():
                pairs.pop(worst, None)
    return found


def _robust(values: np.ndarray, floor: float) -> np.ndarray:
    """Distance from the median in robust standard deviations (1.4826 MAD), at least ``floor`` each. (n, d)"""
    middle = np.median(values, axis=0)
    spread = 1.4826 * np.median(np.abs(values - middle), axis=0)
    return np.asarray((values - middle) / np.maximum(spread, floor))
