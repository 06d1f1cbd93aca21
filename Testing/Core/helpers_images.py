"""Real image files of every kind, good and bad: DICOM by pydicom, NIfTI by nibabel, NRRD and MetaImage by SimpleITK."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.uid import generate_uid

from focusnet.image.volume import Volume
from focusnet.phantom.dicom import write_dicom_series
from focusnet.phantom.write import phantom

Edit = Callable[[pydicom.Dataset, int], object]


@lru_cache(maxsize=1)
def small_scan() -> Volume:
    """The phantom on a coarse grid: quick to write and to read. Made once; its voxels cannot be changed."""
    scan = phantom(0, (5.0, 5.0, 6.0))[0]
    scan.array.flags.writeable = False
    return scan


def write_image(volume: Volume, path: Path, array: np.ndarray | None = None) -> Path:
    image = sitk.GetImageFromArray(volume.array if array is None else array)
    image.SetSpacing(volume.geometry.spacing_mm_xyz)
    image.SetOrigin(volume.geometry.origin_mm_xyz)
    image.SetDirection(np.asarray(volume.geometry.direction_xyz).ravel().tolist())
    sitk.WriteImage(image, str(path))
    return path


@lru_cache(maxsize=1)
def _series_files() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        write_dicom_series(small_scan(), Path(folder) / "ct", seed=0)
        return {path.name: path.read_bytes() for path in sorted((Path(folder) / "ct").iterdir())}


def write_dicom(folder: Path, edit: Edit | None = None) -> Path:
    """A series of the small phantom; ``edit(dataset, number)`` changes each slice before it is saved, False removes it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in _series_files().items():
        (folder / name).write_bytes(data)
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


def compress_jpeg_lossless(dataset: pydicom.Dataset, number: int) -> None:
    """An ``Edit``: the slice's pixels as JPEG lossless, process 14, by GDCM (pydicom has no such encoder)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.dcm"
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.UseCompressionOn()
        writer.SetCompressor("JPEG")
        writer.SetFileName(str(path))
        writer.Execute(sitk.GetImageFromArray(dataset.pixel_array[None]))
        packed = pydicom.dcmread(path)
    dataset.PixelData = packed.PixelData
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = packed.file_meta.TransferSyntaxUID


def write_nrrd(path: Path, fields: str, array: np.ndarray | None = None) -> Path:
    """An NRRD file of the small scan with the header lines ``fields``, which may be wrong."""
    array = small_scan().array if array is None else array
    sizes = " ".join(str(n) for n in array.shape[::-1])
    header = f"NRRD0004\ntype: short\ndimension: 3\n{fields}sizes: {sizes}\nendian: little\nencoding: raw\n\n"
    path.write_bytes(header.encode() + array.astype("<i2").tobytes())
    return path


def write_meta(path: Path, fields: str) -> Path:
    """A MetaImage file of the small scan with the header lines ``fields``, which may be wrong."""
    array = small_scan().array
    sizes = " ".join(str(n) for n in array.shape[::-1])
    header = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
        f"DimSize = {sizes}\nElementType = MET_SHORT\n{fields}ElementDataFile = LOCAL\n"
    )
    path.write_bytes(header.encode() + array.astype("<i2").tobytes())
    return path
