"""Score one organ alone: size, extent, parts, holes, missing slices, edges of the scan, HU."""

from __future__ import annotations

import numpy as np

from ..image.volume import Geometry
from .hu_scores import outside_fraction, tissue_range
from .measure import Measured
from .organ_scores import HIGHEST, Point, Score
from .reference_statistics import ReferenceStatistics, Spread

# Limits of organs without statistics, set by hand: wide enough for any organ of the head and neck.
EXTRA_FRACTION, GAP_MM, HOLE_FRACTION, OUTSIDE_FRACTION = 0.02, 6.0, 0.02, 0.25
USUAL_EDGE = 0.05  # of real contours: an organ that leaves the scan this often does so without a remark
LEAVES = "Does not apply: this organ leaves most scans, so its size is that of the scan."
AXES = ("across", "front to back", "along the body")


def volume_score(m: Measured, statistics: ReferenceStatistics) -> Score:
    """Score the volume (ml) against real contours of this organ."""
    spread = statistics.volumes.get(m.name)
    if spread is None:
        return Score(
            "volume", "Volume", f"Does not apply: no statistics for this organ ({m.volume_ml:.2f} ml).", None,
            m.volume_ml, "ml",
        )  # fmt: skip
    if statistics.leaves_scan(m.name):
        return Score("volume", "Volume", LEAVES, None, m.volume_ml, "ml")
    severity, percentile = spread.severity(m.volume_ml), spread.percentile(m.volume_ml)
    usual = f"real contours have {_number(spread.percentiles[5])} to {_number(spread.percentiles[95])} ml (5th to 95th percentile)"
    size = "Small" if m.volume_ml < spread.percentiles[50] else "Large"
    word = f"{'Unusually ' + size.lower() if severity >= 1 else 'Volume'}: {_number(m.volume_ml)} ml; {usual}."
    if m.edges and size == "Small" and severity >= 1:
        word = word[:-1] + f"; it is cut off by the scan's {' and '.join(m.edges)} edge."
    return Score("volume", "Volume", word, _cap(severity), m.volume_ml, "ml", percentile)


def extent_score(m: Measured, statistics: ReferenceStatistics, geometry: Geometry) -> Score:
    """Score the length of the main part along x, y and z (mm); the oddest of the three counts."""
    spreads = statistics.organs.get(m.name, {}).get("extent_mm")
    title = "Extent"
    if spreads is None:
        return Score("extent", title, "Does not apply: no statistics for this organ.")
    if statistics.leaves_scan(m.name):
        return Score("extent", title, LEAVES)
    each = [
        (Spread.read(row), mm, 2 * step, axis)
        for row, mm, step, axis in zip(spreads, m.extent_mm_xyz, geometry.spacing_mm_xyz, AXES, strict=True)
    ]
    spread, mm, least, axis = max(each, key=lambda e: e[0].severity(e[1], e[2]))
    severity = spread.severity(mm, least)  # two voxels more or less are no finding
    word = "Unusual length" if severity >= 1 else "Length"
    usual = f"{spread.percentiles[5]:.0f} to {spread.percentiles[95]:.0f} mm"
    return Score(
        "extent", title, f"{word}: {mm:.0f} mm {axis}; real contours have {usual} (5th to 95th percentile).",
        _cap(severity), mm, "mm", spread.percentile(mm),
    )  # fmt: skip


def parts_score(m: Measured, statistics: ReferenceStatistics) -> Score:
    """Score separate parts: the larger and the farther from the main part, the worse."""
    title = "Separate parts"
    if not m.parts:
        return Score("parts", title, "In one piece.", 0.0, 1.0, "parts")
    extra_limit = statistics.limit(m.name, "extra_fraction_limit") or EXTRA_FRACTION
    gap_limit = statistics.limit(m.name, "gap_mm_limit") or GAP_MM
    # a small part next to the organ matters little, a large part far away matters
    severity = max(p.gap_mm / gap_limit * min(1.0, p.volume_ml / m.volume_ml / extra_limit) for p in m.parts)
    far = max(m.parts, key=lambda p: p.gap_mm * min(1.0, p.volume_ml / m.volume_ml / extra_limit))
    others = len(m.parts)
    reason = (
        f"{others + 1} separate parts: one of {_number(far.volume_ml)} ml lies {far.gap_mm:.0f} mm from the main part."
    )
    return Score("parts", title, reason, _cap(severity), others + 1.0, "parts", None, far.center_mm_xyz)


