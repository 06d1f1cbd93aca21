"""From a scan to the network's grid, with a record of what was done so that ``restore`` can undo it exactly.

The network's grid is upright in the patient (LPS, identity direction) whatever the scan's own axes are, so that left and
right cannot depend on how a file was stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from .config import NetworkConfig
from .errors import InputError
from .volume import Geometry, Volume

AIR_HU = -1024.0
BODY_HU = -300.0  # skin and fat lie above, air and most couch foam below
BODY_GRID_MM = 4.0  # coarse enough that one erosion removes a couch top, fine enough for a centre
HEAD_NECK_MM = (
    300.0  # the crop's centre is taken from this much of the body below its top: shoulders and trunk would pull it
)
OBLIQUE_TOLERANCE = 1e-3  # radians: 0.25 mm over a 250 mm field


@dataclass(frozen=True)
class Record:
    """What preprocessing did: the scan's own grid, its upright twin, and the network's grid.

    ``axes_zyx[i]`` is the scan's array axis that became the upright axis i (z, y, x); ``flips_zyx[i]`` is True where it was
    reversed. ``oblique`` is True where the upright twin still is not parallel to the patient's axes.
    """

    scan: Geometry
    upright: Geometry
    network: Geometry
    axes_zyx: tuple[int, int, int]
    flips_zyx: tuple[bool, bool, bool]
    oblique: bool


def preprocess(volume: Volume, config: NetworkConfig) -> tuple[np.ndarray, Record]:
    """CT in HU on any grid -> float32 intensities (z, y, x) on the network's grid, and the Record.

    Raises InputError if there is no body in the image.
    """
    array, upright, axes, flips = to_upright(volume.array, volume.geometry)
    center_mm = body_center_mm(array, upright)
    network = network_grid(upright, center_mm, config)
    record = Record(volume.geometry, upright, network, axes, flips, is_oblique(upright))
    hu = resample_ct(array, upright, network)
    return normalise(hu, config), record


def normalise(hu: np.ndarray, config: NetworkConfig) -> np.ndarray:
    """HU to network intensities: clipped, then (HU + offset) / scale, float32."""
    low, high = config.hu_clip
    return ((np.clip(hu, low, high) + config.hu_offset) / config.hu_scale).astype(np.float32)


def to_upright(
    array: np.ndarray, geometry: Geometry
) -> tuple[np.ndarray, Geometry, tuple[int, int, int], tuple[bool, bool, bool]]:
    """Reorder and flip axes (a view, nothing is interpolated) so that z, y, x run to head, back and left."""
    direction = np.asarray(geometry.direction_xyz)
    # world axis w (x, y, z) <- the array axis whose direction is closest to it; every axis is used once
    source_xyz = _best_assignment(np.abs(direction))
    signs = [direction[world, axis] < 0 for world, axis in enumerate(source_xyz)]
    axes_zyx = tuple(2 - source_xyz[2 - i] for i in range(3))
    flips_zyx = tuple(bool(signs[2 - i]) for i in range(3))
    view = np.transpose(array, axes_zyx)
    view = view[tuple(slice(None, None, -1) if flip else slice(None) for flip in flips_zyx)]
    spacing_xyz = [geometry.spacing_mm_xyz[axis] for axis in source_xyz]
    columns = [direction[:, axis] * (-1 if sign else 1) for axis, sign in zip(source_xyz, signs, strict=True)]
    first_index_zyx = np.zeros(3)
    for upright_axis in range(3):
        if flips_zyx[upright_axis]:
            first_index_zyx[axes_zyx[upright_axis]] = array.shape[axes_zyx[upright_axis]] - 1
    upright = Geometry(
        shape_zyx=(view.shape[0], view.shape[1], view.shape[2]),
        spacing_mm_xyz=(spacing_xyz[0], spacing_xyz[1], spacing_xyz[2]),
        origin_mm_xyz=tuple(geometry.index_to_mm(first_index_zyx)),
        direction_xyz=tuple(tuple(row) for row in np.stack(columns, axis=1)),
    )
    return view, upright, axes_zyx, flips_zyx  # type: ignore[return-value]


def from_upright(array: np.ndarray, axes_zyx: tuple[int, int, int], flips_zyx: tuple[bool, bool, bool]) -> np.ndarray:
    """Undo ``to_upright``: an array on the upright grid to the scan's own axis order."""
    view = array[tuple(slice(None, None, -1) if flip else slice(None) for flip in flips_zyx)]
    return np.ascontiguousarray(np.transpose(view, np.argsort(axes_zyx)))


def is_oblique(upright: Geometry) -> bool:
    return bool(np.abs(np.asarray(upright.direction_xyz) - np.eye(3)).max() > OBLIQUE_TOLERANCE)


