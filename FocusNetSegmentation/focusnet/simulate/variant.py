"""One of the many scans that a painted head could have given: deformed, its tissues drawn anew, scanned by some scanner; labels follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from ..image.organs import mirrored as mirrored_organ
from .deform import Places, places, smooth_noise
from .scan_variety import scan, stray_hu
from .specimen import CAVITY, METAL, OUTSIDE, Specimen
from .surroundings import AIR_HU, add_surroundings
from .variety import Variety

FINE_MM = 1.6  # tissues are read at slices at most this thick, then scanned
STEP, REACH_VOXELS = 3, 6.0  # every STEP-th voxel of a variant comes from less than REACH_VOXELS beside its neighbour's
TOOTH_HU = 200.0  # teeth and jaws are above it, also where they are blurred
NOTHING_HU = -1024.0  # beyond the field of view


@dataclass(frozen=True)
class Variant:
    """``hu`` float32 and ``labels`` uint8, both (z, y, x). ``mirrored``: it shows the patient's mirror image, labels exchanged.
    ``linear_xyz``: from its mm about its middle to the specimen's mm; the elastic part is not in it."""

    hu: np.ndarray
    labels: np.ndarray
    mirrored: bool
    linear_xyz: np.ndarray


def draw_variant(
    specimen: Specimen,
    shape_zyx: tuple[int, int, int],
    spacing_mm_zyx: tuple[float, float, float],
    centre_mm_xyz: np.ndarray,
    variety: Variety,
    rng: np.random.Generator,
) -> Variant:
    """Return a variant whose middle shows about ``centre_mm_xyz`` (LPS mm of the specimen). The same generator gives the same voxels."""
    per_slice = max(1, int(np.ceil(spacing_mm_zyx[0] / FINE_MM)))
    fine_mm = (spacing_mm_zyx[0] / per_slice, spacing_mm_zyx[1], spacing_mm_zyx[2])
    fine_shape = (shape_zyx[0] * per_slice, shape_zyx[1], shape_zyx[2])
    where = places(specimen, fine_shape, fine_mm, centre_mm_xyz, variety, rng)
    hu, kind, shares = _read(specimen, where, per_slice)
    metal, outside = kind == METAL, kind == OUTSIDE
    if where.open_mouth is not None:
        _empty_mouth(hu, kind, shares, where.open_mouth)
    hu = _tissues(hu, kind, shares, where, fine_mm, per_slice, variety, rng)
    add_surroundings(hu, outside, fine_mm, variety, rng)
    hu = scan(hu, metal, fine_mm, per_slice, variety, rng)
    labels = _labels(shares, where, per_slice, specimen.organs)
    if rng.random() < variety.cut:
        _cut(hu, labels, rng)
    return Variant(np.clip(hu, NOTHING_HU, 3071.0), labels, where.mirrored, where.linear_xyz)


def _read(specimen: Specimen, where: Places, per_slice: int) -> tuple[np.ndarray, np.ndarray, dict[int, Tensor]]:
    """HU (linear) and kind (nearest) at thin slices, and each label's share of every voxel of the variant, by value."""
    index = where.index_zyx
    size = np.array(specimen.hu.shape)
    low = np.clip(np.floor(index.reshape(3, -1).min(axis=1)).astype(int) - 1, 0, size - 2)
    high = np.clip(np.ceil(index.reshape(3, -1).max(axis=1)).astype(int) + 2, low + 2, size)
    part = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    scale = (2.0 / (high - low - 1)).astype(np.float32)
    grid = torch.from_numpy(np.stack([(index[i] - np.float32(low[i])) * scale[i] - 1 for i in (2, 1, 0)], axis=-1))[
        None
    ]
    hu = torch.from_numpy(specimen.hu[part].astype(np.float32) - np.float32(AIR_HU))[None, None]
    kind = torch.from_numpy(specimen.kind[part].astype(np.float32))[None, None]
    hu_out = F.grid_sample(hu, grid, mode="bilinear", padding_mode="zeros", align_corners=True)[0, 0].numpy() + AIR_HU
    kind_out = F.grid_sample(kind, grid, mode="nearest", padding_mode="zeros", align_corners=True)[0, 0].numpy()
    shares = {}
    for value, box in specimen.boxes_zyx.items():
        seen = _seen_box(index, box)
        if seen is None:
            continue
        source = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in box)  # one voxel more: the organ fades over it
        size = np.array([s.stop - s.start for s in source])
        size = np.minimum(size, np.array(specimen.labels[source].shape))
        sizes = 2.0 / np.maximum(size - 1, 1)
        local = [(index[i][seen] - np.float32(source[i].start)) * np.float32(sizes[i]) - 1 for i in (2, 1, 0)]
        mask = torch.from_numpy((specimen.labels[source] == value).astype(np.float32))[None, None]
        fine = torch.zeros(index.shape[1:])
        fine[seen] = F.grid_sample(
            mask,
            torch.from_numpy(np.stack(local, axis=-1))[None],
            mode="bilinear",
            padding_mode="zeros",
            align_corners=True,
        )[0, 0]
        if bool(fine[seen].any()):
            shares[value] = fine
    return hu_out, kind_out.astype(np.uint8), shares


