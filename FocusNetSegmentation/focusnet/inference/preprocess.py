"""From a scan to the network's grid, with a record of what was done so that ``restore`` can undo it exactly.

The network's grid is upright in the patient (LPS, identity direction) whatever the scan's own axes are, so that left and
right cannot depend on how a file was stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..image.body import body_center_mm
from ..image.orientation import is_oblique, to_upright
from ..image.volume import Geometry, Volume
from ..nets.config import NetworkConfig
from .resample import resample_ct_on


@dataclass(frozen=True)
class PreprocessRecord:
    """Record of the preprocessing: the scan's own grid, its upright twin, and the network's grid.

    ``axes_zyx[i]`` is the scan's array axis that became the upright axis i (z, y, x); ``flips_zyx[i]`` is True where it was
    reversed. ``oblique`` is True where the upright twin still is not parallel to the patient's axes.
    """

    scan: Geometry
    upright: Geometry
    network: Geometry
    axes_zyx: tuple[int, int, int]
    flips_zyx: tuple[bool, bool, bool]
    oblique: bool


def preprocess(
    volume: Volume, config: NetworkConfig, device: torch.device | str = "cpu"
) -> tuple[Tensor, PreprocessRecord]:
    """Return float32 intensities (z, y, x) on the network's grid, on ``device``, for a CT in HU on any grid, and the record that
    ``restore`` needs (section 4.2).

    Raises InputError if there is no body in the image.
    """
    array, upright, axes, flips = to_upright(volume.array, volume.geometry)
    center_mm = body_center_mm(array, upright)
    network = network_grid(upright, center_mm, config)
    record = PreprocessRecord(volume.geometry, upright, network, axes, flips, is_oblique(upright))
    hu = resample_ct_on(array, upright, network, torch.device(device))
    low, high = config.hu_clip
    return hu.clamp_(low, high).add_(config.hu_offset).div_(config.hu_scale), record


def normalise(hu: np.ndarray, config: NetworkConfig) -> np.ndarray:
    """Return network intensities (float32, same shape) of HU: clipped, then (HU + offset) / scale."""
    low, high = config.hu_clip
    return ((np.clip(hu, low, high) + config.hu_offset) / config.hu_scale).astype(np.float32)


def network_grid(upright: Geometry, center_mm_xyz: np.ndarray, config: NetworkConfig) -> Geometry:
    """Return the upright grid at the network's spacing: ``crop_size_yx`` in plane around the centre (LPS mm), all of the scan along z.

    Where the scan already has the network's spacing, the grids share their voxel centres and nothing is interpolated.
    """
    z_mm = upright.corners_mm()[:, 2]
    spacing_z, spacing_y, spacing_x = config.spacing_mm_zyx
    slices = max(1, round((z_mm.max() - z_mm.min()) / spacing_z) + 1)
    rows, columns = config.crop_size_yx
    origin = np.array(
        [
            center_mm_xyz[0] - (columns - 1) / 2 * spacing_x,
            center_mm_xyz[1] - (rows - 1) / 2 * spacing_y,
            (z_mm.max() + z_mm.min()) / 2 - (slices - 1) / 2 * spacing_z,
        ]
    )
    for axis, spacing in enumerate((spacing_x, spacing_y, spacing_z)):
        if abs(upright.spacing_mm_xyz[axis] - spacing) < 1e-3 * spacing:
            offset = (origin[axis] - upright.origin_mm_xyz[axis]) / spacing
            origin[axis] -= (offset - round(offset)) * spacing
    return Geometry((slices, rows, columns), (spacing_x, spacing_y, spacing_z), tuple(origin))
