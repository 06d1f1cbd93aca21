"""Turn what callers from Python hand over as a scan into a Volume: a Volume, a SimpleITK image, or something that needs another step first."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import InputError
from .volume import Geometry, Volume


def as_volume(scan: object) -> Volume:
    """Return a scan as a Volume; a SimpleITK image is copied, with its place in the patient.

    Raises TypeError with the remedy for a path, an array or anything else, InputError for an image that is not 3D with one value per voxel.
    """
    if isinstance(scan, Volume):
        return scan
    if type(scan).__module__.partition(".")[0] == "SimpleITK" and hasattr(scan, "GetDirection"):
        return _from_sitk(scan)
    if isinstance(scan, (str, Path)):
        raise TypeError(f"A Volume is expected, not a path; read it first: focusnet.read_volume({str(scan)!r}).")
    if isinstance(scan, np.ndarray):
        raise TypeError(
            "A Volume is expected, not an array, which does not say where the patient's left is: "
            "focusnet.Volume(array_zyx, focusnet.Geometry(array_zyx.shape, spacing_mm_xyz, origin_mm_xyz, direction_xyz))."
        )
    raise TypeError(
        f"A Volume or a SimpleITK image is expected, not {type(scan).__name__}; focusnet.read_volume(path) reads a scan."
    )


def _from_sitk(image: object) -> Volume:
    import SimpleITK as sitk

    assert isinstance(image, sitk.Image)
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(
            f"The SimpleITK image has {image.GetDimension()} dimensions and {image.GetNumberOfComponentsPerPixel()} values per voxel; "
            "a 3D scan with one value per voxel is expected."
        )
    array = sitk.GetArrayFromImage(image)
    direction = np.asarray(image.GetDirection()).reshape(3, 3)
    geometry = Geometry(array.shape, image.GetSpacing(), image.GetOrigin(), tuple(map(tuple, direction)))
    whole = np.issubdtype(array.dtype, np.integer) and array.min() >= -32768 and array.max() <= 32767
    return Volume(array.astype(np.int16 if whole else np.float32, copy=False), geometry, "SimpleITK image")
