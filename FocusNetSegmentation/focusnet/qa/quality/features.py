"""From measures to the features that the predicted DSC is made of: each as far from the usual as reference contours vary."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...image.organs import mirrored
from ...image.segmentation import DRAWN_AT, OrganResult
from .coarse_scan import CoarseScan
from .measures import Measures
from .usual import CAP, TOUCHES_MM, Usual

CERTAINTY = (
    "expected_dsc", "sure", "unsure_rim", "more", "below_mm", "above_mm", "bottom_dsc", "top_dsc", "mirrored", "peak",
    "spread_mm", "second",
)  # fmt: skip
PEAK = ("peak_x_mm", "peak_y_mm", "peak_z_mm")
WORST_OF_GAPS = 3


def is_where_it_was_drawn(result: OrganResult, scan: CoarseScan) -> bool:
    """Return whether the organ still lies where the network drew it: its certainty says nothing of one that was moved.

    The median voxels of two grids of about the same fineness may differ by half a voxel's diagonal of each.
    """
    if not result.certainty or not all(key in result.certainty for key in DRAWN_AT):
        return bool(result.certainty)
    index = np.argwhere(scan.labels == result.label)
    if not index.size:
        return False
    now = (np.median(index, axis=0) * scan.spacing_mm_zyx + scan.origin_mm_zyx)[::-1]
    moved_mm = np.linalg.norm(now - [result.certainty[key] for key in DRAWN_AT])
    return bool(moved_mm <= np.linalg.norm(scan.spacing_mm_zyx))


def organ_features(
    name: str, organs: Mapping[str, Measures], usual: Usual, certainties: Mapping[str, Mapping[str, float]]
) -> dict[str, float]:
    """Return the features of one organ by name; what does not apply is missing.

    ``organs``: the measures of all organs. ``certainties``: the certainty of the network about the organs that it drew, by organ.
    """
    own = organs[name]
    known = usual.alone[name]
    out = {key: known[key].apart(value) for key, value in own.items() if key in known and np.isfinite(value)}
    gaps = [abs(v) for key, v in out.items() if key.startswith("gap_to:")]
    if gaps:
        out["gaps"] = float(np.mean(sorted(gaps)[-WORST_OF_GAPS:]))
    out = {key: value for key, value in out.items() if not key.startswith("gap_to:")} | _named_gaps(out)
    for place, mm in usual.off_places(name, organs).items():
        out[f"off_{place}"] = usual.off[name][place].apart(mm) if place in usual.off[name] else np.nan
    places = [abs(out[f"off_{p}"]) for p in ("x_mm", "y_mm", "z_mm", "top_mm", "bottom_mm") if f"off_{p}" in out]
    if places:
        out["off_place"] = float(np.sqrt(np.mean(np.square(places))))
    out["cut_below"] = float(own["above_scan_bottom_mm"] < TOUCHES_MM)
    out["cut_above"] = float(own["below_scan_top_mm"] < TOUCHES_MM)
    out |= _against_other_side(name, organs, usual)
    out |= _certainty(name, own, certainties)
    odd = [v for v in out.values() if np.isfinite(v)]
    out["oddness"] = float(np.mean(np.clip(np.abs(odd), 0, CAP)))
    return {key: float(value) for key, value in out.items() if np.isfinite(value)}


def _named_gaps(out: Mapping[str, float]) -> dict[str, float]:
    return {key: value for key, value in out.items() if key.startswith("gap_to:")}


def _against_other_side(name: str, organs: Mapping[str, Measures], usual: Usual) -> dict[str, float]:
    other = organs.get(mirrored(name)) if mirrored(name) != name else None
    if other is None:
        return {}
    own = organs[name]
    return {
        "side_volume": float(own["log_ml"] - other["log_ml"]),
        "side_z": float(own["z_mm"] - other["z_mm"]) / 5.0,
        "side_y": float(own["y_mm"] - other["y_mm"]) / 5.0,
        "side_hu": float(own["hu"] - other["hu"]) / 20.0,
    }


def certainty_measures(result: OrganResult) -> dict[str, float]:
    """Return what the network said of its own result: ``OrganResult.certainty`` and how clear the localization was; empty where it is not known."""
    if not result.certainty:
        return {}
    out = {key: float(value) for key, value in result.certainty.items() if key in CERTAINTY}
    if result.peak is not None:
        out["peak"] = result.peak
    if result.spread_mm is not None:
        out["spread_mm"] = result.spread_mm
    if result.peak and result.second_peak is not None:
        out["second"] = result.second_peak / result.peak
    if result.peak_mm_xyz is not None:
        out |= dict(zip(PEAK, result.peak_mm_xyz, strict=True))
    return out


def _certainty(name: str, own: Measures, certainties: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    mine = certainties.get(name)
    if not mine:
        return {}
    out = {key: float(value) for key, value in mine.items() if key in CERTAINTY}
    if all(key in mine for key in PEAK):
        apart = np.subtract([mine[key] for key in PEAK], [own["x_mm"], own["y_mm"], own["z_mm"]])
        out["peak_apart_mm"] = float(np.linalg.norm(apart))
    for key in ("sure", "mirrored"):
        others = [d[key] for other, d in certainties.items() if other != name and np.isfinite(d.get(key, np.nan))]
        if others:
            out[f"others_{key}"] = float(np.mean(others))
    return out
