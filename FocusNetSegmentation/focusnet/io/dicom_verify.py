"""Before a DICOM export: does it point at the right slices? After it: is what another program reads what was to be written?

The check reads an RTSTRUCT with matplotlib's point in polygon (contourpy drew the outlines) and a SEG with SimpleITK, whose GDCM unpacks
the bits and which knows nothing of highdicom. Tests read the same files with programs in C++ besides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import UID, generate_uid

from ..errors import InputError
from ..image.segmentation import OrganResult, Segmentation
from ..image.volume import Volume
from ..metrics import dice
from .dicom_objects import check_export, check_source
from .export_details import AS_THE_MODEL_DREW, NOT_LOCALIZED, ExportDetails
from .rtstruct_read import OFF_PLANE_VOXELS, read_structures
from .slice_geometry import TILT_MM

AGREEMENT = 0.99  # DSC that the file must reach against what was to be written
EXACT = 1.0  # a SEG holds voxels, not outlines
STATES = ("draft", "edited", "approved")
POSITION_TAGS = ["SOPInstanceUID", "ImagePositionPatient"]
SHARED_TAGS = {  # a structure set names each of them once, for all slices
    "StudyInstanceUID": "studies",
    "FrameOfReferenceUID": "frames of reference",
    "SOPClassUID": "kinds of image",
    "PatientID": "patients",
}
NO_FRAME_OF_REFERENCE = "The CT has no frame of reference UID; one was derived from its series UID."


@dataclass(frozen=True)
class Agreement:
    """One organ of an export, written and read back."""

    organ: str
    dsc: float
    slices_written: int
    slices_read: int


def check_scan(volume: Volume, kind: str) -> Volume:
    """Refuse a scan that ``kind`` could not point at, before networks run on it for minutes; return it with whole UIDs.

    A CT without a frame of reference UID gets one that follows from its series UID, so that every export of it agrees; it contradicts
    nothing, because the slices are named by their own UIDs. All other UIDs must be there. Raises InputError.
    """
    uids: dict[str, Any] = dict(volume.dicom_uids)
    if uids and not uids.get("frame_of_reference") and uids.get("series"):
        uids["frame_of_reference"] = generate_uid(entropy_srcs=[str(uids["series"]), "frame of reference"])
        volume = replace(volume, dicom_uids=uids, notes=(*volume.notes, NO_FRAME_OF_REFERENCE))
    nothing = Segmentation(np.zeros(volume.geometry.shape_zyx, np.uint8), volume.geometry, ())
    check_source(nothing, volume, kind)
    named = [str(uids[key]) for key in ("study", "series", "frame_of_reference", "sop_class")]
    invalid = [uid for uid in (*named, *uids["instances"]) if not UID(uid).is_valid]
    if invalid:
        raise InputError(
            f"{volume.source}: {invalid[0]!r} is not a valid UID, so {kind} cannot point at it; export the series again."
        )
    _check_shared(volume, kind)
    return volume


def prepare_export(
    segmentation: Segmentation,
    volume: Volume,
    path: Path,
    overwrite: bool,
    kind: str,
    details: ExportDetails = AS_THE_MODEL_DREW,
) -> tuple[Volume, list[OrganResult]]:
    """Refuse what cannot be exported as ``kind``; return the volume with whole UIDs and the organs that are to be written: those that have
    voxels, and were localized or are wanted all the same.

    Raises InputError as ``check_scan`` does and for what the segmentation lacks; OutputError for a path that cannot be written.
    """
    volume = check_scan(volume, kind)
    drawn = details.exported(unsure := check_export(segmentation, volume, path, overwrite, kind))
    if not drawn:
        raise InputError(
            f"No organ was localized with confidence ({', '.join(r.organ.name for r in unsure)}), so there is nothing to write as {kind}; "
            f'ask for such organs to be marked as "{NOT_LOCALIZED}" if you want them.'
        )
    names = [result.organ.name for result in drawn]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{', '.join(twice)} is there twice; {kind} needs one structure per name. Rename one of them.")
    return volume, drawn


def _check_shared(volume: Volume, kind: str) -> None:
    """Refuse slices of one series that belong to several studies, frames of reference or patients; the first one's UIDs would be wrong."""
    if not _files_are_there(volume):
        return  # nothing to look at; what copies from the files refuses that itself
    headers = source_headers(volume, kind, ["SOPInstanceUID", *SHARED_TAGS])
    for tag, what in SHARED_TAGS.items():
        found = sorted({str(header.get(tag, "") or "none") for header in headers})
        if len(found) > 1:
            raise InputError(
                f"{volume.source}: its slices name {len(found)} {what} ({', '.join(found[:3])}), but {kind} can point at only one; "
                "export the series again."
            )


