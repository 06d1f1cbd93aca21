"""NRRD, MetaImage and NIfTI through SimpleITK, refusing what would need a guess about left and right."""

from __future__ import annotations

import gzip
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..volume import Geometry, Volume

IMAGE_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd", ".nii", ".nii.gz")
PATIENT_SPACES = ("left-posterior-superior", "right-anterior-superior", "left-anterior-superior", "lps", "ras", "las")

sitk.ProcessObject.SetGlobalWarningDisplay(False)  # a user sees one line of ours, not ITK's


def read_image(path: Path) -> Volume:
    """Read one image file as stored (any axis order and direction). Raises InputError."""
    name = path.name.lower()
    if not name.endswith(IMAGE_SUFFIXES):
        raise InputError(
            f"{path} is not a known kind of image: {', '.join(IMAGE_SUFFIXES)} or a folder of DICOM files is expected."
        )
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with _quiet():
            reader.ReadImageInformation()
    except RuntimeError as problem:
        raise InputError(
            f"{path} cannot be read as an image: {_reason(problem)}. It may be damaged, cut short or of another format."
        ) from problem
    _check_shape(path, reader)
    _check_space(path, reader)
    _check_length(path, reader)
    geometry = Geometry(
        tuple(reader.GetSize()[::-1]),
        tuple(reader.GetSpacing()),
        tuple(reader.GetOrigin()),
        tuple(map(tuple, np.asarray(reader.GetDirection()).reshape(3, 3))),
    )
    try:
        with _quiet():
            array = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as problem:
        raise InputError(
            f"{path}: the voxels cannot be read ({_reason(problem)}). The file may be damaged or cut short."
        ) from problem
    return Volume(as_hu(array, path), geometry, path.name)


def as_hu(array: np.ndarray, path: Path) -> np.ndarray:
    """int16 where the values are whole numbers that fit, float32 otherwise; 8-bit is kept so that it can be refused as such."""
    if array.dtype in (np.uint8, np.int8, np.int16):
        return array
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all():
            raise InputError(
                f"{path} holds voxels that are not numbers (NaN or infinite); a CT in HU is expected. Correct the image first."
            )
        if not np.array_equal(array, np.round(array)):
            return array.astype(np.float32, copy=False)
    if array.size and (array.min() < -32768 or array.max() > 32767):
        raise InputError(
            f"{path} holds values from {array.min()} to {array.max()}; a CT in HU (-1024 to about 3071) is expected."
        )
    return array.astype(np.int16)


def _check_shape(path: Path, reader: sitk.ImageFileReader) -> None:
    dimension, components = reader.GetDimension(), reader.GetNumberOfComponents()
    if dimension != 3:
        raise InputError(
            f"{path} has {dimension} dimensions; one 3D scan is expected. Extract a 3D volume from it first."
        )
    if components != 1:
        raise InputError(
            f"{path} has {components} values per voxel (a colour or vector image); a CT with one value per voxel is expected."
        )


def _check_space(path: Path, reader: sitk.ImageFileReader) -> None:
    """The header must say where the patient's left is."""
    keys = set(reader.GetMetaDataKeys())
    if path.name.lower().endswith((".nrrd", ".nhdr")):
        space = reader.GetMetaData("NRRD_space").lower() if "NRRD_space" in keys else "none"
        if space not in PATIENT_SPACES:
            raise InputError(
                f"{path} does not say where the patient's left is (NRRD space: {space}; left-posterior-superior or the like is expected). "
                "Export it again from a program that knows, such as 3D Slicer."
            )
    if path.name.lower().endswith((".nii", ".nii.gz")):
        codes = [reader.GetMetaData(k) if k in keys else "0" for k in ("sform_code", "qform_code")]
        if all(code in ("0", "", "NIFTI_XFORM_UNKNOWN") for code in codes):
            raise InputError(
                f"{path} does not say where the patient's left is (NIfTI sform and qform codes are both 0). "
                "Convert the scan from DICOM again, with a program that keeps its orientation."
            )


def _check_length(path: Path, reader: sitk.ImageFileReader) -> None:
    """ITK fills a NIfTI file that is too short with zeros and says nothing: its length is checked here."""
    name = path.name.lower()
    if not name.endswith((".nii", ".nii.gz")):
        return
    bytes_per_voxel = {sitk.sitkUInt8: 1, sitk.sitkInt8: 1, sitk.sitkInt16: 2, sitk.sitkUInt16: 2, sitk.sitkFloat64: 8}
    needed = int(np.prod(reader.GetSize())) * bytes_per_voxel.get(reader.GetPixelID(), 4)
    try:
        found = _unpacked_length(path) if name.endswith(".gz") else path.stat().st_size
    except (EOFError, OSError, zlib.error) as problem:
        raise InputError(
            f"{path}: the voxels cannot be read ({problem}). The file may be damaged or cut short; copy it again."
        ) from problem
    if found < needed:
        raise InputError(
            f"{path} holds {found} bytes, its header promises {needed}; the file is cut short, copy it again."
        )


def _unpacked_length(path: Path) -> int:
    total = 0
    with gzip.open(path) as handle:
        while block := handle.read(1 << 22):
            total += len(block)
    return total


@contextmanager
def _quiet() -> Iterator[None]:
    """Some of ITK's readers write to the process's stderr, past every switch: a user sees one line of ours instead."""
    try:
        stderr = sys.__stderr__.fileno() if sys.__stderr__ is not None else 2
        saved = os.dup(stderr)
    except (OSError, ValueError):  # no stderr at all, as in a windowed program
        yield
        return
    try:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), stderr)
        yield
    finally:
        os.dup2(saved, stderr)
        os.close(saved)


def _reason(problem: RuntimeError) -> str:
    """The last sentence of ITK's long message, without its own file names and line numbers."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    text = lines[-1] if lines else "unknown reason"
    return text.split("): ", 1)[-1][:160].rstrip(".")
