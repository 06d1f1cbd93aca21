"""Random crops of a case on the network's grid, with the paper's affine augmentation, in one interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...datasets.case import Case
from ...image.organs import mirrored as mirrored_organ
from ...image.volume import box_corners
from ...inference.preprocess import normalise
from ...nets.config import NetworkConfig
from ...nets.roi import Roi
from .device_crops import add_noise, intensities, interpolated, tensors_on, values_within


@dataclass(frozen=True)
class Augmentation:
    """Random affine maps of section 4.2: shift up to 40 px (of 1 mm), rotation up to 10 degrees, scale 0.7 to 1.3.

    The paper shifts in plane; along z a crop's place is random anyway. Rotations are about all three axes, the scale is isotropic.

    ``mirror`` (not in the paper, off by default) reflects left and right and exchanges the paired labels.
    ``noise_hu`` adds white noise (not in the paper, off by default).
    """

    shift_mm: float = 40.0
    rotation_degrees: float = 10.0
    scale: tuple[float, float] = (0.7, 1.3)
    mirror: bool = False
    noise_hu: float = 0.0


NO_AUGMENTATION = Augmentation(0.0, 0.0, (1.0, 1.0))


@dataclass(frozen=True)
class Sample:
    """A training crop. ``ct`` (1, D, H, W) float32, ``labels`` (D, H, W) long, ``known`` bool (C + 1,),
    ``centers_zyx``: small organ -> its centre in the crop's voxels (may lie outside). ``rois``: of the small organs that lie
    whole in the crop, where a stage asked for them. ``answered``: organs that a model drew, not a person."""

    ct: Tensor
    labels: Tensor
    known: Tensor
    centers_zyx: dict[str, tuple[float, float, float]]
    rois: dict[str, Roi] = field(default_factory=dict)
    answered: frozenset[str] = frozenset()

    def to(self, device: torch.device) -> Sample:
        """Return the sample on ``device``."""
        return replace(self, ct=self.ct.to(device), labels=self.labels.to(device), known=self.known.to(device))


@dataclass(frozen=True)
class Crops:
    """The input of a step: samples of one size, side by side. ``carried``: what one update leaves for the next within the step."""

    samples: tuple[Sample, ...]
    carried: dict[str, Any] = field(default_factory=dict)

    @property
    def ct(self) -> Tensor:
        """Normalised CT, (B, 1, D, H, W)."""
        return torch.stack([sample.ct for sample in self.samples])

    @property
    def labels(self) -> Tensor:
        """Label values, (B, D, H, W) long."""
        return torch.stack([sample.labels for sample in self.samples])

    @property
    def known(self) -> Tensor:
        """Whether each class was contoured, (B, C + 1) bool."""
        return torch.stack([sample.known for sample in self.samples])

    def to(self, device: torch.device) -> Crops:
        """Return the crops on ``device``."""
        return replace(self, samples=tuple(sample.to(device) for sample in self.samples))


def join_crops(samples: Sequence[Sample]) -> Crops:
    """Return samples of one size as the input of one step."""
    return Crops(tuple(samples))


def draw_sample(
    case: Case,
    config: NetworkConfig,
    augmentation: Augmentation,
    rng: np.random.Generator,
    slices: int | None = None,
    device: torch.device | None = None,
) -> Sample:
    """Return a random crop of ``slices`` (default: ``config.chunk_slices``) network slices, cut and turned on ``device`` (None: on the CPU).

    Half of the crops are placed on the centre of a random contoured organ, the others anywhere in the scan: organs that
    span a few slices only would otherwise be rare.
    """
    shape = (slices or config.chunk_slices, *config.crop_size_yx)
    linear_xyz, mirrored = random_linear(augmentation, rng)
    center = np.array(case.center_mm_xyz)
    center[2] = _random_z_mm(case, config, shape[0], rng)
    shift = rng.uniform(-1, 1, 3) * augmentation.shift_mm
    shift[2] = 0.0  # the random choice of slices is the shift along z
    to_case = crop_to_case(case, config, shape, linear_xyz, center + shift)
    return sample_at(case, config, CropPlace(shape, to_case, mirrored), augmentation.noise_hu, rng, device)


@dataclass(frozen=True)
class CropPlace:
    """Where a crop lies: ``to_case`` (4x4) maps its voxels (z, y, x, 1) to the case's. ``mirrored``: left and right are exchanged."""

    shape_zyx: tuple[int, int, int]
    to_case: np.ndarray
    mirrored: bool


