"""SNOMED terminology entries of the organs, as Slicer writes them into a segment's tags."""

from __future__ import annotations

from typing import Any

from ..image.organs import Organ

CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
ANATOMICAL_STRUCTURE = ("SCT", "123037004", "Anatomical Structure")
SIDES = {"left": ("SCT", "7771000", "Left"), "right": ("SCT", "24028007", "Right")}


def terminology_entry(organ: Organ) -> dict[str, Any]:
    """Return the terminology entry in slicerio's form: category, type and, for paired organs, the side as the type's modifier."""
    entry: dict[str, Any] = {
        "contextName": CONTEXT,
        "category": list(ANATOMICAL_STRUCTURE),
        "type": ["SCT", organ.snomed_code, organ.snomed_meaning],
    }
    if organ.side:
        entry["typeModifier"] = list(SIDES[organ.side])
    return entry
