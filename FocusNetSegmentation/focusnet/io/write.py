"""Write a segmentation in any format. Other modules leave the choice of the writer to this one."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..files.atomic_write import check_output
from ..image.orientation_doubt import refuse_doubtful
from ..image.segmentation import Segmentation
from ..image.volume import Volume
from .export_details import AS_THE_MODEL_DREW, ExportDetails
from .label_map import names_path, write_nifti
from .seg_nrrd import write_seg_nrrd
from .suffixes import NIFTI, SEG_NRRD, SEGMENTATION_OUTPUTS, has_suffix


def check_format(output: Path, dicom: str | None) -> None:
    """Refuse an output whose ending is unknown or does not fit ``dicom`` ("rtstruct", "seg" or None). Raises InputError."""
    if not has_suffix(output, SEGMENTATION_OUTPUTS):
        raise InputError(f"Output {output.name} has no known ending; use one of {', '.join(SEGMENTATION_OUTPUTS)}.")
    if has_suffix(output, (".dcm",)) != (dicom is not None):
        raise InputError(
            f"Output {output.name} and --dicom {dicom} do not fit; a .dcm output needs --dicom rtstruct or --dicom seg, other outputs neither."
        )


def check_segmentation_output(output: Path, overwrite: bool) -> None:
    """Refuse what ``write_image`` would refuse, before the work is done. Raises OutputError."""
    check_output(output, overwrite)
    if has_suffix(output, NIFTI):
        check_output(names_path(output), overwrite)


def write_segmentation(
    segmentation: Segmentation,
    volume: Volume | None,
    output: Path,
    dicom: str | None = None,
    overwrite: bool = False,
    details: ExportDetails = AS_THE_MODEL_DREW,
    orientation_override: bool = False,
) -> list[str]:
    """Write a segmentation; return the names of organs that were left out: empty ones, which DICOM cannot hold, and, as
    ``details`` wants it, those that were not localized.

    ``dicom``: "rtstruct", "seg" or None for an image file. ``volume``: the CT on whose grid the segmentation is; only DICOM needs it.
    ``details``: what DICOM says of review and origin. ``orientation_override``: write contours even where the scan's header seems to have
    directions wrong. Raises InputError, OutputError.
    """
    if not orientation_override:
        refuse_doubtful(segmentation.provenance)
    if dicom is None:
        write_image(segmentation, output, overwrite)
        return []
    if volume is None:
        raise InputError(f"{output.name}: DICOM needs the CT that was contoured; give its folder with --ct.")
    if dicom == "rtstruct":
        from .rtstruct_write import write_rtstruct

        return write_rtstruct(segmentation, volume, output, overwrite, details)
    from .dicom_seg import write_dicom_seg

    return write_dicom_seg(segmentation, volume, output, overwrite, details)


def write_image(segmentation: Segmentation, output: Path, overwrite: bool = False) -> None:
    """Write ``.seg.nrrd``, or NIfTI with its names beside it. Raises OutputError."""
    if has_suffix(output, SEG_NRRD):
        write_seg_nrrd(segmentation, output, overwrite=overwrite)
    else:
        write_nifti(segmentation, output, overwrite=overwrite)