def body_center_mm(array: np.ndarray, upright: Geometry) -> np.ndarray:
    """Centre (x, y, z) in LPS mm of the body in the upper HEAD_NECK_MM of the scan. Never from labels.

    x and y are the centre of the body's bounding box averaged over slices, which shoulders and a tilted chin move less than
    they move the centroid. Raises InputError if nothing in the scan is as dense as a body.
    """
    steps = [max(1, int(BODY_GRID_MM / s)) for s in upright.spacing_mm_zyx]
    coarse = array[:: steps[0], :: steps[1], :: steps[2]]
    body = ndimage.binary_opening(coarse > BODY_HU, structure=np.ones((1, 3, 3), bool))
    parts, count = ndimage.label(body)
    if count == 0:
        raise InputError(
            f"No body found: nothing in the image is denser than {BODY_HU:g} HU. A head-and-neck CT in Hounsfield units is expected."
        )
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    body = parts == sizes.argmax()
    slices = np.flatnonzero(body.any(axis=(1, 2)))
    top_first = slices[slices > slices.max() - HEAD_NECK_MM / (steps[0] * upright.spacing_mm_zyx[0])]
    middles = []
    for z in top_first:
        rows = np.flatnonzero(body[z].any(axis=1))
        columns = np.flatnonzero(body[z].any(axis=0))
        middles.append((z, (rows[0] + rows[-1]) / 2, (columns[0] + columns[-1]) / 2))
    center_zyx = np.mean(middles, axis=0) * steps
    return upright.index_to_mm(center_zyx)


def network_grid(upright: Geometry, center_mm_xyz: np.ndarray, config: NetworkConfig) -> Geometry:
    """The upright grid at the network's spacing: ``crop_size_yx`` in plane around the centre, all of the scan along z.

    Where the scan already has the network's spacing, the grids share their voxel centres and nothing is interpolated.
    """
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in upright.shape_zyx], indexing="ij")).reshape(3, -1).T
    z_mm = upright.index_to_mm(corners)[:, 2]
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


def resample_ct(array: np.ndarray, source: Geometry, target: Geometry) -> np.ndarray:
    """Linear interpolation of HU onto ``target``, air outside; axes that lose resolution are smoothed first. float32 (z, y, x)."""
    cropped, geometry = crop_to(array, source, target)
    smooth = smooth_for(cropped, geometry, target)
    return sitk.GetArrayFromImage(_resample(smooth, geometry, target, sitk.sitkLinear, AIR_HU))


def crop_to(
    array: np.ndarray, source: Geometry, target: Geometry, margin_voxels: int = 4
) -> tuple[np.ndarray, Geometry]:
    """The part of ``array`` that ``target`` can see, with its own geometry: the full field is never copied or smoothed."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in target.shape_zyx], indexing="ij")).reshape(3, -1).T
    index = source.mm_to_index(target.index_to_mm(corners))
    low = np.clip(np.floor(index.min(axis=0)).astype(int) - margin_voxels, 0, np.array(array.shape) - 1)
    high = np.clip(np.ceil(index.max(axis=0)).astype(int) + margin_voxels + 1, low + 1, array.shape)
    part = array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    geometry = Geometry(part.shape, source.spacing_mm_xyz, tuple(source.index_to_mm(low)), source.direction_xyz)
    return part, geometry


def smooth_for(array: np.ndarray, source: Geometry, target: Geometry) -> np.ndarray:
    """Gaussian smoothing of each axis that will lose resolution, with the variance of averaging over the wider voxel."""
    out = np.ascontiguousarray(array, dtype=np.float32)
    for axis, (fine, wide) in enumerate(zip(source.spacing_mm_zyx, target.spacing_mm_zyx, strict=True)):
        if wide > 1.05 * fine and out.shape[axis] > 1:
            sigma_voxels = np.sqrt((wide**2 - fine**2) / 12.0) / fine
            out = ndimage.gaussian_filter1d(out, sigma_voxels, axis=axis, mode="nearest")
    return out


def resample_labels(labels: np.ndarray, source: Geometry, target: Geometry) -> np.ndarray:
    """Each label interpolated linearly as a mask, then the strongest label per voxel: smoother edges than nearest. uint8."""
    cropped, geometry = crop_to(labels, source, target)
    best = np.full(target.shape_zyx, 0.5, np.float32)  # background wins ties
    out = np.zeros(target.shape_zyx, np.uint8)
    for label in np.unique(cropped):
        if label == 0:
            continue
        score = sitk.GetArrayFromImage(
            _resample((cropped == label).astype(np.float32), geometry, target, sitk.sitkLinear, 0.0)
        )
        out[score > best] = label
        np.maximum(best, score, out=best)
    return out


def _resample(array: np.ndarray, source: Geometry, target: Geometry, interpolator: int, outside: float) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(source.spacing_mm_xyz)
    image.SetOrigin(source.origin_mm_xyz)
    image.SetDirection(np.asarray(source.direction_xyz).ravel().tolist())
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize([int(n) for n in target.shape_zyx[::-1]])
    resampler.SetOutputSpacing(target.spacing_mm_xyz)
    resampler.SetOutputOrigin(target.origin_mm_xyz)
    resampler.SetOutputDirection(np.asarray(target.direction_xyz).ravel().tolist())
    resampler.SetInterpolator(interpolator)
    resampler.SetDefaultPixelValue(outside)
    return resampler.Execute(image)


def _best_assignment(cosines: np.ndarray) -> list[int]:
    """For each world axis the array axis that follows it best, each array axis used once."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(-cosines)
    return [int(c) for _, c in sorted(zip(rows, columns, strict=True))]
