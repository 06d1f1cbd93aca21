"""A result in the scene: segments that a clinician can use, and the model's own result beside them for comparison.

Free of ``slicer.app``: scene, logic and nodes are arguments, so the desktop, the tests and a browser call the same functions.
All of a result's organs share one layer: 22 layers of their own would cost over a gigabyte. The readers and writers of ``focusnet.io``
are imported where they are used: they need packages that are not there before the installation.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer

from focusnet.errors import InputError
from focusnet.files.atomic_write import json_text
from focusnet.image.organs import Organ, find_organ
from focusnet.image.segmentation import NOT_FOUND, UNCERTAIN, OrganResult, Segmentation
from focusnet.image.volume import Geometry
from focusnet.io.segment_tags import (
    ALGORITHM_NAME_TAG,
    ALGORITHM_TYPE_TAG,
    ID_PREFIX,
    ORGAN_TAG,
    RESULT_TAG,
    RUN_TAG,
    tag_text,
    to_tag,
)

from .fingerprints import Fingerprints
from .helper_nodes import (
    DISTANCE_ROLE,
    FROZEN_ROLE,
    SEED_ROLE,
    SHAPE_PRIOR_ROLE,
    add_hidden_node,
    frozen_copy,
    remove_orphans,
)
from .import_steps import finished
from .labelmaps import LABELMAP, clear_or_keep_old_segments, get_tag, image_matrix, oriented_image, same_voxels
from .review_records import ReviewRecords
from .run_tags import PROVENANCE, provenance_to_keep, run_tag
from .types import OrientedImage, Scene, Segment, SegmentationNode, SegmentList, TransformableNode, VolumeNode
from .volumes import LPS_RAS, ijk_to_ras, transform_matrix, volume_summary, world_geometry, write_ct_for_worker

__all__ = [
    "DISTANCE_ROLE",
    "FROZEN_ROLE",
    "SEED_ROLE",
    "SHAPE_PRIOR_ROLE",
    "SegmentationImport",
    "edited_segments",
    "frozen_copy",
    "import_in_steps",
    "import_result",
    "make_closed_surfaces",
    "mark_edited",
    "organ_segments",
    "provenance_of",
    "remove_orphans",
    "replace_organs",
    "volume_summary",
    "write_ct_for_worker",
]

SURFACE = "Closed surface"
ATTRIBUTES = {
    "FocusNet.Model": "model",
    "FocusNet.ModelVersion": "model_version",
    "FocusNet.ModelSha256": "bundle_sha256",
    "FocusNet.Version": "focusnet_version",
    "FocusNet.Created": "created",
    "FocusNet.Device": "device",
}


@dataclass(frozen=True)
class SegmentationImport:
    """``segment_ids``: organ name to segment ID. ``missing``: organs that were looked for and not found (empty segments). ``uncertain``:
    organs that are drawn, but were not localized with confidence. ``kept``: organs that a person edited during the run; they are as the
    person drew them, and the model's result of them is in ``frozen`` only."""

    node: SegmentationNode
    frozen: SegmentationNode
    segment_ids: dict[str, str]
    missing: tuple[str, ...]
    warnings: tuple[str, ...]
    uncertain: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def import_result(
    scene: Scene,
    result: Path | str | Segmentation | np.ndarray,
    volume_node: VolumeNode,
    segmentation_node: SegmentationNode | None = None,
    organs: Sequence[str] | None = None,
    written: Geometry | None = None,
    keep: Collection[str] = (),
) -> SegmentationImport:
    """Bring a result into the scene, as a new node or into ``segmentation_node``, whose other segments stay as they are.

    ``result``: a .seg.nrrd file, a Segmentation, or labels (z, y, x) on the volume's grid where ``organs`` names label 1, 2, ...
    ``organs``: for the first two, take only these. ``written``: what ``write_ct_for_worker`` returned, so that a transform that
    was changed since does not matter. ``keep``: organs of ``segmentation_node`` that keep their voxels; the result of these goes to
    the frozen copy only. Raises InputError; then the scene is unchanged.
    """
    return finished(import_in_steps(scene, result, volume_node, segmentation_node, organs, written, keep))


