"""File name endings of everything that is read or written: the one table of them."""

from __future__ import annotations

from pathlib import Path

SEG_NRRD = (".seg.nrrd",)
NIFTI = (".nii.gz", ".nii")
IMAGES = (".nrrd", ".nhdr", ".mha", ".mhd", ".nii", ".nii.gz")
LABEL_MAPS = (*NIFTI, ".nrrd", ".nhdr", ".mha", ".mhd")
SEGMENTATIONS = (*SEG_NRRD, *NIFTI, ".nrrd", ".mha")
DICOM = (".dcm", ".dicom", ".ima")
ZIP = (".zip",)
HEADER_PAIRS = (".hdr", ".img")  # NIfTI as two files; read when named, not looked for in folders
SEGMENTATION_OUTPUTS = (*SEG_NRRD, *NIFTI, ".dcm")
TRAINING_FILES = (*SEG_NRRD, ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".nii")
PAGES = (".html", ".htm")
AUDITS = (".json", ".csv")

# longest first, so that "a.seg.nrrd" loses all of its ending
_ALL = sorted({*TRAINING_FILES, *IMAGES, *DICOM, *ZIP, *HEADER_PAIRS, *PAGES, *AUDITS}, key=len, reverse=True)


def has_suffix(path: Path | str, suffixes: tuple[str, ...]) -> bool:
    """Return whether the file's name ends with one of ``suffixes``, in any case of letters."""
    return Path(path).name.lower().endswith(suffixes)


def stem(path: Path | str) -> str:
    """Return the file's name without its ending; ``a.seg.nrrd`` and ``a.nii.gz`` give ``a``."""
    name = Path(path).name
    ending = next((s for s in _ALL if name.lower().endswith(s)), "")
    return name[: len(name) - len(ending)]
