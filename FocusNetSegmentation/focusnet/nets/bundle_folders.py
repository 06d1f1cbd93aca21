"""Where model bundles lie, how one is found by name, and how one takes another's place in a folder without a moment's loss.

A folder cannot be replaced in one step everywhere: the old one is moved aside, then the new one takes its name. Between the two there is
none; a process that is killed there leaves a whole ``.NAME.new``, which whoever looks for models next puts in its place.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ..errors import ModelError

MANIFEST = "bundle.json"
MODELS_VARIABLE = "FOCUSNET_MODELS"
NEW = ".new"  # of ``.NAME.new``: a whole bundle that is about to take the place of NAME


def user_models_folder() -> Path:
    """Return where a user's own bundles live: ``FOCUSNET_MODELS``, else the platform's data folder. Outside the extension, whose folder
    an upgrade replaces."""
    if os.environ.get(MODELS_VARIABLE):
        return Path(os.environ[MODELS_VARIABLE]).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("focusnet", appauthor=False)) / "models"


def model_folders() -> list[Path]:
    """Return the folders that are searched for bundles by name, first match wins: the user's, then what ships."""
    here = Path(__file__).resolve().parents[1]
    return [user_models_folder(), here / "models", here.parent / "Resources" / "Models"]


def available_bundles() -> list[Path]:
    """Return the folders of all bundles that can be found by name; nothing in them has been verified yet."""
    found: dict[str, Path] = {}
    finish_exchanges(user_models_folder())
    for parent in model_folders():
        with suppress(OSError):  # absent, or somebody else's: it holds none for us
            for folder in sorted(parent.iterdir()):
                if not folder.name.startswith(".") and os.path.isfile(folder / MANIFEST):
                    found.setdefault(folder.name, folder)
    return list(found.values())


def find_bundle(name_or_path: str | Path) -> Path:
    """Return the folder of a bundle by name or path. Raises ModelError that lists what there is."""
    path = Path(name_or_path).expanduser()
    if os.path.isdir(path):  # not Path.is_dir, which raises where a folder above may not be read
        return path
    if path.name == MANIFEST and os.path.isfile(path):
        return path.parent
    for folder in available_bundles():
        if folder.name == str(name_or_path):
            return folder
    known = ", ".join(folder.name for folder in available_bundles()) or "none"
    if "," in str(name_or_path):
        raise ModelError(
            f"{str(name_or_path)!r} names several models, which can be run together, but one is expected here; installed: {known}."
        )
    raise ModelError(
        f"No model {str(name_or_path)!r}: neither a folder nor the name of an installed bundle; installed: {known}."
    )


def exchange(new: Path, folder: Path, aside: Path) -> None:
    """``new`` takes the place of ``folder``, whose old content goes ``aside``, or comes back if ``new`` cannot be moved."""
    if folder.exists():
        os.replace(folder, aside)
    try:
        os.replace(new, folder)
    except OSError:
        if aside.exists():
            os.replace(aside, folder)
        raise


def waiting(folder: Path) -> Path:
    """Return where a whole bundle waits that is to take the place of ``folder``."""
    return folder.with_name(f".{folder.name}{NEW}")


def finish_exchanges(parent: Path) -> None:
    """Put bundles in their place whose exchange was cut off after the old one was moved aside."""
    with suppress(OSError):
        for left in parent.glob(f".*{NEW}"):
            folder = parent / left.name[1 : -len(NEW)]
            if not folder.exists() and (left / MANIFEST).is_file():
                with suppress(OSError):  # another process was faster, or the folder is somebody else's
                    os.rename(left, folder)
