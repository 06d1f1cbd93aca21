"""The model bundles on this computer as the panel lists them: read from bundle.json alone, so that the list is there at once and
needs no package that is not installed yet. Hashes and shapes are checked by Verify and by every run.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import focusnet
from focusnet.errors import ModelError
from focusnet.image.drawn_by import BETWEEN, merged_identity
from focusnet.nets.bundle import MANIFEST, MODELS_VARIABLE, available_bundles, user_models_folder
from focusnet.nets.known_organs import best_models, known_organ
from focusnet.nets.versions import lineage_words

SHIPPED = Path(__file__).resolve().parents[2] / "Resources" / "Models"
TOGETHER = (("han7-openkbp", "head22-synthetic"),)  # offered as one choice where all of them are installed
CAUTION = "caution"  # behind the name of a model that asks for it
PACKAGED = Path(focusnet.__file__).resolve().parent / "models"  # where they lie if focusnet was installed by pip


@dataclass(frozen=True)
class ModelEntry:
    """A bundle's folder and what its bundle.json says. ``problem``: why it cannot be used, "" if nothing speaks against it. ``digest``: as of
    ``focusnet.nets.bundle.ModelBundle``.

    ``parts``: of an entry that runs several models and merges their results, these; () of a single model.
    """

    folder: Path
    manifest: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    digest: str = ""
    parts: tuple[ModelEntry, ...] = ()

    @property
    def name(self) -> str:
        """Return what ``--model`` takes."""
        return ",".join(part.name for part in self.parts) or self.folder.name

    @property
    def title(self) -> str:
        """Return what the list shows."""
        if self.parts:
            return f"All organs: {BETWEEN.join(part.name for part in self.parts)}"
        return f"{self.name} ({CAUTION})" if self.caution else self.name

    @property
    def drawn_as(self) -> str:
        """Return how a result names the model."""
        return BETWEEN.join(part.name for part in self.parts) or self.name

    @property
    def caution(self) -> str:
        """Return the sentence that must stand beside every result of the model, or beside some organs of it; "" if there is none."""
        return " ".join(filter(None, [part.caution for part in self.parts])) or str(self.manifest.get("caution", ""))

    def part_of(self, organ: str) -> ModelEntry:
        """Return the model that draws an organ: of several the one that knows it best."""
        choice = best_models(self.parts).get(organ) if self.parts else None
        return choice.bundle if choice is not None else self

    @property
    def is_shipped(self) -> bool:
        """Return whether it came with the extension; what runs several models is nobody's own."""
        return bool(self.parts) or self.folder.parent in (SHIPPED, PACKAGED)

    @property
    def shadows_shipped(self) -> bool:
        """Return whether a model that came with the extension has the same name, and is therefore not found."""
        return not self.is_shipped and any((parent / self.name / MANIFEST).is_file() for parent in (SHIPPED, PACKAGED))

    @property
    def organs(self) -> list[str]:
        """Return TG-263 names, in the model's order."""
        return [str(organ["name"]) for organ in self.manifest.get("organs", [])]

    @property
    def organ_names(self) -> list[str]:
        return self.organs


def list_models() -> list[ModelEntry]:
    """Return every bundle that segments and can be used by name, the shipped ones last, then what runs several of them (TOGETHER); shape models
    judge and are not for this list."""
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
    models = [entry for entry in entries if entry.manifest.get("kind", "segmentation") == "segmentation"]
    usable = {entry.name: entry for entry in models if not entry.problem}
    return models + [together([usable[name] for name in names]) for names in TOGETHER if set(names) <= set(usable)]


def together(parts: Sequence[ModelEntry]) -> ModelEntry:
    """Return the entry that runs all of ``parts`` and takes each organ from the one that knows it best."""
    entries = {part.name: {str(organ["name"]): organ for organ in part.manifest["organs"]} for part in parts}
    organs = [
        {**entries[choice.bundle.name][organ], "reason": choice.reason} for organ, choice in best_models(parts).items()
    ]
    digest = merged_identity([{"bundle_sha256": part.digest} for part in parts])["bundle_sha256"]
    versions = BETWEEN.join(str(part.manifest.get("version", "")) for part in parts)
    return ModelEntry(parts[0].folder, {"organs": organs, "version": versions}, digest=digest, parts=tuple(parts))


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
    if entry.parts:
        return _summary_of_several(entry)
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
    return " ".join(filter(None, [entry.caution, *parts]))


def _summary_of_several(entry: ModelEntry) -> str:
    """Return which model draws how many organs, and what must stand beside them."""
    told = []
    for part in entry.parts:
        count = sum(entry.part_of(organ) is part for organ in entry.organs)
        caution = part.caution.rstrip(".")
        told.append(f"{part.name} draws {count}{f' ({caution})' if caution else ''}")
    return f"{len(entry.organs)} organs, each from the model that knows it best: {'; '.join(told)}. The models run one after the other."


def organ_rows(entry: ModelEntry) -> list[tuple[str, str, str]]:
    """Return (TG-263 name, title, held-out score in words) of each organ."""
    rows = []
    for organ in entry.manifest.get("organs", []):
        manifest = entry.part_of(str(organ["name"])).manifest
        row = ((manifest.get("held_out") or {}).get("organs") or {}).get(organ["name"]) or {}
        known = known_organ(manifest, str(organ["name"]))
        text = f"DSC {row['dsc_mean']:.2f} ± {row['dsc_sd']:.2f}" if {"dsc_mean", "dsc_sd"} <= set(row) else ""
        text = text or ("no score" if known.dsc is None else str(known))
        rows.append((str(organ["name"]), str(organ.get("title", organ["name"])), text))
    return rows


def organ_reason(entry: ModelEntry, organ: str) -> str:
    """Return by which of several models an organ is drawn and why; "" of a single model."""
    return next(
        (str(o["reason"]) for o in entry.manifest.get("organs", []) if o["name"] == organ and o.get("reason")), ""
    )


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
