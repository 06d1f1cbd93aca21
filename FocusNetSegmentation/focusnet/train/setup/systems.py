"""The parts of a run's plan that depend on its system (``NetworkConfig.arch``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...datasets.case import Case
from ...errors import ConfigError, DatasetError
from ...nets.config import ARCHS, NetworkConfig, with_changes
from ..logger import LOGGER
from ..stages.small_organ_crops import small_organ_extents

V1_ROI_FACTOR = 3.0  # FocusNetv1: "the ROI sizes are set as three-time of the OARs' sizes" (section 3.1.3)
SMALLEST_ROI = 4  # voxels: a thinner box has no neighbourhood to convolve


def apply_arch(
    network: dict[str, Any], options: dict[str, dict[str, Any]], settings: Mapping[str, Any]
) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Return [network] and the overriding settings of a run, as its system asks. Raises ConfigError for what contradicts it."""
    arch = network.get("arch", "focusnetv2")
    if arch not in ARCHS:
        raise ConfigError(f"System {arch!r} is unknown; choose from {', '.join(ARCHS)}.")
    if not ARCHS[arch].two_stage:
        if network.get("small_organs"):
            LOGGER.info(
                f"{arch} has no second stage: {', '.join(network['small_organs'])} are segmented like all others."
            )
        network = {**network, "small_organs": (), "has_sos": False}
    if arch == "focusnetv1":
        tables = (options["settings"], *options["stages"].values(), settings)
        asked = {table["aae_mode"] for table in tables if "aae_mode" in table} - {"none"}
        if asked:
            raise ConfigError(
                f"focusnetv1 has no shape autoencoder; aae_mode is {', '.join(sorted(asked))}, none is expected. "
                "Leave aae_mode out or choose focusnetv2."
            )
        settings = {**settings, "aae_mode": "none"}
    return network, settings


def with_own_rois(config: NetworkConfig, training: Sequence[Case]) -> NetworkConfig:
    """Return the configuration of FocusNetv1: each small organ's ROI is three times its mean box over the training cases, at most a chunk.

    Raises DatasetError for a small organ that nobody contoured.
    """
    found: dict[str, list[np.ndarray]] = {organ: [] for organ in config.small_organs}
    for case in training:
        for organ, extent in small_organ_extents(case, config).items():
            found[organ].append((extent.high_mm_xyz - extent.low_mm_xyz)[::-1])
    missing = [organ for organ, boxes in found.items() if not boxes]
    if missing:
        raise DatasetError(f"No training case has a contour of {', '.join(missing)}; a small organ needs some.")
    limits = np.array([config.chunk_slices, *config.crop_size_yx])
    sizes = []
    for organ in config.small_organs:
        voxels = np.ceil(V1_ROI_FACTOR * np.mean(found[organ], axis=0) / config.spacing_mm_zyx)
        z, y, x = (int(n) for n in np.clip(voxels, SMALLEST_ROI, limits))
        sizes.append((z, y, x))
        LOGGER.info(f"ROI of {organ}: {z} x {y} x {x} voxels (z, y, x), three times its mean size.")
    return with_changes(config, roi_sizes_zyx=tuple(sizes))
