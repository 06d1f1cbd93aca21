"""Write the phantom as a DICOM CT series, so that everything about DICOM can be tried without a patient's scan."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import DSfloat

from ..errors import OutputError
from ..image.volume import Volume

RESCALE_INTERCEPT = -1024
PATIENT_NAME = "Phantom^Synthetic"


def check_series_folder(folder: Path, overwrite: bool = False) -> None:
    """Raise OutputError for a folder that exists, and with ``overwrite`` for one that holds anything but a phantom.

    A patient's scan is never removed.
    """
    if not folder.exists():
        return
    if not overwrite:
        raise OutputError(f"Output {folder} exists; choose another folder or pass --overwrite.")
    if not folder.is_dir() or not all(_is_phantom_slice(path) for path in folder.iterdir()):
        raise OutputError(
            f"Output {folder} holds more than a phantom's slices and is not replaced; choose another folder."
        )


def _is_phantom_slice(path: Path) -> bool:
    if re.fullmatch(r"slice_\d{4,}\.dcm", path.name) is None:
        return False
    try:
        patient = pydicom.dcmread(path, specific_tags=["PatientName"], stop_before_pixels=True).get("PatientName", "")
    except (OSError, InvalidDicomError):
        return False
    return str(patient) == PATIENT_NAME


def write_dicom_series(volume: Volume, folder: Path, seed: int, overwrite: bool = False) -> Path:
    """Write a synthetic phantom as a CT series, one file per slice. The folder appears whole or not at all. Raises OutputError.

    UIDs are the same for the same scan: study and frame of reference follow from the seed, series and slices also from voxels and grid.
    """
    check_series_folder(folder, overwrite)
    content = hashlib.sha256(volume.array.tobytes() + repr(volume.geometry).encode()).hexdigest()
    work = None
    try:
        work = Path(tempfile.mkdtemp(prefix=".dicom-", dir=folder.parent))
        new, old = work / "new", work / "old"
        new.mkdir()
        for index in range(volume.array.shape[0]):
            _slice(volume, index, seed, content).save_as(new / f"slice_{index + 1:04d}.dcm", enforce_file_format=True)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except OSError as problem:
        raise OutputError(
            f"{folder} cannot be written ({problem}); free some space or choose another place."
        ) from problem
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
    return folder


def _slice(volume: Volume, index: int, seed: int, content: str) -> FileDataset:
    geometry = volume.geometry
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = _uid(seed, f"slice {index} {content}")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _uid(0, "implementation")
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    data.SpecificCharacterSet = "ISO_IR 192"
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.Modality, data.Manufacturer = "CT", "FocusNet Segmentation"
    data.PatientName, data.PatientID = PATIENT_NAME, f"PHANTOM-{seed}"
    data.PatientBirthDate, data.PatientSex = "", "O"
    data.StudyDate, data.StudyTime, data.StudyID, data.AccessionNumber = "20260101", "120000", "1", ""
    data.ReferringPhysicianName = ""
    data.StudyDescription, data.SeriesDescription = "Synthetic phantom", "Synthetic phantom, head and neck"
    data.SeriesNumber, data.AcquisitionNumber, data.InstanceNumber = 1, 1, index + 1
    data.StudyInstanceUID, data.SeriesInstanceUID = _uid(seed, "study"), _uid(seed, f"series {content}")
    data.FrameOfReferenceUID, data.PositionReferenceIndicator = _uid(seed, "frame"), ""
    data.PatientPosition, data.BodyPartExamined = "HFS", "HEADNECK"
    data.KVP = "120"
    sx, sy, sz = (DSfloat(s, auto_format=True) for s in geometry.spacing_mm_xyz)  # at most 16 characters
    data.PixelSpacing, data.SliceThickness = [sy, sx], sz
    x, y, z = geometry.index_to_mm(np.array([index, 0, 0]))
    data.ImagePositionPatient = [round(float(v), 4) for v in (x, y, z)]
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.SliceLocation = round(float(z), 4)
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns = volume.array.shape[1:]
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.RescaleIntercept, data.RescaleSlope, data.RescaleType = RESCALE_INTERCEPT, 1, "HU"
    data.WindowCenter, data.WindowWidth = 40, 400
    data.PixelData = (volume.array[index].astype(np.int32) - RESCALE_INTERCEPT).astype("<u2").tobytes()
    return data


def _uid(seed: int, what: str) -> pydicom.uid.UID:
    return generate_uid(entropy_srcs=["focusnet phantom", str(seed), what])