def holes_score(m: Measured, statistics: ReferenceStatistics) -> Score:
    """Score background inside the organ's outlines, as a fraction of its volume."""
    limit = statistics.limit(m.name, "hole_fraction_limit") or HOLE_FRACTION
    percent = 100 * m.hole_fraction
    reason = (
        f"Holes inside its outline: {percent:.1f} % of its volume (usual: up to {100 * limit:.1f} %)."
        if percent > 0
        else "No holes."
    )
    return Score("holes", "Holes", reason, _cap(m.hole_fraction / limit), percent, "%", None, m.hole_mm_xyz)


def gaps_score(m: Measured, statistics: ReferenceStatistics, geometry: Geometry) -> Score:
    """Score slices without the organ between its first and its last slice."""
    title = "Slice gaps"
    if not m.missing_slices:
        return Score("slice_gaps", title, "No slice is missing.", 0.0, 0.0, "slices")
    missing_mm = len(m.missing_slices) * geometry.spacing_mm_zyx[0]
    limit = statistics.limit(m.name, "missing_mm_limit") or 0.0
    middle = m.missing_slices[len(m.missing_slices) // 2]
    _, y, x = geometry.mm_to_index(np.array(m.center_mm_xyz))
    place = geometry.index_to_mm(np.array([middle, y, x]))
    first, last = (geometry.index_to_mm(np.array([s, y, x]))[2] for s in (m.missing_slices[0], m.missing_slices[-1]))
    count = len(m.missing_slices)
    reason = (
        f"{count} slice{'s are' if count > 1 else ' is'} missing inside it, between z = {first:.1f} and {last:.1f} mm."
    )
    # hand-set: real contours have none, so one slice passes the limit and each further 3 mm count
    severity = 1.5 + missing_mm / 3.0 if missing_mm > limit else missing_mm / limit
    return Score("slice_gaps", title, reason, _cap(severity), float(count), "slices", None, _xyz(place))


def edges_score(m: Measured, statistics: ReferenceStatistics) -> Score:
    """Score touching the edge of the scan, where real contours of this organ seldom do."""
    title = "Edge of the scan"
    if not m.edges:
        return Score("scan_edge", title, "Lies inside the scan.", 0.0)
    where = " and ".join(m.edges)
    usual = statistics.organs.get(m.name, {}).get("edge_fraction")
    if usual is None:
        return Score("scan_edge", title, f"Touches the scan's {where} edge; whether that is usual is not known.")
    if usual > USUAL_EDGE:
        reason = f"Touches the scan's {where} edge, as {100 * usual:.0f} % of real contours do."
        return Score("scan_edge", title, reason, 0.3)
    reason = f"Touches the scan's {where} edge: it may be cut off ({100 * usual:.0f} % of real contours are)."
    return Score("scan_edge", title, reason, 1.0)


def hu_score(m: Measured, hu: np.ndarray | None, statistics: ReferenceStatistics) -> Score:
    """Score the fraction of voxels with HU of another tissue. ``hu`` (z, y, x): the upright CT, or None."""
    title = "HU inside"
    if hu is None:
        return Score("hu", title, "Does not apply: needs the CT.")
    low, high = tissue_range(m.name)
    fraction = outside_fraction(m, hu)
    known = statistics.limit(m.name, "hu_outside_limit")
    limit = OUTSIDE_FRACTION if known is None else known
    by_hand = " (set by hand)" if known is None else ""
    reason = f"{100 * fraction:.0f} % of its voxels lie outside {low:.0f} to {high:.0f} HU; usual is up to {100 * limit:.0f} %{by_hand}."
    return Score("hu", title, reason, _cap(fraction / limit), 100 * fraction, "%")


def _cap(severity: float) -> float:
    return float(min(HIGHEST, severity))


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _xyz(point: np.ndarray) -> Point:
    return (float(point[0]), float(point[1]), float(point[2]))
