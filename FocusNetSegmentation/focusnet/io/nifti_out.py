"""Label maps: NIfTI for other programs, with a table of names beside it, and the way back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..organs import Organ, find_organ
from ..segmentation import OrganResult, Segmentation
from ..volume import Geometry
from .output import atomic_path, check_output


def names_path(path: Path) -> Path:
    """Where a label map's names stand: ``scan.nii.gz`` -> ``scan.labels.json``."""
    name = path.name
    for suffix in (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd"):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    return path.with_name(name + ".labels.json")


def write_nifti(segmentation: Segmentation, path: Path | str, overwrite: bool = False) -> None:
    """Write a uint8 label map and ``NAME.labels.json`` with each label's TG-263 name. Raises OutputError."""
    path = Path(path)
    check_output(path, overwrite)
    check_output(names_path(path), overwrite)
    image = sitk.GetImageFromArray(segmentation.labels)
    image.SetSpacing(segmentation.geometry.spacing_mm_xyz)
    image.SetOrigin(segmentation.geometry.origin_mm_xyz)
    image.SetDirection(np.asarray(segmentation.geometry.direction_xyz).ravel().tolist())
    with atomic_path(names_path(path)) as partial:
        partial.write_text(json.dumps({r.organ.name: r.label for r in segmentation.results}, indent=1) + "\n", encoding="utf-8")
    with atomic_path(path) as partial:
        sitk.WriteImage(image, str(partial), useCompression=True)


def read_label_map(path: Path | str, names: dict[str, int] | None = None) -> Segmentation:
    """Read a label map with its names (default: from ``NAME.labels.json``). Raises InputError if there are none."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; a label map is expected.")
    if names is None:
        names = _read_names(path)
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as problem:
        raise InputError(f"{path} cannot be read as an image; it may be damaged or of another format.") from problem
    array = sitk.GetArrayFromImage(image)
    if array.ndim != 3 or array.min() < 0 or array.max() > 255 or not np.array_equal(array, array.astype(np.uint8)):
        raise InputError(f"{path} is not a label map: a 3D image of whole numbers from 0 to 255 is expected.")
    direction = np.asarray(image.GetDirection()).reshape(3, 3)
    geometry = Geometry(array.shape, image.GetSpacing(), image.GetOrigin(), tuple(map(tuple, direction)))
    counts = np.bincount(array.ravel().astype(np.uint8), minlength=256)
    voxel_ml = float(np.prod(geometry.spacing_mm_xyz)) / 1000.0
    results = []
    for name, label in names.items():
        organ = find_organ(name) or Organ(name, name, "", False, (128, 128, 128), "", "")
        results.append(OrganResult(organ, int(label), bool(counts[label]), float(counts[label]) * voxel_ml))
    return Segmentation(array.astype(np.uint8), geometry, tuple(results))


def _read_names(path: Path) -> dict[str, int]:
    table = names_path(path)
    if not table.is_file():
        raise InputError(f"{path} is a label map without names; put them in {table.name} as {{\"Parotid_L\": 1, ...}}.")
    try:
        names = {str(k): int(v) for k, v in json.loads(table.read_text(encoding="utf-8")).items()}
    except (ValueError, AttributeError, TypeError) as problem:
        raise InputError(f"{table} is not a table of names and label values ({problem}); expected {{\"Parotid_L\": 1, ...}}.") from problem
    if not all(0 < v < 256 for v in names.values()):
        raise InputError(f"{table} holds label values outside 1 to 255.")
    return names
