"""Images written by ITK, and looked at before they get their name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk


def write_checked(image: sitk.Image, path: Path) -> None:
    """Write a compressed image and read it back. Raises OSError or RuntimeError.

    On a full disk ITK's NIfTI writer leaves a truncated file and says nothing, and its NRRD writer does the same where only the last
    bytes do not fit (ITK 5.4).
    """
    sitk.WriteImage(image, str(path), useCompression=True)
    try:
        same = np.array_equal(sitk.GetArrayViewFromImage(sitk.ReadImage(str(path))), sitk.GetArrayViewFromImage(image))
    except RuntimeError:
        same = False
    if not same:
        raise OSError("what is on the disk is not what was written; the disk may be full")