def import_in_steps(
    scene: Scene,
    result: Path | str | Segmentation | np.ndarray,
    volume_node: VolumeNode,
    segmentation_node: SegmentationNode | None = None,
    organs: Sequence[str] | None = None,
    written: Geometry | None = None,
    keep: Collection[str] = (),
) -> Generator[None, None, SegmentationImport]:
    """Do what ``import_result`` does; yields where the event loop may run. After the first yield the segmentation is in the scene, and only
    the frozen copy is not."""
    segmentation = _segmentation(result, volume_node, organs)
    matrix, parent, warnings = place_labels(segmentation.geometry, volume_node, segmentation_node, written)
    image = oriented_image(segmentation.labels, matrix)
    present = organ_segments(segmentation_node) if segmentation_node is not None else {}
    kept = tuple(r.organ.name for r in segmentation.results if r.organ.name in present and r.organ.name in keep)
    shown = _without(segmentation, kept)
    if segmentation_node is None:
        name = f"{volume_node.GetName()} organs" if volume_node is not None else "Organs"
        segmentation_node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(name))
        segmentation_node.CreateDefaultDisplayNodes()
    if segmentation_node.GetSegmentation().GetNumberOfSegments() == 0:
        segmentation_node.SetAndObserveTransformNodeID(parent.GetID() if parent is not None else None)
    modifying = segmentation_node.StartModify()
    try:
        if volume_node is not None:
            segmentation_node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
        provenance = provenance_to_keep(segmentation_node, segmentation.provenance)
        ids = {name: present[name] for name in kept}
        if shown.results:
            ids |= _put(segmentation_node, oriented_image(shown.labels, matrix) if kept else image, shown)
        for attribute, key in ATTRIBUTES.items():
            segmentation_node.SetAttribute(attribute, str(provenance.get(key) or ""))
        segmentation_node.SetAttribute(PROVENANCE, json_text(provenance))
    finally:
        segmentation_node.EndModify(modifying)
    yield
    if segmentation_node.GetScene() is not scene:
        raise InputError("The segmentation was removed while the result was brought into the scene. Segment again.")
    frozen = _freeze(scene, segmentation_node, image, segmentation)
    remove_orphans(scene)
    missing, uncertain = (
        tuple(r.organ.name for r in shown.results if r.status == status) for status in (NOT_FOUND, UNCERTAIN)
    )
    if kept:
        warnings.append(
            f"{', '.join(kept)} changed during the run, so your own voxels are kept; what the model drew is in its own copy only."
        )
    return SegmentationImport(segmentation_node, frozen, ids, missing, tuple(warnings), uncertain, kept)


def replace_organs(
    scene: Scene,
    result: Path | str | Segmentation,
    volume_node: VolumeNode,
    segmentation_node: SegmentationNode,
    organs: Sequence[str],
    written: Geometry | None = None,
) -> SegmentationImport:
    """Redo only ``organs``; all other segments keep their voxels, edits included. Where a new organ and a kept one overlap, both
    keep theirs, in two layers. Raises InputError."""
    if not organs:
        raise InputError("No organ was chosen to be done again. Choose at least one.")
    return import_result(scene, result, volume_node, segmentation_node, organs, written=written)


def edited_segments(segmentation_node: SegmentationNode) -> list[str]:
    """Return the names of the model's organs that are no longer as the model drew them: changed, moved to another grid, or deleted."""
    frozen = frozen_copy(segmentation_node)
    if frozen is None:
        return []
    now, then = organ_segments(segmentation_node), organ_segments(frozen)
    current, original = segmentation_node.GetSegmentation(), frozen.GetSegmentation()
    edited = [name for name in then if name not in now]
    pairs: dict[tuple[int, int], list[str]] = {}
    images: dict[int, OrientedImage] = {}
    for name in then.keys() & now.keys():
        key = []
        for segmentation, ids in ((current, now), (original, then)):
            image = segmentation.GetSegment(ids[name]).GetRepresentation(LABELMAP)
            images[id(image)] = image  # keeps it alive: its id stays its own
            key.append(id(image))
        pairs.setdefault((key[0], key[1]), []).append(name)
    for (first, second), names in pairs.items():
        labels = [
            (current.GetSegment(now[n]).GetLabelValue(), original.GetSegment(then[n]).GetLabelValue()) for n in names
        ]
        same = same_voxels(images[first], images[second], labels)
        edited += [name for name, unchanged in zip(names, same, strict=True) if not unchanged]
    return sorted(edited, key=list(then).index)


def mark_edited(segmentation_node: SegmentationNode) -> list[str]:
    """Tell DICOM's readers which organs a person has changed (SegmentAlgorithmType SEMIAUTOMATIC); call it before an export."""
    edited = edited_segments(segmentation_node)
    for name, segment_id in organ_segments(segmentation_node).items():
        segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
        if get_tag(segment, RUN_TAG):
            segment.SetTag(ALGORITHM_TYPE_TAG, "SEMIAUTOMATIC" if name in edited else "AUTOMATIC")
    return edited


