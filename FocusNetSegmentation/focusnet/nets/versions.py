"""Versions of a model: a fine-tuned one takes the place of the one in force, which is kept, and one step leads back.

In the models folder NAME is the version in force. Earlier ones lie in ``.versions/NAME/0001``, ``0002`` ..., those that were given up in
``.versions/NAME/undone-SHA256``. A process that is killed at any moment leaves the old or the new version in force, never neither.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ModelError, OutputError
from ..files.disk import reason, sync, sync_folder
from ..files.lock import locked
from ..wording import counted
from .bundle import ModelBundle, load_bundle, safe_name, sha256
from .bundle_folders import (
    MANIFEST,
    MODELS_VARIABLE,
    finish_exchanges,
    model_folders,
    user_models_folder,
    waiting,
)

STORE = ".versions"
LOCK = ".versions.lock"
WORK = ".adopt-"
LOCK_S = 30.0
CARD = "model-card.md"
TRACES_OF_A_RUN = ("training.json", "old-answers")  # what a run has before its bundle


@dataclass(frozen=True)
class Change:
    """What a change of versions led to. ``now``: the bundle in force. ``aside``: where the one before it lies, None if there was none."""

    now: ModelBundle
    aside: Path | None


def bundle_of_run(name_or_path: str | Path) -> str | Path:
    """Return the bundle's folder where a run of ``train`` or ``finetune`` is named, anything else as it is.

    Raises ModelError for a run that has none yet.
    """
    run = Path(name_or_path).expanduser()
    if (run / "bundle" / MANIFEST).is_file():
        return run / "bundle"
    if any((run / trace).exists() for trace in TRACES_OF_A_RUN) and not (run / MANIFEST).is_file():
        raise ModelError(
            f"{run} holds no model yet: its training has not ended. Go on with the same command and --resume."
        )
    return name_or_path


def adopt_bundle(source: str | Path) -> Change:
    """Put a bundle or a run's bundle in force under its name in the user's models folder; the one before it is kept.

    Raises ModelError for a bundle that cannot be used or is in force already, OutputError for a full disk, which changes nothing.
    """
    bundle = load_bundle(bundle_of_run(source), kind=None)
    bundle.check_weights()
    with _models_folder() as parent:
        target = parent / safe_name(bundle.name)
        if _digest(target) == bundle.digest:
            raise ModelError(f"{bundle.name} {bundle.version} is in force already ({target}).")
        _stage(bundle.folder, target, bundle)
        aside = None
        if target.exists():
            aside = _next_place(target)
            os.rename(target, aside)
        _put_in_place(target)
    return Change(load_bundle(target, kind=None), aside)


def go_back(name: str) -> Change:
    """Put the version before the one in force back, or the shipped model of this name; the one in force is set aside.

    Raises ModelError where there is nothing to go back to, OutputError for a full disk, which changes nothing.
    """
    with _models_folder() as parent:
        target = parent / safe_name(name)
        current = _digest(target)
        if not current:
            raise ModelError(f"No version of {name!r} was adopted on this computer; there is nothing to go back from.")
        earlier = [folder for folder in earlier_versions(target) if _digest(folder) != current]
        if not earlier and shipped_folder(name) is None:
            raise ModelError(f"{name} has no earlier version; 'focusnet models list' shows what there is.")
        before = load_bundle(earlier[-1], kind=None) if earlier else None
        if before is not None:
            _stage(before.folder, target, before)
        aside = target.parent / STORE / target.name / f"undone-{current[:8]}"
        aside.parent.mkdir(parents=True, exist_ok=True)
        _discard(aside)  # the same bundle, given up once before
        os.rename(target, aside)
        if before is not None:
            _put_in_place(target)
            _discard(before.folder)
    now = target if before is not None else shipped_folder(name)
    assert now is not None
    return Change(load_bundle(now, kind=None), aside)


def earlier_versions(folder: Path) -> list[Path]:
    """Return the folders of the versions that were in force before the one in ``folder``, oldest first."""
    store = folder.parent / STORE / folder.name
    with suppress(OSError):
        return sorted(
            path for path in store.iterdir() if re.fullmatch(r"\d{4,}", path.name) and (path / MANIFEST).is_file()
        )
    return []


def shipped_folder(name: str) -> Path | None:
    """Return the folder of the bundle of this name that came with the program, None if there is none."""
    return next((p / name for p in model_folders()[1:] if (p / name / MANIFEST).is_file()), None)


def shadows_shipped(folder: Path) -> bool:
    """Return whether a user's bundle has the name of one that ships, which is then not found by name."""
    return folder.parent == user_models_folder() and shipped_folder(folder.name) is not None


