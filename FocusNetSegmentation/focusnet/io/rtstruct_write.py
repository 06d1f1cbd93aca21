"""RTSTRUCT: contours for a planning system, pointing at the very slices that they were drawn on.

Written with pydicom and contourpy; docs/export.md says why none of the libraries that write RTSTRUCT does. Every file is read back by other
code and compared before it gets its name.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from ..errors import InputError
from ..image.drawn_by import run_of
from ..image.orientation_doubt import doubt_text
from ..image.segmentation import OrganResult, Segmentation
from ..image.volume import Volume
from ..version import __version__
from .contour_lines import slice_contours
from .dicom_objects import save_checked
from .dicom_verify import NO_FRAME_OF_REFERENCE, check_states, prepare_export, slice_offsets_mm, text, verify_rtstruct
from .export_details import (
    APPROVALS,
    AS_THE_MODEL_DREW,
    NOT_LOCALIZED,
    ExportDetails,
    caution_sentences,
    origin_sentences,
)
from .terminology import SIDES

DETACHED_STUDY_MANAGEMENT = "1.2.840.10008.3.1.2.3.1"  # what a reference to a study is called


def write_rtstruct(
    segmentation: Segmentation,
    volume: Volume,
    path: Path | str,
    overwrite: bool = False,
    details: ExportDetails = AS_THE_MODEL_DREW,
) -> list[str]:
    """Write an RTSTRUCT; return the names of organs that were left out because they are empty or not localized.

    ``details``: review states, who approved, which organs people drew or changed, and whether organs that were not localized are written
    ("not localized" then stands in their ROIObservationDescription).

    Raises InputError for a CT that did not come from DICOM, whose UIDs are not whole, or whose grid is another, and for an approval that the
    states contradict; OutputError if the file read back differs (it is kept as NAME.failed).
    """
    volume, drawn = prepare_export(segmentation, volume, Path(path), overwrite, "RTSTRUCT", details)
    review = check_states(segmentation, details.states)
    left_out = [r.organ.name for r in segmentation.results if r not in drawn]
    data = _header(segmentation, volume, details.sentences(segmentation, left_out))
    _add_approval(data, _approval(details, {r.organ.name: review[r.organ.name] for r in drawn}), details.reviewer)
    offsets_mm = slice_offsets_mm(volume)
    data.StructureSetROISequence, data.ROIContourSequence, data.RTROIObservationsSequence = [], [], []
    for number, result in enumerate(drawn, start=1):
        name = result.organ.name
        made = details.algorithm_type(name, review[name])
        data.StructureSetROISequence.append(_roi(number, result, segmentation, volume, made, review[name]))
        data.ROIContourSequence.append(_contours(number, result, segmentation, volume, offsets_mm))
        data.RTROIObservationsSequence.append(_observation(number, result, details.is_unsure(result)))
    save_checked(
        Path(path),
        lambda partial: data.save_as(partial, enforce_file_format=True),
        lambda partial: verify_rtstruct(partial, segmentation, volume, drawn),
    )
    return left_out


def _approval(details: ExportDetails, review: dict[str, str]) -> str:
    approval = details.approval
    if approval not in APPROVALS:
        raise InputError(f"Approval {approval!r} is unknown; {', '.join(APPROVALS)} are expected.")
    open_organs = sorted(name for name, state in review.items() if state != "approved")
    if details.states is None:
        return approval
    if approval == "APPROVED" and open_organs:
        raise InputError(f"The structure set cannot be APPROVED: {', '.join(open_organs)} not approved yet.")
    return "APPROVED" if not open_organs and approval == "UNAPPROVED" else approval


def _add_approval(data: Dataset, approval: str, reviewer: str) -> None:
    data.ApprovalStatus = approval
    if approval != "UNAPPROVED":
        data.ReviewDate, data.ReviewTime = data.InstanceCreationDate, data.InstanceCreationTime
        data.ReviewerName = text(reviewer, 64)


def _header(segmentation: Segmentation, volume: Volume, told: list[str]) -> FileDataset:
    """Everything but the structures. Implicit VR: contours of more than 65,534 bytes do not fit explicit ones (PS3.3 C.8.8.6)."""
    uids: dict[str, Any] = dict(volume.dicom_uids)
    now = time.localtime()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = RTStructureSetStorage, generate_uid()
    meta.TransferSyntaxUID = ImplicitVRLittleEndian
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
    sentences = [f"FocusNetv2 {segmentation.provenance.get('model', '')}, research software: check every contour."]
    sentences += caution_sentences(segmentation.provenance)
    sentences += filter(None, [doubt_text(segmentation.provenance)])
    sentences += [*told, *(note for note in volume.notes if note == NO_FRAME_OF_REFERENCE)]
    sentences += origin_sentences(segmentation.provenance)
    data.StructureSetDescription = text(" ".join(sentences), 1024)
    data.StructureSetDate, data.StructureSetTime = data.InstanceCreationDate, data.InstanceCreationTime
    data.ReferencedFrameOfReferenceSequence = [_frame_of_reference(uids)]
    return data


def _frame_of_reference(uids: dict[str, Any]) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = uids["series"]
    series.ContourImageSequence = [_image(uids, z) for z in range(len(uids["instances"]))]
    study = Dataset()
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = DETACHED_STUDY_MANAGEMENT, uids["study"]
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = uids["frame_of_reference"], [study]
    return frame


def _image(uids: Mapping[str, Any], z: int) -> Dataset:
    image = Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = uids["sop_class"], uids["instances"][z]
    return image


def _roi(
    number: int, result: OrganResult, segmentation: Segmentation, volume: Volume, made: str, state: str
) -> Dataset:
    roi = Dataset()
    roi.ROINumber, roi.ROIName = number, result.organ.name
    roi.ReferencedFrameOfReferenceUID = volume.dicom_uids["frame_of_reference"]
    # DICOM approves whole structure sets only; the state of each organ is kept in words
    own = run_of(segmentation.provenance, result.organ.name)
    caution = f" {own['caution']}" if made != "MANUAL" and own.get("caution") else ""
    roi.ROIDescription = text(f"{result.organ.title}. Review: {state}.{caution}", 1024)
    roi.ROIGenerationAlgorithm = made
    model = f"FocusNetv2 {own.get('model', '')}, research software"
    roi.ROIGenerationDescription = "Drawn by a person" if made == "MANUAL" else text(model, 64)
    return roi


def _observation(number: int, result: OrganResult, unsure: bool) -> Dataset:
    observation = Dataset()
    observation.ObservationNumber, observation.ReferencedROINumber = number, number
    observation.RTROIInterpretedType, observation.ROIInterpreter = "ORGAN", ""
    organ = result.organ
    if unsure:
        observation.ROIObservationDescription = NOT_LOCALIZED
    if organ.snomed_code:
        kind = _code(organ.snomed_code, "SCT", organ.snomed_meaning)
        if organ.side:
            scheme, code, meaning = SIDES[organ.side]
            kind.SegmentedPropertyTypeModifierCodeSequence = [_code(code, scheme, meaning)]
        observation.RTROIIdentificationCodeSequence = [kind]
    return observation


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, text(meaning, 64)
    return code


def _contours(
    number: int, result: OrganResult, segmentation: Segmentation, volume: Volume, offsets_mm: np.ndarray
) -> Dataset:
    mask = segmentation.labels == result.label
    normal = np.asarray(volume.geometry.direction_xyz)[:, 2]
    item = Dataset()
    item.ROIDisplayColor, item.ReferencedROINumber, item.ContourSequence = list(result.organ.color_rgb), number, []
    for z in np.flatnonzero(mask.any(axis=(1, 2))):
        for outline in slice_contours(mask[z]):
            index_zyx = np.column_stack([np.full(len(outline), z), outline[:, 1], outline[:, 0]])
            points_mm = volume.geometry.index_to_mm(index_zyx) + offsets_mm[z] * normal
            contour = Dataset()
            contour.ContourImageSequence = [_image(volume.dicom_uids, int(z))]
            contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(points_mm)
            contour.ContourData = [
                f"{v:.4f}".rstrip("0").rstrip(".") for v in np.round(points_mm, 4).ravel() + 0.0
            ]  # no -0
            item.ContourSequence.append(contour)
    return item
