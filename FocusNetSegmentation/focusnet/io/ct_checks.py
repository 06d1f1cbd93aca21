"""Check that a volume is a head-and-neck CT in Hounsfield units: refuse what cannot be one, warn of what is odd.

No torch here, because the panel checks too.
"""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..image.orientation import to_upright
from ..image.volume import Geometry, Volume
from ..wording import counted

SAMPLES = 2_000_000  # voxels looked at: enough for a histogram, quick on any scan
SPACING_MM = (0.2, 10.0)
THICK_SLICES_MM = 5.0
MINIMUM_FIELD_MM = 120.0  # a head is about 150 mm wide
MAXIMUM_FIELD_MM = 1000.0  # the widest bores reconstruct 850 mm
SMALL_FIELD_MM = 180.0
MINIMUM_SLICES = 3
MAXIMUM_SLICES = 2000
MAXIMUM_VOXELS = 1_500_000_000
SHORT_SCAN_MM = 60.0
LONG_SCAN_MM = 700.0
AIR_HU = (-1100.0, -850.0)
SOFT_TISSUE_HU = (-200.0, 200.0)
BONE_HU = 300.0
# How the values are spread, as parts of each other: on 67 OpenKBP scans, two real head CTs and the phantom, in HU and shifted.
TOO_HIGH_HU = (824.0, 1224.0)  # soft tissue plus 1024: cortical bone in true HU
SPONGY_BONE_HU = (200.0, 800.0)  # nearly empty if soft tissue lies at 1064
TOO_HIGH_PARTS = (2.0, 0.03)  # of spongy bone, of all: true HU at most 0.64 and 0.020, shifted at least 5.7 and 0.060
BETWEEN_HU = (-850.0, -200.0)  # lung and edges; bone, if the intercept was applied twice
TOO_LOW_PART = 1.0  # of soft tissue: true HU at most 0.22, shifted at least 1.7


def refuse_impossible(volume: Volume) -> None:
    """Raise InputError for a volume that cannot be a head-and-neck CT in HU, with the remedy where there is one."""
    refuse_grid(volume.geometry, volume.source or "The image")
    refuse_values(volume)


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


def refuse_grid(geometry: Geometry, name: str) -> None:
    """Raise InputError for a grid that cannot hold a head-and-neck CT. Needs no voxels: readers ask before they load any."""
    shape = geometry.shape_zyx
    if min(geometry.spacing_mm_xyz) < SPACING_MM[0] or max(geometry.spacing_mm_xyz) > SPACING_MM[1]:
        text = " x ".join(f"{s:g}" for s in geometry.spacing_mm_xyz)
        raise InputError(
            f"{name}: voxel spacing is {text} mm; {SPACING_MM[0]:g} to {SPACING_MM[1]:g} mm is expected. Correct the header."
        )
    if int(np.prod(shape, dtype=np.int64)) > MAXIMUM_VOXELS or max(shape) > MAXIMUM_SLICES:
        raise InputError(
            f"{name} has {' x '.join(map(str, shape[::-1]))} voxels; at most {MAXIMUM_SLICES} along an axis and {MAXIMUM_VOXELS / 1e9:g} "
            "thousand million in all are expected. Crop it to head and neck."
        )
    _, upright, _, _ = to_upright(np.broadcast_to(np.int8(0), shape), geometry)
    slices = upright.shape_zyx[0]
    if slices < MINIMUM_SLICES:
        raise InputError(f"{name} has {counted(slices, 'slice')}; a whole head-and-neck CT is expected.")
    field = [n * s for n, s in zip(upright.shape_zyx[1:], upright.spacing_mm_zyx[1:], strict=True)]
    found = f"{name}: the field of view is {field[1]:.0f} x {field[0]:.0f} mm"
    if min(field) < MINIMUM_FIELD_MM:
        raise InputError(
            f"{found}; a head needs at least {MINIMUM_FIELD_MM:.0f} mm. Use the scan before cropping, or correct the spacing."
        )
    if max(field) > MAXIMUM_FIELD_MM:
        raise InputError(f"{found}; at most {MAXIMUM_FIELD_MM:.0f} mm is expected of a CT. Correct the spacing.")