def sample_at(
    case: Case,
    config: NetworkConfig,
    place: CropPlace,
    noise_hu: float,
    rng: np.random.Generator,
    device: torch.device | None = None,
) -> Sample:
    """Return the crop at ``place``, with white noise of a random standard deviation up to ``noise_hu``; on ``device`` if there is one."""
    to_case, mirrored = place.to_case, place.mirrored
    if device is None:
        ct, labels = _on_the_cpu(case, config, place, noise_hu, rng)
    else:
        hu, labels = interpolate_on(case, to_case, place.shape_zyx, device)
        ct = intensities(add_noise(hu, noise_hu, rng) if noise_hu > 0 else hu, config)
        if mirrored:
            labels = torch.from_numpy(side_table(config.organs)).to(device)[labels]
    centers = {}
    inverse = np.linalg.inv(to_case)
    for organ, point in case.centroids_mm_xyz.items():
        name = mirrored_organ(organ) if mirrored else organ
        if name in config.small_organs:
            index = case.geometry.mm_to_index(np.array(point))
            z, y, x = (inverse @ np.append(index, 1.0))[:3]
            centers[name] = (float(z), float(y), float(x))
    contoured = {mirrored_organ(o) for o in case.contoured} if mirrored else set(case.contoured)
    answered = frozenset(mirrored_organ(o) for o in case.answered) if mirrored else case.answered
    known = torch.tensor([True, *(organ in contoured for organ in config.organs)])
    return Sample(ct[None], labels, known, centers, answered=answered)


