"""Read and check seed points: a person says where a small organ is, and SOS-Net looks there instead of at the heat map's maximum."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..image.organs import find_organ

if TYPE_CHECKING:
    from ..nets.bundle import ModelBundle
    from .preprocess import PreprocessRecord

Seeds = Mapping[str, Sequence[float]]  # TG-263 name or synonym -> (x, y, z) in LPS mm of the scan's own space


def parse_seed(text: str) -> tuple[str, tuple[float, float, float]]:
    """Return organ and (x, y, z) in LPS mm of the command line's ``ORGAN=X,Y,Z``. Raises InputError."""
    name, equals, numbers = text.partition("=")
    parts = [part.strip() for part in numbers.split(",")]
    try:
        x, y, z = (float(part) for part in parts)
    except ValueError:
        x = y = z = math.nan
    if not name.strip() or not equals or not all(map(math.isfinite, (x, y, z))):
        raise InputError(
            f"Seed {text!r} cannot be read; ORGAN=X,Y,Z with three numbers in LPS millimetres is expected, e.g. Larynx=3.5,-20,-118."
        )
    return name.strip(), (x, y, z)


def parse_seeds(texts: Iterable[str]) -> dict[str, tuple[float, float, float]]:
    """Return the points of several ``ORGAN=X,Y,Z`` by organ. Raises InputError, also where an organ has two."""
    seeds: dict[str, tuple[float, float, float]] = {}
    for text in texts:
        name, place = parse_seed(text)
        organ = find_organ(name)
        key = organ.name if organ is not None else name
        if key in seeds:
            raise InputError(f"{key} has two seeds; give one place for each organ.")
        seeds[key] = place
    return seeds


def check_seeds(bundle: ModelBundle, seeds: Seeds | None) -> dict[str, tuple[float, float, float]]:
    """Return seeds by TG-263 name. Raises InputError, before any work is done, for an organ that this model cannot look for at a given place."""
    checked: dict[str, tuple[float, float, float]] = {}
    for name, place in (seeds or {}).items():
        organ = find_organ(name)
        if organ is None or organ.name not in bundle.config.organs:
            known = ", ".join(o.name for o in bundle.organs)
            raise InputError(f"Model {bundle.name} has no organ {name!r}, for which a seed is given; it knows {known}.")
        if not bundle.config.has_sos:
            raise InputError(
                f"Model {bundle.name} has no SOS-Nets (its training ended with S-Net and SOL-Net), so it cannot segment {organ.name} at a "
                "given place; choose a model with SOS-Nets, or correct the organ by hand."
            )
        if organ.name not in bundle.small_organs:
            raise InputError(
                f"Model {bundle.name} has no SOS-Net for {organ.name}; seeds are for its small organs: {', '.join(bundle.small_organs)}."
            )
        values = tuple(float(v) for v in place)
        if len(values) != 3 or not all(map(math.isfinite, values)):
            raise InputError(
                f"The seed of {organ.name} is {tuple(place)}; three finite numbers (x, y, z in LPS mm) are expected."
            )
        if organ.name in checked:
            raise InputError(f"{organ.name} has two seeds; give one place for each organ.")
        checked[organ.name] = (values[0], values[1], values[2])
    return checked


def seed_voxels(
    seeds: Mapping[str, tuple[float, float, float]], record: PreprocessRecord
) -> dict[str, tuple[int, int, int]]:
    """Return seeds as voxels (z, y, x) of the network's grid. Raises InputError for a place outside the scan or outside what is segmented."""
    voxels = {}
    for organ, place in seeds.items():
        for grid, what in (
            (record.scan, "outside the scan"),
            (record.network, "outside the part of the scan that is segmented"),
        ):
            index = grid.mm_to_index(np.asarray(place))
            if (index < -0.5).any() or (index > np.array(grid.shape_zyx) - 0.5).any():
                x, y, z = place
                raise InputError(
                    f"The seed of {organ} at ({x:.1f}, {y:.1f}, {z:.1f}) mm (LPS) lies {what}; move it onto the organ."
                )
        z, y, x = (int(v) for v in np.clip(np.round(index), 0, np.array(record.network.shape_zyx) - 1))
        voxels[organ] = (z, y, x)
    return voxels
