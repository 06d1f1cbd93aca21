"""Read an RTSTRUCT onto the CT that it was drawn on: a reference to compare with, and the check of what we write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from ..errors import InputError
from ..organs import find_organ
from ..segmentation import OrganResult, Segmentation
from ..volume import Volume
from .contours import fill_contours
from .nifti_out import unknown_organ

OFF_PLANE_VOXELS = 0.25  # a contour farther than this from every slice was drawn on another scan


def read_rtstruct(path: Path | str, volume: Volume) -> Segmentation:
    """Contours as labels on ``volume``'s grid. Names are looked up in the organ table, unknown ones are kept as they are.

    Raises InputError for a file that is no RTSTRUCT, belongs to another frame of reference, or whose contours leave the scan.
    """
    path = Path(path)
    try:
        data = pydicom.dcmread(path)
    except Exception as problem:
        raise InputError(f"{path} cannot be read as DICOM ({problem}); an RTSTRUCT file is expected.") from problem
    if data.get("Modality") != "RTSTRUCT":
        raise InputError(f"{path} is {data.get('Modality', 'of unknown kind')}, not an RTSTRUCT.")
    names = {int(roi.ROINumber): str(roi.ROIName) for roi in data.get("StructureSetROISequence", [])}
    frames = {str(roi.get("ReferencedFrameOfReferenceUID", "")) for roi in data.get("StructureSetROISequence", [])}
    expected = str(volume.dicom_uids.get("frame_of_reference", ""))
    if expected and frames - {expected, ""}:
        raise InputError(
            f"{path} was drawn in another frame of reference than {volume.source}; load the CT that it belongs to."
        )
    labels = np.zeros(volume.array.shape, np.uint8)
    results = []
    voxel_ml = float(np.prod(volume.geometry.spacing_mm_xyz)) / 1000.0
    for label, item in enumerate(data.get("ROIContourSequence", []), start=1):
        name = names.get(int(item.ReferencedROINumber), f"ROI {item.ReferencedROINumber}")
        mask = _mask(path, name, item, volume)
        organ = find_organ(name) or unknown_organ(name)
        labels[mask] = label
        results.append(OrganResult(organ, label, bool(mask.any()), float(mask.sum()) * voxel_ml))
    if not results:
        raise InputError(f"{path} holds no contours.")
    return Segmentation(labels, volume.geometry, tuple(results), {"source": path.name})


def _mask(path: Path, name: str, item: Any, volume: Volume) -> np.ndarray:
    by_slice: dict[int, list[np.ndarray]] = {}
    for contour in item.get("ContourSequence", []):
        points_mm = np.array([float(v) for v in contour.ContourData]).reshape(-1, 3)
        index_zyx = volume.geometry.mm_to_index(points_mm)
        z = int(np.round(index_zyx[:, 0].mean()))
        if np.abs(index_zyx[:, 0] - z).max() > OFF_PLANE_VOXELS or not 0 <= z < volume.array.shape[0]:
            raise InputError(
                f"{path}: a contour of {name} does not lie on a slice of {volume.source}; load the CT that it was drawn on."
            )
        by_slice.setdefault(z, []).append(index_zyx[:, [2, 1]])
    mask = np.zeros(volume.array.shape, bool)
    for z, contours in by_slice.items():
        mask[z] = fill_contours(contours, (volume.array.shape[1], volume.array.shape[2]))
    return mask
