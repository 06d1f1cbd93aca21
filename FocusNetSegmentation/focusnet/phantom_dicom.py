"""The phantom as a DICOM CT series, so that everything about DICOM can be tried without a patient."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from .errors import OutputError
from .volume import Volume

RESCALE_INTERCEPT = -1024


def write_dicom_series(volume: Volume, folder: Path, seed: int, overwrite: bool = False) -> Path:
    """Write one file per slice; UIDs follow from the seed. The folder appears whole or not at all. Raises OutputError."""
    if folder.exists() and not overwrite:
        raise OutputError(f"Output {folder} exists; choose another folder or pass --overwrite.")
    work = Path(tempfile.mkdtemp(prefix=".dicom-", dir=folder.parent))
    try:
        for index in range(volume.array.shape[0]):
            _slice(volume, index, seed).save_as(work / f"slice_{index + 1:04d}.dcm", enforce_file_format=True)
        if folder.exists():
            shutil.rmtree(folder)
        work.chmod(0o755)
        work.rename(folder)
    except OSError as problem:
        raise OutputError(
            f"{folder} cannot be written ({problem}); free some space or choose another place."
        ) from problem
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


def _slice(volume: Volume, index: int, seed: int) -> FileDataset:
    geometry = volume.geometry
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = _uid(seed, f"slice {index}")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _uid(0, "implementation")
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    data.SpecificCharacterSet = "ISO_IR 192"
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.Modality, data.Manufacturer = "CT", "FocusNet Segmentation"
    data.PatientName, data.PatientID = "Phantom^Synthetic", f"PHANTOM-{seed}"
    data.PatientBirthDate, data.PatientSex = "", "O"
    data.StudyDate, data.StudyTime, data.StudyID, data.AccessionNumber = "20260101", "120000", "1", ""
    data.ReferringPhysicianName = ""
    data.StudyDescription, data.SeriesDescription = "Synthetic phantom", "Synthetic phantom, head and neck"
    data.SeriesNumber, data.AcquisitionNumber, data.InstanceNumber = 1, 1, index + 1
    data.StudyInstanceUID, data.SeriesInstanceUID = _uid(seed, "study"), _uid(seed, "series")
    data.FrameOfReferenceUID, data.PositionReferenceIndicator = _uid(seed, "frame"), ""
    data.PatientPosition = "HFS"
    data.KVP = "120"
    data.PixelSpacing = [geometry.spacing_mm_xyz[1], geometry.spacing_mm_xyz[0]]
    data.SliceThickness = geometry.spacing_mm_xyz[2]
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
