"""Model bundles in words, for ``focusnet models``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import ModelError
from ..nets.bundle import KINDS, MANIFEST, SHAPE, ModelBundle, load_bundle, model_folders, user_models_folder
from ..wording import RESEARCH_ONLY, counted


def listing(folders: Sequence[Path]) -> str:
    """Return one line per bundle; a damaged one is named with its reason."""
    if not folders:
        return f"No model is installed. Put bundles in {user_models_folder()} with 'focusnet models install FOLDER'."
    lines = []
    for folder in folders:
        try:
            bundle = load_bundle(folder, kind=None)
            score = bundle.manifest.get("held_out", {}).get("mean_dsc")
            what = "shape model for focusnet qa, " if bundle.kind == SHAPE else ""
            text = f"{what}{counted(len(bundle.organs), 'organ')}, {bundle.manifest.get('data', 'data not stated')}"
            lines.append(
                f"{bundle.name:<20} {text}"
                + (
                    f", mean {'reconstruction ' if bundle.kind == SHAPE else ''}DSC {score:.3f} on {bundle.manifest['held_out']['split']}"
                    if score
                    else ""
                )
                + (f" (in {folder}; takes the place of the shipped model of this name)" if shadows(folder) else "")
            )
        except ModelError as problem:
            lines.append(f"{folder.name:<20} UNUSABLE: {problem}")
    return "\n".join([*lines, "", *(f"{parent}: {which}" for parent, which in _places(folders))])


def shadows(folder: Path) -> bool:
    """Return whether a user's bundle has the name of one that ships, which is then not found by name."""
    user, *shipped = model_folders()
    return folder.parent == user and any((parent / folder.name / MANIFEST).is_file() for parent in shipped)


def _places(folders: Sequence[Path]) -> list[tuple[Path, str]]:
    """The folders that hold the bundles, the user's first, with the names in each."""
    parents = dict.fromkeys([user_models_folder(), *(folder.parent for folder in folders)])
    names = {parent: ", ".join(f.name for f in folders if f.parent == parent) for parent in parents}
    return [
        (parent, names[parent] or "none yet; 'focusnet models install FOLDER' copies a bundle here")
        for parent in parents
    ]


def description(bundle: ModelBundle) -> str:
    """Return what a user should know about a model before using it."""
    manifest = bundle.manifest
    held_out = manifest.get("held_out", {}).get("organs", {})
    width = bundle.config.aae_width if bundle.kind == SHAPE else bundle.config.width
    lines = [
        f"{bundle.name} {bundle.version}".rstrip(),
        f"  kind      {KINDS[bundle.kind]}",
        f"  folder    {bundle.folder}",
        f"  sha256    {bundle.digest}",
        f"  data      {manifest.get('data', 'not stated')}",
        f"  trained   {manifest.get('training', {}).get('date', 'not stated')}, width {width:g}",
        f"  licence   {manifest.get('licence', 'not stated')}",
        f"  grid      {' x '.join(f'{s:g}' for s in bundle.config.spacing_mm_zyx[::-1])} mm (x, y, z)",
        "  organs",
    ]
    for organ in bundle.organs:
        row = held_out.get(organ.name, {})
        scores = (
            f"{'reconstruction ' if bundle.kind == SHAPE else ''}DSC {row['dsc_mean']:.3f} +- {row['dsc_sd']:.3f} (n = {row['n']})"
            if "dsc_mean" in row
            else "no held-out score"
        )
        small = ", localized by SOL-Net" if organ.name in bundle.small_organs and bundle.kind != SHAPE else ""
        lines.append(f"    {organ.name:<16} {scores}{small}")
    lines.append(f"  {' '.join([bundle.caution, RESEARCH_ONLY]).strip()}")
    return "\n".join(lines)
