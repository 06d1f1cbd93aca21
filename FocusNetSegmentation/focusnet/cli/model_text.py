"""Model bundles in words, for ``focusnet models``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..nets.bundle import KINDS, SHAPE, ModelBundle, load_bundle, user_models_folder
from ..nets.known_organs import known_organ
from ..nets.versions import earlier_versions, lineage_words, shadows_shipped
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
                + (
                    f" (in {folder}; takes the place of the shipped model of this name)"
                    if shadows_shipped(folder)
                    else ""
                )
            )
            told = [bundle.caution] if bundle.caution else []
            lines += [f"{'':<20} {words}" for words in [*told, *_version_words(bundle)]]
        except ModelError as problem:
            lines.append(f"{folder.name:<20} UNUSABLE: {problem}")
    return "\n".join([*lines, "", *(f"{parent}: {which}" for parent, which in _places(folders))])


def _version_words(bundle: ModelBundle) -> list[str]:
    """Return what a list says about the versions of a model that was fine-tuned or has earlier versions."""
    earlier, lineage = earlier_versions(bundle.folder), lineage_words(bundle.manifest)
    words = [f"version {bundle.version}, {lineage}"] if lineage else []
    if earlier:
        kept = counted(len(earlier), "earlier version is kept", "earlier versions are kept")
        words.append(f"{kept}; 'focusnet models back {bundle.name}' returns to the one before")
    return words


def _places(folders: Sequence[Path]) -> list[tuple[Path, str]]:
    """The folders that hold the bundles, the user's first, with the names in each."""
    parents = dict.fromkeys([user_models_folder(), *(folder.parent for folder in folders)])
    names = {parent: ", ".join(f.name for f in folders if f.parent == parent) for parent in parents}
    return [
        (parent, names[parent] or "none yet; 'focusnet models install FOLDER' copies a bundle here")
        for parent in parents
    ]


def _lineage(manifest: Mapping[str, Any]) -> list[str]:
    """Return one line for each time that the model was fine-tuned, oldest first."""
    steps = manifest.get("lineage") or []
    return [lineage_words({"lineage": steps[: n + 1]}) for n in range(len(steps))]


def _known(bundle: ModelBundle, organ: str) -> str:
    """Return how well an organ without a held-out score is known."""
    known = known_organ(bundle.manifest, organ)
    return "no held-out score" if known.dsc is None else str(known)


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
        *([f"  lineage   {step}" for step in _lineage(manifest)]),
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
            else _known(bundle, organ.name)
        )
        small = ", localized by SOL-Net" if organ.name in bundle.small_organs and bundle.kind != SHAPE else ""
        lines.append(f"    {organ.name:<16} {scores}{small}")
    lines.append(f"  {' '.join([bundle.caution, RESEARCH_ONLY]).strip()}")
    return "\n".join(lines)
