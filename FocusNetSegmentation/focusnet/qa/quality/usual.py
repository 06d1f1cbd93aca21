"""What is usual among reference contours: of each measure alone, and of where an organ lies and ends as seen from its neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .measures import Measures

LEAST_MM = 1.5  # half a slice: nothing is known better than that
FEWEST = 10  # reference contours
LEAVES_SCAN = 0.4  # of the reference contours that reach the scan's end
TOUCHES_MM = 4.0  # of the scan's end: within about a slice
CAP = 8.0  # robust standard deviations: beyond that all is equally odd
# place of the organ -> the same axis' places of the neighbours that it is seen from
PLACES = {
    "x_mm": ("x_mm", "top_x_mm", "middle_mm"),
    "y_mm": ("y_mm", "top_y_mm"),
    "z_mm": ("z_mm", "top_mm", "bottom_mm", "shoulders_mm"),
    "top_mm": ("z_mm", "top_mm", "bottom_mm", "shoulders_mm"),
    "bottom_mm": ("z_mm", "top_mm", "bottom_mm", "shoulders_mm"),
    "top_x_mm": ("x_mm", "top_x_mm", "middle_mm"),
    "top_y_mm": ("y_mm", "top_y_mm"),
    "bottom_x_mm": ("x_mm", "top_x_mm", "middle_mm"),
    "bottom_y_mm": ("y_mm", "top_y_mm"),
}
ALONG = ("z_mm", "top_mm", "bottom_mm")  # places that move with an end that the scan cuts off
BODY = "body"  # the "neighbour" whose places are the body's middle and the shoulders
ABSOLUTE = frozenset(PLACES)  # places in mm mean nothing alone


@dataclass(frozen=True)
class Middle:
    """Median and robust standard deviation (1.4826 times the median absolute deviation) of one quantity."""

    median: float
    spread: float

    def apart(self, value: float) -> float:
        """Return how many robust standard deviations ``value`` lies from the median, at most CAP."""
        return float(np.clip((value - self.median) / self.spread, -CAP, CAP))

    @classmethod
    def of(cls, values: Sequence[float], least: float) -> Middle | None:
        """Return the Middle of ``values`` without NaN; None for fewer than FEWEST. ``least``: the smallest spread."""
        known = np.array([v for v in values if np.isfinite(v)])
        if len(known) < FEWEST:
            return None
        median = float(np.median(known))
        return cls(median, max(least, 1.4826 * float(np.median(np.abs(known - median)))))


@dataclass(frozen=True)
class Usual:
    """``alone``: organ -> measure -> Middle. ``seen_from``: organ -> place -> "neighbour:its place" -> Middle of the difference in mm.

    ``off``: organ -> place -> Middle of what ``off_places`` gives for reference contours.
    """

    alone: Mapping[str, Mapping[str, Middle]]
    seen_from: Mapping[str, Mapping[str, Mapping[str, Middle]]]
    off: Mapping[str, Mapping[str, Middle]]

    def knows(self, organ: str) -> bool:
        """Return whether there are statistics of this organ."""
        return organ in self.alone

    def off_places(self, organ: str, organs: Mapping[str, Measures]) -> dict[str, float]:
        """Return by how many mm each place of ``organ`` differs from where its neighbours say that it is: the weighted median."""
        own = organs[organ]
        out: dict[str, float] = {}
        for place, anchors in self.seen_from.get(organ, {}).items():
            if is_cut(own, place):
                continue
            found = [
                (own[place] - at - usual.median, usual.spread**-2)
                for key, usual in anchors.items()
                if (at := anchor_mm(organs, own, key)) is not None
            ]
            if found:
                out[place] = weighted_median(*zip(*found, strict=True))
        return out

    def to_json(self) -> dict[str, Any]:
        """Return plain values; ``from_json`` reads them."""

        def plain(value: Any) -> Any:
            if isinstance(value, Middle):
                return [round(value.median, 4), round(value.spread, 4)]
            return {key: plain(v) for key, v in value.items()}

        return {"alone": plain(self.alone), "seen_from": plain(self.seen_from), "off": plain(self.off)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Usual:
        """Return what ``to_json`` gave."""

        def read(value: Any) -> Any:
            return Middle(*value) if isinstance(value, list) else {key: read(v) for key, v in value.items()}

        return cls(read(data["alone"]), read(data["seen_from"]), read(data["off"]))


def is_cut(own: Measures, place: str) -> bool:
    """Return whether the scan's end cuts the organ where ``place`` depends on it."""
    bottom, top = own["above_scan_bottom_mm"] < TOUCHES_MM, own["below_scan_top_mm"] < TOUCHES_MM
    if place.startswith("bottom"):
        return bottom
    if place.startswith("top"):
        return top
    return place == "z_mm" and (bottom or top)


