"""Where organs lie in a head, roughly: enough to see that a result is upside down."""

from __future__ import annotations

from .organs import without_side

# Millimetres from the brainstem's centre towards the head, and towards the back. Means of real contours (OpenKBP train and 20 patients of
# tcia-oars, whose offsets between organs stand in qa/statistics.json); those after Lung, which these sets lack, from the simulator's head.
PLACES_MM: dict[str, tuple[float, float]] = {
    "Glnd_Lacrimal": (40, -72), "Brain": (38, 11), "Lens": (37, -86), "Eye": (36, -78), "OpticNrv": (30, -54), "Brainstem": (0, 0),
    "Cochlea": (-2, -10), "Parotid": (-38, -28), "Bone_Mandible": (-51, -74), "Glnd_Submand": (-80, -51), "Larynx": (-120, -38),
    "SpinalCanal": (-140, 17), "SpinalCord": (-150, 20), "Esophagus": (-181, -1), "Lung": (-238, 0),
    "OpticChiasm": (27, -38), "Pituitary": (22, -44), "Lobe_Temporal": (18, -35), "Ear_Internal": (-2, -10), "Ear_Middle": (-5, -20),
    "Joint_TM": (-12, -45),
}  # fmt: skip


def place_mm(organ: str) -> tuple[float, float] | None:
    """Return how far an organ's centre lies above and behind the brainstem's (mm), by its TG-263 name; None where that is not known."""
    return PLACES_MM.get(without_side(organ))