def make_closed_surfaces(segmentation_node: SegmentationNode) -> int:
    """Make (or complete) the surfaces and show them in 3D. Returns how many organs have one. About 3 s for 22 organs."""
    if not segmentation_node.CreateClosedSurfaceRepresentation():
        return 0
    display = segmentation_node.GetDisplayNode()
    if display is not None:
        display.SetPreferredDisplayRepresentationName3D(SURFACE)
        display.SetVisibility3D(True)
    segmentation = segmentation_node.GetSegmentation()
    surfaces = [
        segmentation.GetNthSegment(i).GetRepresentation(SURFACE) for i in range(segmentation.GetNumberOfSegments())
    ]
    return sum(1 for surface in surfaces if surface is not None and surface.GetNumberOfPoints() > 0)


def organ_segments(segmentation_node: SegmentationNode) -> dict[str, str]:
    """Return organ name to segment ID of every segment that came from a model, in the node's order, whatever it is called now."""
    segmentation = segmentation_node.GetSegmentation()
    found = {}
    for index in range(segmentation.GetNumberOfSegments()):
        name = get_tag(segmentation.GetNthSegment(index), ORGAN_TAG)
        if name:
            found[name] = segmentation.GetNthSegmentID(index)
    return found


def provenance_of(segmentation_node: SegmentationNode) -> dict[str, str]:
    """Return model, hash, version, time and device of the node's last run; empty for a segmentation that no model made."""
    found = {key: segmentation_node.GetAttribute(attribute) or "" for attribute, key in ATTRIBUTES.items()}
    return found if found["model"] else {}


def _segmentation(
    result: Path | str | Segmentation | np.ndarray, volume_node: VolumeNode, organs: Sequence[str] | None
) -> Segmentation:
    from focusnet.io.label_map import unknown_organ
    from focusnet.io.seg_nrrd import read_seg_nrrd

    if isinstance(result, np.ndarray):
        known = [find_organ(name) or unknown_organ(name) for name in organs or ()]
        if result.size and int(result.max()) > len(known):
            raise InputError(
                f"Labels go up to {int(result.max())}, but {len(known)} organs are named. Name each label."
            )
        geometry = world_geometry(volume_node)
        voxel_ml = geometry.voxel_ml
        counts = np.bincount(result.ravel(), minlength=len(known) + 1)
        results = [
            OrganResult(organ=o, label=i, found=bool(counts[i]), volume_ml=counts[i] * voxel_ml)
            for i, o in enumerate(known, start=1)
        ]
        return Segmentation(result.astype(np.uint8, copy=False), geometry, tuple(results))
    if isinstance(result, Segmentation):
        if organs is None:
            return result
        wanted = {(find_organ(name) or unknown_organ(name)).name for name in organs}
        chosen = _without(result, {r.organ.name for r in result.results} - wanted)
        if not chosen.results:
            raise InputError(f"The result has none of {', '.join(organs)}.")
        return chosen
    return read_seg_nrrd(result, organs)


def _without(result: Segmentation, organs: Collection[str]) -> Segmentation:
    """The result less some of its organs; itself where none is named."""
    if not organs:
        return result
    rest = tuple(r for r in result.results if r.organ.name not in organs)
    table = np.zeros(256, np.uint8)
    for r in rest:
        table[r.label] = r.label
    return Segmentation(table[result.labels], result.geometry, rest, result.provenance)


def place_labels(
    geometry: Geometry, volume_node: VolumeNode, segmentation_node: SegmentationNode, written: Geometry | None
) -> tuple[np.ndarray, TransformableNode | None, list[str]]:
    """Return the index-to-RAS matrix of the labels in the segmentation node's own space, the parent transform for a new node, warnings.

    A result of this CT is placed by its voxels, on the CT's own grid and under its transform, so that it follows the CT.
    Anything else is placed where its file says.
    """
    warnings: list[str] = []
    parent = volume_node.GetParentTransformNode() if volume_node is not None else None
    if volume_node is not None and geometry.same_grid_as(written or world_geometry(volume_node)):
        x, y, z = volume_node.GetImageData().GetDimensions()
        if (z, y, x) != geometry.shape_zyx:
            raise InputError(f"{volume_node.GetName()} has changed its size during the run. Segment it again.")
        to_world = transform_matrix(volume_node) if _has_segments(segmentation_node) else None
        matrix = ijk_to_ras(volume_node)
    else:
        if volume_node is not None:
            warnings.append(
                f"The result is not on the grid of {volume_node.GetName()}; it is placed where its file says."
            )
        matrix, parent, to_world = LPS_RAS @ geometry.affine_xyz, None, np.eye(4)
    if _has_segments(segmentation_node) and to_world is not None:
        matrix = np.linalg.inv(transform_matrix(segmentation_node)) @ to_world @ matrix
    return matrix, parent, warnings


