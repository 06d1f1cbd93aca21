"""Plant known errors in good contours: moved, cut, grown, shrunk, joined with a neighbour or the teeth, swapped sides, bent, thinned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from scipy import ndimage

from focusnet.image.organs import mirrored
from focusnet.metrics import dice

GOOD_DSC = 0.72  # only contours at least this good are made wrong (oesophagus and larynx: GOOD_SMALL)
GOOD_SMALL = 0.6
TOOTH_HU = 900.0
AXES = {"across": 2, "front to back": 1, "along the body": 0}


def planted_errors(
    labels: np.ndarray, truth: np.ndarray, hu: np.ndarray, spacing_mm_zyx: np.ndarray, names: Mapping[int, str], case: str
) -> Iterator[tuple[str, int, np.ndarray]]:  # fmt: skip
    """Yield (what, label value, wrong mask) of each good organ of a result; arrays are upright (z, y, x)."""
    values = {name: value for value, name in names.items()}
    for value, name in names.items():
        mask = labels == value
        good = GOOD_SMALL if name in ("Esophagus", "Larynx") else GOOD_DSC
        if not mask.any() or dice(mask, truth == value) < good:
            continue
        rng = np.random.default_rng([*name.encode(), *case.encode()])
        for what, wrong in _wrong(mask, labels, hu, spacing_mm_zyx, rng, values, name):
            if wrong.any():
                yield what, value, wrong


def _wrong(
    mask: np.ndarray, labels: np.ndarray, hu: np.ndarray, spacing: np.ndarray, rng: np.random.Generator,
    values: Mapping[str, int], name: str,
) -> Iterator[tuple[str, np.ndarray]]:  # fmt: skip
    for mm in (5, 10, 15, 20):
        direction = rng.normal(size=3)
        yield f"moved {mm} mm", moved(mask, direction / np.linalg.norm(direction) * mm, spacing)
    for axis, number in AXES.items():
        step = np.zeros(3)
        step[number] = rng.choice([-12.0, 12.0])
        yield f"moved 12 mm {axis}", moved(mask, step, spacing)
    slices = np.flatnonzero(mask.any(axis=(1, 2)))
    length = (np.ptp(slices) + 1) * spacing[0]
    for mm in (10.0, 30.0):
        if mm < 0.75 * length:
            n = max(1, round(mm / spacing[0]))
            yield f"bottom {mm:.0f} mm missing", cut(mask, slices[:n])
            yield f"top {mm:.0f} mm missing", cut(mask, slices[-n:])
    if length > 40:
        n = max(1, round(15.0 / spacing[0]))
        begin = int(rng.integers(len(slices) // 4, max(len(slices) // 4 + 1, 3 * len(slices) // 4 - n)))
        yield "15 mm missing inside", cut(mask, slices[begin : begin + n])
    yield "end 15 mm too long", longer(mask, slices, round(15.0 / spacing[0]), bool(rng.random() < 0.5))
    yield "grown by 4 mm", within(mask, spacing, 4.0)
    yield "grown by 8 mm", within(mask, spacing, 8.0)
    yield "shrunk by 4 mm", ~within(~mask, spacing, 4.0)
    half = mask.copy()
    middle = int(np.argwhere(mask)[:, 2].mean())
    half[:, :, middle:] = False
    yield "half of it", half
    other = mirrored(name)
    if other != name and other in values:
        yield "the other side", labels == values[other]
    yield "with a neighbour's part", with_neighbour(mask, labels, spacing)
    teeth = (hu > TOOTH_HU) & within(mask, spacing, 20.0)
    if name == "Bone_Mandible" and teeth.any():
        upper = teeth.copy()
        upper[: int(np.percentile(np.argwhere(mask)[:, 0], 50))] = False
        yield "with the teeth", mask | ndimage.binary_closing(upper, iterations=1)
    blob = np.zeros_like(mask)
    place = np.argwhere(mask).mean(axis=0) + rng.choice([-1, 1], 3) * rng.uniform(15, 35, 3) / spacing
    place = np.clip(np.round(place), 0, np.array(mask.shape) - 1).astype(int)
    blob[tuple(place)] = True
    yield "with a distant part", mask | within(blob, spacing, 9.0)
    yield "rough", rough(mask, spacing, rng)


def moved(mask: np.ndarray, by_mm_zyx: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    return ndimage.shift(mask.astype(np.float32), by_mm_zyx / spacing, order=1) >= 0.5


def cut(mask: np.ndarray, slices: np.ndarray) -> np.ndarray:
    out = mask.copy()
    out[slices] = False
    return out


def longer(mask: np.ndarray, slices: np.ndarray, n: int, up: bool) -> np.ndarray:
    """Return the mask with its last slice but two repeated ``n`` times beyond its end."""
    out = mask.copy()
    end = slices[-1] if up else slices[0]
    source = mask[slices[-3] if up else slices[2]] if len(slices) > 3 else mask[end]
    for k in range(1, n + 1):
        z = end + k if up else end - k
        if 0 <= z < len(mask):
            out[z] = source
    return out


def within(mask: np.ndarray, spacing: np.ndarray, mm: float) -> np.ndarray:
    """Return everything within ``mm`` of the mask."""
    if not mask.any():
        return mask
    found = ndimage.find_objects(mask.astype(np.uint8))[0]
    margin = np.ceil((mm + 1) / spacing).astype(int)
    window = tuple(slice(max(0, b.start - m), b.stop + m) for b, m in zip(found, margin, strict=True))
    out = mask.copy()
    out[window] = ndimage.distance_transform_edt(~mask[window], sampling=spacing) <= mm
    return out


def with_neighbour(mask: np.ndarray, labels: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Return the mask joined with the voxels of other organs within 20 mm, or with the soft tissue beside it where there are none."""
    near = within(mask, spacing, 20.0) & (labels > 0)
    if (near & ~mask).sum() > 0.1 * mask.sum():
        return mask | near
    side = np.zeros(3)
    side[2] = 10.0
    return mask | moved(mask, side, spacing)


def rough(mask: np.ndarray, spacing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the mask with bumps and dents of up to 6 mm."""
    noise = ndimage.gaussian_filter(rng.normal(size=mask.shape), 6.0 / spacing)
    noise *= 5.0 / noise.std()
    distance = ndimage.distance_transform_edt(~mask, sampling=spacing) - ndimage.distance_transform_edt(
        mask, sampling=spacing
    )
    return distance < noise
