"""Recognise the layouts in which data sets are handed out, by file and folder names alone."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from ..errors import DatasetError
from ..io.suffixes import SEG_NRRD, TRAINING_FILES, has_suffix, stem
from .bit_masks import patient_of, read_index
from .case_files import BitMaskCase, CaseFiles, LabelMapCase, MaskFilesCase, SegNrrdCase
from .dataset_toml import SPLIT_NAMES, DatasetToml

MASK_FOLDERS = ("structures", "segmentations")  # PDDCA's, TotalSegmentator's
LABEL_WORDS = re.compile(r"(?:^|[\W_])(?:labels?|labelmap|seg|segs|segmentations?|masks?|contours?|gt)(?:$|[\W_])")

# Values of the challenge's own read-me; on its 50 cases every "_L" lies on the patient's left (docs/datasets.md).
STRUCTSEG_NAMES = dict(
    enumerate(
        (
            "Brainstem", "Eye_L", "Eye_R", "Lens_L", "Lens_R", "OpticNrv_L", "OpticNrv_R", "OpticChiasm", "Lobe_Temporal_L",
            "Lobe_Temporal_R", "Pituitary", "Parotid_L", "Parotid_R", "Ear_Internal_L", "Ear_Internal_R", "Ear_Middle_L", "Ear_Middle_R",
            "Joint_TM_L", "Joint_TM_R", "SpinalCord", "Bone_Mandible_L", "Bone_Mandible_R",
        ),
        start=1,
    )
)  # fmt: skip

RUN_RECORD = "training.json"  # a training's own folder: people put it beside the cases


@dataclass(frozen=True)
class FoundCases:
    """The cases of a folder.

    ``layout``: for people, "" where nothing fits. ``incomplete``: folder -> what lies in it, for folders that look like a case
    but are not complete.
    """

    layout: str = ""
    cases: list[CaseFiles] = field(default_factory=list)
    incomplete: dict[str, str] = field(default_factory=dict)


def find_cases(folder: Path, toml: DatasetToml) -> FoundCases:
    """Return the layout that fits and its cases. Raises DatasetError for a folder that holds several images or label maps."""
    bits = _bit_masks(folder)
    if bits is not None:
        return bits
    folders = case_folders(folder)
    found = FoundCases()
    for title, reader in LAYOUTS:
        cases = [case for split, path in folders if (case := reader(path, split, toml, folder)) is not None]
        if cases:
            found = FoundCases(title, cases)
            break
    names = {case.name for case in found.cases}
    for _, path in folders:
        images = [p.name for p in _images(path) if not _ignored(p, toml, folder)]
        if path.name not in names and images:
            found.incomplete[path.name] = (
                f"{', '.join(images[:4])}, but no contours: a label map has label, seg or mask in its name"
            )
    found.incomplete.update(dead_links({folder, *(path.parent for _, path in folders)}))
    return found


def dead_links(folders: Iterable[Path]) -> dict[str, str]:
    """Return links to nothing where cases are looked for, so that a disk that is not mounted is reported."""
    links = (
        path
        for folder in folders
        for path in sorted(folder.iterdir())
        if path.is_symlink() and not path.exists() and path.name[0] != "."
    )
    return {link.name: f"a link to {os.readlink(link)}, where nothing is" for link in links}


def case_folders(folder: Path) -> list[tuple[str, Path]]:
    """Return (split or "", folder) of everything that may be a case.

    These are the folders below, or those below train, val and test, or below one more folder that holds everything (HaN-Seg's
    ``set_1``).
    """
    below = _folders(folder)
    if below and all(path.name.lower() in SPLIT_NAMES for path in below):
        return [(SPLIT_NAMES[path.name.lower()], case) for path in below for case in _folders(path)]
    if len(below) == 1 and _folders(below[0]) and not _images(below[0]) and below[0].name not in MASK_FOLDERS:
        inner = _folders(below[0])
        if not any(path.name in MASK_FOLDERS for path in inner):
            return case_folders(below[0])
    return [("", path) for path in below]


def _folders(folder: Path) -> list[Path]:
    return sorted(
        p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".") and not (p / RUN_RECORD).is_file()
    )


def _images(folder: Path) -> list[Path]:
    return sorted(
        p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".") and has_suffix(p, TRAINING_FILES)
    )


def _ignored(path: Path, toml: DatasetToml, root: Path) -> bool:
    return any(fnmatch(path.relative_to(root).as_posix(), pattern) for pattern in toml.ignore)


def _han_seg(folder: Path, split: str, toml: DatasetToml, root: Path) -> CaseFiles | None:
    """Recognise ``case_01/case_01_IMG_CT.nrrd`` and ``case_01_OAR_<Name>.seg.nrrd`` (Podobnik et al. 2023)."""
    name = folder.name
    masks = {
        stem(p)[len(f"{name}_OAR_") :]: p
        for p in _images(folder)
        if p.name.startswith(f"{name}_OAR_") and not _ignored(p, toml, root)
    }
    image = folder / f"{name}_IMG_CT.nrrd"
    return MaskFilesCase(name, name, split, image, masks) if masks else None


def _structseg(folder: Path, split: str, toml: DatasetToml, root: Path) -> CaseFiles | None:
    """Recognise ``1/data.nii.gz`` and ``1/label.nii.gz`` with the challenge's numbers (StructSeg 2019, task 1)."""
    image, labels = folder / "data.nii.gz", folder / "label.nii.gz"
    if not (image.is_file() and labels.is_file()) or any(key.isdigit() for key in toml.organs):
        return None
    return LabelMapCase(folder.name, folder.name, split, image, labels, STRUCTSEG_NAMES)