def _files_are_there(volume: Volume) -> bool:
    files: list[str] = volume.dicom_uids.get("files") or []  # type: ignore[assignment]
    return bool(files) and all(Path(file).is_file() for file in files)


def check_states(segmentation: Segmentation, states: Mapping[str, str] | None) -> dict[str, str]:
    """Return the review states by organ name, "draft" where none was given. Raises InputError for an unknown state or organ."""
    given = dict(states or {})
    unknown = sorted(set(given.values()) - set(STATES))
    if unknown:
        raise InputError(f"Review state {', '.join(unknown)} is unknown; {', '.join(STATES)} are expected.")
    names = [result.organ.name for result in segmentation.results]
    strangers = sorted(set(given) - set(names))
    if strangers:
        raise InputError(f"Review states name {', '.join(strangers)}, which the segmentation does not have.")
    return {name: given.get(name, "draft") for name in names}


def source_headers(volume: Volume, kind: str, tags: list[str] | None = None) -> list[pydicom.Dataset]:
    """Return the headers of the CT's slices in array order. Raises InputError if the files are gone or others than those that were read."""
    headers: list[pydicom.Dataset] = []
    files: list[str] = volume.dicom_uids["files"]  # type: ignore[assignment]
    instances: list[str] = volume.dicom_uids["instances"]  # type: ignore[assignment]
    for file, instance in zip(files, instances, strict=True):
        try:
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=tags)
        except Exception as problem:
            raise InputError(
                f"{file}, a slice of {volume.source}, cannot be read any more ({problem}); {kind} copies from it. Put it back."
            ) from problem
        if str(header.get("SOPInstanceUID", "")) != instance:
            raise InputError(f"{file} is another slice than when {volume.source} was read; read the series again.")
        headers.append(header)
    return headers


def slice_offsets_mm(volume: Volume) -> np.ndarray:
    """Return (slices,) mm: how far each slice lies from its place on the even grid, along the grid's z axis; 0 where the files are gone.

    Positions in DICOM are rounded, and a planning system looks for contours in the plane that the slice's own header gives.
    """
    offsets = np.zeros(volume.geometry.shape_zyx[0])
    if not _files_are_there(volume):
        return offsets
    normal = np.asarray(volume.geometry.direction_xyz)[:, 2]
    for z, header in enumerate(source_headers(volume, "RTSTRUCT", POSITION_TAGS)):
        position = np.array([float(v) for v in header.ImagePositionPatient])
        offsets[z] = (position - volume.geometry.index_to_mm(np.array([z, 0, 0]))) @ normal
    return offsets


def verify_rtstruct(path: Path, segmentation: Segmentation, volume: Volume, drawn: list[OrganResult]) -> str:
    """Return what differs between the file and what was to be written, for a person; empty if nothing does."""
    try:
        structures = {s.name: s for s in read_structures(path, volume)}
    except InputError as problem:
        return str(problem)
    if set(structures) != {r.organ.name for r in drawn}:
        return f"it holds {', '.join(sorted(structures))}"
    instances: list[str] = volume.dicom_uids["instances"]  # type: ignore[assignment]
    for result in drawn:
        structure = structures[result.organ.name]
        wrong = [z for z, named in structure.slice_uids.items() if named != {instances[z]}]
        if wrong:
            return f"{result.organ.name}: a contour on slice {wrong[0]} names another slice"
        if structure.color_rgb != result.organ.color_rgb:
            return f"{result.organ.name}: colour {structure.color_rgb}"
    return _first_difference(
        [_agreement(segmentation, result, structures[result.organ.name].voxels) for result in drawn], AGREEMENT
    )


