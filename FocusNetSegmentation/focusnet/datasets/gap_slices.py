"""Find slices that were skipped when an organ was drawn. Some planning systems interpolate them; read as stored they are holes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..image.skipped_slices import filled_voxels
from ..wording import counted
from .raw_contours import Contours


def find_gap_slices(contours: Contours) -> dict[str, tuple[int, int]]:
    """Return organ -> (slices without a voxel between its first and its last, slices from first to last), where there are any."""
    a_slice = contours.geometry.shape_zyx[1] * contours.geometry.shape_zyx[2]
    found = {}
    for organ, flat in contours.voxels.items():
        if len(flat):
            drawn = np.unique(flat // a_slice)
            span = int(drawn[-1] - drawn[0]) + 1
            if len(drawn) < span:
                found[organ] = (span - len(drawn), span)
    return found


def fill_gap_slices(contours: Contours) -> Contours:
    """Return the contours with skipped slices interpolated (``fill_slices`` in dataset.toml), and a sentence about each organ."""
    voxels, sentences = {}, []
    for organ, flat in contours.voxels.items():
        geometry = contours.geometry
        voxels[organ], count = filled_voxels(flat, geometry.shape_zyx, geometry.spacing_mm_zyx)
        if count:
            sentences.append(f"{organ}: {counted(count, 'skipped slice was', 'skipped slices were')} interpolated.")
    return replace(contours, voxels=voxels, warnings=(*contours.warnings, *sentences))
