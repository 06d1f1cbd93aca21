"""Sizes of the training organs: for the weights of the loss, and for the check of a segmentation's volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ...datasets.case import Case
from ...datasets.dataset_toml import never_contoured
from ...errors import DatasetError
from ...nets.config import NetworkConfig

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)


def volume_statistics(cases: Sequence[Case], config: NetworkConfig) -> dict[str, dict[str, float]]:
    """Return per organ: count, mean, SD and percentiles of the contoured volume in ml, over the cases where it was contoured."""
    volumes: dict[str, list[float]] = {organ: [] for organ in config.organs}
    for case in cases:
        voxel_ml = case.geometry.voxel_ml
        counts = np.bincount(case.labels.ravel(), minlength=len(config.organs) + 1)
        for value, organ in enumerate(config.organs, start=1):
            if organ in case.contoured and counts[value]:
                volumes[organ].append(float(counts[value]) * voxel_ml)
    return summaries(volumes)


def summaries(volumes_ml: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """Return per organ that has any: count, mean, SD and percentiles of its volumes in ml, as a bundle keeps them."""
    out = {}
    for organ, values in volumes_ml.items():
        if values:
            row = {"n": float(len(values)), "mean_ml": float(np.mean(values)), "sd_ml": float(np.std(values))}
            row.update({f"p{p}_ml": float(np.percentile(values, p)) for p in PERCENTILES})
            out[organ] = {key: round(value, 3) for key, value in row.items()}
    return out


def mean_class_voxels(cases: Sequence[Case], config: NetworkConfig) -> Tensor:
    """Return the mean size of background and each organ in network voxels over the cases where it was contoured: eq. 1's alpha.
    (C + 1,)

    Raises DatasetError for an organ that no case shows.
    """
    voxel_mm3 = float(np.prod(config.spacing_mm_zyx))
    sums = np.zeros(len(config.organs) + 1)
    counts = np.zeros_like(sums)
    for case in cases:
        scale = case.geometry.voxel_ml * 1000.0 / voxel_mm3
        voxels = np.bincount(case.labels.ravel(), minlength=len(sums))[: len(sums)] * scale
        known = np.array([True, *(organ in case.contoured for organ in config.organs)])
        seen = known & (voxels > 0)
        sums[seen] += voxels[seen]
        counts[seen] += 1
    if not counts.all():
        missing = [organ for organ, n in zip(config.organs, counts[1:], strict=True) if n == 0]
        raise DatasetError(never_contoured(missing, config.organs))
    return torch.tensor(sums / counts, dtype=torch.float32)