def _has_segments(segmentation_node: SegmentationNode) -> bool:
    return segmentation_node is not None and segmentation_node.GetSegmentation().GetNumberOfSegments() > 0


def _put(node: SegmentationNode, image: OrientedImage, result: Segmentation) -> dict[str, str]:
    """Give each organ of ``result`` its voxels in ``image``, in segments that are there already or new ones."""
    segmentation = node.GetSegmentation()
    had_surfaces = segmentation.ContainsRepresentation(SURFACE)
    present = organ_segments(node)
    replaced = {present[r.organ.name] for r in result.results if r.organ.name in present}
    ids: dict[str, str] = {}
    clear_or_keep_old_segments(segmentation, replaced, image, max(r.label for r in result.results))
    for organ_result in result.results:
        organ = organ_result.organ
        segment_id = present.get(organ.name)
        segment = segmentation.GetSegment(segment_id) if segment_id else slicer.vtkSegment()
        if segment_id is None:
            set_name_color_and_code(segment, organ)
        segment.RemoveRepresentation(SURFACE)
        segment.SetLabelValue(organ_result.label)
        segment.AddRepresentation(LABELMAP, image)
        _tag(segment, organ_result, result)
        if segment_id is None:
            segment_id = _unused_id(segmentation, organ.name)
            segmentation.AddSegment(segment, segment_id)
        ids[organ.name] = segment_id
    drawn = Fingerprints()
    ReviewRecords(node).begin({s: drawn.of(segmentation.GetSegment(s)) for s in ids.values()})
    if had_surfaces:
        segmentation.CreateRepresentation(SURFACE)
    segmentation.Modified()
    node.Modified()
    return ids


def set_name_color_and_code(segment: Segment, organ: Organ) -> None:
    """Set name, colour and SNOMED code of a new segment. What a user changes of these later is kept."""
    from focusnet.io.terminology import terminology_entry

    segment.SetName(organ.name)
    segment.SetColor(*(c / 255 for c in organ.color_rgb))
    segment.SetNameAutoGenerated(False)
    segment.SetColorAutoGenerated(False)
    if organ.snomed_code:
        entry = terminology_entry(organ)
        parts = ["^".join(entry[key]) if key in entry else "^^" for key in ("category", "type", "typeModifier")]
        text = "~".join([entry["contextName"], *parts, "Anatomic codes - DICOM master list", "^^", "^^"])
        segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), text)


def _tag(segment: Segment, result: OrganResult, segmentation: Segmentation) -> None:
    """Write what the model found of this organ, and in which run; tags go with the segment into every .seg.nrrd."""
    voxels = round(result.volume_ml / segmentation.geometry.voxel_ml)
    segment.SetTag(ORGAN_TAG, result.organ.name)
    segment.SetTag(RESULT_TAG, to_tag(result, voxels))
    statuses = slicer.vtkSlicerSegmentationsModuleLogic
    statuses.SetSegmentStatus(segment, statuses.Flagged if result.warnings else statuses.NotStarted)
    run = run_tag(segmentation.provenance, result.organ.name)
    if run:
        segment.SetTag(RUN_TAG, tag_text(run))
        segment.SetTag(ALGORITHM_TYPE_TAG, "AUTOMATIC")
        segment.SetTag(ALGORITHM_NAME_TAG, f"FocusNetv2 {run['model']}")


def _unused_id(segmentation: SegmentList, organ: str) -> str:
    wanted = ID_PREFIX + organ
    return wanted if segmentation.GetSegment(wanted) is None else segmentation.GenerateUniqueSegmentID(wanted)


def _freeze(scene: Scene, node: SegmentationNode, image: OrientedImage, result: Segmentation) -> SegmentationNode:
    """Keep the model's own voxels in a node that is hidden from every list, saved with the scene, and never edited."""
    frozen = frozen_copy(node)
    if frozen is None:
        frozen = slicer.vtkMRMLSegmentationNode()
        frozen.SetName(f"{node.GetName()} (model's own result)")
        add_hidden_node(scene, frozen, FROZEN_ROLE)
        node.SetNodeReferenceID(FROZEN_ROLE, frozen.GetID())
    frozen.SetAndObserveTransformNodeID(node.GetTransformNodeID())
    _put(frozen, oriented_image(result.labels, image_matrix(image)), result)
    for attribute in (*ATTRIBUTES, PROVENANCE):
        frozen.SetAttribute(attribute, node.GetAttribute(attribute))
    return frozen
