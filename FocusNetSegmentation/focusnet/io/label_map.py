"""Label maps: NIfTI for other programs, with a table of names beside it, and the way back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..files.atomic_write import atomic_path, check_output, json_text
from ..image.organs import Organ, find_organ
from ..image.segmentation import OrganResult, Segmentation
from ..image.volume import Geometry
from .itk_write import write_checked
from .suffixes import LABEL_MAPS, NIFTI

UNKNOWN_COLOR = (128, 128, 128)
EXPECTED_NAMES = 'a table such as {"Parotid_L": 1, "Parotid_R": 2} is expected'


def names_path(path: Path | str) -> Path:
    """Return the path of a label map's table of names: ``scan.nii.gz`` -> ``scan.labels.json``."""
    path = Path(path)
    for suffix in LABEL_MAPS:
        if path.name.lower().endswith(suffix):
            return path.with_name(path.name[: -len(suffix)] + ".labels.json")
    return path.with_name(path.name + ".labels.json")


def write_nifti(segmentation: Segmentation, path: Path | str, overwrite: bool = False) -> None:
    """Write a uint8 label map and beside it ``NAME.labels.json``, {TG-263 name: label}; both or neither. Raises
    OutputError.

    NIfTI stores the grid's place in single precision: positions come back within 0.001 mm.
    """
    check_output(path, overwrite, NIFTI)
    check_output(names_path(path), overwrite)
    image = sitk.GetImageFromArray(segmentation.labels)
    image.SetSpacing(segmentation.geometry.spacing_mm_xyz)
    image.SetOrigin(segmentation.geometry.origin_mm_xyz)
    image.SetDirection(np.asarray(segmentation.geometry.direction_xyz).ravel().tolist())
    names = json_text({result.organ.name: result.label for result in segmentation.results}, indent=1) + "\n"
    with atomic_path(names_path(path)) as table, atomic_path(path) as label_map:
        write_checked(image, label_map)
        table.write_text(names, encoding="utf-8")


def read_label_map(path: Path | str, names: Mapping[str, int] | None = None) -> Segmentation:
    """Read a NIfTI, NRRD or MetaImage label map as a Segmentation on its own grid.

    ``names``: {organ: label value, 1 to 255}; by default ``NAME.labels.json`` beside the file. Organs are recognised
    by TG-263 name or synonym; other names are kept as they are. Values without a name become background. Raises
    InputError.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; a label map is expected.")
    organs = _organs(names if names is not None else _read_names(path), path)
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as problem:
        raise InputError(f"{path} cannot be read as an image; it may be damaged or of another format.") from problem
    array = sitk.GetArrayFromImage(image)
    if array.ndim != 3 or not np.array_equal(array, np.trunc(array)):  # NaN equals nothing, itself included
        raise InputError(f"{path} is not a label map; a 3D image of whole numbers is expected.")
    direction = np.asarray(image.GetDirection()).reshape(3, 3)
    geometry = Geometry(array.shape, image.GetSpacing(), image.GetOrigin(), tuple(map(tuple, direction)))
    labels = np.where(np.isin(array, list(organs.values())), array, 0).astype(np.uint8)
    counts = np.bincount(labels.ravel(), minlength=256).tolist()
    voxel_ml = geometry.voxel_ml
    results = tuple(
        OrganResult(
            organ=find_organ(name) or unknown_organ(name),
            label=label,
            found=bool(counts[label]),
            volume_ml=counts[label] * voxel_ml,
        )
        for name, label in organs.items()
    )
    return Segmentation(labels, geometry, results, {"source": str(path)})


def unknown_organ(
    name: str, color_rgb: tuple[int, int, int] = UNKNOWN_COLOR, code: str = "", meaning: str = ""
) -> Organ:
    """Return an organ of a name that the organ table does not know: it can be compared and drawn, but has no side or
    code."""
    return Organ(name, name, "", False, color_rgb, code, meaning)


def _organs(names: Mapping[str, int], path: Path) -> dict[str, int]:
    """The table of names checked: one organ per value and one value per organ, whatever synonyms are used."""
    seen: dict[str, str] = {}
    for name, label in names.items():
        if not 0 < label < 256:
            raise InputError(f"{path}: label {label} of {name} is outside 1 to 255; renumber the label map.")
        organ = find_organ(name)
        key = organ.name if organ is not None else name
        if key in seen:
            raise InputError(f"{path}: {seen[key]!r} and {name!r} are both {key}; one label per organ is expected.")
        seen[key] = name
    if not names or len(set(names.values())) != len(names):
        raise InputError(f"{path}: the table of label names is empty or gives one value twice; {EXPECTED_NAMES}.")
    return dict(names)


def _read_names(path: Path) -> dict[str, int]:
    table = names_path(path)
    if not table.is_file():
        raise InputError(f"{path} is a label map without names. Put them beside it in {table.name}; {EXPECTED_NAMES}.")
    try:
        return {str(name): int(label) for name, label in json.loads(table.read_text(encoding="utf-8")).items()}
    except (ValueError, AttributeError, TypeError, OSError) as problem:
        raise InputError(f"{table} cannot be read as label names ({problem}); {EXPECTED_NAMES}.") from problem
