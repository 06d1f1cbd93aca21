"""Samples for the stages that look at small organs: crops that hold them whole, and their ROIs (sections 3.1.3 and 4.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from ...datasets.case import Case
from ...image.organs import mirrored as mirrored_organ
from ...image.volume import box_corners
from ...nets.config import NetworkConfig
from ...nets.roi import Roi, roi_around
from .augment import (
    NO_AUGMENTATION,
    CropPlace,
    Sample,
    crop_to_case,
    interpolate,
    random_linear,
    sample_at,
    swap_sides,
)
from .shape_samples import ShapeSample
from .stage import StageContext

TRIES = 4  # of an augmentation that leaves no small organ whole; then none
MARGIN_SLICES = 1.0


@dataclass(frozen=True)
class OrganExtent:
    """Where a small organ of a case lies, in mm of the upright patient: centre (x, y, z) and half sizes of its box (x, y, z)."""

    center_mm_xyz: np.ndarray
    low_mm_xyz: np.ndarray
    high_mm_xyz: np.ndarray


def small_organ_extents(case: Case, config: NetworkConfig) -> dict[str, OrganExtent]:
    """Return the extents of a case's small organs that are contoured and not empty."""
    found = {}
    for organ in config.small_organs:
        box = case.boxes_zyx.get(config.organs.index(organ) + 1)
        if organ not in case.centroids_mm_xyz or box is None:
            continue
        ends = [[s.start - 0.5 for s in box], [s.stop - 0.5 for s in box]]  # voxel edges
        corners = np.stack([case.geometry.index_to_mm(np.array(end)) for end in ends])
        found[organ] = OrganExtent(np.array(case.centroids_mm_xyz[organ]), corners.min(axis=0), corners.max(axis=0))
    return found


def draw_whole_organs(case: Case, context: StageContext, rng: np.random.Generator) -> Sample:
    """Return a crop that holds as many small organs whole as fit, at a random place along z, with an ROI for each of them.

    An organ longer than the ROI counts as whole where the ROI around its centre lies inside the crop.
    """
    config, settings, augmentation = context.config, context.settings, context.augmentation
    shape = (settings.crop_slices or config.chunk_slices, *config.crop_size_yx)
    extents = small_organ_extents(case, config)
    for attempt in range(TRIES + 1):
        used = augmentation if attempt < TRIES else NO_AUGMENTATION
        linear_xyz, mirrored = random_linear(used, rng)
        center = np.array(case.center_mm_xyz)
        center[2] = _whole_z_mm(case, config, extents, shape[0], linear_xyz, rng)
        shift = rng.uniform(-1, 1, 3) * used.shift_mm
        shift[2] = 0.0
        to_case = crop_to_case(case, config, shape, linear_xyz, center + shift)
        place = CropPlace(shape, to_case, mirrored)
        rois = _rois(case, context, extents, place, rng)
        if rois:
            break
    return replace(sample_at(case, config, place, augmentation.noise_hu, rng, context.draws_on), rois=rois)


def _whole_z_mm(
    case: Case,
    config: NetworkConfig,
    extents: dict[str, OrganExtent],
    slices: int,
    linear_xyz: np.ndarray,
    rng: np.random.Generator,
) -> float:
    """Return the middle of a chunk (mm) that covers a random choice of small organs with a margin: one, and all others that still fit."""
    spacing_z = config.spacing_mm_zyx[0]
    scale = float(np.abs(np.linalg.det(linear_xyz))) ** (1 / 3)  # of crop millimetres to patient millimetres
    margin = MARGIN_SLICES * spacing_z * scale
    half = slices / 2 * spacing_z * scale
    names = list(extents)
    low, high = np.inf, -np.inf
    for i in rng.permutation(len(names)):
        extent = extents[names[i]]
        z = extent.center_mm_xyz[2]
        half_roi = config.roi_size_of(names[i])[0] / 2 * spacing_z * scale
        organ_low = min(low, max(extent.low_mm_xyz[2], z - half_roi))
        organ_high = max(high, min(extent.high_mm_xyz[2], z + half_roi))
        if low > high or organ_high - organ_low + 2 * margin <= 2 * half:
            low, high = organ_low, organ_high
    first, last = high + margin - half, low - margin + half
    wanted = float(rng.uniform(first, last)) if first < last else (low + high) / 2
    bottom = case.geometry.origin_mm_xyz[2]
    top = bottom + (case.geometry.shape_zyx[0] - 1) * case.geometry.spacing_mm_xyz[2]
    # chunks of a test scan do not look beyond its ends
    return float(np.clip(wanted, bottom + half, top - half)) if bottom + half <= top - half else wanted


