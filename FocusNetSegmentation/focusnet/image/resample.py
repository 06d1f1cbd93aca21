"""Resample CT and label arrays from one grid onto another."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from .volume import Geometry

AIR_HU = -1024.0


def resample_ct(array: np.ndarray, source: Geometry, target: Geometry) -> np.ndarray:
    """Return HU (z, y, x on ``source``) on ``target``, float32 (z, y, x): linear interpolation, air outside; axes that lose resolution are
    smoothed first."""
    cropped, geometry = crop_to(array, source, target)
    smooth = smooth_for(cropped, geometry, target)
    return sitk.GetArrayFromImage(_resample(smooth, geometry, target, sitk.sitkLinear, AIR_HU))


def crop_to(
    array: np.ndarray, source: Geometry, target: Geometry, margin_voxels: int = 4
) -> tuple[np.ndarray, Geometry]:
    """Return the part of ``array`` (z, y, x on ``source``) that ``target`` can see, and its geometry: the full field is never copied or smoothed."""
    index = source.mm_to_index(target.corners_mm())
    low = np.clip(np.floor(index.min(axis=0)).astype(int) - margin_voxels, 0, np.array(array.shape) - 1)
    high = np.clip(np.ceil(index.max(axis=0)).astype(int) + margin_voxels + 1, low + 1, array.shape)
    part = array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    geometry = Geometry(part.shape, source.spacing_mm_xyz, tuple(source.index_to_mm(low)), source.direction_xyz)
    return part, geometry


def smooth_for(array: np.ndarray, source: Geometry, target: Geometry) -> np.ndarray:
    """Smooth ``array`` (z, y, x) with a Gaussian along each axis that will lose resolution, with the variance of averaging over the wider voxel."""
    out = np.ascontiguousarray(array, dtype=np.float32)
    for axis, (fine, wide) in enumerate(zip(source.spacing_mm_zyx, target.spacing_mm_zyx, strict=True)):
        if wide > 1.05 * fine and out.shape[axis] > 1:
            sigma_voxels = np.sqrt((wide**2 - fine**2) / 12.0) / fine
            out = ndimage.gaussian_filter1d(out, sigma_voxels, axis=axis, mode="nearest")
    return out


def resample_labels(labels: np.ndarray, source: Geometry, target: Geometry) -> np.ndarray:
    """Return ``labels`` (z, y, x on ``source``) on ``target``, uint8: each label is interpolated linearly as a mask and the strongest wins,
    which gives smoother edges than the nearest voxel."""
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
