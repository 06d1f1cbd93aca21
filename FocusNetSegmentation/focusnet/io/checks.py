"""Is this a head-and-neck CT in Hounsfield units? What cannot be is refused, what is odd is said. No torch here: the panel asks too."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..preprocess import to_upright
from ..volume import Volume

SAMPLES = 2_000_000  # voxels looked at: enough for a histogram, quick on any scan
SPACING_MM = (0.2, 10.0)
THICK_SLICES_MM = 5.0
MINIMUM_FIELD_MM = 120.0  # a head is about 150 mm wide
SMALL_FIELD_MM = 180.0
MINIMUM_SLICES = 3
MAXIMUM_SLICES = 2000
MAXIMUM_VOXELS = 1_500_000_000
SHORT_SCAN_MM = 60.0
LONG_SCAN_MM = 700.0
AIR_HU = (-1100.0, -850.0)
SOFT_TISSUE_HU = (-200.0, 200.0)
BONE_HU = 300.0


def refuse_impossible(volume: Volume) -> None:
    """Raise InputError for a volume that cannot be a head-and-neck CT in HU, with the remedy where there is one."""
    _check_size(volume)
    _check_values(volume)


def check_ct(volume: Volume) -> list[str]:
    """Refuse what ``refuse_impossible`` refuses; return sentences about what a user should know."""
    refuse_impossible(volume)
    warnings = list(volume.notes)
    _, upright, _, _ = to_upright(volume.array, volume.geometry)
    size_mm = [n * s for n, s in zip(upright.shape_zyx, upright.spacing_mm_zyx, strict=True)]
    spacing_z = upright.spacing_mm_zyx[0]
    if spacing_z > THICK_SLICES_MM:
        warnings.append(f"Slices are {spacing_z:.1f} mm apart; small organs need 3 mm or less.")
    if min(size_mm[1:]) < SMALL_FIELD_MM:
        warnings.append(
            f"The field of view is {size_mm[2]:.0f} x {size_mm[1]:.0f} mm; parts of the head may lie outside."
        )
    if size_mm[0] < SHORT_SCAN_MM:
        warnings.append(f"The scan covers {size_mm[0]:.0f} mm along the body; organs outside it cannot be found.")
    if size_mm[0] > LONG_SCAN_MM:
        warnings.append(
            f"The scan covers {size_mm[0]:.0f} mm along the body, more than head and neck; look out for organs in the wrong place."
        )
    return warnings


def _check_size(volume: Volume) -> None:
    geometry = volume.geometry
    name = volume.source or "The image"
    shape = geometry.shape_zyx
    if min(geometry.spacing_mm_xyz) < SPACING_MM[0] or max(geometry.spacing_mm_xyz) > SPACING_MM[1]:
        text = " x ".join(f"{s:g}" for s in geometry.spacing_mm_xyz)
        raise InputError(
            f"{name}: voxel spacing is {text} mm; {SPACING_MM[0]:g} to {SPACING_MM[1]:g} mm is expected. Correct the header."
        )
    if int(np.prod(shape, dtype=np.int64)) > MAXIMUM_VOXELS or max(shape) > MAXIMUM_SLICES:
        raise InputError(
            f"{name} has {' x '.join(map(str, shape[::-1]))} voxels; at most {MAXIMUM_SLICES} along an axis is expected. Crop it to head and neck."
        )
    _, upright, _, _ = to_upright(volume.array, geometry)
    slices = upright.shape_zyx[0]
    if slices < MINIMUM_SLICES:
        raise InputError(
            f"{name} has {slices} slice{'s' if slices != 1 else ''}; a whole head-and-neck CT is expected."
        )
    field = [n * s for n, s in zip(upright.shape_zyx[1:], upright.spacing_mm_zyx[1:], strict=True)]
    if min(field) < MINIMUM_FIELD_MM:
        raise InputError(
            f"{name}: the field of view is {field[1]:.0f} x {field[0]:.0f} mm; a head needs at least {MINIMUM_FIELD_MM:.0f} mm. "
            "Use the scan before cropping, or correct the spacing."
        )


def _check_values(volume: Volume) -> None:
    name = volume.source or "The image"
    values = _sample(volume.array)
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise InputError(f"{name}: every voxel is {low:g}; a CT in HU is expected.")
    if volume.array.dtype in (np.uint8, np.int8) or (low >= 0 and high <= 255):
        raise InputError(
            f"{name}: values run from {low:g} to {high:g}: an 8-bit or windowed picture; the original CT in HU (-1024 to about 3071) is expected."
        )
    off = _offset(values)
    if off:
        raise InputError(
            f"{name}: air is about {off[0]:.0f} and soft tissue about {off[1]:.0f}, so the values look {off[2]:+d} off from HU (air -1000, soft tissue 40); "
            f"the rescale intercept seems to be missing or applied twice. If you are sure, read it with --hu-offset {-off[2]}."
        )
    if low > AIR_HU[1]:
        raise InputError(
            f"{name}: values run from {low:g} to {high:g} and none is air (about -1000); a CT in HU is expected. "
            "MR, PET and windowed or clipped images cannot be used."
        )
    if high < BONE_HU:
        raise InputError(
            f"{name}: values run from {low:g} to {high:g} and none is bone (above {BONE_HU:g}); the image seems to be windowed or clipped. Use the original CT."
        )
    soft = float(np.mean((values > SOFT_TISSUE_HU[0]) & (values < SOFT_TISSUE_HU[1])))
    if soft < 0.01:
        raise InputError(
            f"{name}: only {100 * soft:.1f} % of the voxels have the values of soft tissue (-200 to 200 HU); a head-and-neck CT is expected."
        )
    if len(np.unique(values[:200_000])) < 32:
        raise InputError(
            f"{name} holds fewer than 32 different values; it looks like a label map, a CT in HU is expected."
        )


def _offset(values: np.ndarray) -> tuple[float, float, int] | None:
    """(air, soft tissue, offset) if the two peaks of a CT stand about 1024 too high or too low, else None."""
    for offset in (1024, -1024):
        air = values[(values > AIR_HU[0] - 100 + offset) & (values < AIR_HU[1] + offset)]
        soft = values[(values > SOFT_TISSUE_HU[0] + offset) & (values < SOFT_TISSUE_HU[1] + offset)]
        right_air = np.mean((values > AIR_HU[0]) & (values < AIR_HU[1])) if offset > 0 else 0.0
        right_soft = np.mean((values > SOFT_TISSUE_HU[0]) & (values < SOFT_TISSUE_HU[1])) if offset < 0 else 0.0
        enough = len(air) > 0.02 * len(values) and len(soft) > 0.05 * len(values)
        if enough and right_air < 0.01 and right_soft < 0.05:
            return float(np.median(air)), float(np.median(soft)), offset
    return None


def _sample(array: np.ndarray) -> np.ndarray:
    step = max(1, round((array.size / SAMPLES) ** (1 / 3)))
    return np.asarray(array[::step, ::step, ::step]).ravel()