def lineage_words(manifest: Mapping[str, Any]) -> str:
    """Return where a fine-tuned model comes from, "" for any other."""
    lineage = manifest.get("lineage")
    if not isinstance(lineage, list) or not lineage or not isinstance(lineage[-1], Mapping):
        return ""
    last = lineage[-1]
    parent = f"{last.get('parent', '?')} {last.get('parent_version', '')}".rstrip()
    return f"fine-tuned from {parent} on {counted(int(last.get('cases', 0)), 'corrected case')}, {last.get('date', 'date not stated')}"


@contextmanager
def _models_folder() -> Iterator[Path]:
    """Yield the user's models folder, in which nobody else changes versions meanwhile. Errors of the disk become OutputErrors."""
    parent = user_models_folder()
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with locked(parent / LOCK, LOCK_S):
            finish_exchanges(parent)
            _clean(parent)
            yield parent
    except TimeoutError as problem:
        raise ModelError(f"Another program is changing the models in {parent}; try again in a minute.") from problem
    except OSError as problem:
        raise OutputError(
            f"The models folder {parent} cannot be written ({reason(problem, parent)}); the version that was in force still is. "
            f"Free some space, or set {MODELS_VARIABLE} to another folder."
        ) from problem


def _stage(source: Path, target: Path, bundle: ModelBundle) -> None:
    """Copy a bundle's files to where they wait to take the place of ``target``, whole and on the disk."""
    work = Path(tempfile.mkdtemp(prefix=WORK, dir=target.parent))
    try:
        staged = work / "staged"
        staged.mkdir()
        for name in (MANIFEST, *bundle.manifest["sha256"], CARD):
            if (source / name).is_file():
                shutil.copyfile(source / name, staged / name)
                sync(staged / name)
        for name, digest in bundle.manifest["sha256"].items():
            if sha256(staged / name) != digest:
                raise OSError(f"{name} was not copied whole")
        place = waiting(target)
        _discard(place)
        sync_folder(staged)
        os.rename(staged, place)
        sync_folder(target.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _put_in_place(target: Path) -> None:
    """Give the waiting bundle its name; if another process that looked for models has done so meanwhile, that is as well."""
    with suppress(FileNotFoundError):
        os.rename(waiting(target), target)
    sync_folder(target.parent)


def _next_place(target: Path) -> Path:
    """Return the folder for the version that was in force, after all earlier ones."""
    store = target.parent / STORE / target.name
    store.mkdir(parents=True, exist_ok=True)
    numbers = [int(path.name) for path in store.iterdir() if path.name.isdigit()]
    return store / f"{max(numbers, default=0) + 1:04d}"


def _discard(folder: Path) -> None:
    """Remove a folder in one step: a half removed one could be taken for a bundle."""
    if folder.exists():
        work = Path(tempfile.mkdtemp(prefix=WORK, dir=folder.parent))
        os.rename(folder, work / "gone")
        shutil.rmtree(work, ignore_errors=True)


def _clean(parent: Path) -> None:
    """Remove what a killed process left; whoever holds the lock is alone."""
    for place in (parent, *(parent / STORE).glob("*")):
        for left in place.glob(f"{WORK}*"):
            shutil.rmtree(left, ignore_errors=True)


def _digest(folder: Path) -> str:
    """Return the digest of the bundle in ``folder``, "" where there is none."""
    try:
        return sha256(folder / MANIFEST)
    except OSError:
        return ""
