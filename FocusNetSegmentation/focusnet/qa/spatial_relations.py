"""Score organs against each other: sides, symmetry, place among the neighbours, contact, order along the body."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from scipy.spatial import cKDTree

from ..image.organs import LEFT, RIGHT, side_of, without_side
from ..image.segmentation import BEYOND_ROI, OrganResult
from ..image.volume import Geometry
from ..nets.bundle import ModelBundle
from .measure import Measured
from .organ_scores import HIGHEST, Score
from .reference_statistics import FIRST_PERCENTILE_SD, LIMIT_SD, MINIMUM, ReferenceStatistics

PARTNERS = 5  # an organ's place is judged from the five others that it usually keeps the most constant offset to
TOUCHES = {
    "OpticNrv_L": "Eye_L",
    "OpticNrv_R": "Eye_R",
    "Lens_L": "Eye_L",
    "Lens_R": "Eye_R",
    "SpinalCord": "Brainstem",
}
TOUCH_MM = 5.0  # set by hand, for pairs without statistics
PEAK_MM = 15.0  # a localization peak this far from the organ's centre: the network's two halves disagree; set by hand
ROI_MARGIN_MM = 1.5
MOST_BEYOND = 0.2  # of what S-Net drew; the top and bottom slice of a globe are 0.05 to 0.1; set by hand
DIRECTIONS = (("far right", "far left"), ("far to the front", "far to the back"), ("low", "high"))

Organs = Mapping[str, Measured]


def sides_score(m: Measured, organs: Organs, mirrored: str) -> Score:
    """Score whether left and right are swapped: in LPS the left organ has the larger x."""
    title = "Left and right"
    other = organs.get(mirrored)
    if mirrored == m.name:
        return Score("sides", title, "Does not apply: the organ is not paired.")
    if other is None:
        return Score("sides", title, f"Does not apply: {mirrored} is not there to compare with.")
    left, right = (m, other) if side_of(m.name) == "left" else (other, m)
    apart = left.center_mm_xyz[0] - right.center_mm_xyz[0]
    if apart > 0:
        return Score("sides", title, f"{left.name} lies to the left of {right.name}.", 0.0, apart, "mm")
    reason = f"Left and right are swapped: {left.name} lies {-apart:.0f} mm to the right of {right.name}."
    return Score("sides", title, reason, HIGHEST, apart, "mm", None, m.center_mm_xyz)


def sides_swapped(m: Measured, organs: Organs) -> bool:
    """Return whether the left organ of this pair lies to the right of the right one."""
    left, right = (organs.get(without_side(m.name) + side) for side in (LEFT, RIGHT))
    paired = bool(side_of(m.name)) and left is not None and right is not None
    return paired and left.center_mm_xyz[0] <= right.center_mm_xyz[0]  # type: ignore[union-attr]


def asymmetry_score(m: Measured, organs: Organs, mirrored: str, statistics: ReferenceStatistics) -> Score:
    """Score the ratio of the volumes of both sides."""
    title = "Left against right"
    other = organs.get(mirrored)
    limit = statistics.asymmetry.get(without_side(m.name))
    if mirrored == m.name or other is None:
        return Score("asymmetry", title, "Does not apply: there is no other side to compare with.")
    if limit is None:
        return Score("asymmetry", title, "Does not apply: no statistics for this organ.")
    ratio = m.volume_ml / other.volume_ml
    times = max(ratio, 1 / ratio)
    word = "larger" if ratio > 1 else "smaller"
    reason = f"{times:.2f} times {word} than {mirrored}; usual is up to {math.exp(limit):.2f} times."
    severity = abs(math.log(ratio)) / (
        limit * LIMIT_SD / FIRST_PERCENTILE_SD
    )  # the statistics hold the 99th percentile
    return Score("asymmetry", title, reason, min(HIGHEST, severity), ratio, "ratio")


def position_score(m: Measured, organs: Organs, statistics: ReferenceStatistics) -> Score:
    """Score the organ's place as seen from its neighbours.

    The five neighbours with the steadiest offset are used, and the median of their distances, so that one misplaced organ does
    not make its neighbours look misplaced.
    """
    title = "Place among its neighbours"
    if statistics.leaves_scan(m.name):
        return Score("position", title, "Does not apply: this organ leaves most scans, so its centre is the scan's.")
    pairs = [(n, statistics.offset(n, m.name)) for n in organs if n != m.name and not statistics.leaves_scan(n)]
    known = [(name, o) for name, o in pairs if o is not None and o.n >= MINIMUM]
    limit = statistics.limit(m.name, "position_limit")
    if not known or limit is None:
        why = "no statistics for this organ" if limit is None else "none of its neighbours is there"
        return Score("position", title, f"Does not apply: {why}.")
    known.sort(key=lambda pair: pair[1].spread_mm)
    center = np.array(m.center_mm_xyz)
    rows = []
    for name, offset in known[:PARTNERS]:
        found = center - np.array(organs[name].center_mm_xyz)
        rows.append((offset.distance(found), name, found - offset.mean_mm_xyz))
    distance = sorted(r[0] for r in rows)[(len(rows) - 1) // 2]
    shift = np.median([r[2] for r in rows], axis=0)
    severity = min(HIGHEST, distance / limit)
    from_whom = ", ".join(r[1] for r in rows)
    text = _directions(shift) if severity >= 1 else "As usual"
    reason = f"{text}, seen from {from_whom}."
    return Score(
        "position", title, reason, severity, float(np.linalg.norm(shift)), "mm", None,
        m.center_mm_xyz,
    )  # fmt: skip


def _directions(shift_mm_xyz: np.ndarray) -> str:
    largest = float(np.abs(shift_mm_xyz).max())
    parts: list[str] = []
    for axis in np.argsort(-np.abs(shift_mm_xyz)):
        size = float(shift_mm_xyz[axis])
        if abs(size) > 0.3 * largest or not parts:
            parts.append(f"{abs(size):.0f} mm too {DIRECTIONS[axis][int(size > 0)]}")
    return "Lies " + " and ".join(parts)


def touch_score(m: Measured, organs: Organs, statistics: ReferenceStatistics, geometry: Geometry) -> Score | None:
    """Score organs that must touch: optic nerve and eye, lens and eye, cord and brainstem. None for other organs."""
    wanted = TOUCHES.get(m.name)
    if wanted is None:
        return None
    title = f"Reaches {wanted}"
    other = organs.get(wanted)
    if other is None:
        return Score("touch", title, f"Does not apply: {wanted} is not there.")
    if sides_swapped(other, organs):
        return Score("touch", title, f"Does not apply: {wanted} is itself on the wrong side.")
    gap, limit = gap_mm(m, other, geometry), statistics.touch.get((m.name, wanted), TOUCH_MM)
    limit = max(limit, max(geometry.spacing_mm_zyx) * 1.5)
    reason = f"Ends {gap:.0f} mm from {wanted}; usual is up to {limit:.0f} mm." if gap > limit else f"Reaches {wanted}."
    if m.name == "SpinalCord" and gap <= limit and m.center_mm_xyz[2] > other.center_mm_xyz[2]:
        reason, gap = "Lies above the brainstem; it should begin below it.", limit * 4
    return Score("touch", title, reason, min(HIGHEST, gap / limit), gap, "mm", None, m.center_mm_xyz)


def gap_mm(a: Measured, b: Measured, geometry: Geometry) -> float:
    """Return the smallest distance in mm between voxel centres of two organs."""
    spacing = np.array(geometry.spacing_mm_zyx)
    points = [(np.argwhere(m.mask) + [s.start for s in m.box]) * spacing for m in (a, b)]
    if len(points[1]) < len(points[0]):
        points.reverse()
    return float(cKDTree(points[1]).query(points[0])[0].min())


def chiasm_score(m: Measured, organs: Organs) -> Score | None:
    """Score whether the chiasm lies between the optic nerves' back ends. None for other organs."""
    if m.name != "OpticChiasm":
        return None
    title = "Between the optic nerves"
    left, right = organs.get("OpticNrv_L"), organs.get("OpticNrv_R")
    if left is None or right is None:
        return Score("chiasm", title, "Does not apply: needs both optic nerves.")
    x, y = m.center_mm_xyz[:2]
    low, high = sorted((left.center_mm_xyz[0], right.center_mm_xyz[0]))
    beside = max(low - x, x - high, 0.0)
    before = max(min(left.center_mm_xyz[1], right.center_mm_xyz[1]) - y, 0.0)  # y runs to the back
    if not beside and not before:
        return Score("chiasm", title, "Lies between the optic nerves and behind their middles.", 0.0)
    what = f"{beside:.0f} mm beside the optic nerves" if beside else f"{before:.0f} mm in front of the optic nerves"
    return Score("chiasm", title, f"Lies {what}.", min(HIGHEST, 1 + max(beside, before) / 5), max(beside, before), "mm")


