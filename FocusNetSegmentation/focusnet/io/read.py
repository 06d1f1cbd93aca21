"""Read a scan or a segmentation of any kind. Other modules leave the choice of the reader to this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..image.segmentation import Segmentation
from ..image.volume import Volume
from .ct_checks import refuse_impossible
from .image_read import read_image
from .label_map import names_path, read_label_map
from .seg_nrrd import read_seg_nrrd
from .suffixes import HEADER_PAIRS, IMAGES, SEG_NRRD, SEGMENTATIONS, ZIP, has_suffix

MAXIMUM_OFFSET = 10_000  # HU run from -1024 to some 30000 in metal: an offset beyond this is a typing error


def read_volume(path: Path | str, series: str | None = None, hu_offset: float | None = None) -> Volume:
    """Read a CT from a DICOM folder, a .zip of one, any file of a series, or an image file, on its own grid.

    ``series`` picks one series of a folder that holds several. ``hu_offset`` is added to every value; it is the user's word that
    the stored values are not HU, and is noted in the volume. Raises InputError for what cannot be a head-and-neck CT in HU.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise InputError(
            f"{path} does not exist; a DICOM folder, a .zip of one or an image file ({', '.join(IMAGES)}) is expected."
        )
    volume = _read_any(path, series)
    if hu_offset is not None:
        volume = shifted(volume, hu_offset)
    refuse_impossible(volume)
    return volume


def _read_any(path: Path, series: str | None) -> Volume:
    """Read a scan by what its path is. pydicom takes a while to load, and an image file does not need it."""
    if path.is_dir():
        from .dicom_series import read_dicom_folder

        return read_dicom_folder(path, series)
    if has_suffix(path, ZIP):
        from .dicom_zip import read_dicom_zip

        return read_dicom_zip(path, series)
    if not has_suffix(path, (*IMAGES, *HEADER_PAIRS)):
        from .dicom_one_file import is_dicom_file, read_series_of

        if is_dicom_file(path):
            return read_series_of(path, series)
    if series is not None:
        raise InputError(f"--series picks a series of a DICOM folder; {path} is a file.")
    return read_image(path)


def shifted(volume: Volume, hu_offset: float) -> Volume:
    """Return the volume with ``hu_offset`` added to every value, and a note that says so."""
    if not np.isfinite(hu_offset) or abs(hu_offset) > MAXIMUM_OFFSET:
        raise InputError(
            f"--hu-offset is {hu_offset:g}; a number from -{MAXIMUM_OFFSET} to {MAXIMUM_OFFSET} is expected, such as -1024."
        )
    if np.issubdtype(volume.array.dtype, np.integer) and float(hu_offset).is_integer():
        array = np.empty(volume.array.shape, np.int16)
        for k, stored in enumerate(volume.array):  # slice by slice: no wide copy of the whole scan
            array[k] = np.clip(stored.astype(np.int32) + int(hu_offset), -32768, 32767)
    else:
        array = volume.array + np.float32(hu_offset)
    return replace(
        volume, array=array, notes=(*volume.notes, f"{hu_offset:+g} was added to every value as asked (--hu-offset).")
    )


def read_ct(path: Path, series: str | None = None, hu_offset: float | None = None) -> Volume:
    """Read a scan whose grid and UIDs are wanted: its values are not looked at, so that a missing rescale intercept does not matter."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist; the CT's DICOM folder or image file is expected.")
    volume = _read_any(path, series)
    return volume if hu_offset is None else shifted(volume, hu_offset)


def read_segmentation(
    path: Path,
    organs: Sequence[str] | None = None,
    ct: Volume | None = None,
    names: Mapping[str, str] | None = None,
) -> Segmentation:
    """Read a ``.seg.nrrd``, a label map with its names beside it, or an RTSTRUCT on ``ct``. ``organs`` reads only these, past others that
    overlap. ``names``: {name: organ} for names in an RTSTRUCT that are not known here. Raises InputError."""
    if has_suffix(path, (".dcm",)):
        return _read_structure_set(path, organs, ct, names)
    if has_suffix(path, SEG_NRRD):
        return read_seg_nrrd(path, organs)
    if not path.exists():
        raise InputError(f"{path} does not exist; a segmentation ({', '.join(SEGMENTATIONS)}) is expected.")
    if not has_suffix(path, SEGMENTATIONS):
        raise InputError(f"{path} is not a known kind of segmentation; {', '.join(SEGMENTATIONS)} is expected.")
    if has_suffix(path, (".nrrd",)) and not names_path(path).is_file():
        return read_seg_nrrd(path, organs)
    return read_label_map(path)


def _read_structure_set(
    path: Path, organs: Sequence[str] | None, ct: Volume | None, names: Mapping[str, str] | None
) -> Segmentation:
    from .rtstruct_read import read_rtstruct

    if not path.is_file():
        raise InputError(f"{path} does not exist; an RTSTRUCT file is expected.")
    if ct is None:
        raise InputError(f"{path} holds contours, not voxels; give the CT that they were drawn on with --ct.")
    return read_rtstruct(path, ct, organs, names)
