"""Find contours named for the wrong side, and scans or label maps that are mirrored or upside down, from the organs' places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..image.organs import find_organ

MIDLINE = ("Brainstem", "SpinalCord", "SpinalCanal", "Bone_Mandible", "OpticChiasm", "Pituitary", "Larynx")
HEAD = ("Brainstem", "Brain", "OpticChiasm", "Pituitary", "Eye_L", "Eye_R", "Parotid_L", "Parotid_R", "Bone_Mandible")
NECK = ("SpinalCord", "Larynx", "Esophagus", "Lung_L", "Lung_R")
UPSIDE_DOWN_MM = 5.0  # in OpenKBP's 200 cases with organs of both, the head's mean lies 26 mm or more above the neck's
WRONG_SIDE_MM = 5.0  # past the middle: a paired organ's centroid lies well to its side
UPSIDE_DOWN_REMEDY = "Turn the label map, or correct the image's header, or exclude the case in dataset.toml."
SWAPPED_REMEDY = "Swap the names, or correct the image's header, or exclude the case in dataset.toml."


def swapped_sides(centroids_mm_xyz: Mapping[str, Any]) -> str:
    """Return a sentence about the pairs whose left organ (greater x in LPS) does not lie to the left of the right one;
    "" if there is none."""
    pairs = [
        (name, organ.mirrored_name)
        for name in centroids_mm_xyz
        if (organ := find_organ(name)) is not None and organ.side == "left" and organ.mirrored_name in centroids_mm_xyz
    ]
    wrong = [(left, right) for left, right in pairs if centroids_mm_xyz[left][0] < centroids_mm_xyz[right][0]]
    if not wrong:
        return ""
    whole = (
        " Every pair of the case is swapped: the scan itself may be mirrored." if len(wrong) == len(pairs) > 1 else ""
    )
    return f"left and right are swapped: {', '.join(f'{left} and {right}' for left, right in wrong)}.{whole}"


def orientation_problem(centroids_mm_xyz: Mapping[str, Any]) -> str:
    """Return what is wrong with the orientation of a whole case, with its remedy: sides swapped, or upside down; "" if nothing is."""
    sides, heights = swapped_sides(centroids_mm_xyz), upside_down(centroids_mm_xyz)
    return " ".join(
        f"{sentence} {remedy}"
        for sentence, remedy in ((sides, SWAPPED_REMEDY), (heights, UPSIDE_DOWN_REMEDY))
        if sentence
    )


def upside_down(centroids_mm_xyz: Mapping[str, Any]) -> str:
    """Return a sentence if the head's organs lie below the neck's; "" if not, or if the organs of either are missing."""
    head = {o: centroids_mm_xyz[o][2] for o in HEAD if o in centroids_mm_xyz}
    neck = {o: centroids_mm_xyz[o][2] for o in NECK if o in centroids_mm_xyz}
    if not head or not neck or float(np.mean([*head.values()])) > float(np.mean([*neck.values()])) - UPSIDE_DOWN_MM:
        return ""
    return f"the contours are upside down: {', '.join(head)} {'lies' if len(head) == 1 else 'lie'} below {', '.join(neck)}."


def on_the_wrong_side(centroids_mm_xyz: Mapping[str, Any]) -> list[str]:
    """Return the paired organs whose other side is missing and that lie on the other side of the midline organs."""
    middle = [centroids_mm_xyz[o][0] for o in MIDLINE if o in centroids_mm_xyz]
    found = []
    for name, centre in centroids_mm_xyz.items():
        organ = find_organ(name)
        if organ is None or not organ.side or organ.mirrored_name in centroids_mm_xyz or not middle:
            continue
        sign = 1.0 if organ.side == "left" else -1.0
        if sign * (centre[0] - float(np.median(middle))) < -WRONG_SIDE_MM:
            found.append(name)
    return found
