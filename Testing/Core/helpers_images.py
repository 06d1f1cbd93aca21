"""Real image files of every kind, good and bad: DICOM by pydicom, NIfTI by nibabel, NRRD and MetaImage by SimpleITK."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.uid import generate_uid

from focusnet.phantom import phantom
from focusnet.phantom_dicom import write_dicom_series
from focusnet.volume import Volume

Edit = Callable[[pydicom.Dataset, int], object]


def small_scan() -> Volume:
    """The phantom on a coarse grid: quick to write and to read."""
    return phantom(0, (5.0, 5.0, 6.0))[0]


def write_image(volume: Volume, path: Path, array: np.ndarray | None = None) -> Path:
    image = sitk.GetImageFromArray(volume.array if array is None else array)
    image.SetSpacing(volume.geometry.spacing_mm_xyz)
    image.SetOrigin(volume.geometry.origin_mm_xyz)
    image.SetDirection(np.asarray(volume.geometry.direction_xyz).ravel().tolist())
    sitk.WriteImage(image, str(path))
    return path


def write_dicom(folder: Path, edit: Edit | None = None) -> Path:
    """A series of the small phantom; ``edit(dataset, number)`` changes each slice before it is saved, False removes it."""
    write_dicom_series(small_scan(), folder, seed=0)
    if edit is not None:
        edit_dicom(folder, edit)
    return folder


def edit_dicom(folder: Path, edit: Edit) -> None:
    for number, path in enumerate(sorted(folder.glob("*.dcm"))):
        dataset = pydicom.dcmread(path)
        if edit(dataset, number) is False:
            path.unlink()
        else:
            dataset.save_as(path, enforce_file_format=False)


def add_series(folder: Path, description: str, modality: str = "CT") -> str:
    """A second series in the same folder, of the same slices; returns its UID."""
    uid = generate_uid(entropy_srcs=[description])
    for path in sorted(folder.glob("slice_*.dcm")):
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID, dataset.SeriesDescription, dataset.Modality = uid, description, modality
        dataset.SOPInstanceUID = generate_uid()
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(path.with_name(f"{description}_{path.name}"), enforce_file_format=False)
    return str(uid)
