"""Find organs that lie in air: the label map's header agrees with the CT's, but its voxels are shifted or flipped."""

from __future__ import annotations

from .raw_contours import Contours

AIR_HU = -500.0  # between lung and fat
MOST = 0.5  # of OpenKBP's 1077 contours one has more, a bit of oesophagus; a larynx has up to 0.46
HOLD_AIR = ("Lung_L", "Lung_R", "Ear_Middle_L", "Ear_Middle_R")


def organs_in_air(contours: Contours) -> tuple[str, ...]:
    """Return the organs of which more than half of the voxels are air; none without a CT."""
    if contours.hu is None:
        return ()
    hu = contours.hu.reshape(-1)
    there = ((organ, flat) for organ, flat in contours.voxels.items() if len(flat) and organ not in HOLD_AIR)
    return tuple(organ for organ, flat in there if (hu[flat] < AIR_HU).mean() > MOST)
