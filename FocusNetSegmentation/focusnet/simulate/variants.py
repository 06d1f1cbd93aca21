"""A training data set of many variants of each case, in the OpenKBP layout: twenty patients become as many scans as are asked for."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..datasets.bit_masks import BitMaskFolder
from ..errors import OutputError
from ..files.atomic_write import atomic_path, ensure_folder, json_text
from ..image.organs import mirrored
from ..image.volume import Geometry
from ..version import __version__
from .dataset import Recipe, refuse_annotator, split_cases, write_marked
from .labels import label_values
from .specimen import Specimen, load_specimen, make_specimen, save_specimen
from .variant import draw_variant
from .variety import Variety

NOTE = "Simulated CT over real contours, bent and scanned at random, not a patient's scan."
MODELLED = ("OpticChiasm", "Pituitary")  # their shapes are the simulator's, nobody contoured them
PAINTED = "painted"  # folder of the heads before any scanner


@dataclass(frozen=True)
class VariantsRecipe:
    """``base``: contours, seed, region ("head" or "base"), spacing, cases. ``count``: variants of each case of train and val; the test
    cases have one, as painted."""

    base: Recipe
    count: int
    variety: Variety = field(default_factory=Variety)


def write_variants(
    source: Path, out: Path, recipe: VariantsRecipe, overwrite: bool = False, log: Callable[[str], None] = print
) -> Path:
    """Write ``out/dataset.json``, ``out/<split>/<case>-v<number>/{ct,label}.nrrd`` and the painted heads; returns ``out``.

    A variant depends on the seed, its case's name and its number alone; what is there is kept unless ``overwrite``. Raises as
    ``write_dataset``.
    """
    folder = BitMaskFolder.open(source)
    refuse_annotator(folder, recipe.base.annotator)
    index = out / "dataset.json"
    if index.exists() and not overwrite:
        raise OutputError(f"{index} exists; choose another folder or pass --overwrite.")
    splits = split_cases(folder, recipe.base)
    values = labels_of_variants(folder)
    contoured: dict[str, dict[str, list[str]]] = {split: {} for split in splits}
    total = sum(len(names) * _count(split, recipe) for split, names in splits.items())
    done = 0
    for split, names in splits.items():
        for name in names:
            painted = _painted(folder, name, out / PAINTED / f"{name}.npz", recipe, tuple(values), overwrite)
            for number in range(_count(split, recipe)):
                case = f"{name}-v{number:03d}"
                contoured[split][case] = _write(painted, out / split / case, recipe, split, number, values, overwrite)
                done += 1
                log(f"[{done}/{total}] {split}/{case}")
    base = recipe.base
    simulator = {"focusnet_version": __version__, "seed": base.seed, "annotator": base.annotator, "region": base.region}
    about = {
        "simulated": NOTE,
        "modelled": list(MODELLED),
        "simulator": {**simulator, "variants": recipe.count, "label_maps": folder.folder.name},
        "labels": values,
        "contoured": {split: cases for split, cases in contoured.items() if cases},
    }
    with atomic_path(index) as partial:
        partial.write_text(json_text(about, indent=1) + "\n", encoding="utf-8")
    return out


def labels_of_variants(folder: BitMaskFolder) -> dict[str, int]:
    """Label value of each organ: the contoured ones near the skull base, then those that the simulator models."""
    names = [*label_values(folder.organs, "small"), *MODELLED]
    return {name: value for value, name in enumerate(names, start=1)}


def _count(split: str, recipe: VariantsRecipe) -> int:
    return 1 if split == "test" else recipe.count


def _painted(
    folder: BitMaskFolder, name: str, path: Path, recipe: VariantsRecipe, organs: tuple[str, ...], overwrite: bool
) -> Specimen:
    """The painted head of a case, from its file or made and kept."""
    if path.exists() and not overwrite:
        return load_specimen(path)
    ensure_folder(path.parent)
    base = recipe.base
    specimen = make_specimen(folder.read(base.annotator, name), organs, base.seed, base.region)
    save_specimen(path, specimen)
    return specimen


def _write(
    specimen: Specimen,
    out: Path,
    recipe: VariantsRecipe,
    split: str,
    number: int,
    values: dict[str, int],
    overwrite: bool,
) -> list[str]:
    """Draw and write one variant, unless it is there; returns the organs that are known in it."""
    rng = np.random.default_rng((recipe.base.seed, zlib.crc32(specimen.name.encode()), number))
    variety = Variety.ordinary() if split == "test" else recipe.variety
    ct, label = out / "ct.nrrd", out / "label.nrrd"
    known = sorted({*specimen.contoured, *map(mirrored, specimen.contoured)} & set(values), key=values.__getitem__)
    if ct.exists() and label.exists() and not overwrite:
        return known
    spacing = recipe.base.spacing_mm_xyz
    g = specimen.geometry
    size = np.array(g.shape_zyx[::-1]) * g.spacing_mm_xyz
    x, y, z = (int(n) for n in np.maximum(size // spacing, 1))
    middle = g.index_to_mm((np.array(g.shape_zyx) - 1) / 2)
    variant = draw_variant(specimen, (z, y, x), (spacing[2], spacing[1], spacing[0]), middle, variety, rng)
    geometry = Geometry(
        (z, y, x), spacing, (-(x - 1) / 2 * spacing[0], -(y - 1) / 2 * spacing[1], -(z - 1) / 2 * spacing[2])
    )
    ensure_folder(out)
    hu = np.rint(variant.hu).astype(np.int16)
    write_marked(
        label, variant.labels, geometry, f"Labels of a variant of {specimen.name}; modelled: {', '.join(MODELLED)}."
    )
    write_marked(
        ct,
        hu,
        geometry,
        f"{NOTE} Case {specimen.name}, seed {recipe.base.seed}, variant {number}, focusnet {__version__}.",
    )
    return known
