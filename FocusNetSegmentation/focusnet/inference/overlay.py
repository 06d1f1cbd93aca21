"""Lay small organs over large ones (section 3.1.3): SOS-Net's contours replace S-Net's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .arrays import Box

THRESHOLD = 0.5  # of SOS-Net's probability
NEAR_MM = 15.0  # voxels further outside a ROI are specks elsewhere, not the organ's end


@dataclass(frozen=True)
class SmallOrgan:
    """One small organ on the scan's grid: label ``value``, the ``window`` of the scan that it was looked for in, and its
    ``probability`` there (z, y, x)."""

    value: int
    window: Box
    probability: Tensor


def erase_organ(labels: Tensor, large_only: Tensor, value: int, slices: slice = slice(None)) -> None:
    """Replace label ``value`` of ``labels`` (z, y, x) in place by what stands there without the small organs (``large_only``, read where
    ``labels`` has the value alone).

    ``slices``: where; an organ that is longer than its ROI keeps what S-Net drew above and below it.
    """
    part = labels[slices]
    torch.where(part == value, large_only[slices], part, out=part)


def overlay(labels: Tensor, organs: list[SmallOrgan]) -> Tensor:
    """Write small organs over ``labels`` (uint8 z, y, x) in place. Where two of them overlap the smaller one wins: a lens lies in its globe,
    and the globe's SOS-Net, surer because it is larger, would draw over it. Of two that are equally large the later one of ``organs`` wins.
    """
    drawn = [(organ, organ.probability > THRESHOLD) for organ in organs]
    for organ, mask in sorted(drawn, key=lambda pair: -int(pair[1].sum())):
        labels[organ.window].masked_fill_(mask, organ.value)
    return labels


def part_beyond(voxels_zyx: Tensor, window: Box, spacing_mm_zyx: tuple[float, float, float]) -> float:
    """Return which part of an organ's ``voxels_zyx`` (n, 3) lies outside ``window``, of those in it or within NEAR_MM; 0 of none."""
    low = torch.tensor([s.start for s in window], device=voxels_zyx.device)
    high = torch.tensor([s.stop - 1 for s in window], device=voxels_zyx.device)
    outside = torch.maximum(low - voxels_zyx, voxels_zyx - high).clamp(min=0)  # voxels along each axis
    away_mm = (outside * torch.tensor(spacing_mm_zyx, device=voxels_zyx.device)).norm(dim=1)
    near = away_mm <= NEAR_MM
    return float((near & (away_mm > 0)).sum() / near.sum().clamp(min=1))


def overlap(labels: Tensor, value: int, voxels_zyx: Tensor) -> float | None:
    """Return the DSC of label ``value`` and ``voxels_zyx`` (n, 3); None where neither has a voxel."""
    same = int((labels[voxels_zyx.unbind(dim=1)] == value).sum())
    both = int((labels == value).sum()) + len(voxels_zyx)
    return 2 * same / both if both else None
