"""DICOM SEG through highdicom (extra ``dicom``): binary segments with SNOMED codes, made by an algorithm that has a name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import generate_uid

from ..errors import InputError
from ..segmentation import OrganResult, Segmentation
from ..version import __version__
from ..volume import Volume
from .dicom_out import check_export, save_checked
from .terminology import SIDES

ANATOMICAL_STRUCTURE = ("123037004", "SCT", "Anatomical Structure")


def write_dicom_seg(segmentation: Segmentation, volume: Volume, path: Path | str, overwrite: bool = False) -> list[str]:
    """Write a DICOM SEG; return the names of organs that were left out because they are empty.

    Raises InputError for a CT that did not come from DICOM, whose UIDs are not whole or whose grid is another, and where
    highdicom is not installed; OutputError if the file read back (by pydicom alone) differs.
    """
    drawn = check_export(segmentation, volume, Path(path), overwrite, "DICOM SEG")
    uncoded = [r.organ.name for r in drawn if not r.organ.snomed_code]
    if uncoded:
        raise InputError(
            f"{', '.join(uncoded)}: no SNOMED code is known, which DICOM SEG needs; leave them out or write .seg.nrrd."
        )
    data = _segmentation_object(segmentation, volume, drawn)
    save_checked(Path(path), data.save_as, lambda partial: _difference(partial, segmentation, volume, drawn))
    return [r.organ.name for r in segmentation.results if r not in drawn]


def _segmentation_object(segmentation: Segmentation, volume: Volume, drawn: list[OrganResult]) -> Any:
    try:
        import highdicom as hd
        from highdicom.color import CIELabColor
        from highdicom.sr.coding import CodedConcept
    except ImportError as problem:
        raise InputError(
            'DICOM SEG needs highdicom, which is not installed: pip install "focusnet[dicom]".'
        ) from problem
    model = str(segmentation.provenance.get("model", "unknown model"))
    algorithm = hd.AlgorithmIdentificationSequence(
        name=f"FocusNetv2 {model}"[:64],
        family=CodedConcept("123109", "DCM", "Artificial Intelligence"),
        version=str(segmentation.provenance.get("model_version") or __version__),
        source="FocusNet Segmentation, research software",
    )
    descriptions = []
    for number, result in enumerate(drawn, start=1):
        organ = result.organ
        descriptions.append(
            hd.seg.SegmentDescription(
                segment_number=number,
                segment_label=organ.name,
                segmented_property_category=CodedConcept(*ANATOMICAL_STRUCTURE),
                segmented_property_type=CodedConcept(organ.snomed_code, "SCT", organ.snomed_meaning),
                algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
                algorithm_identification=algorithm,
                tracking_uid=generate_uid(),
                tracking_id=organ.name,
                display_color=CIELabColor.from_rgb(*organ.color_rgb),
            )
        )
        if organ.side:
            scheme, code, meaning = SIDES[organ.side]
            descriptions[-1].SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
                CodedConcept(code, scheme, meaning)
            ]
    masks = np.stack([segmentation.labels == r.label for r in drawn], axis=-1)  # (slices, rows, columns, segments)
    files: list[str] = volume.dicom_uids["files"]  # type: ignore[assignment]
    return hd.seg.Segmentation(
        source_images=[pydicom.dcmread(file, stop_before_pixels=True) for file in files],
        pixel_array=masks.astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=descriptions,
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


def read_dicom_seg(path: Path | str, volume: Volume) -> dict[str, np.ndarray]:
    """Masks (z, y, x) on the CT's grid by segment label, with pydicom alone; frames are placed by the slice that they name."""
    data = pydicom.dcmread(path)
    frames = np.asarray(data.pixel_array)
    frames = frames[None] if frames.ndim == 2 else frames
    names = {int(s.SegmentNumber): str(s.SegmentLabel) for s in data.SegmentSequence}
    order = {uid: z for z, uid in enumerate(volume.dicom_uids["instances"])}  # type: ignore[arg-type, var-annotated]
    masks = {name: np.zeros(volume.array.shape, bool) for name in names.values()}
    for frame, groups in zip(frames, data.PerFrameFunctionalGroupsSequence, strict=True):
        source = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        segment = int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        masks[names[segment]][order[str(source)]] = frame > 0
    return masks


def _difference(path: Path, segmentation: Segmentation, volume: Volume, drawn: list[OrganResult]) -> str:
    back = read_dicom_seg(path, volume)
    for result in drawn:
        if not np.array_equal(back[result.organ.name], segmentation.labels == result.label):
            return f"{result.organ.name} is not the same voxels"
    return ""
