"""A painted head before its scan, kept on disk: real contours, tissues around them, on thin slices. Variants are drawn from it (variant.py)."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy import ndimage

from ..datasets.bit_masks import LabelMap
from ..errors import DatasetError
from ..files.atomic_write import atomic_path
from ..image.volume import Geometry
from .ct import painted_scene
from .labels import grid_around, merged_labels
from .labels import on_grid as organ_on_grid

SPACING_MM_XYZ = (1.0, 1.0, 1.5)
CAVITY_HU = -500.0  # inside the body, below this is air: sinuses, airway, mastoid cells
OUTSIDE, BODY, CAVITY, METAL = range(4)  # values of ``Specimen.kind``


@dataclass(frozen=True)
class Specimen:
    """A head as it is, before any scanner. ``hu`` int16, ``labels`` uint8 (k is ``organs[k - 1]``) and ``kind`` uint8 (OUTSIDE, BODY, CAVITY,
    METAL), all (z, y, x) on ``geometry``. ``contoured``: organs that are known here; ``centres_mm_xyz``: of those that have voxels."""

    name: str
    hu: np.ndarray
    labels: np.ndarray
    kind: np.ndarray
    geometry: Geometry
    organs: tuple[str, ...]
    contoured: frozenset[str]
    centres_mm_xyz: dict[str, tuple[float, float, float]]

    @cached_property
    def boxes_zyx(self) -> dict[int, tuple[slice, slice, slice]]:
        """The box of voxels around each label value that occurs."""
        return {value: box for value, box in enumerate(ndimage.find_objects(self.labels), start=1) if box is not None}


def make_specimen(label_map: LabelMap, organs: tuple[str, ...], seed: int, region: str = "head") -> Specimen:
    """Paint the head of ``label_map`` on slices of 1.5 mm, of the ``region`` that ``grid_around`` names.

    ``organs``: those that get a label, in this order; the others are anatomy.

    The same contours and seed give the same voxels. Raises InputError as ``simulate_ct``.
    """
    geometry = grid_around(label_map, SPACING_MM_XYZ, region)
    masks = {name: organ_on_grid(label_map, name, geometry) for name in label_map.boxes}
    rng = np.random.default_rng((seed, zlib.crc32(label_map.name.encode())))
    scene = painted_scene(masks, geometry, label_map.centres_mm, rng)
    assert scene.body is not None
    values = {organ: value for value, organ in enumerate(organs, start=1)}
    labels = merged_labels(scene.masks, values, geometry)
    kind = np.where(scene.body, np.where(scene.hu < CAVITY_HU, CAVITY, BODY), OUTSIDE).astype(np.uint8)
    kind[scene.metal] = METAL
    centres = {}
    for organ, value in values.items():
        index = np.argwhere(labels == value)
        if len(index):
            x, y, z = geometry.index_to_mm(index.mean(axis=0))
            centres[organ] = (float(x), float(y), float(z))
    hu = np.clip(np.rint(scene.hu), -1024, 3071).astype(np.int16)
    known = frozenset(organ for organ in organs if organ in scene.masks)
    return Specimen(label_map.name, hu, labels, kind, geometry, organs, known, centres)


def save_specimen(path: Path, specimen: Specimen) -> None:
    """Write one .npz file (not compressed: it is read often)."""
    g = specimen.geometry
    about = {
        "name": specimen.name,
        "spacing": g.spacing_mm_xyz,
        "origin": g.origin_mm_xyz,
        "organs": specimen.organs,
        "contoured": sorted(specimen.contoured),
        "centres": specimen.centres_mm_xyz,
    }
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    with atomic_path(path) as partial, open(partial, "wb") as handle:
        np.savez(handle, hu=specimen.hu, labels=specimen.labels, kind=specimen.kind, about=text)


def load_specimen(path: Path) -> Specimen:
    """Raises DatasetError for a file that is missing or none of ours."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            about = json.loads(stored["about"].tobytes())
            hu, labels, kind = stored["hu"], stored["labels"], stored["kind"]
    except (OSError, ValueError, KeyError) as problem:
        raise DatasetError(f"{path} is not a painted head of this program ({problem}); delete it, it is made again.") from problem  # fmt: skip
    return Specimen(
        about["name"],
        hu,
        labels,
        kind,
        Geometry(hu.shape, tuple(about["spacing"]), tuple(about["origin"])),
        tuple(about["organs"]),
        frozenset(about["contoured"]),
        {organ: tuple(point) for organ, point in about["centres"].items()},
    )