def _seen_box(index_zyx: np.ndarray, box: tuple[slice, ...]) -> tuple[slice, ...] | None:
    """The part of the variant that can show a box of the specimen, None where none does. Looks at every third voxel only."""
    few = index_zyx[:, ::STEP, ::STEP, ::STEP]
    near = np.ones(few.shape[1:], bool)
    for axis, part in enumerate(box):
        near &= (few[axis] > part.start - REACH_VOXELS) & (few[axis] < part.stop + REACH_VOXELS)
    found = ndimage.find_objects(near.view(np.uint8))
    if not found:
        return None
    return tuple(
        slice(max(0, (s.start - 1) * STEP), min(n, s.stop * STEP + 1))
        for s, n in zip(found[0], index_zyx.shape[1:], strict=True)
    )


def _empty_mouth(hu: np.ndarray, kind: np.ndarray, shares: dict[int, Tensor], gap: np.ndarray) -> None:
    """Air between the rows of teeth, which stay; in place."""
    air = gap & (kind != OUTSIDE) & (hu < TOOTH_HU)
    hu[air], kind[air] = AIR_HU, CAVITY
    for share in shares.values():
        share[torch.from_numpy(air)] = 0.0


def _tissues(
    hu: np.ndarray,
    kind: np.ndarray,
    shares: dict[int, Tensor],
    where: Places,
    fine_mm: tuple[float, float, float],
    per_slice: int,
    variety: Variety,
    rng: np.random.Generator,
) -> np.ndarray:
    """Other HU for every tissue, and for each organ by itself; texture; fluid in cavities; the mass."""
    soft = (kind != OUTSIDE) & (hu > -250) & (hu < 250)
    if variety.texture_hu > 0:
        texture = smooth_noise(hu.shape, fine_mm, float(rng.uniform(2.5, 12.0)), rng)
        hu[soft] += texture[soft] * np.float32(rng.uniform(0, variety.texture_hu))
    if variety.organ_hu > 0:
        for share in shares.values():
            mask = share.numpy()
            hu += mask * np.float32(rng.normal(0, variety.organ_hu)) * (soft & (mask > 0))
    if rng.random() < variety.cavity_fluid:
        filled = (kind == CAVITY) & (smooth_noise(hu.shape, fine_mm, 18.0, rng) > rng.uniform(-0.5, 1.2))
        hu[filled] = rng.uniform(-10, 60)
    if where.mass is not None and where.inside_mass is not None:
        grain = smooth_noise(hu.shape, fine_mm, 5.0, rng)[where.inside_mass]
        hu[where.inside_mass] = where.mass.hu + 10 * grain
    return stray_hu(hu, variety.hu_curve, rng)


def _labels(shares: dict[int, Tensor], where: Places, per_slice: int, organs: tuple[str, ...]) -> np.ndarray:
    """The organ that fills most of a voxel, where organs fill half of it; sides exchanged in a mirror image."""
    depth = where.index_zyx.shape[1] // per_slice
    shape = (depth, *where.index_zyx.shape[2:])
    best, labels, total = np.zeros(shape, np.float32), np.zeros(shape, np.uint8), np.zeros(shape, np.float32)
    for value, fine in shares.items():
        share = fine.reshape(depth, per_slice, *shape[1:]).mean(dim=1).numpy()
        labels[share > best] = value
        np.maximum(best, share, out=best)
        total += share
    labels[total < 0.5] = 0
    if where.inside_mass is not None:
        inside = where.inside_mass.reshape(depth, per_slice, *shape[1:]).mean(axis=1)
        labels[inside >= 0.5] = 0
    if where.mirrored:
        table = np.arange(len(organs) + 1, dtype=np.uint8)
        for value, organ in enumerate(organs, start=1):
            table[value] = organs.index(mirrored_organ(organ)) + 1
        labels = table[labels]
    return labels


def _cut(hu: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> None:
    """The field of view ends: slices are missing above or below, or a round field leaves corners out. In place."""
    choice = rng.random()
    if choice < 0.5:
        n = int(rng.integers(1, max(2, hu.shape[0] // 2)))
        gone: tuple[slice, ...] | np.ndarray = (slice(0, n),) if rng.random() < 0.5 else (slice(hu.shape[0] - n, None),)
    else:
        y, x = np.ogrid[: hu.shape[1], : hu.shape[2]]
        cy, cx = rng.uniform(0.2, 0.8) * hu.shape[1], rng.uniform(0.2, 0.8) * hu.shape[2]
        gone = np.broadcast_to(np.hypot(y - cy, x - cx) > rng.uniform(0.45, 0.8) * max(hu.shape[1:]), hu.shape)
    hu[gone] = NOTHING_HU
    labels[gone] = 0