def refuse_values(volume: Volume) -> None:
    """Raise InputError for values that are no CT in HU, whatever the size of the scan: crops can be trained on."""
    name = volume.source or "The image"
    values = _sample(volume.array)
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise InputError(f"{name}: every voxel is {low:g}; a CT in HU is expected.")
    if volume.array.dtype in (np.uint8, np.int8) or (low >= 0 and high <= 255):
        raise InputError(
            f"{name}: values run from {low:g} to {high:g}: an 8-bit or windowed picture; the original CT in HU (-1024 to about 3071) is expected."
        )
    _check_offset(name, values)
    if low > AIR_HU[1]:
        raise InputError(
            f"{name}: values run from {low:g} to {high:g} and none is air (about -1000); a CT in HU is expected. "
            "MR, PET and windowed or clipped images cannot be used."
        )
    if high < BONE_HU:
        raise InputError(
            f"{name}: values run from {low:g} to {high:g} and none is bone (above {BONE_HU:g}); the image seems to be windowed or clipped. Use the original CT."
        )
    soft = _part(values, SOFT_TISSUE_HU)
    if soft < 0.01:
        raise InputError(
            f"{name}: only {100 * soft:.1f} % of the voxels have the values of soft tissue (-200 to 200 HU); a head-and-neck CT is expected."
        )
    if len(np.unique(values)) < 32:
        raise InputError(
            f"{name} holds fewer than 32 different values; it looks like a label map, a CT in HU is expected."
        )


def _check_offset(name: str, values: np.ndarray) -> None:
    """Refuse a CT whose values stand about 1024 too high or too low, and say which offset reads it."""
    high = _part(values, TOO_HIGH_HU)
    if high > TOO_HIGH_PARTS[0] * _part(values, SPONGY_BONE_HU) and high > TOO_HIGH_PARTS[1]:
        raise InputError(_off(name, values, 1024, "missing"))
    if _part(values, BETWEEN_HU) > TOO_LOW_PART * _part(values, SOFT_TISSUE_HU):
        if float(values.min()) < AIR_HU[0] - 500 and _part(values, (AIR_HU[0] - 1024, AIR_HU[1] - 1024)) > 0.01:
            raise InputError(_off(name, values, -1024, "applied twice"))
        raise InputError(
            f"{name}: only {100 * _part(values, SOFT_TISSUE_HU):.1f} % of the voxels have the values of soft tissue (-200 to 200 HU), and more lie "
            f"where lung is ({BETWEEN_HU[0]:g} to {BETWEEN_HU[1]:g}); the rescale slope or intercept seems to be wrong or applied twice. Export the scan again."
        )


def _off(name: str, values: np.ndarray, offset: int, why: str) -> str:
    parts = []
    for tissue, (low, high) in (("air", AIR_HU), ("soft tissue", SOFT_TISSUE_HU)):
        there = values[(values > low + offset) & (values < high + offset)]
        if len(there):
            parts.append(f"{tissue} is about {np.median(there):.0f}")
    return (
        f"{name}: {' and '.join(parts)}, so the values look {offset:+d} off from HU (air -1000, soft tissue 40); the rescale intercept seems to be "
        f"{why}. If you are sure that this is a CT, read it with --hu-offset {-offset}."
    )


def _part(values: np.ndarray, between: tuple[float, float]) -> float:
    return float(np.mean((values > between[0]) & (values < between[1])))


def _sample(array: np.ndarray) -> np.ndarray:
    step = max(1, round((array.size / SAMPLES) ** (1 / 3)))
    return np.asarray(array[::step, ::step, ::step]).ravel()
