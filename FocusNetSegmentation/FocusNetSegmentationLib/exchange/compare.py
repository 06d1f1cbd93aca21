"""A segmentation of the scene against a reference, organ by organ: the scores of ``focusnet evaluate``, on the CT's grid.

The reference is any other segmentation of the scene (SlicerRT makes one of an RTSTRUCT), or comes from a file. Segments are compared one by
one and never as one label map: a clinic's structures overlap (BODY, PTV).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer

from focusnet.errors import InputError
from focusnet.evaluation.evaluate import OrganScores, score_organ
from focusnet.image.organs import find_organ
from focusnet.image.segmentation import Segmentation
from focusnet.io.read import read_segmentation
from focusnet.io.segment_tags import ORGAN_TAG
from focusnet.io.suffixes import DICOM, has_suffix

from ..review.scoring import on_other_grid
from ..scene.labelmaps import LABELMAP, empty_image, get_tag, mask_on, oriented_image
from ..scene.nodes import place_labels, set_name_color_and_code
from ..scene.types import Scene, SegmentationNode, VolumeNode
from ..scene.volumes import LPS_RAS, transform_matrix, world_geometry
from .export import dicom_volume

NAMED = 6  # more names than these are counted


@dataclass(frozen=True)
class Comparison:
    """``rows``: of organs that both have, in the segmentation's order. ``only_here``, ``only_reference``: names that one of them has."""

    rows: tuple[OrganScores, ...]
    only_here: tuple[str, ...]
    only_reference: tuple[str, ...]
    notes: tuple[str, ...]

    def sentences(self) -> list[str]:
        """Return what is not in the table, as sentences."""
        only = [
            f"Only in the {where}: {listed(names)}."
            for where, names in (("segmentation", self.only_here), ("reference", self.only_reference))
            if names
        ]
        return [*only, *self.notes]


def compare(
    segmentation_node: SegmentationNode | None, reference_node: SegmentationNode | None, volume_node: VolumeNode | None
) -> Comparison:
    """Compare two segmentations on the grid of ``volume_node``, organs matched by TG-263 name or synonym. Raises InputError for what cannot be compared."""
    if segmentation_node is None:
        raise InputError("There is no segmentation to compare. Apply first, or choose one under Outputs.")
    if reference_node is None:
        raise InputError("Choose the reference: a segmentation of the scene, or a file.")
    if reference_node is segmentation_node:
        raise InputError("The reference is the segmentation itself. Choose another one.")
    if volume_node is None:
        raise InputError("The CT of this segmentation is not in the scene. Choose it under Inputs.")
    notes: list[str] = []
    with_voxels = with_labelmap(reference_node, volume_node)
    ours, theirs = (
        _organs(node, what, notes) for node, what in ((segmentation_node, "segmentation"), (with_voxels, "reference"))
    )
    common = [name for name in ours if name in theirs]
    if not common:
        raise InputError(
            f"{segmentation_node.GetName()} and {reference_node.GetName()} have no organ in common: {listed(list(ours))}; "
            f"{listed(list(theirs))}. Rename the segments, TG-263 names are understood."
        )
    geometry = world_geometry(volume_node)
    world = LPS_RAS @ geometry.affine_xyz
    grids = [
        empty_image(geometry, np.linalg.inv(transform_matrix(n)) @ world) for n in (segmentation_node, with_voxels)
    ]
    rows = []
    for name in common:
        masks = mask_on(grids[0], segmentation_node, ours[name]), mask_on(grids[1], with_voxels, theirs[name])
        box = _box(masks[0] | masks[1])
        rows.append(
            score_organ(segmentation_node.GetName(), name, masks[0][box], masks[1][box], geometry.spacing_mm_zyx)
        )
    if not any(row.volume_reference_ml for row in rows):
        raise InputError(
            f"No organ of {reference_node.GetName()} lies in {volume_node.GetName()}; it is empty or of another scan."
        )
    for node, what in ((segmentation_node, "segmentation"), (with_voxels, "reference")):
        if on_other_grid(node, volume_node):
            notes.append(f"The {what} lies on another grid than {volume_node.GetName()}: it was resampled.")
    only = [tuple(n for n in a if n not in b) for a, b in ((ours, theirs), (theirs, ours))]
    return Comparison(tuple(rows), only[0], only[1], tuple(notes))


