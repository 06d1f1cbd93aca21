"""Resample a CT onto the network's grid as one matrix product per axis, on whatever device: smoothing and interpolation in one.

The same as ``image.resample.resample_ct`` up to rounding, for a scan whose axes are the patient's; a tilted one goes through that.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..image.resample import AIR_HU, crop_to, resample_ct
from ..image.volume import Geometry

SLAB_SLICES = 32  # of the scan that are in floating point at once
TILT = 1e-6  # of a direction cosine: 0.3 micrometres over a scan
SHARED = 1e-6  # voxels: nearer than this, a grid is shared and nothing is interpolated
TRUNCATE_SIGMAS = 4.0  # the Gaussian ends there, as scipy's does


def resample_ct_on(array: np.ndarray, source: Geometry, target: Geometry, device: torch.device) -> Tensor:
    """Return HU (z, y, x on ``source``) on ``target``, float32 (z, y, x) on ``device``: linear interpolation, air outside; axes that lose
    resolution are smoothed first.

    What the target can see of the scan goes to the device once, as 16-bit integers where it consists of them.
    """
    if any(np.abs(np.asarray(g.direction_xyz) - np.eye(3)).max() > TILT for g in (source, target)):
        return torch.from_numpy(resample_ct(array, source, target)).to(device)
    part, geometry = crop_to(array, source, target)
    kind = np.int16 if part.dtype == np.int16 else np.float32
    scan = torch.from_numpy(np.ascontiguousarray(part, dtype=kind)).to(device)
    z, y, x = (torch.from_numpy(m).to(device) for m in axis_matrices(geometry, target))
    planes = torch.empty(len(scan), len(y), len(x), device=device)
    for start in range(0, len(scan), SLAB_SLICES):
        slab = scan[start : start + SLAB_SLICES].float() - AIR_HU  # 0 is air, which is what lies outside
        planes[start : start + SLAB_SLICES] = y @ (slab @ x.T)  # (slab, H, W)
    out = z @ planes.flatten(1)  # (D, H * W)
    return out.view(target.shape_zyx) + AIR_HU


def axis_matrices(source: Geometry, target: Geometry) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for z, y and x the matrix, float32 (voxels of ``target``, voxels of ``source``), that smooths and interpolates along that axis;
    rows of voxels outside the source are 0. Both grids have the patient's directions."""
    start = source.mm_to_index(target.index_to_mm(np.zeros(3)))
    matrices = []
    for axis in range(3):
        fine, wide = source.spacing_mm_zyx[axis], target.spacing_mm_zyx[axis]
        size = source.shape_zyx[axis]
        places = start[axis] + wide / fine * np.arange(target.shape_zyx[axis])
        matrix = _interpolation(places, size)
        if wide > 1.05 * fine and size > 1:  # as in image.resample.smooth_for
            matrix = matrix @ _smoothing(size, float(np.sqrt((wide**2 - fine**2) / 12.0) / fine))
        matrices.append(matrix.astype(np.float32))
    return matrices[0], matrices[1], matrices[2]


def _interpolation(places: np.ndarray, size: int) -> np.ndarray:
    """(places, size): linear interpolation at ``places`` (voxels); 0 more than half a voxel outside."""
    inside = np.flatnonzero((places > -0.5 - SHARED) & (places < size - 0.5 - SHARED))
    u = np.clip(places[inside], 0, size - 1)
    u = np.where(np.abs(u - np.round(u)) < SHARED, np.round(u), u)
    lower = np.minimum(np.floor(u).astype(int), max(size - 2, 0))
    matrix = np.zeros((len(places), size))
    matrix[inside, lower] = 1 - (u - lower)
    matrix[inside, np.minimum(lower + 1, size - 1)] += u - lower
    return matrix


def _smoothing(size: int, sigma_voxels: float) -> np.ndarray:
    """(size, size): a Gaussian; beyond the ends the last voxel goes on."""
    radius = int(TRUNCATE_SIGMAS * sigma_voxels + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma_voxels) ** 2)
    weights /= weights.sum()
    matrix = np.zeros((size, size))
    for offset, weight in zip(offsets, weights, strict=True):
        np.add.at(matrix, (np.arange(size), np.clip(np.arange(size) + offset, 0, size - 1)), weight)
    return matrix