def _on_the_cpu(
    case: Case, config: NetworkConfig, place: CropPlace, noise_hu: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Intensities and labels (D, H, W) of a crop."""
    ct, labels = interpolate(case, place.to_case, place.shape_zyx)
    if noise_hu > 0:
        ct = ct + rng.normal(0.0, rng.uniform(0, noise_hu), ct.shape).astype(np.float32)
    if place.mirrored:
        labels = swap_sides(labels, config.organs)
    return torch.from_numpy(normalise(ct, config)), torch.from_numpy(labels)


def swap_sides(labels: np.ndarray, organs: tuple[str, ...]) -> np.ndarray:
    """Return ``labels`` (any shape) with left and right organs exchanged, after a mirror reflection."""
    return side_table(organs)[labels]


def side_table(organs: tuple[str, ...]) -> np.ndarray:
    """Return for each label value, 0 included, that of the organ on the other side."""
    table = np.arange(len(organs) + 1)
    for value, organ in enumerate(organs, start=1):
        table[value] = organs.index(mirrored_organ(organ)) + 1
    return table


def random_linear(augmentation: Augmentation, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    """Return a random 3x3 map from crop millimetres to patient millimetres (x, y, z): rotations, scale, perhaps a reflection
    of x; and whether it reflects."""
    angles = np.deg2rad(rng.uniform(-1, 1, 3) * augmentation.rotation_degrees)
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = [a for a in range(3) if a != axis]
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    matrix = matrix / rng.uniform(
        *augmentation.scale
    )  # scale > 1 shows the organ larger: the crop spans less of the patient
    mirrored = augmentation.mirror and rng.random() < 0.5
    if mirrored:
        matrix = matrix @ np.diag([-1.0, 1.0, 1.0])
    return matrix, bool(mirrored)


def _random_z_mm(case: Case, config: NetworkConfig, slices: int, rng: np.random.Generator) -> float:
    spacing_z = config.spacing_mm_zyx[0]
    first = case.geometry.origin_mm_xyz[2]
    last = first + (case.geometry.shape_zyx[0] - 1) * case.geometry.spacing_mm_xyz[2]
    half = (slices - 1) / 2 * spacing_z
    low, high = first + half, last - half
    choices = list(case.centroids_mm_xyz)
    if choices and rng.random() < 0.5:
        organ_z = case.centroids_mm_xyz[choices[rng.integers(len(choices))]][2]
        wanted = organ_z + rng.uniform(-0.8, 0.8) * half
    else:
        wanted = rng.uniform(min(low, high), max(low, high))
    return float(np.clip(wanted, low, high)) if low <= high else (first + last) / 2


def crop_to_case(
    case: Case,
    config: NetworkConfig,
    shape_zyx: tuple[int, int, int],
    linear_xyz: np.ndarray,
    center_mm_xyz: np.ndarray,
) -> np.ndarray:
    """Return the 4x4 map from crop voxels (z, y, x, 1) to the case's voxels (z, y, x, 1)."""
    spacing_xyz = np.array(config.spacing_mm_zyx[::-1])
    middle_xyz = (np.array(shape_zyx[::-1]) - 1) / 2
    to_mm = np.eye(4)
    to_mm[:3, :3] = linear_xyz * spacing_xyz
    to_mm[:3, 3] = center_mm_xyz - to_mm[:3, :3] @ middle_xyz
    combined = np.linalg.inv(case.geometry.affine_xyz) @ to_mm  # x, y, z order
    reverse = np.eye(4)[[2, 1, 0, 3]]
    return reverse @ combined @ reverse


def interpolate(case: Case, to_case_zyx: np.ndarray, shape_zyx: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return CT in HU (D, H, W) float32 and labels (D, H, W) int64 of a crop, in one pass.

    The CT is interpolated linearly, with air outside; each label linearly as a mask, and the strongest wins.
    """
    low, high = _window(case, to_case_zyx, shape_zyx)
    part = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    labels = case.labels[part]
    present = np.unique(labels[labels > 0]).tolist()  # a few of many organs
    hu, grid = torch.from_numpy(case.hu[part].astype(np.float32)), _part_grid(low, to_case_zyx, shape_zyx, labels.shape)
    ct, best = interpolated(hu, torch.from_numpy(np.ascontiguousarray(labels)), present, grid, shape_zyx)
    return ct.numpy(), best.numpy()


def interpolate_on(
    case: Case, to_case_zyx: np.ndarray, shape_zyx: tuple[int, int, int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the same on ``device``, where the case is kept."""
    low, high = _window(case, to_case_zyx, shape_zyx)
    part = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    hu, labels = tensors_on(case, device)
    grid = _part_grid(low, to_case_zyx, shape_zyx, labels[part].shape).to(device)
    return interpolated(hu[part], labels[part], values_within(case, low, high), grid, shape_zyx)


def _part_grid(
    low: Sequence[int], to_case_zyx: np.ndarray, shape_zyx: tuple[int, int, int], size_zyx: Sequence[int]
) -> Tensor:
    """grid_sample's grid for a part of the case that begins at ``low``."""
    shift = np.eye(4)
    shift[:3, 3] = -np.array(low)
    return _sampling_grid(shift @ to_case_zyx, shape_zyx, size_zyx)


def _window(case: Case, to_case_zyx: np.ndarray, shape_zyx: tuple[int, int, int]) -> tuple[list[int], list[int]]:
    """Return the corners of the part of the case that the crop can see, at least one voxel: masks of the whole scan cost memory."""
    corners = box_corners((0, 0, 0), np.array(shape_zyx) - 1).T
    index = (to_case_zyx @ np.vstack([corners, np.ones(corners.shape[1])]))[:3]
    limits = np.array(case.geometry.shape_zyx)
    low = np.clip(np.floor(index.min(axis=1)).astype(int) - 1, 0, limits - 1)
    high = np.clip(np.ceil(index.max(axis=1)).astype(int) + 2, low + 1, limits)
    return low.tolist(), high.tolist()


def _sampling_grid(to_case_zyx: np.ndarray, shape_zyx: tuple[int, int, int], size_zyx: Sequence[int]) -> Tensor:
    """Return grid_sample's (1, D, H, W, 3) grid in x, y, z order and its -1..1 coordinates (align_corners)."""
    scale = 2.0 / np.maximum(np.array(size_zyx) - 1, 1)
    matrix = torch.from_numpy((to_case_zyx[:3, :3] * scale[:, None]).astype(np.float32))
    offset = torch.from_numpy((to_case_zyx[:3, 3] * scale - 1.0).astype(np.float32))
    z, y, x = (torch.arange(n, dtype=torch.float32) for n in shape_zyx)
    grid = (
        z[:, None, None, None] * matrix[:, 0]
        + y[None, :, None, None] * matrix[:, 1]
        + x[None, None, :, None] * matrix[:, 2]
    ) + offset
    return grid.flip(-1)[None]