def verify_dicom_seg(path: Path, segmentation: Segmentation, volume: Volume, drawn: list[OrganResult]) -> str:
    """Return what differs between the file and what was to be written, for a person; empty if nothing does."""
    try:
        masks = read_dicom_seg(path, volume)
    except InputError as problem:
        return str(problem)
    if set(masks) != {r.organ.name for r in drawn}:
        return f"it holds {', '.join(sorted(masks))}"
    return _first_difference([_agreement(segmentation, r, np.flatnonzero(masks[r.organ.name])) for r in drawn], EXACT)


def read_dicom_seg(path: Path | str, volume: Volume) -> dict[str, np.ndarray]:
    """Return bool masks (z, y, x) on the CT's grid by segment label; pixels by SimpleITK, places by pydicom.

    A frame lies where its position says, and must name the slice there. Raises InputError for frames that lie elsewhere.
    """
    import SimpleITK as sitk

    frames = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    data = pydicom.dcmread(path)
    if tail := frames.size % 8:  # ITK 5.4 leaves the pixels of an incomplete last byte as they happen to be in memory
        last = np.frombuffer(data.PixelData, np.uint8, 1, offset=frames.size // 8)
        frames.reshape(-1)[-tail:] = np.unpackbits(last, bitorder="little")[:tail]
    names = {int(s.SegmentNumber): str(s.SegmentLabel) for s in data.SegmentSequence}
    instances: list[str] = volume.dicom_uids["instances"]  # type: ignore[assignment]
    masks = {name: np.zeros(volume.array.shape, bool) for name in names.values()}
    for frame, groups in zip(frames, data.PerFrameFunctionalGroupsSequence, strict=True):
        position = np.array([float(v) for v in _group(data, groups, "PlanePosition").ImagePositionPatient])
        index_zyx = volume.geometry.mm_to_index(position)
        z = round(float(index_zyx[0]))
        source = str(_group(data, groups, "DerivationImage").SourceImageSequence[0].ReferencedSOPInstanceUID)
        aside_mm = float(np.abs(index_zyx[1:] * volume.geometry.spacing_mm_zyx[1:]).max())
        off = abs(index_zyx[0] - z) > OFF_PLANE_VOXELS or aside_mm > TILT_MM  # what the CT's reader lets slices drift
        if off or not 0 <= z < len(instances) or source != instances[z]:
            raise InputError(f"{path}: a frame lies on no slice of {volume.source}; load the CT that it was made from.")
        segment = int(_group(data, groups, "SegmentIdentification").ReferencedSegmentNumber)
        masks[names[segment]][z] = frame > 0
    return masks


def _group(data: pydicom.Dataset, frame: pydicom.Dataset, name: str) -> Any:
    """Return what a frame says of itself, or what all frames share: one segment alone is named once for all of them."""
    shared = data.SharedFunctionalGroupsSequence[0]
    return (frame.get(f"{name}Sequence") or shared[f"{name}Sequence"].value)[0]


def _agreement(segmentation: Segmentation, result: OrganResult, found: np.ndarray) -> Agreement:
    """``found``: sorted flat indices of the voxels that were read back."""
    wanted = np.flatnonzero(segmentation.labels == result.label)
    either = np.union1d(wanted, found)
    dsc = dice(np.isin(either, wanted), np.isin(either, found))
    per_slice = segmentation.labels[0].size
    return Agreement(result.organ.name, dsc, len(np.unique(wanted // per_slice)), len(np.unique(found // per_slice)))


def _first_difference(agreements: list[Agreement], least: float) -> str:
    for each in agreements:
        if not each.dsc >= least:
            return f"{each.organ}: DSC {each.dsc:.3f}, at least {least} expected"
        if each.slices_read != each.slices_written:
            return f"{each.organ}: {each.slices_read} slices, {each.slices_written} expected"
    return ""


def text(value: Any, length: int) -> str:
    """Return a value as DICOM text of at most ``length`` characters: no backslash (it separates values), no control characters."""
    return "".join(c if c.isprintable() and c != "\\" else "/" for c in str(value))[:length].strip()
