"""RTSTRUCT: contours for a planning system, pointing at the very slices that they were drawn on.

Written with pydicom: rt-utils colours and names well but draws with OpenCV at whole pixels and needs the source files; highdicom has
no RTSTRUCT. Every file is read back by other code and compared before it gets its name.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from ..errors import InputError
from ..metrics import dice
from ..segmentation import OrganResult, Segmentation
from ..version import __version__
from ..volume import Volume
from .contours import slice_contours
from .dicom_out import check_export, save_checked
from .rtstruct_read import read_rtstruct

AGREEMENT = 0.99  # DSC that the file must reach against what was to be written
STATES = ("draft", "edited", "approved")


def write_rtstruct(
    segmentation: Segmentation,
    volume: Volume,
    path: Path | str,
    overwrite: bool = False,
    states: Mapping[str, str] | None = None,
) -> list[str]:
    """Write an RTSTRUCT; return the names of organs that were left out because they are empty.

    ``states``: organ name -> draft, edited or approved. Edited organs are SEMIAUTOMATIC, the others AUTOMATIC; the structure set is APPROVED only if
    every organ is. Raises InputError for a CT that did not come from DICOM, whose UIDs are not whole, or whose grid is another;
    OutputError if the file read back differs (it is kept as NAME.failed).
    """
    drawn = check_export(segmentation, volume, Path(path), overwrite, "RTSTRUCT")
    states = dict(states or {})
    unknown = sorted(set(states.values()) - set(STATES))
    if unknown:
        raise InputError(f"Review state {', '.join(unknown)} is unknown; {', '.join(STATES)} are expected.")
    data = _structure_set(segmentation, volume, drawn, states)
    save_checked(
        Path(path),
        lambda partial: data.save_as(partial, enforce_file_format=True),
        lambda partial: _difference(partial, segmentation, volume, drawn),
    )
    return [r.organ.name for r in segmentation.results if r not in drawn]


def _structure_set(
    segmentation: Segmentation, volume: Volume, drawn: list[OrganResult], states: dict[str, str]
) -> FileDataset:
    uids: dict[str, Any] = dict(volume.dicom_uids)
    now = time.localtime()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = RTStructureSetStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SpecificCharacterSet = "ISO_IR 192"
    data.SOPClassUID, data.SOPInstanceUID = RTStructureSetStorage, meta.MediaStorageSOPInstanceUID
    data.InstanceCreationDate, data.InstanceCreationTime = time.strftime("%Y%m%d", now), time.strftime("%H%M%S", now)
    patient: dict[str, str] = uids["patient"]
    for tag, value in patient.items():
        setattr(data, tag, value)
    data.StudyInstanceUID, data.SeriesInstanceUID = uids["study"], generate_uid()
    data.Modality, data.Manufacturer = "RTSTRUCT", "FocusNet Segmentation"
    data.ManufacturerModelName, data.SoftwareVersions = "FocusNetv2, research software", __version__
    data.SeriesNumber, data.OperatorsName = 1, ""
    data.SeriesDescription = "FocusNet organs at risk (research)"
    data.FrameOfReferenceUID = uids["frame_of_reference"]
    data.StructureSetLabel = "FocusNet OARs"
    data.StructureSetDate, data.StructureSetTime = data.InstanceCreationDate, data.InstanceCreationTime
    data.ReferencedFrameOfReferenceSequence = [_frame_of_reference(uids)]
    data.StructureSetROISequence, data.ROIContourSequence, data.RTROIObservationsSequence = [], [], []
    model = str(segmentation.provenance.get("model", ""))
    for number, result in enumerate(drawn, start=1):
        edited = states.get(result.organ.name, "draft") != "draft"
        data.StructureSetROISequence.append(_roi(number, result, uids["frame_of_reference"], edited, model))
        data.ROIContourSequence.append(_contours(number, result, segmentation, uids))
        data.RTROIObservationsSequence.append(_observation(number))
    approved = all(states.get(r.organ.name) == "approved" for r in drawn)
    data.ApprovalStatus = "APPROVED" if approved else "UNAPPROVED"
    if approved:
        data.ReviewDate, data.ReviewTime, data.ReviewerName = data.InstanceCreationDate, data.InstanceCreationTime, ""
    return data


def _frame_of_reference(uids: dict[str, Any]) -> Dataset:
    images = []
    for instance in uids["instances"]:
        image = Dataset()
        image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = uids["sop_class"], instance
        images.append(image)
    series = Dataset()
    series.SeriesInstanceUID, series.ContourImageSequence = uids["series"], images
    study = Dataset()
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", uids["study"]
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = uids["frame_of_reference"], [study]
    return frame


def _roi(number: int, result: OrganResult, frame_uid: str, edited: bool, model: str) -> Dataset:
    roi = Dataset()
    roi.ROINumber, roi.ReferencedFrameOfReferenceUID, roi.ROIName = number, frame_uid, result.organ.name
    roi.ROIGenerationAlgorithm = "SEMIAUTOMATIC" if edited else "AUTOMATIC"
    roi.ROIGenerationDescription = f"FocusNetv2 {model}, research software"[:64]
    return roi


def _observation(number: int) -> Dataset:
    observation = Dataset()
    observation.ObservationNumber, observation.ReferencedROINumber = number, number
    observation.RTROIInterpretedType, observation.ROIInterpreter = "ORGAN", ""
    return observation


def _contours(number: int, result: OrganResult, segmentation: Segmentation, uids: dict[str, Any]) -> Dataset:
    mask = segmentation.labels == result.label
    item = Dataset()
    item.ROIDisplayColor, item.ReferencedROINumber, item.ContourSequence = list(result.organ.color_rgb), number, []
    for z in np.flatnonzero(mask.any(axis=(1, 2))):
        image = Dataset()
        image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = uids["sop_class"], uids["instances"][z]
        for outline in slice_contours(mask[z]):
            index_zyx = np.column_stack([np.full(len(outline), z), outline[:, 1], outline[:, 0]])
            points_mm = segmentation.geometry.index_to_mm(index_zyx)
            contour = Dataset()
            contour.ContourImageSequence = [image]
            contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(points_mm)
            contour.ContourData = [f"{v:.4f}".rstrip("0").rstrip(".") for v in points_mm.ravel()]
            item.ContourSequence.append(contour)
    return item


def _difference(path: Path, segmentation: Segmentation, volume: Volume, drawn: list[OrganResult]) -> str:
    """What differs between the written file and what was to be written; empty if nothing does."""
    back = read_rtstruct(path, volume)
    for result in drawn:
        wanted, found = segmentation.labels == result.label, back.mask(result.organ.name)
        agreement = dice(wanted, found)
        if agreement < AGREEMENT:
            return f"{result.organ.name}: DSC {agreement:.3f}, at least {AGREEMENT} expected"
        if int(wanted.any(axis=(1, 2)).sum()) != int(found.any(axis=(1, 2)).sum()):
            return f"{result.organ.name}: another number of slices"
    return ""
