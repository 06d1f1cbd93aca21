"""The patient inside the phantom: which tissues are painted, in which order, and which organs can be asked for. Synthetic.

Places are in the phantom's own millimetres: x to the patient's left, y to the back, z to the head; the origin lies between the
orbits' back ends, a little above the skull base. Places and sizes of organs are medians of clinical contours where the project has
them (``qa/statistics.json``). The order matters: what is painted later replaces what is below it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..image.organs import organ_set
from .body import outline, paint_body
from .face import paint_face, paint_jaw, paint_parotids
from .neck import cord_y, paint_neck, paint_spine
from .patient import AIR, SIDES, Patient
from .shapes import Canvas
from .skull import paint_brain, paint_mastoid_cells, paint_skull
from .small_organs import paint_ears, paint_orbits

__all__ = ["AIR", "SIDES", "Patient", "cord_y", "outline", "paint_face", "paint_neck", "paint_patient", "paint_spine"]

FURTHER = (
    "Brain",
    "Larynx",
    "Esophagus",
    "Cochlea",
    "Glnd_Lacrimal",
    "Glnd_Submand",
)  # painted beside the paper's 22 organs
PARTS = (  # what a voxel can be: a part has one number, an organ is one part or several
    *(organ.name for organ in organ_set("paper22")),
    *FURTHER[:3],
    *(name + suffix for name in FURTHER[3:] for _, suffix in SIDES),
)
JOINED = {
    "Brain": ("Brain", "Lobe_Temporal_L", "Lobe_Temporal_R"),
    "Bone_Mandible": ("Bone_Mandible_L", "Bone_Mandible_R"),
    "Ear_Internal_L": ("Ear_Internal_L", "Cochlea_L"),
    "Ear_Internal_R": ("Ear_Internal_R", "Cochlea_R"),
}


def part_numbers() -> dict[str, int]:
    """Return the number of each part, from 1, as they are painted."""
    return {name: number for number, name in enumerate(PARTS, start=1)}


def organ_names(wanted: Sequence[str]) -> list[str]:
    """Return those of ``wanted`` that the phantom has, in their order."""
    return [name for name in wanted if name in PARTS or name in JOINED]


def with_others(names: Sequence[str]) -> list[str]:
    """Return those of ``names`` that the phantom has, then the paper's other organs that are no part of them."""
    chosen = organ_names(names)
    within = {part for name in chosen for part in JOINED.get(name, ()) if part != name}
    paper = [organ.name for organ in organ_set("paper22")]
    return [*chosen, *(name for name in paper if name not in chosen and name not in within)]


def as_organs(parts: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return labels 1.. of the organs ``names`` (uint8 (z, y, x)) for painted ``parts``; an organ within another one lies over it."""
    number = part_numbers()
    table = np.zeros(256, np.uint8)
    joined_first = sorted(enumerate(names, start=1), key=lambda item: item[1] not in JOINED)
    for label, name in joined_first:
        for part in JOINED.get(name, (name,)):
            table[number[part]] = label
    return np.asarray(table[parts])


def paint_patient(canvas: Canvas, patient: Patient) -> np.ndarray:
    """Paint all tissues and organs; return the body's mask (z, y, x)."""
    body, within = paint_body(canvas, patient)  # nothing but skin and the nose lies outside
    paint_neck(canvas, patient, within)
    paint_face(canvas, patient, within)
    room = paint_skull(canvas, patient, within)
    paint_spine(canvas, patient, within)
    paint_brain(canvas, patient, room)
    paint_jaw(canvas, patient, within)
    paint_parotids(canvas, patient, within)
    paint_mastoid_cells(canvas, within)
    paint_ears(canvas, patient, within)
    paint_orbits(canvas, patient, within)
    return body
