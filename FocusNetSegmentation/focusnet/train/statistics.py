"""Volume statistics of the training organs: what a later check calls unusually small or large."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..config import NetworkConfig
from ..datasets.case import Case

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)


def volume_statistics(cases: Sequence[Case], config: NetworkConfig) -> dict[str, dict[str, float]]:
    """Per organ: count, mean, SD and percentiles of the contoured volume in ml, over the cases where it was contoured."""
    volumes: dict[str, list[float]] = {organ: [] for organ in config.organs}
    for case in cases:
        voxel_ml = float(np.prod(case.geometry.spacing_mm_xyz)) / 1000.0
        counts = np.bincount(case.labels.ravel(), minlength=len(config.organs) + 1)
        for value, organ in enumerate(config.organs, start=1):
            if organ in case.contoured and counts[value]:
                volumes[organ].append(float(counts[value]) * voxel_ml)
    out = {}
    for organ, values in volumes.items():
        if values:
            row = {"n": float(len(values)), "mean_ml": float(np.mean(values)), "sd_ml": float(np.std(values))}
            row.update({f"p{p}_ml": float(np.percentile(values, p)) for p in PERCENTILES})
            out[organ] = {key: round(value, 3) for key, value in row.items()}
    return out