def anchor_mm(organs: Mapping[str, Measures], own: Measures, key: str) -> float | None:
    """Return the neighbour's place "organ:place" in mm; None where it is not there or cut off. Of BODY: shoulders or middle."""
    name, place = key.split(":")
    if name == BODY:
        value = (
            own["z_mm"] - own["above_shoulders_mm"] if place == "shoulders_mm" else own["x_mm"] - own["from_middle_mm"]
        )
        return value if np.isfinite(value) else None
    other = organs.get(name)
    return None if other is None or is_cut(other, place) else other[place]


def weighted_median(values: Sequence[float], weights: Sequence[float]) -> float:
    """Return the value at which half of the weight is reached."""
    order = np.argsort(values)
    total = np.cumsum(np.array(weights)[order])
    return float(np.array(values)[order][np.searchsorted(total, total[-1] / 2)])


def fit_usual(cases: Sequence[Mapping[str, Measures]]) -> Usual:
    """Return what is usual in the reference contours of ``cases``: each organ's measures by name."""
    names = sorted({name for case in cases for name in case})
    alone: dict[str, dict[str, Middle]] = {}
    seen_from: dict[str, dict[str, dict[str, Middle]]] = {}
    for name in names:
        mine = [case[name] for case in cases if name in case]
        if len(mine) < FEWEST:
            continue
        measures = sorted({key for m in mine for key in m} - ABSOLUTE)
        alone[name] = _middles({key: [m.get(key, np.nan) for m in mine] for key in measures})
        leaves = {p for p in ALONG if np.mean([is_cut(m, p) for m in mine]) > LEAVES_SCAN}
        seen_from[name] = {
            place: anchors
            for place in PLACES
            if place not in leaves and (anchors := _anchors(name, place, cases, [n for n in names if n != name]))
        }
    without_off = Usual(alone, seen_from, {})
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in alone}
    for case in cases:
        for name in alone:
            if name in case:
                rows[name].append(without_off.off_places(name, case))
    off = {
        name: _middles({p: [r.get(p, np.nan) for r in found] for p in PLACES}, LEAST_MM) for name, found in rows.items()
    }
    return Usual(alone, seen_from, off)


def _middles(columns: Mapping[str, Sequence[float]], least: float | None = None) -> dict[str, Middle]:
    out = {}
    for key, values in columns.items():
        smallest = least if least is not None else (LEAST_MM if key.endswith("_mm") or key.startswith("gap") else 0.02)
        middle = Middle.of(values, smallest)
        if middle is not None:
            out[key] = middle
    return out


def _anchors(
    name: str, place: str, cases: Sequence[Mapping[str, Measures]], others: Sequence[str]
) -> dict[str, Middle]:
    keys = [f"{o}:{p}" for o in others for p in PLACES[place] if p not in ("middle_mm", "shoulders_mm")]
    keys += [f"{BODY}:{p}" for p in PLACES[place] if p in ("middle_mm", "shoulders_mm")]
    out = {}
    for key in keys:
        apart = [
            case[name][place] - at
            for case in cases
            if name in case and not is_cut(case[name], place) and (at := anchor_mm(case, case[name], key)) is not None
        ]
        middle = Middle.of(apart, LEAST_MM)
        if middle is not None:
            out[key] = middle
    return out