def localization_score(m: Measured, result: OrganResult, threshold: float) -> Score:
    """Score how sure the model is of the organ's place and the distance of the organ from it."""
    title = "Localization"
    sure = result.place_certainty
    if sure is None:
        return Score(
            "localization", title, "Does not apply: the model does not look for it on its own, or it was edited since."
        )
    reasons, severity = [], (1 - sure) / max(1 - threshold, 1e-3)
    if sure < threshold:
        reasons.append(f"The model is not sure where it is: certainty {sure:.2f} of 1, {threshold:.2f} is needed.")
        severity = 1.0 + 2 * (threshold - sure) / max(threshold, 1e-3)
    if result.peak_mm_xyz is not None:
        apart = float(np.linalg.norm(np.subtract(result.peak_mm_xyz, m.center_mm_xyz)))
        if apart > PEAK_MM:
            reasons.append(f"Its centre lies {apart:.0f} mm from where the model looked for it.")
        severity = max(severity, apart / PEAK_MM)
    reason = " ".join(reasons) or f"The model is sure of its place: {sure:.2f} of 1."
    return Score("localization", title, reason, min(HIGHEST, severity), sure, "peak", None, result.peak_mm_xyz)


def roi_edge_score(m: Measured, result: OrganResult, geometry: Geometry, bundle: ModelBundle | None) -> Score:
    """Score whether the organ reaches the edge of SOS-Net's box, which may then have cut it."""
    title = "Edge of the ROI"
    small = bundle is not None and bundle.config.has_sos and m.name in bundle.small_organs
    if bundle is None or not small or result.peak_mm_xyz is None:
        return Score("roi_edge", title, "Does not apply: the model did not draw it in a box of its own.")
    size_mm_zyx = np.multiply(bundle.config.roi_size_of(m.name), bundle.config.spacing_mm_zyx)
    corners = np.array([[s.start - 0.5 for s in m.box], [s.stop - 0.5 for s in m.box]])
    reach_xyz = np.abs(geometry.index_to_mm(corners) - np.array(result.peak_mm_xyz)).max(axis=0)
    room_mm = float((size_mm_zyx[::-1] / 2 - reach_xyz).min())
    if room_mm > ROI_MARGIN_MM:
        return Score("roi_edge", title, "Lies inside the box in which it was drawn.", 0.0, room_mm, "mm")
    reason = "Reaches the edge of the box in which it was drawn: it may be cut off there."
    beyond = (result.certainty or {}).get(BEYOND_ROI)
    if beyond is None:
        return Score("roi_edge", title, reason, 1.0, room_mm, "mm")
    reason += f" Of what the network of all organs drew, {100 * beyond:.0f} % lie beyond it."
    return Score("roi_edge", title, reason, min(HIGHEST, beyond / MOST_BEYOND), beyond, "of S-Net's voxels")
