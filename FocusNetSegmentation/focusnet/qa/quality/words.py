"""Say in words why an organ's predicted DSC is low: one sentence for each feature that lowered it most."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ...image.organs import mirrored
from .measures import Measures
from .usual import Usual

SHOWN = 3  # sentences
LEAST = 0.01  # of DSC that a feature must have taken away to be named
ODD = 1.5  # robust standard deviations from the median: a measure nearer to it is ordinary and is no reason
DIRECTIONS = {
    "x": ("to the right", "to the left"),
    "y": ("to the front", "to the back"),
    "z": ("low", "high"),
}
PARTS = {
    "x_mm": ("Lies", "x"), "y_mm": ("Lies", "y"), "z_mm": ("Lies", "z"),
    "top_mm": ("Its upper end lies", "z"), "bottom_mm": ("Its lower end lies", "z"),
    "top_x_mm": ("Its upper end lies", "x"), "top_y_mm": ("Its upper end lies", "y"),
    "bottom_x_mm": ("Its lower end lies", "x"), "bottom_y_mm": ("Its lower end lies", "y"),
}  # fmt: skip
# measure -> sentence of (value, usual value)
MEASURED: dict[str, Callable[[float, float], str]] = {
    "log_ml": lambda v, u: f"Has {np.exp(v):.3g} ml (usual: {np.exp(u):.3g} ml).",
    "length_x_mm": lambda v, u: f"Is {v:.0f} mm wide (usual: {u:.0f} mm).",
    "length_y_mm": lambda v, u: f"Is {v:.0f} mm deep from front to back (usual: {u:.0f} mm).",
    "length_z_mm": lambda v, u: f"Is {v:.0f} mm long along the body (usual: {u:.0f} mm).",
    "border_fraction": lambda v, u: f"Its outline is {'rough or thin' if v > u else 'smooth or thick'} for this organ.",
    "other_parts": lambda v, u: f"{100 * v:.0f} % of it lie apart from its main part.",
    "parts": lambda v, u: f"Is in {v:.0f} parts.",
    "above_scan_bottom_mm": lambda v, u: f"Ends {v:.0f} mm above the scan's lower end (usual: {u:.0f} mm).",
    "below_scan_top_mm": lambda v, u: f"Ends {v:.0f} mm below the scan's upper end (usual: {u:.0f} mm).",
    "above_shoulders_mm": lambda v, u: f"Its middle lies {v:.0f} mm above the shoulders (usual: {u:.0f} mm).",
    "bottom_above_shoulders_mm": lambda v, u: f"Ends {v:.0f} mm above the shoulders (usual: {u:.0f} mm).",
    "from_middle_mm": lambda v, u: f"Lies {abs(v):.0f} mm to the {'left' if v > 0 else 'right'} of the body's middle (usual: {abs(u):.0f} mm).",
    "missing_mm": lambda v, u: f"Slices are missing inside it, {v:.0f} mm in all.",
    "jump_mm": lambda v, u: f"Jumps sideways by {v:.0f} mm from one slice to the next (usual: {u:.0f} mm).",
    "mean_jump_mm": lambda v, u: f"Runs unevenly from slice to slice ({v:.1f} mm a slice, usual: {u:.1f} mm).",
    "thinnest": lambda v, u: f"Is thinned to {100 * v:.0f} % of its usual area in one slice.",
    "widest": lambda v, u: f"Has {v:.1f} times its median area in its widest slice (usual: {u:.1f}).",
    "area_change": lambda v, u: f"Its area changes by {100 * v:.0f} % from one slice to the next (usual: {100 * u:.0f} %).",
    "area_mm2": lambda v, u: f"Has {v:.0f} mm² in its median slice (usual: {u:.0f} mm²).",
    "hu": lambda v, u: f"Its median is {v:.0f} HU (usual: {u:.0f} HU).",
    "hu_spread": lambda v, u: f"Its HU vary by {v:.0f} (usual: {u:.0f}).",
    "air_inside": lambda v, u: f"{100 * v:.0f} % of it is air (usual: {100 * u:.0f} %).",
    "fat_inside": lambda v, u: f"{100 * v:.0f} % of it is fat (usual: {100 * u:.0f} %).",
    "bone_inside": lambda v, u: f"{100 * v:.0f} % of it is bone or contrast (usual: {100 * u:.0f} %).",
    "teeth_inside": lambda v, u: f"{100 * v:.0f} % of it is as dense as teeth or metal (usual: {100 * u:.0f} %).",
    "air_around": lambda v, u: f"{100 * v:.0f} % of what lies around it is air (usual: {100 * u:.0f} %).",
    "bone_around": lambda v, u: f"{100 * v:.0f} % of what lies around it is bone (usual: {100 * u:.0f} %).",
    "hu_step": lambda v, u: f"From its rim outwards the picture changes by {v:.0f} HU (usual: {u:.0f} HU).",
    "edge": lambda v, u: f"The picture has {'few' if v < u else 'many'} edges along its outline.",
    "edge_inside": lambda v, u: f"The picture has {'few' if v < u else 'many'} edges inside it.",
}  # fmt: skip
SIDE_NAMES = {
    "below": "Below it", "above": "Above it", "front": "In front of it", "back": "Behind it",
    "right": "To the right of it", "left": "To the left of it",
}  # fmt: skip
DOUBTED: dict[str, Callable[[float], str]] = {
    "usual_dsc": lambda v: f"This organ is often contoured poorly (mean DSC {v:.2f}).",
    "expected_dsc": lambda v: f"The network itself expects an overlap of {v:.2f}.",
    "sure": lambda v: f"The network is sure of only {100 * v:.0f} % of its voxels.",
    "unsure_rim": lambda v: "The network is unsure of a wide rim around it.",
    "more": lambda v: f"The network saw signs of it outside it too ({100 * v:.0f} % of its volume).",
    "below_mm": lambda v: f"It may go on {v:.0f} mm below its lower end.",
    "above_mm": lambda v: f"It may go on {v:.0f} mm above its upper end.",
    "bottom_dsc": lambda v: "The network is unsure of its lower end.",
    "top_dsc": lambda v: "The network is unsure of its upper end.",
    "mirrored": lambda v: f"On the mirrored scan the network drew it otherwise (DSC of both {v:.2f}).",
    "peak": lambda v: f"It was localized without much confidence ({v:.2f} of 1).",
    "peak_apart_mm": lambda v: f"Its middle lies {v:.0f} mm from where it was localized.",
    "spread_mm": lambda v: "Where it was localized is spread unusually.",
    "second": lambda v: "Another place looked almost as likely.",
    "others_sure": lambda v: "The network is unsure of the other organs of this scan too.",
    "others_mirrored": lambda v: "The other organs too were drawn otherwise on the mirrored scan.",
}


def reasons(
    name: str, organs: Mapping[str, Measures], usual: Usual, features: Mapping[str, float], moved: Mapping[str, float]
) -> tuple[str, ...]:
    """Return up to SHOWN sentences, the weightiest first. ``moved``: feature -> how much it moved the prediction, the lowest first."""
    found: list[str] = []
    for feature, by in moved.items():
        if by > -LEAST or len(found) == SHOWN:
            break
        sentence = _sentence(feature, name, organs, usual, features)
        if sentence and sentence not in found:
            found.append(sentence)
    return tuple(found)


def _sentence(
    feature: str, name: str, organs: Mapping[str, Measures], usual: Usual, features: Mapping[str, float]
) -> str:
    own, value = organs[name], features.get(feature)
    if value is None:
        return ""
    if feature in DOUBTED:
        return DOUBTED[feature](value)
    if feature.startswith("side_"):
        return _other_side(feature, name, organs)
    if abs(value) < ODD and feature not in ("oddness", "gaps", "off_place"):
        return ""
    if feature.startswith("off_") and feature[4:] in PARTS:
        return _off(feature[4:], usual.off_places(name, organs))
    if feature.startswith("hu_") and feature[3:] in SIDE_NAMES:
        middle = usual.alone[name][feature].median
        return f"{SIDE_NAMES[feature[3:]]} the picture has {own[feature]:.0f} HU (usual: {middle:.0f} HU)."
    if feature.startswith("gap_to:"):
        other = feature.split(":")[1]
        return f"Lies {own[feature]:.0f} mm from {other} (usual: {usual.alone[name][feature].median:.0f} mm)."
    if feature in MEASURED:
        return MEASURED[feature](own[feature], usual.alone[name][feature].median)
    return {
        "oddness": "Many of its measures are unusual at once." if value > 1 else "",
        "gaps": "Its distances from its neighbours are unusual." if value > ODD else "",
        "off_place": "Its place among its neighbours is unusual." if value > 1 else "",
    }.get(feature, "")


def _off(place: str, off_mm: Mapping[str, float]) -> str:
    if place not in off_mm:
        return ""
    what, axis = PARTS[place]
    return f"{what} {abs(off_mm[place]):.0f} mm too far {DIRECTIONS[axis][int(off_mm[place] > 0)]}, seen from its neighbours.".replace(
        "too far low", "too low"
    ).replace("too far high", "too high")


def _other_side(feature: str, name: str, organs: Mapping[str, Measures]) -> str:
    other = mirrored(name)
    own, there = organs[name], organs[other]
    if feature == "side_volume":
        times = float(np.exp(own["log_ml"] - there["log_ml"]))
        return f"Is {max(times, 1 / times):.2f} times {'larger' if times > 1 else 'smaller'} than {other}."
    if feature == "side_z":
        apart = own["z_mm"] - there["z_mm"]
        return f"Lies {abs(apart):.0f} mm {'higher' if apart > 0 else 'lower'} than {other}."
    if feature == "side_y":
        apart = own["y_mm"] - there["y_mm"]
        return f"Lies {abs(apart):.0f} mm farther to the {'back' if apart > 0 else 'front'} than {other}."
    return f"Its median is {own['hu']:.0f} HU, that of {other} {there['hu']:.0f} HU."