def _rois(
    case: Case,
    context: StageContext,
    extents: dict[str, OrganExtent],
    place: CropPlace,
    rng: np.random.Generator,
) -> dict[str, Roi]:
    """Return the ROI of each small organ that lies whole in the crop: around its true centre, moved by the jitter as far as the organ
    stays inside."""
    config = context.config
    inverse, shape_zyx = np.linalg.inv(place.to_case), place.shape_zyx
    rois = {}
    for organ, extent in extents.items():
        jitter = rng.uniform(-1, 1, 3) * context.settings.roi_jitter_zyx
        name = mirrored_organ(organ) if place.mirrored else organ
        if name not in config.small_organs:
            continue
        size = np.array(config.roi_size_of(name))
        points = np.vstack([extent.center_mm_xyz, box_corners(extent.low_mm_xyz, extent.high_mm_xyz)])
        index = case.geometry.mm_to_index(points)
        crop = (inverse @ np.column_stack([index, np.ones(9)]).T)[:3].T  # (9, 3) voxels of the crop, z y x
        center, low, high = crop[0], crop[1:].min(axis=0), crop[1:].max(axis=0)
        low, high = np.maximum(low, center - size / 2), np.minimum(high, center + size / 2)
        if (low < -0.5).any() or (high > np.array(shape_zyx) - 0.5).any():
            continue
        slack = np.maximum(size / 2 - np.maximum(center - low, high - center) - 1, 0)
        z, y, x = center + np.clip(jitter, -slack, slack)
        rois[name] = roi_around((z, y, x), config.roi_size_of(name), shape_zyx)
    return rois


def draw_case_shapes(case: Case, context: StageContext, rng: np.random.Generator) -> ShapeSample:
    """Return the true masks (N, 1, d, h, w) of a case's small organs, each in its ROI, under one affine augmentation.

    The CT is not needed.
    """
    config, size = context.config, context.config.roi_size_zyx
    masks: list[torch.Tensor] = []
    names: list[str] = []
    for attempt in range(TRIES + 1):
        linear_xyz, mirrored = random_linear(context.augmentation if attempt < TRIES else NO_AUGMENTATION, rng)
        for organ, extent in small_organ_extents(case, config).items():
            name = mirrored_organ(organ) if mirrored else organ
            jitter = (rng.uniform(-1, 1, 3) * context.settings.roi_jitter_zyx * config.spacing_mm_zyx)[::-1]
            to_case = crop_to_case(case, config, size, linear_xyz, extent.center_mm_xyz + jitter)
            _, labels = interpolate(case, to_case, size)
            if mirrored:
                labels = swap_sides(labels, config.organs)
            mask = torch.from_numpy(labels == config.organs.index(name) + 1).float()
            if bool(mask.any()):
                masks.append(mask[None])
                names.append(name)
        if masks:
            break
    return ShapeSample(torch.stack(masks) if masks else torch.zeros(0, 1, *size), tuple(names))


def fitting_roi(extents_mm_xyz: np.ndarray, config: NetworkConfig) -> tuple[int, int, int]:
    """Return the paper's ROI (24 x 64 x 64 mm), or as much more as the organs need: sides (z, y, x) in voxels, multiples of 8.

    ``extents_mm_xyz`` (N, 3): sizes of the small organs in the training cases. Half a voxel more than the paper counts as the paper.
    """
    paper_mm = np.array([24.0, 64.0, 64.0])
    spacing = np.array(config.spacing_mm_zyx)
    needed_mm = np.percentile(extents_mm_xyz, 95, axis=0)[::-1] + 2 * spacing
    voxels = np.maximum(paper_mm, needed_mm) / spacing
    sides = np.ceil((voxels - 0.5) / 8).astype(int) * 8
    limits = np.array([config.chunk_slices, *config.crop_size_yx]) // 8 * 8
    z, y, x = (int(n) for n in np.maximum(np.minimum(sides, limits), 8))
    return (
        (z, y, x) if max(z, y, x) > 8 else (8, 16, 16)
    )  # of 8 cubed, three halvings would leave one voxel to normalise over
