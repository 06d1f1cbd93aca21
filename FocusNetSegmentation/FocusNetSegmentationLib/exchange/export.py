"""From a segmentation in the scene, corrections included, to a file: the engine's own writers, so that Slicer and the command line
write the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk

from focusnet.errors import InputError
from focusnet.image.organs import find_organ
from focusnet.image.segmentation import OrganResult, Segmentation
from focusnet.image.volume import Geometry, Volume

from ..review.states import Review
from ..scene.labelmaps import empty_image, get_tag, mask_on
from ..scene.nodes import ORGAN_TAG, PROVENANCE, RESULT_TAG, RUN_TAG, mark_edited
from ..scene.review_tags import REVIEW_TAG, SCORE_TAG, SECONDS_TAG
from ..scene.types import SegmentationNode, VolumeNode
from ..scene.volumes import LPS_RAS, transform_matrix, world_geometry

KEPT_TAGS = (
    ORGAN_TAG,
    RUN_TAG,
    REVIEW_TAG,
    SCORE_TAG,
    SECONDS_TAG,
    "DICOM.SegmentAlgorithmType",
    "Segmentation.Status",
)
# kind: what it is called, and the ending of its files ("" for what stays in the scene)
FORMATS = {
    "seg.nrrd": ("3D Slicer segmentation (.seg.nrrd)", ".seg.nrrd"),
    "nifti": ("NIfTI label map (.nii.gz)", ".nii.gz"),
    "labelmap": ("Label map in the scene", ""),
    "rtstruct": ("DICOM RT structure set (.dcm)", ".dcm"),
    "dicom-seg": ("DICOM segmentation (.dcm)", ".dcm"),
}


def export(
    segmentation_node: SegmentationNode | None,
    volume_node: VolumeNode | None,
    path: Path | str | None,
    kind: str,
    dicom_folder: Path | str | None = None,
) -> tuple[Path | VolumeNode, list[str]]:
    """Write every segment to ``path`` (replaced if it exists) and return it with sentences for the user; for ``labelmap`` a new
    node of the scene.

    ``kind``: a key of FORMATS. The grid is the CT's, for DICOM that of its files. ``dicom_folder`` holds the CT's files where Slicer's
    DICOM database does not know them. Raises InputError, OutputError.
    """
    if kind not in FORMATS:
        raise InputError(f"The format {kind!r} is unknown; {', '.join(FORMATS)} are expected.")
    if segmentation_node is None or segmentation_node.GetSegmentation().GetNumberOfSegments() == 0:
        raise InputError("There is no segmentation to export. Apply first, or choose one.")
    if volume_node is None:
        raise InputError("The CT of this segmentation is not in the scene. Choose it under Inputs.")
    edited = mark_edited(segmentation_node)
    if kind in ("rtstruct", "dicom-seg"):
        return Path(str(path)), _export_dicom(
            segmentation_node, volume_node, Path(str(path)), kind, dicom_folder, edited
        )
    segmentation, notes = segmentation_on(world_geometry(volume_node), segmentation_node)
    if kind == "labelmap":
        return _labelmap_node(segmentation, volume_node, segmentation_node), notes
    path = Path(str(path))
    if kind == "nifti":
        from focusnet.io.label_map import names_path, write_nifti

        write_nifti(segmentation, path, overwrite=True)
        notes.append(f"The organs' names are beside it in {names_path(path).name}.")
    else:
        from focusnet.io.seg_nrrd import write_seg_nrrd

        write_seg_nrrd(segmentation, path, overwrite=True, tags=_tags(segmentation, segmentation_node))
    return path, notes


def segmentation_on(geometry: Geometry, segmentation_node: SegmentationNode) -> tuple[Segmentation, list[str]]:
    """Every segment of the node on ``geometry`` (LPS mm), whatever grid, layer and linear transform it has. Where segments overlap the
    later one wins, which the returned sentences tell. Raises InputError."""
    from focusnet.io.label_map import unknown_organ

    source = segmentation_node.GetSegmentation()
    count = source.GetNumberOfSegments()
    if count > 255:
        raise InputError(f"There are {count} segments; a label map holds 255. Remove some of them.")
    to_local = np.linalg.inv(transform_matrix(segmentation_node))
    target = empty_image(geometry, to_local @ LPS_RAS @ geometry.affine_xyz)
    labels = np.zeros(geometry.shape_zyx, np.uint8)
    voxel_ml = geometry.voxel_ml
    results, notes, seen = [], [], set()
    for index in range(count):
        segment_id = source.GetNthSegmentID(index)
        segment = source.GetSegment(segment_id)
        name = get_tag(segment, ORGAN_TAG) or segment.GetName() or segment_id
        color = tuple(round(255 * c) for c in segment.GetColor())
        organ = find_organ(name) or unknown_organ(name, color)
        if organ.name in seen:
            raise InputError(f"Two segments are {organ.name}. Rename or remove one of them.")
        seen.add(organ.name)
        mask = mask_on(target, segmentation_node, segment_id)
        lost = int(np.count_nonzero(labels[mask]))
        if lost:
            notes.append(
                f"{lost} voxels of {organ.name} overlap segments above it in the list; they were given to {organ.name}."
            )
        labels[mask] = index + 1
        results.append((organ, index + 1, segment))
    counts = np.bincount(labels.ravel(), minlength=256)
    found = tuple(_result(organ, label, int(counts[label]), voxel_ml, segment) for organ, label, segment in results)
    return Segmentation(labels, geometry, found, _provenance(segmentation_node)), notes


def dicom_volume(volume_node: VolumeNode, folder: Path | str | None = None) -> Volume:
    """The CT with the UIDs of its DICOM files, from Slicer's DICOM database or ``folder``. Raises InputError if neither has them."""
    from focusnet.io.dicom_series import read_dicom_folder

    uids = (volume_node.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    if folder is None and uids and database is not None:
        file = database.fileForInstance(uids[0])
        series = database.instanceValue(uids[0], "0020,000E") if file else ""
        if file and Path(file).is_file():
            return read_dicom_folder(Path(file).parent, series or None)
    if folder is None:
        raise InputError(
            f"{volume_node.GetName()} did not come from Slicer's DICOM database. Choose the folder of its DICOM files, or another format."
        )
    return read_dicom_folder(Path(folder))


def _export_dicom(
    segmentation_node: SegmentationNode,
    volume_node: VolumeNode,
    path: Path,
    kind: str,
    folder: Path | str | None,
    edited: list[str],
) -> list[str]:
    volume = dicom_volume(volume_node, folder)
    if not _overlap(volume.geometry, world_geometry(volume_node)):
        raise InputError(
            f"The DICOM files lie elsewhere than {volume_node.GetName()}; they are of another scan or it was moved."
        )
    segmentation, notes = segmentation_on(volume.geometry, segmentation_node)
    changed = {r.organ.name for r in segmentation.results} & set(edited) | _drawn_by_hand(segmentation_node)
    if kind == "rtstruct":
        from focusnet.io.rtstruct_write import write_rtstruct

        states, reviewers = _review(segmentation, segmentation_node)
        left_out = write_rtstruct(
            segmentation, volume, path, overwrite=True, states=states, edited=changed, reviewer=", ".join(reviewers)
        )
    else:
        from focusnet.io.dicom_seg import write_dicom_seg

        left_out = write_dicom_seg(segmentation, volume, path, overwrite=True, edited=changed)
    return [*notes, *([f"Left out, because empty: {', '.join(left_out)}."] if left_out else [])]


def _review(segmentation: Segmentation, segmentation_node: SegmentationNode) -> tuple[dict[str, str], tuple[str, ...]]:
    """Review states under the names of ``segmentation``, whose labels follow the node's order, and who approved."""
    review = Review(segmentation_node)
    review.close()
    states, ids = review.states(), review.segments()
    by_id = {ids[name]: state for name, state in states.items()}
    source = segmentation_node.GetSegmentation()
    named = {r.organ.name: by_id[source.GetNthSegmentID(r.label - 1)] for r in segmentation.results}
    return named, tuple(dict.fromkeys(row.approved_by for row in review.rows() if row.approved_by))


def _tags(segmentation: Segmentation, segmentation_node: SegmentationNode) -> dict[str, dict[str, str]]:
    """What the segments' tags say of runs and review, so that a file that is opened again is where it was left."""
    source, found = segmentation_node.GetSegmentation(), {}
    for result in segmentation.results:
        segment = source.GetNthSegment(result.label - 1)
        tags = {name: text for name in KEPT_TAGS if (text := get_tag(segment, name))}
        if not get_tag(segment, ORGAN_TAG):
            tags["DICOM.SegmentAlgorithmType"] = "MANUAL"
        found[result.organ.name] = tags
    return found


def _drawn_by_hand(segmentation_node: SegmentationNode) -> set[str]:
    """Names of segments that no model made."""
    source = segmentation_node.GetSegmentation()
    segments = [source.GetNthSegment(i) for i in range(source.GetNumberOfSegments())]
    names = [s.GetName() for s in segments if not get_tag(s, ORGAN_TAG)]
    return {organ.name if (organ := find_organ(name)) else name for name in names}


def _overlap(first: Geometry, second: Geometry) -> bool:
    """The same number of voxels in the same box, whatever the order of the slices."""
    if sorted(first.shape_zyx) != sorted(second.shape_zyx):
        return False
    boxes = []
    for geometry in (first, second):
        points = geometry.corners_mm()
        boxes.append(np.concatenate([points.min(axis=0), points.max(axis=0)]))
    return bool(np.abs(boxes[0] - boxes[1]).max() < 0.1)


def _result(organ: Any, label: int, count: int, voxel_ml: float, segment: Any) -> OrganResult:
    """What the model said of an organ holds only while the organ has as many voxels as then."""
    try:
        said = json.loads(get_tag(segment, RESULT_TAG) or "{}")
    except ValueError:
        said = {}
    if said.get("voxels") != count:
        return OrganResult(organ=organ, label=label, found=count > 0, volume_ml=count * voxel_ml)
    place = said.get("peak_mm_lps")
    return OrganResult(
        organ=organ,
        label=label,
        found=bool(said.get("found", count > 0)),
        volume_ml=count * voxel_ml,
        peak=said.get("peak"),
        peak_mm_xyz=None if place is None else (float(place[0]), float(place[1]), float(place[2])),
        warnings=tuple(map(str, said.get("warnings") or ())),
    )


def _provenance(node: SegmentationNode) -> dict[str, Any]:
    try:
        known = json.loads(node.GetAttribute(PROVENANCE) or "{}")
    except ValueError:
        return {}
    return known if isinstance(known, dict) else {}


def _labelmap_node(
    segmentation: Segmentation, volume_node: VolumeNode, segmentation_node: SegmentationNode
) -> VolumeNode:
    """A label map on the CT's own grid and under its transform, with a colour table of the organs' names."""
    from ..sample_data import set_voxels

    scene = volume_node.GetScene()
    name = f"{segmentation_node.GetName()} label map"
    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", scene.GenerateUniqueName(name))
    matrix = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(matrix)
    node.SetIJKToRASMatrix(matrix)
    node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    set_voxels(node, segmentation.labels)
    colors = scene.AddNewNodeByClass("vtkMRMLColorTableNode", scene.GenerateUniqueName(f"{name} colours"))
    colors.SetTypeToUser()
    colors.SetNumberOfColors(max(r.label for r in segmentation.results) + 1)
    colors.SetColor(0, "background", 0.0, 0.0, 0.0, 0.0)
    for result in segmentation.results:
        colors.SetColor(result.label, result.organ.name, *(c / 255 for c in result.organ.color_rgb), 1.0)
    node.CreateDefaultDisplayNodes()
    if node.GetDisplayNode() is not None:
        node.GetDisplayNode().SetAndObserveColorNodeID(colors.GetID())
    return node
