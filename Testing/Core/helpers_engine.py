"""Small networks, bundles and scans for the engine's tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from focusnet.image.volume import Geometry, Volume
from focusnet.nets.bundle import ModelBundle, save_bundle
from focusnet.nets.config import NetworkConfig
from focusnet.nets.focusnet import FocusNet

ORGANS = ("Brainstem", "SpinalCord", "Parotid_R", "Parotid_L", "Larynx")


def small_config(**changes: object) -> NetworkConfig:
    """A network of a few channels on a coarse grid: quick, and every part is there."""
    settings: dict[str, object] = {
        "organs": ORGANS,
        "small_organs": ("Brainstem", "Larynx"),
        "width": 0.125,
        "aspp_rates": (1, 2),
        "spacing_mm_zyx": (6.0, 6.0, 6.0),
        "crop_size_yx": (32, 32),
        "chunk_slices": 16,
        "stride": 16,
        "roi_size_zyx": (8, 16, 16),
        "location_threshold": 0.0,
    }
    settings.update(changes)
    return NetworkConfig(**settings)  # type: ignore[arg-type]


def random_network(config: NetworkConfig, seed: int = 0) -> FocusNet:
    """Random weights with batch statistics that are not the identity, so that nothing works by accident."""
    torch.manual_seed(seed)
    network = FocusNet(config)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            torch.nn.init.normal_(module.running_mean, 0.0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    torch.nn.init.normal_(network.snet.head.weight, 0.0, 2.0)  # so that every class wins somewhere
    return network.eval()


def random_bundle(
    folder: Path, config: NetworkConfig | None = None, name: str = "random", seed: int = 0
) -> ModelBundle:
    """A bundle of random weights: a test double for a trained model."""
    config = config or small_config()
    return save_bundle(folder / name, name, random_network(config, seed), {"data": "none: random weights, for tests"})


def head(
    shape_zyx: tuple[int, int, int] = (40, 48, 44),
    spacing_mm_xyz: tuple[float, float, float] = (5.0, 5.0, 5.0),
    seed: int = 0,
) -> Volume:
    """An ellipsoid of noisy soft tissue with a lopsided dense rod (the patient's left, +x) in air: a head to the preprocessing."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape_zyx], indexing="ij")
    hu = np.full(shape_zyx, -1000.0)
    body = (y / 0.8) ** 2 + (x / 0.7) ** 2 < 1
    hu[body] = 40
    hu[(np.abs(x - 0.3) < 0.15) & (np.abs(y) < 0.2)] = 700
    hu[(np.abs(z - 0.4) < 0.2) & (np.abs(x + 0.2) < 0.2) & (np.abs(y + 0.3) < 0.2)] = -300
    hu += rng.normal(0, 10, shape_zyx)
    origin = tuple(-(n - 1) / 2 * s for n, s in zip(shape_zyx[::-1], spacing_mm_xyz, strict=True))
    return Volume(hu.astype(np.int16), Geometry(shape_zyx, spacing_mm_xyz, origin), "made for a test")


def reoriented(volume: Volume, axes_zyx: tuple[int, int, int], flips_zyx: tuple[bool, bool, bool]) -> Volume:
    """The same scan stored with its array axes permuted and reversed; every voxel keeps its place in the patient."""
    geometry = volume.geometry
    array = np.transpose(volume.array, axes_zyx)
    direction = np.asarray(geometry.direction_xyz)
    axes_xyz = [2 - axes_zyx[2 - i] for i in range(3)]
    columns = direction[:, axes_xyz].copy()
    spacing = [geometry.spacing_mm_xyz[a] for a in axes_xyz]
    first = np.zeros(3)
    for axis, flip in enumerate(flips_zyx):
        if flip:
            array = np.flip(array, axis)
            first[axes_zyx[axis]] = volume.array.shape[axes_zyx[axis]] - 1
            columns[:, 2 - axis] *= -1
    stored = Geometry(
        array.shape,
        tuple(spacing),
        tuple(geometry.index_to_mm(first)),
        tuple(tuple(row) for row in columns),  # type: ignore[arg-type]
    )
    return Volume(np.ascontiguousarray(array), stored, volume.source)
