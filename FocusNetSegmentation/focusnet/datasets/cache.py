"""Keep read cases on disk, found by the content of the files that they were read from.

Off unless asked for, because the entries hold patients' scans.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from ..errors import DatasetError, OutputError
from ..files.atomic_write import atomic_path, ensure_folder
from ..files.disk import plain_errors
from ..image.volume import Geometry
from .raw_contours import Contours

READER_VERSION = 1  # raise it whenever a reader's result changes: old entries are then never found again
VARIABLE = "FOCUSNET_CACHE"
BLOCK = 1 << 22


class Cache:
    """A folder of ``HASH.safetensors``.

    Entries are written beside their name and renamed, so that several runs may share a folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ensure_folder(folder)

    def get(self, paths: Iterable[Path], settings: Mapping[str, object], read: Callable[[], Contours]) -> Contours:
        """Return the entry for these files' bytes and ``settings``; call ``read`` and store its result where there is
        none or it is damaged.

        Raises OutputError if the entry cannot be written, DatasetError if a file cannot be read.
        """
        path = self.folder / f"{_key(paths, settings)}.safetensors"
        kept = _load(path)
        if kept is not None:
            return kept
        contours = read()
        try:
            with atomic_path(path) as partial, plain_errors():
                _save(contours, partial)
        except OutputError as problem:
            raise OutputError(f"{problem} Or go on without a cache: {VARIABLE}=0, and no --cache.") from problem
        return contours


def default_cache(choice: str | Path | None) -> Cache | None:
    """Return the cache that was asked for: a folder, "1" for the user's cache folder, None for what FOCUSNET_CACHE
    says, "0" or "" for none."""
    wanted = os.environ.get(VARIABLE, "") if choice is None else str(choice)
    if wanted in ("", "0"):
        return None
    if wanted == "1":
        import platformdirs

        return Cache(Path(platformdirs.user_cache_dir("focusnet")) / "datasets")
    return Cache(Path(wanted).expanduser())


def _key(paths: Iterable[Path], settings: Mapping[str, object]) -> str:
    key = hashlib.sha256(f"{READER_VERSION} {json.dumps(settings, sort_keys=True, default=str)}".encode())
    for path in paths:
        key.update(f"\0{path.name}\0".encode())
        try:
            with open(path, "rb") as handle:
                while block := handle.read(BLOCK):
                    key.update(block)
        except FileNotFoundError:
            key.update(b"missing")
        except OSError as problem:
            raise DatasetError(f"{path} cannot be read ({problem.strerror}); check its permissions.") from problem
    return key.hexdigest()


def _save(contours: Contours, path: Path) -> None:
    from safetensors.numpy import save_file

    g = contours.geometry
    about = {
        "name": contours.name,
        "patient": contours.patient,
        "shape": g.shape_zyx,
        "spacing": g.spacing_mm_xyz,
        "origin": g.origin_mm_xyz,
        "direction": g.direction_xyz,
        "contoured": sorted(contours.contoured),
        "warnings": contours.warnings,
    }
    arrays = {f"voxels.{organ}": flat.astype(np.int64) for organ, flat in contours.voxels.items()}
    if contours.hu is not None:
        arrays["hu"] = contours.hu
    save_file(arrays, str(path), metadata={"about": json.dumps(about)})


def _load(path: Path) -> Contours | None:
    """Return the stored entry; None where there is none or it cannot be read, so that it is made again."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(str(path), framework="numpy") as stored:
            about = json.loads(stored.metadata()["about"])
            arrays = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 - not a dict
        geometry = Geometry(
            tuple(about["shape"]),
            tuple(about["spacing"]),
            tuple(about["origin"]),
            tuple(tuple(r) for r in about["direction"]),
        )
        voxels = {key[len("voxels.") :]: array for key, array in arrays.items() if key.startswith("voxels.")}
        return Contours(
            about["name"],
            arrays.get("hu"),
            geometry,
            voxels,
            frozenset(about["contoured"]),
            tuple(about["warnings"]),
            about["patient"],
        )
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        return None
