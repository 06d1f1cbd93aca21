"""An open mouth: the lower jaw, tongue and floor of the mouth turn down about the jaw's joints; what lies behind the joints stays."""

from __future__ import annotations

import numpy as np

from .specimen import Specimen

# The joints as seen from the middle between the cochleas, mm; "forward" is towards the middle between the eyes.
JOINT_FORWARD_MM, JOINT_DOWN_MM = 12.0, 8.0
# Angles at the joints below "forward", degrees; measured on painted heads, whose teeth meet at about 52.
TEETH_MEET, BITE = 52.0, 5.0
PALATE = 35.0  # more of them near the joints, where the hard palate's back end hangs lower
JAW_ENDS, STILL_FROM = 105.0, 150.0  # from the one to the other, behind the jaw's angle, the turn fades
# The hollow between the rows of teeth: an ellipse about its middle, so that lips, cheeks and the soft palate close it.
MIDDLE_MM, REACH_MM, CHEEK_MM = 60.0, 27.0, 24.0  # from the joints, to lips and palate, to the sides
NEEDED = ("Eye_L", "Eye_R", "Cochlea_L", "Cochlea_R")


def open_mouth(mm_xyz: list[np.ndarray], specimen: Specimen, degrees: float) -> np.ndarray | None:
    """Move ``mm_xyz`` (three arrays (D, H, W), where each voxel comes from) in place as if the jaw were open by ``degrees``.

    Returns where air may be between the rows of teeth, bool (D, H, W); None where the head has no eyes or cochleas to find the joints by.
    """
    if any(name not in specimen.centres_mm_xyz for name in NEEDED) or degrees <= 0:
        return None
    joint, side, forward, up = _joints(specimen)
    offset = [c - np.float32(p) for c, p in zip(mm_xyz, joint, strict=True)]
    across, ahead, above = (sum(np.float32(axis[i]) * offset[i] for i in range(3)) for axis in (side, forward, up))
    radius = np.hypot(ahead, above)
    angle = np.rad2deg(np.arctan2(-above, ahead))  # 0 ahead, 90 straight down, rising backwards
    meet = TEETH_MEET + PALATE * np.clip((MIDDLE_MM - radius) / MIDDLE_MM, 0, 1)
    opened = np.clip((angle - meet) / (degrees + BITE), 0, 1)
    fades = np.clip((STILL_FROM - angle) / (STILL_FROM - JAW_ENDS), 0, 1)
    turn = np.deg2rad(degrees * opened * fades * (angle > 0)).astype(np.float32)
    # a point at angle a shows what lay at a - turn: seen from the joints, above the place where it is now
    cos, sin = np.cos(turn), np.sin(turn)
    new_ahead, new_above = ahead * cos - above * sin, ahead * sin + above * cos
    for i in range(3):
        mm_xyz[i] += np.float32(forward[i]) * (new_ahead - ahead) + np.float32(up[i]) * (new_above - above)
    between = (angle > meet) & (angle < meet + degrees)
    return np.asarray(between & (((radius - MIDDLE_MM) / REACH_MM) ** 2 + (across / CHEEK_MM) ** 2 < 1))


def _joints(specimen: Specimen) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the middle between the joints (LPS mm) and unit vectors to the patient's left, forward and up."""
    eye_l, eye_r, ear_l, ear_r = (np.array(specimen.centres_mm_xyz[name]) for name in NEEDED)
    ears = (ear_l + ear_r) / 2
    side = (ear_l - ear_r) / np.linalg.norm(ear_l - ear_r)
    forward = (eye_l + eye_r) / 2 - ears
    forward -= (forward @ side) * side
    forward /= np.linalg.norm(forward)
    up = np.cross(side, -forward)  # left x back = up in LPS
    return ears + JOINT_FORWARD_MM * forward - JOINT_DOWN_MM * up, side, forward, up