def _mask_folder(folder: Path, split: str, toml: DatasetToml, root: Path) -> CaseFiles | None:
    """Recognise ``<case>/img.nrrd`` and ``<case>/structures/<Organ>.nrrd`` (PDDCA), or any image beside a folder of masks."""
    for inner in MASK_FOLDERS:
        if not (folder / inner).is_dir():
            continue
        masks = {stem(p): p for p in _images(folder / inner) if not _ignored(p, toml, root)}
        if masks:
            images = [p for p in _images(folder) if not _ignored(p, toml, root) and not _is_label(p)]
            if len(images) > 1:
                raise DatasetError(_several(folder, "images", images))
            return MaskFilesCase(folder.name, folder.name, split, images[0] if images else folder / "img.nrrd", masks)
    return None


def _image_and_label(folder: Path, split: str, toml: DatasetToml, root: Path) -> CaseFiles | None:
    """Recognise one image and one label map, told apart by the label map's name."""
    files = [p for p in _images(folder) if not _ignored(p, toml, root)]
    labels = [p for p in files if _is_label(p)]
    images = [p for p in files if p not in labels]
    if not labels:
        return None
    if len(labels) > 1:
        raise DatasetError(_several(folder, "label maps", labels))
    if len(images) > 1:
        raise DatasetError(_several(folder, "images", images))
    image = images[0] if images else folder / "ct.nrrd"
    if has_suffix(labels[0], SEG_NRRD):
        return SegNrrdCase(folder.name, folder.name, split, image, labels[0])
    return LabelMapCase(folder.name, folder.name, split, image, labels[0])


LAYOUTS: tuple[tuple[str, Callable[[Path, str, DatasetToml, Path], CaseFiles | None]], ...] = (
    ("HaN-Seg: one .seg.nrrd an organ beside the CT", _han_seg),
    ("StructSeg 2019: data.nii.gz and label.nii.gz", _structseg),
    ("PDDCA: a folder of masks beside the CT", _mask_folder),
    ("a folder per case with an image and a label map", _image_and_label),
)


def _is_label(path: Path) -> bool:
    return has_suffix(path, SEG_NRRD) or bool(LABEL_WORDS.search(stem(path).lower()))


def _several(folder: Path, what: str, files: list[Path]) -> str:
    return (
        f"{folder} holds {len(files)} {what} ({', '.join(p.name for p in files[:6])}); one is expected. "
        f'Name the others in dataset.toml, such as ignore = ["*/{files[-1].name}"].'
    )


def _bit_masks(folder: Path) -> FoundCases | None:
    """Recognise tcia-oars: ``dataset.json`` names the bits and the splits, ``<annotator>/<scan>.nrrd`` holds them.

    Scans a and b are one patient's.
    """
    index = folder / "dataset.json"
    if not index.is_file():
        return None
    bits, official = read_index(index)
    unknown = sorted(set(official) - set(SPLIT_NAMES))
    if unknown:
        raise DatasetError(f"{index}: the split {unknown[0]!r} is unknown; train, val and test are expected.")
    cases: list[CaseFiles] = []
    for annotator in _folders(folder):
        for split, names in official.items():
            for scan in names:
                name, path = f"{annotator.name}/{scan}", annotator / f"{scan}.nrrd"
                cases.append(BitMaskCase(name, patient_of(scan), SPLIT_NAMES[split], path, bits))
    return FoundCases("tcia-oars: one bit a structure, without CT (for shapes only)", cases)
