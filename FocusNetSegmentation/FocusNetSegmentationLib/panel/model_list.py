"""The model bundles on this computer as the panel lists them: read from bundle.json alone, so that the list is there at once and
needs no package that is not installed yet. Hashes and shapes are checked by Verify and by every run.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import focusnet
from focusnet.errors import ModelError
from focusnet.nets.bundle import MANIFEST, MODELS_VARIABLE, available_bundles, user_models_folder
from focusnet.nets.versions import lineage_words

SHIPPED = Path(__file__).resolve().parents[2] / "Resources" / "Models"
PACKAGED = Path(focusnet.__file__).resolve().parent / "models"  # where they lie if focusnet was installed by pip


@dataclass(frozen=True)
class ModelEntry:
    """A bundle's folder and what its bundle.json says. ``problem``: why it cannot be used, "" if nothing speaks against it. ``digest``: as of
    ``focusnet.nets.bundle.ModelBundle``."""

    folder: Path
    manifest: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """Return what ``--model`` takes."""
        return self.folder.name

    @property
    def is_shipped(self) -> bool:
        return self.folder.parent in (SHIPPED, PACKAGED)

    @property
    def shadows_shipped(self) -> bool:
        """Return whether a model that came with the extension has the same name, and is therefore not found."""
        return not self.is_shipped and any((parent / self.name / MANIFEST).is_file() for parent in (SHIPPED, PACKAGED))

    @property
    def organs(self) -> list[str]:
        """Return TG-263 names, in the model's order."""
        return [str(organ["name"]) for organ in self.manifest.get("organs", [])]


def list_models() -> list[ModelEntry]:
    """Return every bundle that segments and can be used by name, the shipped ones last; shape models judge and are not for this list."""
    try:
        folders = available_bundles()
    except ImportError:  # platformdirs is not installed yet, so the user's own folder is only known if it was named
        named = [Path(os.environ[MODELS_VARIABLE]).expanduser()] if os.environ.get(MODELS_VARIABLE) else []
        found: dict[str, Path] = {}
        for parent in [*named, SHIPPED]:
            for manifest in sorted(parent.glob(f"[!.]*/{MANIFEST}")):
                found.setdefault(manifest.parent.name, manifest.parent)
        folders = list(found.values())
    entries = [read_entry(folder) for folder in folders]
    return [entry for entry in entries if entry.manifest.get("kind", "segmentation") == "segmentation"]


def read_entry(folder: Path) -> ModelEntry:
    """Read bundle.json of one folder; a damaged one gives an entry with a problem."""
    try:
        raw = (folder / MANIFEST).read_bytes()
        manifest = json.loads(raw)
        names = [str(organ["name"]) for organ in manifest["organs"]]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        return ModelEntry(folder, {}, f"{MANIFEST} cannot be read ({problem}). Remove the model and add it again.")
    if not names:
        return ModelEntry(folder, {}, f"{MANIFEST} names no organs. Remove the model and add it again.")
    return ModelEntry(folder, manifest, digest=hashlib.sha256(raw).hexdigest())


def summary(entry: ModelEntry) -> str:
    """Return one line: how many organs, from which data, when, and how well: what a person should know before Apply."""
    if entry.problem:
        return entry.problem
    manifest = entry.manifest
    held_out = manifest.get("held_out") or {}
    parts = [f"{len(entry.organs)} organs. {manifest.get('data', 'Data not stated')}."]
    lineage = lineage_words(manifest)
    if lineage:
        parts.append(f"Version {manifest.get('version', '?')}, {lineage}.")
    if entry.shadows_shipped:
        parts.append("It takes the place of the shipped model of this name.")
    date = (manifest.get("training") or {}).get("date")
    if date:
        parts.append(f"Trained {date}.")
    if isinstance(held_out.get("mean_dsc"), (int, float)):
        parts.append(
            f"Mean DSC {held_out['mean_dsc']:.2f} on held-out scans ({held_out.get('split', 'split not stated')})."
        )
    else:
        parts.append("No held-out score.")
    return " ".join(parts)


def organ_rows(entry: ModelEntry) -> list[tuple[str, str, str]]:
    """Return (TG-263 name, title, held-out score in words) of each organ."""
    scores = (entry.manifest.get("held_out") or {}).get("organs") or {}
    rows = []
    for organ in entry.manifest.get("organs", []):
        row = scores.get(organ["name"]) or {}
        text = f"DSC {row['dsc_mean']:.2f} ± {row['dsc_sd']:.2f}" if {"dsc_mean", "dsc_sd"} <= set(row) else "no score"
        rows.append((str(organ["name"]), str(organ.get("title", organ["name"])), text))
    return rows


def remove_model(entry: ModelEntry) -> None:
    """Delete a model of the user's own. Raises ModelError for any other, and if it cannot be deleted."""
    try:
        own = entry.folder.parent == user_models_folder()
    except ImportError:
        own = not entry.is_shipped
    if not own:
        raise ModelError(f"{entry.name} came with the extension and is removed with it.")
    try:
        shutil.rmtree(entry.folder)
    except OSError as problem:
        raise ModelError(
            f"{entry.folder} cannot be deleted ({problem.strerror}). Close what uses it and try again."
        ) from problem
