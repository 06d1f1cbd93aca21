"""Data sets in the layouts that people have, written to disk as real files: the coarse phantom with its 22 organs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from focusnet.datasets.layouts import STRUCTSEG_NAMES
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Geometry, Volume
from focusnet.io.seg_nrrd import write_seg_nrrd
from focusnet.phantom.write import phantom

SPACING_MM = (5.0, 5.0, 6.0)


@lru_cache(maxsize=4)
def patient(seed: int = 0) -> tuple[Volume, Segmentation]:
    """A phantom on a coarse grid; another seed is another patient. Its arrays cannot be changed."""
    volume, organs = phantom(seed, SPACING_MM)
    volume.array.flags.writeable = False
    organs.labels.flags.writeable = False
    return volume, organs


def write(path: Path, array: np.ndarray, geometry: Geometry) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(geometry.spacing_mm_xyz)
    image.SetOrigin(geometry.origin_mm_xyz)
    image.SetDirection(np.asarray(geometry.direction_xyz).ravel().tolist())
    sitk.WriteImage(image, str(path), useCompression=True)
    return path


def masks(organs: Segmentation, names: Sequence[str]) -> dict[str, np.ndarray]:
    return {name: organs.mask(name).astype(np.uint8) for name in names}


def write_pddca(folder: Path, cases: int = 3) -> Path:
    names = {"BrainStem": "Brainstem", "Parotid_L": "Parotid_L", "Parotid_R": "Parotid_R", "Chiasm": "OpticChiasm"}
    for number in range(cases):
        volume, organs = patient(number % 2)
        case = folder / f"0522c{number:04d}"
        write(case / "img.nrrd", volume.array + np.int16(number), volume.geometry)
        for file, mask in zip(names, masks(organs, list(names.values())).values(), strict=True):
            write(case / "structures" / f"{file}.nrrd", mask, volume.geometry)
    return folder


def write_han_seg(folder: Path, cases: int = 3) -> Path:
    for number in range(cases):
        volume, organs = patient(number % 2)
        name = f"case_{number + 1:02d}"
        write(folder / "set_1" / name / f"{name}_IMG_CT.nrrd", volume.array + np.int16(number), volume.geometry)
        write(folder / "set_1" / name / f"{name}_IMG_MR_T1.nrrd", volume.array, volume.geometry)
        for organ in ("Parotid_L", "Parotid_R", "Brainstem"):
            one = next(r for r in organs.results if r.organ.name == organ)
            labels = np.where(organs.labels == one.label, 1, 0).astype(np.uint8)
            alone = Segmentation(labels, organs.geometry, (replace(one, label=1),))
            write_seg_nrrd(alone, folder / "set_1" / name / f"{name}_OAR_{organ}.seg.nrrd")
        write(
            folder / "set_1" / name / f"{name}_OAR_Lips.nrrd",
            organs.mask("Brainstem").astype(np.uint8),
            organs.geometry,
        )
    return folder


def write_structseg(folder: Path, cases: int = 3) -> Path:
    for number in range(cases):
        volume, organs = patient(number % 2)
        labels = np.zeros(organs.labels.shape, np.uint8)
        for value, name in STRUCTSEG_NAMES.items():
            labels[organs.mask(name)] = value
        write(folder / str(number + 1) / "data.nii.gz", volume.array + np.int16(number), volume.geometry)
        write(folder / str(number + 1) / "label.nii.gz", labels, volume.geometry)
    return folder


def write_pairs(
    folder: Path,
    cases: int = 3,
    names: Sequence[str] = ("Brainstem", "Parotid_L", "Parotid_R"),
    edit: Callable[[int, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None,
) -> Path:
    """``<case>/ct.mha`` and ``<case>/label.mha`` with values 1, 2, ... for ``names``; ``edit(number, hu, labels)`` changes a case."""
    for number in range(cases):
        volume, organs = patient(number % 2)
        labels = np.zeros(organs.labels.shape, np.uint8)
        for value, name in enumerate(names, start=1):
            labels[organs.mask(name)] = value
        hu = volume.array + np.int16(number)
        if edit is not None:
            hu, labels = edit(number, hu, labels)
        write(folder / f"p{number + 1}" / "ct.mha", hu, volume.geometry)
        write(folder / f"p{number + 1}" / "label.mha", labels, volume.geometry)
    return folder


PAIRS_TOML = """
[organs]
1 = "Brainstem"
2 = "Parotid-Lt"
3 = "Parotid_R"

[splits]
train = ["p1", "p2"]
val = ["p3"]
"""
