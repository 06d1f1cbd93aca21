"""Write a training data set of simulated CTs in the OpenKBP layout, from a folder of bit masks."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..datasets.bit_masks import BitMaskFolder, patient_of
from ..errors import DatasetError, OutputError
from ..files.atomic_write import atomic_path, ensure_folder, json_text
from ..image.volume import Geometry
from ..io.image_read import SIMULATED_KEY
from ..io.itk_write import write_checked
from ..version import __version__
from .ct import NOTE, simulate_ct
from .labels import grid_around, label_values, merged_labels, thin_masks

SPACING_MM_XYZ = (1.0, 1.0, 3.0)  # the paper's grid
TEST_SHARE = 0.28  # of the patients outside the official validation split, for the split ``test``
REGIONS = ("head", "base", "small")


@dataclass(frozen=True)
class Recipe:
    """How a data set is simulated. ``region``: as in ``grid_around``. ``cases``: only these; empty for all."""

    annotator: str = "oncologist"
    seed: int = 0
    region: str = "head"
    spacing_mm_xyz: tuple[float, float, float] = SPACING_MM_XYZ
    cases: tuple[str, ...] = ()


def write_dataset(
    source: Path, out: Path, recipe: Recipe, overwrite: bool = False, log: Callable[[str], None] = print
) -> Path:
    """Write ``out/dataset.json`` and ``out/<split>/<case>/{ct,label}.nrrd``; return ``out``.

    Every case depends on the seed and its own name alone, so that a run that was stopped continues where it was: cases that exist
    are kept unless ``overwrite``. dataset.json is written last. Raises DatasetError or InputError for the label maps, OutputError
    for ``out``.
    """
    folder = BitMaskFolder.open(source)
    refuse_annotator(folder, recipe.annotator)
    index = out / "dataset.json"
    if index.exists() and not overwrite:
        raise OutputError(f"{index} exists; choose another folder or pass --overwrite.")
    splits = split_cases(folder, recipe)
    values = label_values(folder.organs, recipe.region)
    ensure_folder(out)
    contoured: dict[str, dict[str, list[str]]] = {split: {} for split in splits}
    total, done = sum(map(len, splits.values())), 0
    for split, names in splits.items():
        for name in names:
            contoured[split][name] = _write_case(folder, name, out / split / name, recipe, values, overwrite)
            done += 1
            log(f"[{done}/{total}] {split}/{name}")
    text = json_text(_index(folder, recipe, values, contoured), indent=1) + "\n"
    with atomic_path(index) as partial:
        partial.write_text(text, encoding="utf-8")
    return out


def refuse_annotator(folder: BitMaskFolder, annotator: str) -> None:
    """Raise DatasetError where ``annotator`` drew nothing here."""
    known = folder.annotators()
    if annotator not in known:
        raise DatasetError(f"{folder.folder} has no annotator {annotator!r}; there are {', '.join(known) or 'none'}.")


def split_cases(folder: BitMaskFolder, recipe: Recipe) -> dict[str, tuple[str, ...]]:
    """Return train, val and test by patient: val is the official validation split, the rest is divided by a hash of the patient's name.

    The hash does not depend on the seed: no choice of seed moves a patient from training to test. Raises DatasetError for unknown
    cases.
    """
    wanted = [name for names in folder.cases.values() for name in names]
    if recipe.cases:
        unknown = sorted(set(recipe.cases) - set(wanted))
        if unknown:
            raise DatasetError(f"{folder.folder} has no case {', '.join(unknown)}; dataset.json lists {', '.join(sorted(wanted)[:5])} ...")  # fmt: skip
        wanted = [name for name in wanted if name in recipe.cases]
    validation = {patient_of(name) for name in folder.cases.get("validation", ())}
    rest = sorted({patient_of(n) for names in folder.cases.values() for n in names} - validation, key=lambda p: (zlib.crc32(p.encode()), p))  # fmt: skip
    test = set(rest[: round(TEST_SHARE * len(rest))])
    out: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for name in sorted(wanted):
        patient = patient_of(name)
        out["val" if patient in validation else "test" if patient in test else "train"].append(name)
    return {split: tuple(names) for split, names in out.items()}


def _write_case(
    folder: BitMaskFolder, name: str, out: Path, recipe: Recipe, values: dict[str, int], overwrite: bool
) -> list[str]:
    """Simulate and write one case, unless it exists; return what was contoured in the whole scan, not only in the crop."""
    label_map = folder.read(recipe.annotator, name)
    drawn = sorted(set(label_map.boxes) & set(values), key=values.__getitem__)
    ct, label = out / "ct.nrrd", out / "label.nrrd"
    if ct.exists() and label.exists() and not overwrite:
        return drawn
    ensure_folder(out)
    geometry = grid_around(label_map, recipe.spacing_mm_xyz, recipe.region)
    masks = thin_masks(label_map, geometry)
    volume = simulate_ct(masks, geometry, label_map.centres_mm, (recipe.seed, zlib.crc32(name.encode())), name)
    write_marked(label, merged_labels(masks, values, geometry), geometry, f"Labels of {name} ({recipe.annotator}).")
    write_marked(ct, volume.array, geometry, f"{NOTE} Case {name}, seed {recipe.seed}, focusnet {__version__}.")
    return drawn


def write_marked(path: Path, array: np.ndarray, geometry: Geometry, text: str) -> None:
    """Write a compressed NRRD (z, y, x) whose header says under the key ``simulated`` what it is. Raises OutputError."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(geometry.spacing_mm_xyz)
    image.SetOrigin(geometry.origin_mm_xyz)
    image.SetDirection([v for row in geometry.direction_xyz for v in row])
    image.SetMetaData(SIMULATED_KEY, text)
    with atomic_path(path) as partial:
        write_checked(image, partial)


def _index(
    folder: BitMaskFolder, recipe: Recipe, values: dict[str, int], contoured: dict[str, dict[str, list[str]]]
) -> dict[str, object]:
    return {
        "simulated": NOTE,
        "simulator": {
            "focusnet_version": __version__,
            "seed": recipe.seed,
            "annotator": recipe.annotator,
            "region": recipe.region,
            "spacing_mm_xyz": list(recipe.spacing_mm_xyz),
            "label_maps": folder.folder.name,
        },
        "labels": values,
        "contoured": {split: cases for split, cases in contoured.items() if cases},
    }
