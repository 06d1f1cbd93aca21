"""Open a data set of any supported layout."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import DatasetError
from ..io.suffixes import TRAINING_FILES, has_suffix
from .cache import default_cache
from .collected import find_collected, is_collected, read_collection
from .dataset_toml import read_dataset_toml
from .file_dataset import Dataset, FolderDataset
from .layouts import find_cases
from .openkbp import OpenKBPDataset

KNOWN = (
    "OpenKBP's dataset.json; a folder per case with an image and a label map (or .seg.nrrd); PDDCA's structures folders; "
    "HaN-Seg; StructSeg 2019; DICOM CT with RTSTRUCT"
)


def open_dataset(folder: Path | str, cache: str | Path | None = None) -> Dataset:
    """Open a data set of any supported layout, with its ``dataset.toml``.

    ``cache``: a folder in which read cases are kept, "1" for the user's cache folder, None for what FOCUSNET_CACHE says, else
    none. Raises DatasetError with what was found and what is known.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder; the folder of a data set is expected.")
    if _is_openkbp(folder):
        return OpenKBPDataset(folder)
    toml = read_dataset_toml(folder)
    if is_collected(folder):
        collected = FolderDataset(folder, find_collected(folder), toml, default_cache(cache))
        collected.notes = (read_collection(folder).consent_sentence, *collected.notes)  # shown at every use
        return collected
    found = find_cases(folder, toml)
    if not found.cases:
        from .dicom_pairs import find_dicom_cases

        dicom = find_dicom_cases(folder, toml)
        found = dicom if dicom.cases or dicom.incomplete else found
    if not found.cases:
        if found.incomplete and (folder / "imagesTr").is_dir():
            raise DatasetError(
                f"{folder} is laid out as for nnU-Net (imagesTr, labelsTr), which is not read; put every case's image and label map "
                "into a folder of its own, as pt_1/ct.nii.gz and pt_1/label.nii.gz (docs/datasets.md)."
            )
        if found.incomplete:
            name, what = next(iter(found.incomplete.items()))
            raise DatasetError(f"{folder} holds no case: in {name} lies {what}. Known are: {KNOWN}.")
        inside = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
        raise DatasetError(
            f"{folder} is no data set that is known; it holds {inside}. {_rearrange(folder)}Known are: {KNOWN}."
        )
    return FolderDataset(folder, found, toml, default_cache(cache))


def _rearrange(folder: Path) -> str:
    """Return what to do where the images lie in the folder itself; "" if there are none."""
    if not any(has_suffix(path, TRAINING_FILES) for path in folder.iterdir()):
        return ""
    return "If it is one case, give the folder above it; if it holds several, put every case's image and label map into a folder of its own. "


def _is_openkbp(folder: Path) -> bool:
    path = folder / "dataset.json"
    if not path.is_file():
        return False
    try:
        return "bits" not in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return True  # its reader says what is wrong with the file
