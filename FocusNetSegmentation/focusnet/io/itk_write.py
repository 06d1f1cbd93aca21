"""Images written by ITK, and looked at before they get their name."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk

BLOCK = 1 << 22


def write_checked(image: sitk.Image, path: Path) -> None:
    """Write a compressed image and read it back. Raises OSError or RuntimeError.

    On a full disk ITK's NIfTI writer leaves a truncated file and says nothing, and its NRRD writer does the same where only the last
    bytes do not fit (ITK 5.4).
    """
    sitk.WriteImage(image, str(path), useCompression=True)
    try:
        found = sitk.ReadImage(str(path))  # has a name, because a view does not keep its image alive
        same = np.array_equal(sitk.GetArrayViewFromImage(found), sitk.GetArrayViewFromImage(image))
    except RuntimeError:
        same = False
    if not (same and _unpacks(path)):
        raise OSError("what is on the disk is not what was written; the disk may be full")


def _unpacks(path: Path) -> bool:
    """Whether the packed part has an end: ITK reads voxels whose check sum is cut off, other programs do not."""
    try:
        with path.open("rb") as handle:
            if path.name.lower().endswith(".nrrd"):
                while handle.readline().strip():
                    pass  # the header ends with an empty line
            elif not path.name.lower().endswith(".gz"):
                return True
            with gzip.open(handle) as packed:
                while packed.read(BLOCK):
                    pass
    except (EOFError, OSError, zlib.error):
        return False
    return True
