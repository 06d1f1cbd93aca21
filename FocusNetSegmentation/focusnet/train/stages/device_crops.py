"""Crops cut and turned on the device: the same places, augmentation and interpolation as ``augment``, without a CPU between the steps of a GPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...datasets.case import Case
from ...image.resample import AIR_HU
from ...nets.config import NetworkConfig


def interpolated(
    hu: Tensor, labels: Tensor, present: Sequence[int], grid: Tensor, shape_zyx: tuple[int, int, int]
) -> tuple[Tensor, Tensor]:
    """Return CT in HU (D, H, W) float32 and labels (D, H, W) int64 at ``grid`` (see ``torch.nn.functional.grid_sample``).

    ``hu``, ``labels``: a part of a case (z, y, x) on any device. ``present``: the label values to look for, in order. The CT is interpolated
    linearly, with air outside; each label linearly as a mask, and the strongest wins.
    """
    stack = torch.stack([hu.float() - AIR_HU, *((labels == value).float() for value in present)])  # 0 outside is air
    out = F.grid_sample(stack[None], grid, mode="bilinear", padding_mode="zeros", align_corners=True)[0]
    best = torch.zeros(shape_zyx, dtype=torch.int64, device=hu.device)
    strength = 1.0 - out[1:].sum(dim=0)  # the background
    for value, organ in zip(present, out[1:], strict=True):
        best.masked_fill_(organ > strength, value)
        strength = torch.maximum(strength, organ)
    return out[0] + AIR_HU, best


def tensors_on(case: Case, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return a case's HU and labels (z, y, x) on ``device``. They are taken there once and live as long as the case."""
    kept = case.__dict__.setdefault("_tensors_on", {})  # beside the fields, as cached_property does it
    if device not in kept:
        kept[device] = tuple(torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in (case.hu, case.labels))
    hu, labels = kept[device]
    return hu, labels


def values_within(case: Case, low_zyx: Sequence[int], high_zyx: Sequence[int]) -> list[int]:
    """Return the label values whose boxes reach into the part of a case from ``low_zyx`` to before ``high_zyx``; the labels need not be looked at."""
    return [
        value
        for value, box in case.boxes_zyx.items()
        if all(s.start < high and s.stop > low for s, low, high in zip(box, low_zyx, high_zyx, strict=True))
    ]


def add_noise(ct: Tensor, noise_hu: float, rng: np.random.Generator) -> Tensor:
    """Return ``ct`` with white noise of a random standard deviation up to ``noise_hu``, drawn on its device from ``rng``'s next number."""
    sigma = float(rng.uniform(0, noise_hu))
    generator = torch.Generator(ct.device).manual_seed(int(rng.integers(2**62)))
    return ct + sigma * torch.randn(ct.shape, generator=generator, device=ct.device)


def intensities(hu: Tensor, config: NetworkConfig) -> Tensor:
    """Return network intensities of HU, as ``inference.preprocess.normalise`` does for arrays."""
    low, high = config.hu_clip
    return (hu.clamp(low, high) + config.hu_offset) / config.hu_scale
