"""The voxels of a DICOM series: decoded, rescaled to HU, padding set to air."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from ..errors import InputError
from ..image.resample import AIR_HU
from .decoder_messages import held_back

HIGHEST_HU = 3071  # of a 12-bit CT: padding above it would be taken for bone


def dcmread(path: Path, **options: Any) -> pydicom.Dataset:
    """Read a file, with or without the 128-byte preamble: where old archives lack it, a file starts with its first group, 0002 or 0008,
    little-endian."""
    with open(path, "rb") as handle:
        without_preamble = handle.read(4)[:2] in (b"\x02\x00", b"\x08\x00")
    return pydicom.dcmread(path, force=without_preamble, **options)


def read_pixels(files: Sequence[Path], headers: Sequence[pydicom.Dataset]) -> tuple[np.ndarray, int]:
    """Return HU (z, y, x): int16 where slope and intercept are whole numbers, float32 otherwise; how much padding was set to air."""
    slopes = [float(1 if h.get("RescaleSlope") is None else h.RescaleSlope) for h in headers]
    intercepts = [float(h.get("RescaleIntercept") or 0) for h in headers]
    whole = all(value.is_integer() for value in (*slopes, *intercepts))
    shape = (len(files), int(headers[0].Rows), int(headers[0].Columns))
    array = np.empty(shape, np.int16 if whole else np.float32)
    padded = 0
    for k, path in enumerate(files):
        stored, padding = _pixels(path)
        if stored.shape != shape[1:]:
            raise InputError(
                f"{path}: the slice has {stored.shape} pixels, {shape[1:]} were announced; the file is damaged, copy it again."
            )
        hu: np.ndarray = stored.astype(np.int32 if whole else np.float32) * (int(slopes[k]) if whole else slopes[k])
        hu += int(intercepts[k]) if whole else np.float32(intercepts[k])
        if padding is not None and padding * slopes[k] + intercepts[k] > HIGHEST_HU:
            padded += int((stored == padding).sum())
            hu[stored == padding] = AIR_HU
        array[k] = np.clip(hu, -32768, 32767)
    return array, padded


def _pixels(path: Path) -> tuple[np.ndarray, int | None]:
    """Stored values (y, x) of one file, and the value that marks padding, if any."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = dcmread(path)
        except Exception as problem:
            raise InputError(f"{path} cannot be read ({problem}); it may be cut short, copy it again.") from problem
        if "PixelData" not in dataset:
            raise InputError(f"{path} has no pixels; it may be cut short, copy it again.")
        syntax = _transfer_syntax(dataset)
        if not syntax.is_transfer_syntax:
            raise InputError(
                f"{path}: its transfer syntax {syntax} is none that DICOM or this reader knows, so its pixels cannot be decoded; "
                "copy the file again, or convert the series to explicit little-endian first."
            )
        try:
            padding = dataset.get("PixelPaddingValue")
            with held_back() as said:
                stored = np.asarray(dataset.pixel_array)
            if damage := next((line for line in said if "Corrupt JPEG data" in line), ""):
                raise InputError(f"{path}: its pixels are damaged ({damage.strip()}); copy the file again.")
            return stored, padding if isinstance(padding, int) else None
        except InputError:
            raise
        except Exception as problem:  # decoders raise many kinds
            if syntax.is_compressed:
                raise InputError(
                    f"{path}: its compression ({syntax.name}) cannot be decoded here; convert the series to an uncompressed one first."
                ) from problem
            raise InputError(
                f"{path}: its pixels cannot be read ({problem}); the file may be cut short, copy it again."
            ) from problem


def _transfer_syntax(dataset: pydicom.Dataset) -> pydicom.uid.UID:
    """How the pixels are stored; a file without file meta information is uncompressed, as the rest of it was read."""
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if not syntax:
        explicit, implicit = pydicom.uid.ExplicitVRLittleEndian, pydicom.uid.ImplicitVRLittleEndian
        syntax = implicit if dataset.is_implicit_VR else explicit
        dataset.file_meta.TransferSyntaxUID = syntax
    return pydicom.uid.UID(syntax)
