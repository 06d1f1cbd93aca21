"""One patient's contours as read from files, before they become a training case. Structures may share voxels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..errors import DatasetError
from ..image.body import body_center_mm
from ..image.orientation import to_upright
from ..image.volume import Geometry, Volume
from .case import Case, organ_centroids_mm


@dataclass(frozen=True)
class RawCase:
    """Contours as stored: local names, stored axes.

    ``image``: None where a data set holds contours without their CT. ``voxels``: local name -> sorted flat indices into the (z,
    y, x) array of ``geometry``. ``warnings``: local name -> the reader's sentences about it. ``notes``: its sentences about the files.
    ``contoured``: organs that the case itself says are known, with voxels or without; None where it says nothing.
    """

    image: Volume | None
    geometry: Geometry
    voxels: dict[str, np.ndarray]
    warnings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    contoured: frozenset[str] | None = None


@dataclass(frozen=True)
class Contours:
    """A patient's organs on an upright grid; organs may share voxels (the cord lies in its canal, the lens in the eye).

    ``hu``: int16 (z, y, x), None without a CT. ``voxels``: organ -> flat indices, of every contoured organ (empty: it is absent).
    ``contoured``: organs that are known in this patient; **an organ not named is unknown, not absent**.
    """

    name: str
    hu: np.ndarray | None
    geometry: Geometry
    voxels: Mapping[str, np.ndarray]
    contoured: frozenset[str]
    warnings: tuple[str, ...] = ()
    patient: str = ""

    def mask(self, organ: str) -> np.ndarray:
        """Return one organ as a boolean mask (z, y, x); all False if it has no voxel here."""
        mask = np.zeros(self.geometry.shape_zyx, bool)
        mask.reshape(-1)[self.voxels.get(organ, np.zeros(0, np.int64))] = True
        return mask

    def volume_ml(self, organ: str) -> float:
        """Return an organ's volume in ml."""
        return len(self.voxels[organ]) * self.geometry.voxel_ml

    def centroid_mm(self, organ: str) -> np.ndarray:
        """Return the centre of mass (x, y, z in LPS mm) of an organ that has voxels."""
        index_zyx = np.stack(np.unravel_index(self.voxels[organ], self.geometry.shape_zyx), axis=1)
        return self.geometry.index_to_mm(index_zyx.mean(axis=0))

    def as_case(self, organs: tuple[str, ...]) -> Case:
        """Return a training case: one label map, value k for ``organs[k - 1]``; where organs share voxels the smaller one keeps them.

        Raises DatasetError without a CT.
        """
        if self.hu is None:
            raise DatasetError(
                f"{self.name} has contours but no CT; such a data set serves for shapes only. Put the CT beside the contours to train on it."
            )
        labels = np.zeros(self.geometry.shape_zyx, np.uint8)
        for organ in sorted(self.voxels, key=lambda o: -len(self.voxels[o])):
            if organ in organs:
                labels.reshape(-1)[self.voxels[organ]] = organs.index(organ) + 1
        contoured = self.contoured & set(organs)
        return Case(
            name=self.name,
            hu=self.hu,
            labels=labels,
            geometry=self.geometry,
            contoured=frozenset(contoured),
            center_mm_xyz=tuple(body_center_mm(self.hu, self.geometry)),
            centroids_mm_xyz=organ_centroids_mm(labels, self.geometry, organs, frozenset(contoured)),
            warnings=self.warnings,
        )


def upright_contours(
    name: str,
    patient: str,
    raw: RawCase,
    voxels: Mapping[str, np.ndarray],
    contoured: frozenset[str],
    warnings: tuple[str, ...] = (),
) -> Contours:
    """Return the same voxels in the same places of the patient, with axes to head, back and left; nothing is interpolated.

    ``voxels``: organ -> flat indices (n,) into the stored (z, y, x) array.
    """
    shape = raw.geometry.shape_zyx
    hu = None
    if raw.image is not None:
        hu, upright, axes, flips = to_upright(raw.image.array, raw.geometry)
        hu = np.ascontiguousarray(np.clip(np.rint(hu) if hu.dtype.kind == "f" else hu, -32768, 32767), dtype=np.int16)
    else:
        _, upright, axes, flips = to_upright(np.broadcast_to(np.int8(0), shape), raw.geometry)
    upright_voxels = {
        organ: _flat_indices_upright(flat, shape, upright.shape_zyx, axes, flips) for organ, flat in voxels.items()
    }
    return Contours(name, hu, upright, upright_voxels, contoured, warnings, patient)


def _flat_indices_upright(
    flat: np.ndarray,
    shape: tuple[int, int, int],
    upright: tuple[int, int, int],
    axes: tuple[int, int, int],
    flips: tuple[bool, bool, bool],
) -> np.ndarray:
    """Return flat indices into the stored array as sorted flat indices into the upright array."""
    if axes == (0, 1, 2) and not any(flips):
        return flat
    index = np.unravel_index(flat, shape)
    moved = [
        upright[i] - 1 - index[axis] if flip else index[axis]
        for i, (axis, flip) in enumerate(zip(axes, flips, strict=True))
    ]
    return np.sort(np.ravel_multi_index(moved, upright))


def voxels_by_value(labels: np.ndarray) -> dict[int, np.ndarray]:
    """Return the sorted flat indices of every value but 0 of ``labels`` (z, y, x)."""
    flat = labels.reshape(-1)
    there = np.flatnonzero(flat)
    if not len(there):
        return {}
    values = flat[there]
    order = np.argsort(values, kind="stable")
    found, starts = np.unique(values[order], return_index=True)
    return {int(v): part for v, part in zip(found, np.split(there[order], starts[1:]), strict=True)}
