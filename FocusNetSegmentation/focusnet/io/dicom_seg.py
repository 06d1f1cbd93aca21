"""DICOM SEG through highdicom (extra ``dicom``): binary segments with SNOMED codes, made by an algorithm that has a name."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import generate_uid

from ..errors import InputError
from ..image.drawn_by import caution_of, run_of
from ..image.segmentation import OrganResult, Segmentation
from ..image.volume import Volume
from ..version import __version__
from .dicom_objects import save_checked
from .dicom_verify import check_states, prepare_export, read_dicom_seg, source_headers, text, verify_dicom_seg
from .export_details import AS_THE_MODEL_DREW, NOT_LOCALIZED, ExportDetails
from .terminology import ANATOMICAL_STRUCTURE, SIDES

__all__ = ["read_dicom_seg", "write_dicom_seg"]


def write_dicom_seg(
    segmentation: Segmentation,
    volume: Volume,
    path: Path | str,
    overwrite: bool = False,
    details: ExportDetails = AS_THE_MODEL_DREW,
) -> list[str]:
    """Write a DICOM SEG; return the names of organs that were left out because they are empty or not localized.

    ``details``: which organs people drew or changed, and whether organs that were not localized are written ("not localized" then stands in
    their SegmentDescription); a DICOM SEG has no place for who approved.

    Raises InputError for a CT that did not come from DICOM, whose UIDs are not whole, whose files are gone or whose grid is another, for an
    organ without a SNOMED code, and where highdicom is not installed; OutputError if the file read back by SimpleITK differs (it is kept as
    NAME.failed).
    """
    volume, drawn = prepare_export(segmentation, volume, Path(path), overwrite, "DICOM SEG", details)
    uncoded = [r.organ.name for r in drawn if not r.organ.snomed_code]
    if uncoded:
        raise InputError(
            f"{', '.join(uncoded)}: no SNOMED code is known, which DICOM SEG needs; leave them out or write .seg.nrrd."
        )
    review = check_states(segmentation, details.states)
    made = {r.organ.name: details.algorithm_type(r.organ.name, review[r.organ.name]) for r in drawn}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # highdicom comments on how the CT spells its patient's name
        data = _segmentation_object(segmentation, volume, drawn, made)
    for segment, result in zip(data.SegmentSequence, drawn, strict=True):
        caution = caution_of(segmentation.provenance, result.organ.name) if made[result.organ.name] != "MANUAL" else ""
        told = [NOT_LOCALIZED] if details.is_unsure(result) else []
        if told or caution:
            segment.SegmentDescription = text(". ".join([*told, *filter(None, [caution])]), 1024)
    save_checked(Path(path), data.save_as, lambda partial: verify_dicom_seg(partial, segmentation, volume, drawn))
    return [r.organ.name for r in segmentation.results if r not in drawn]


def _segmentation_object(
    segmentation: Segmentation, volume: Volume, drawn: list[OrganResult], made: Mapping[str, str]
) -> Any:
    hd = _highdicom()
    numbers = np.zeros(256, np.uint8)  # label -> segment number, which counts from 1 without gaps
    for number, result in enumerate(drawn, start=1):
        numbers[result.label] = number
    sources = _source_images(volume)
    try:
        return hd.seg.Segmentation(
            source_images=sources,
            pixel_array=numbers[segmentation.labels],
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[
                _segment(hd, number, result, _algorithm(hd, segmentation, result), made[result.organ.name])
                for number, result in enumerate(drawn, start=1)
            ],
            series_instance_uid=generate_uid(),
            series_number=1,
            sop_instance_uid=generate_uid(),
            instance_number=1,
            manufacturer="FocusNet Segmentation",
            manufacturer_model_name="FocusNetv2, research software",
            software_versions=__version__,
            device_serial_number="none",
            content_label="OARS",
            content_description="Organs at risk, research software",
            series_description="FocusNet organs at risk (research)",
            omit_empty_frames=True,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as problem:  # highdicom found the source wanting
        raise InputError(
            f"{volume.source} cannot be the source of a DICOM SEG ({problem}); write .seg.nrrd instead."
        ) from problem


def _highdicom() -> Any:
    try:
        import highdicom
        import highdicom.seg
    except ImportError as problem:
        raise InputError(
            'DICOM SEG needs highdicom, which is not installed: pip install "focusnet[dicom]"; 3D Slicer 5.12 and later bring it.'
        ) from problem
    return highdicom


def _source_images(volume: Volume) -> list[pydicom.Dataset]:
    """The CT's headers; only what the CT left out is filled in, and only with what DICOM allows to be empty."""
    headers = source_headers(volume, "DICOM SEG")
    for header in headers:
        header.decode()
        header.SpecificCharacterSet = "ISO_IR 192"  # highdicom takes one character set only; Japanese series name two
        header.FrameOfReferenceUID = volume.dicom_uids["frame_of_reference"]
        for tag in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
                    "StudyDate", "StudyTime", "ReferringPhysicianName", "PositionReferenceIndicator"):  # fmt: skip
            if tag not in header:
                setattr(header, tag, "")
    return headers


def _algorithm(hd: Any, segmentation: Segmentation, result: OrganResult) -> Any:
    """Return the model that drew an organ: DICOM SEG names one for each segment."""
    own = run_of(segmentation.provenance, result.organ.name)
    model, caution = own.get("model", "unknown model"), own.get("caution")
    return hd.AlgorithmIdentificationSequence(
        name=text(f"FocusNetv2 {model}", 64),
        family=hd.sr.CodedConcept("123110", "DCM", "Artificial Intelligence"),
        version=text(own.get("model_version") or __version__, 64),
        source=text(f"{caution} FocusNet" if caution else "FocusNet Segmentation, research software", 64),
    )


def _segment(hd: Any, number: int, result: OrganResult, algorithm: Any, made: str) -> Any:
    organ = result.organ
    scheme, code, meaning = ANATOMICAL_STRUCTURE
    description = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=organ.name,
        segmented_property_category=hd.sr.CodedConcept(code, scheme, meaning),
        segmented_property_type=hd.sr.CodedConcept(organ.snomed_code, "SCT", text(organ.snomed_meaning, 64)),
        algorithm_type=made,
        algorithm_identification=None if made == "MANUAL" else algorithm,
        tracking_uid=generate_uid(),
        tracking_id=organ.name,
        display_color=hd.color.CIELabColor.from_rgb(*organ.color_rgb),
    )
    if organ.side:
        scheme, code, meaning = SIDES[organ.side]
        kind = description.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [hd.sr.CodedConcept(code, scheme, meaning)]
    return description