def with_labelmap(node: SegmentationNode, volume_node: VolumeNode) -> SegmentationNode:
    """The node if it has voxels; else a copy with voxels on the CT's grid, made of its contours or surfaces. Raises InputError."""
    if node.GetSegmentation().GetNumberOfSegments() == 0:
        raise InputError(f"{node.GetName()} has no segments. Choose another reference.")
    if node.GetSegmentation().ContainsRepresentation(LABELMAP):
        return node
    if not np.allclose(transform_matrix(node), np.eye(4)):
        raise InputError(f"{node.GetName()} lies under a transform and has no voxels. Harden the transform first.")
    copy = slicer.vtkMRMLSegmentationNode()
    copy.SetName(node.GetName())
    copy.GetSegmentation().DeepCopy(node.GetSegmentation())
    copy.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
    if not copy.GetSegmentation().CreateRepresentation(LABELMAP):
        raise InputError(
            f"{node.GetName()} has no voxels, and none can be made of it; in the module Segmentations, create its binary labelmap."
        )
    return copy


def read_reference(path: Path | str, volume_node: VolumeNode, dicom_folder: Path | str | None = None) -> Segmentation:
    """Read a .seg.nrrd, a label map with its names beside it, or an RTSTRUCT, which needs the CT's DICOM files: from Slicer's database or
    ``dicom_folder``. Raises InputError."""
    path = Path(path)
    ct = dicom_volume(volume_node, dicom_folder) if needs_dicom(path) else None
    return read_segmentation(path, None, ct)


def needs_dicom(path: Path | str) -> bool:
    """Contours are of a DICOM series."""
    return has_suffix(path, DICOM[:1])


def add_reference(
    scene: Scene, segmentation: Segmentation, volume_node: VolumeNode | None, name: str
) -> SegmentationNode:
    """Add a node of the reference, drawn as outlines; it is not a model's result, and no review begins. Raises InputError."""
    matrix, parent, _ = place_labels(segmentation.geometry, volume_node, None, None)
    image = oriented_image(segmentation.labels, matrix)
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(name))
    node.CreateDefaultDisplayNodes()
    node.SetAndObserveTransformNodeID(parent.GetID() if parent is not None else None)
    if volume_node is not None:
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
    for result in segmentation.results:
        segment = slicer.vtkSegment()
        set_name_color_and_code(segment, result.organ)
        segment.SetLabelValue(result.label)
        segment.AddRepresentation(LABELMAP, image)
        node.GetSegmentation().AddSegment(segment, f"Reference_{result.organ.name}")
    if node.GetDisplayNode() is not None:
        node.GetDisplayNode().SetVisibility2DFill(False)
        node.GetDisplayNode().SetOpacity3D(0.4)
    return node


def as_text(rows: Sequence[OrganScores]) -> str:
    """Return a table for the clipboard: tabs between the columns, as spreadsheets take it."""
    lines = ["Organ\tDSC\tHD95 (mm)\tHD95 max (mm)\tMSD (mm)\tVolume (ml)\tReference (ml)"]
    for row in rows:
        numbers = (
            row.dsc,
            row.hd95_average_mm,
            row.hd95_maximum_mm,
            row.mean_surface_distance_mm,
            row.volume_predicted_ml,
            row.volume_reference_ml,
        )
        lines.append("\t".join([row.organ, *(f"{value:.3f}" if np.isfinite(value) else "" for value in numbers)]))
    return "\n".join(lines) + "\n"


def listed(names: Sequence[str]) -> str:
    """Return names as one text, known organs first, and no more of them than a line takes."""
    ordered = sorted(names, key=lambda name: find_organ(name) is None)
    more = len(ordered) - NAMED
    return ", ".join(ordered[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _organs(node: SegmentationNode, what: str, notes: list[str]) -> dict[str, str]:
    """Organ name to segment ID. Where two segments go by one name neither is taken: which is meant cannot be known."""
    segmentation, twice = node.GetSegmentation(), set[str]()
    found: dict[str, str] = {}
    for index in range(segmentation.GetNumberOfSegments()):
        segment_id = segmentation.GetNthSegmentID(index)
        segment = segmentation.GetSegment(segment_id)
        name = get_tag(segment, ORGAN_TAG) or (segment.GetName() or segment_id).strip()
        organ = find_organ(name)
        key = organ.name if organ is not None else name
        twice |= {key} & found.keys()
        found.setdefault(key, segment_id)
    for name in sorted(twice):
        del found[name]
        notes.append(f"Two segments of the {what} are {name}; it is left out. Rename one of them.")
    return found


def _box(mask: np.ndarray) -> tuple[slice, ...]:
    """Around all voxels; one voxel of nothing for an empty mask."""
    box = []
    for axis in range(mask.ndim):
        where = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        box.append(slice(int(where[0]), int(where[-1]) + 1) if where.size else slice(0, 1))
    return tuple(box)
