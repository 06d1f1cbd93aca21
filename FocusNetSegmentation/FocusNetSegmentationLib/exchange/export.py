"""From a segmentation in the scene, corrections included, to a file: the engine's own writers, so that Slicer and the command line
write the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import slicer
import vtk

from focusnet.errors import InputError
from focusnet.image.organs import find_organ
from focusnet.image.orientation_doubt import refuse_doubtful
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Geometry, Volume
from focusnet.io.export_details import LEAVE_OUT, ExportDetails
from focusnet.io.segment_tags import ALGORITHM_TYPE_TAG, ORGAN_TAG, REVIEW_TAG, RUN_TAG, SCORE_TAG, SECONDS_TAG
from focusnet.io.suffixes import DICOM, NIFTI, SEG_NRRD

from ..review.states import Review
from ..scene.as_segmentation import segmentation_on
from ..scene.labelmaps import get_tag
from ..scene.nodes import mark_edited
from ..scene.orientation_doubt import doubt_of
from ..scene.types import SegmentationNode, VolumeNode
from ..scene.volumes import world_geometry

KEPT_TAGS = (
    ORGAN_TAG,
    RUN_TAG,
    REVIEW_TAG,
    SCORE_TAG,
    SECONDS_TAG,
    ALGORITHM_TYPE_TAG,
    "Segmentation.Status",
)
DICOM_KINDS = {"rtstruct": "rtstruct", "dicom-seg": "seg"}  # as focusnet.io.write calls them
# kind: what it is called, and the ending of its files ("" for what stays in the scene)
FORMATS = {
    "seg.nrrd": ("3D Slicer segmentation (.seg.nrrd)", SEG_NRRD[0]),
    "nifti": ("NIfTI label map (.nii.gz)", NIFTI[0]),
    "labelmap": ("Label map in the scene", ""),
    "rtstruct": ("DICOM RT structure set (.dcm)", DICOM[0]),
    "dicom-seg": ("DICOM segmentation (.dcm)", DICOM[0]),
}


def export(
    segmentation_node: SegmentationNode | None,
    volume_node: VolumeNode | None,
    path: Path | str | None,
    kind: str,
    dicom_folder: Path | str | None = None,
    not_localized: str = LEAVE_OUT,
    orientation_override: bool = False,
) -> tuple[Path | VolumeNode, list[str]]:
    """Write every segment to ``path`` (replaced if it exists) and return it with sentences for the user; for ``labelmap`` a new
    node of the scene.

    ``kind``: a key of FORMATS. The grid is the CT's, for DICOM that of its files. ``dicom_folder`` holds the CT's files where Slicer's
    DICOM database does not know them. ``not_localized``: "leave-out" or "mark", what becomes in DICOM of organs that the model drew without
    being sure where they are and that nobody has edited or approved. ``orientation_override``: write contours even where the CT's header
    seems to have directions wrong. Raises InputError, OutputError.
    """
    if kind not in FORMATS:
        raise InputError(f"The format {kind!r} is unknown; {', '.join(FORMATS)} are expected.")
    if segmentation_node is None or segmentation_node.GetSegmentation().GetNumberOfSegments() == 0:
        raise InputError("There is no segmentation to export. Apply first, or choose one.")
    if volume_node is None:
        raise InputError("The CT of this segmentation is not in the scene. Choose it under Inputs.")
    if not orientation_override:
        refuse_doubtful(doubt_of(segmentation_node), "orientationOverride=True")
    edited = mark_edited(segmentation_node)
    if kind in DICOM_KINDS:
        return Path(str(path)), _export_dicom(
            segmentation_node, volume_node, Path(str(path)), kind, dicom_folder, edited, not_localized
        )
    segmentation, notes = segmentation_on(world_geometry(volume_node), segmentation_node)
    states, _ = review_states(segmentation, segmentation_node)
    notes += ExportDetails(states).sentences(segmentation, ())
    if kind == "labelmap":
        return _labelmap_node(segmentation, volume_node, segmentation_node), notes
    path = Path(str(path))
    if kind == "nifti":
        from focusnet.io.label_map import names_path, write_nifti

        write_nifti(segmentation, path, overwrite=True)
        notes.append(f"The organs' names are beside it in {names_path(path).name}.")
    else:
        from focusnet.io.seg_nrrd import write_seg_nrrd

        write_seg_nrrd(segmentation, path, overwrite=True, tags=kept_tags(segmentation, segmentation_node))
    return path, notes


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
    not_localized: str,
) -> list[str]:
    from focusnet.io.write import write_segmentation

    volume = dicom_volume(volume_node, folder)
    if not _overlap(volume.geometry, world_geometry(volume_node)):
        raise InputError(
            f"The DICOM files lie elsewhere than {volume_node.GetName()}; they are of another scan or it was moved."
        )
    segmentation, notes = segmentation_on(volume.geometry, segmentation_node)
    changed = {r.organ.name for r in segmentation.results} & set(edited) | _drawn_by_hand(segmentation_node)
    states, reviewers = review_states(segmentation, segmentation_node)
    details = ExportDetails(states=states, edited=changed, reviewer=", ".join(reviewers), not_localized=not_localized)
    left_out = write_segmentation(  # the orientation was settled before
        segmentation, volume, path, DICOM_KINDS[kind], overwrite=True, details=details, orientation_override=True
    )
    return [*notes, *details.sentences(segmentation, left_out)]


def review_states(
    segmentation: Segmentation, segmentation_node: SegmentationNode
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Review states under the names of ``segmentation``, whose labels follow the node's order, and who approved."""
    review = Review(segmentation_node)
    review.close()
    states, ids = review.states(), review.segments()
    by_id = {ids[name]: state for name, state in states.items()}
    source = segmentation_node.GetSegmentation()
    named = {r.organ.name: by_id[source.GetNthSegmentID(r.label - 1)] for r in segmentation.results}
    return named, tuple(dict.fromkeys(row.approved_by for row in review.rows() if row.approved_by))


def kept_tags(segmentation: Segmentation, segmentation_node: SegmentationNode) -> dict[str, dict[str, str]]:
    """Return what the segments' tags say of runs and review, so that a file that is opened again is where it was left."""
    source, found = segmentation_node.GetSegmentation(), {}
    for result in segmentation.results:
        segment = source.GetNthSegment(result.label - 1)
        tags = {name: text for name in KEPT_TAGS if (text := get_tag(segment, name))}
        if not get_tag(segment, ORGAN_TAG):
            tags[ALGORITHM_TYPE_TAG] = "MANUAL"
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
