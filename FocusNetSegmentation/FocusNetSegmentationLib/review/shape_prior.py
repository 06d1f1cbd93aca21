"""The shape prior of an organ: the shape autoencoder's reconstruction, shown over the segment, and where the two disagree.

A shape prior is what the autoencoder makes of the segment after having seen healthy organs: a prior, not truth, and every name says so. Its masks
are made by ``focusnet qa`` in a process of its own and come as a .seg.nrrd. Free of ``slicer.app``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import slicer

from focusnet.errors import InputError
from focusnet.image.organs import without_side
from focusnet.image.volume import box_corners
from focusnet.io.segment_tags import ORGAN_TAG, tag_text

from ..scene.fingerprints import Fingerprint, Fingerprints
from ..scene.helper_nodes import add_hidden_node
from ..scene.labelmaps import LABELMAP, image_matrix, mask_on, oriented_image, voxels, whole_voxel_shift
from ..scene.nodes import SHAPE_PRIOR_ROLE, SURFACE, organ_segments
from ..scene.review_tags import read_tag
from ..scene.types import OrientedImage, Scene, Segment, SegmentationNode, Surface
from ..scene.volumes import LPS_RAS, transform_matrix
from .segment_voxels import (
    any_of,
    change_inside,
    grid_of,
    masks_of_others,
    own_grid,
    replace_voxels,
    segment_box,
    spacing_zyx,
)

NOT_TRUTH = "(shape prior, not truth)"
MADE_FROM_TAG = "FocusNet.GhostOf"  # JSON: fingerprint of the segment that the shape prior was made from
COLOR = (1.0, 1.0, 1.0)  # no organ of the table is white
OUTLINE_PIXELS = 2
OPACITY_3D = 0.35
RIM_MM = 4.0  # as far from its neighbour: what an organ gives up beyond it was no rim between the two, and becomes background
INSIDE_ANOTHER = {"Lens": "Eye"}


def add_shape_priors(
    scene: Scene,
    segmentation_node: SegmentationNode,
    path: Path | str,
    fingerprints: Mapping[str, Fingerprint] | None = None,
) -> list[str]:
    """Bring the shape priors of a .seg.nrrd (in the scan's own LPS space) into the scene, hidden, and return their organs.

    Shape priors of the same organs are replaced, others kept. They follow the segmentation's transform. ``fingerprints``: the organs that they were made
    from, by default as they are now. Raises InputError for a file that cannot be read or that names no organ of the segmentation.
    """
    from focusnet.io.seg_nrrd import read_seg_nrrd  # not Slicer's reader: that one ends the program on a damaged file

    shape_priors = read_seg_nrrd(path)
    segments = organ_segments(segmentation_node)
    found = [r for r in shape_priors.results if r.organ.name in segments]
    if not found:
        raise InputError(f"{path} has shape priors of none of {segmentation_node.GetName()}'s organs.")
    node = shape_prior_node(segmentation_node) or _make_node(scene, segmentation_node)
    node.SetAndObserveTransformNodeID(segmentation_node.GetTransformNodeID())
    to_local = np.linalg.inv(transform_matrix(segmentation_node))
    image = oriented_image(shape_priors.labels, to_local @ LPS_RAS @ shape_priors.geometry.affine_xyz)
    now = Fingerprints()
    for result in found:
        name = result.organ.name
        drawn = (fingerprints or {}).get(name) or now.of(segmentation_node.GetSegmentation().GetSegment(segments[name]))
        _put(node, name, image, result.label, drawn)
    return [r.organ.name for r in found]


def shape_prior_node(segmentation_node: SegmentationNode | None) -> SegmentationNode | None:
    """Return the node that holds the shape priors of a segmentation, None if there is none."""
    return segmentation_node.GetNodeReference(SHAPE_PRIOR_ROLE) if segmentation_node is not None else None


def shape_priors_of(segmentation_node: SegmentationNode) -> dict[str, str]:
    """Return organ name to the ID of its shape prior's segment in ``shape_prior_node``."""
    node = shape_prior_node(segmentation_node)
    return organ_segments(node) if node is not None else {}


def is_outdated(segmentation_node: SegmentationNode, organ: str) -> bool:
    """Return whether the organ was changed after its shape prior was made: then the prior is of a shape that is gone."""
    made_from = Fingerprint.from_json(read_tag(shape_prior_segment(segmentation_node, organ), MADE_FROM_TAG))
    return not Fingerprints().of(organ_segment(segmentation_node, organ)).same_as(made_from)


def show_shape_prior(segmentation_node: SegmentationNode, organ: str | None) -> None:
    """Show the shape prior of one organ in 2D and 3D and hide all others; None hides them all. Raises InputError if there is none."""
    if organ is None:
        hidden = shape_prior_node(segmentation_node)
        if hidden is not None:
            hidden.GetDisplayNode().SetVisibility(False)
        return
    node, shown = _shape_prior(segmentation_node, organ)
    display = node.GetDisplayNode()
    node.CreateClosedSurfaceRepresentation()
    for segment_id in organ_segments(node).values():
        display.SetSegmentVisibility(segment_id, segment_id == shown)
    display.SetVisibility(True)


def use_shape(
    segmentation_node: SegmentationNode,
    organ: str,
    center_ras: tuple[float, float, float] | None = None,
    radius_mm: float | None = None,
    save_state: Callable[[], object] | None = None,
) -> int:
    """Give the segment its shape prior's shape, as a whole or inside a sphere around ``center_ras`` (world space), and return how many voxels that
    changed. ``save_state`` is called before anything is changed: the editor's undo.

    Other segments keep their voxels: the shape ends where they begin (a lens takes from the eye around it). A rim of up to ``RIM_MM`` that the organ
    gives up becomes what lies next to it, a neighbour or background, so that no gap opens between organs that touched. Raises InputError if there is no
    shape prior, or for a sphere without a size.
    """
    segment = organ_segment(segmentation_node, organ)
    node, shape_prior_id = _shape_prior(segmentation_node, organ)
    if center_ras is not None and not (radius_mm is not None and np.isfinite(radius_mm) and radius_mm > 0):
        raise InputError(f"The brush has a radius of {radius_mm} mm; a number above 0 is expected.")
    segment_id = segment_id_of(segmentation_node, organ)
    target = _grid_of_both(segmentation_node, segment_id, node, shape_prior_id)
    old, new = mask_on(target, segmentation_node, segment_id), mask_on(target, node, shape_prior_id)
    if center_ras is not None:
        center = np.linalg.inv(transform_matrix(segmentation_node)) @ [*center_ras, 1.0]
        new = np.where(_ball(target, center[:3], float(radius_mm or 0)), new, old)
    others = masks_of_others(target, segmentation_node, segment_id)
    around = INSIDE_ANOTHER.get(without_side(organ), "") + organ.removeprefix(without_side(organ))
    container = organ_segments(segmentation_node).get(around, "")
    new = new & (old | ~any_of({s: m for s, m in others.items() if s != container}, old.shape))
    changed = int(np.count_nonzero(new != old))
    if not changed:
        return 0
    if save_state is not None:
        save_state()
    if container in others and (others[container] & new & ~old).any():
        nothing = np.zeros_like(new)
        change_inside(segmentation_node, container, target, nothing, others[container] & new & ~old)
    replace_voxels(segmentation_node, segment_id, new, target)
    for neighbour, rim in _rims(old, new, others, spacing_zyx(target)).items():
        if voxels(segment.GetRepresentation(LABELMAP)).size and _same_grid(segmentation_node, neighbour, target):
            change_inside(segmentation_node, neighbour, target, rim, np.zeros_like(rim))
    return changed


def _rims(
    old: np.ndarray, new: np.ndarray, others: Mapping[str, np.ndarray], spacing: tuple[float, ...]
) -> dict[str, np.ndarray]:
    """The voxels that an organ has given up and that lie next to a neighbour, by the neighbour's segment ID: each goes to what is nearest to it."""
    from scipy import ndimage

    given_up = old & ~new
    if not given_up.any() or not others:
        return {}
    owner = np.zeros(old.shape, np.uint16)
    for number, mask in enumerate(others.values(), start=1):
        owner[mask & ~old] = number
    distance_mm, nearest = ndimage.distance_transform_edt(old | new, spacing, return_indices=True)
    taken = np.where(given_up & (distance_mm <= RIM_MM), owner[tuple(nearest)], 0)
    return {s: taken == number for number, s in enumerate(others, start=1) if (taken == number).any()}


def _same_grid(segmentation_node: SegmentationNode, segment_id: str, target: OrientedImage) -> bool:
    return whole_voxel_shift(image_matrix(target), own_grid(segmentation_node, segment_id)) is not None


def surface_of(segment: Segment) -> Surface | None:
    """Return the closed surface (vtkPolyData, the node's own RAS) that Slicer makes of one segment, without touching its node."""
    alone = slicer.vtkSegmentation()
    alone.SetSourceRepresentationName(LABELMAP)
    copy = slicer.vtkSegment()
    copy.DeepCopy(segment)
    copy.RemoveRepresentation(SURFACE)
    alone.AddSegment(copy, "copy")
    alone.CreateRepresentation(SURFACE)
    return alone.GetSegment("copy").GetRepresentation(SURFACE)


def shape_prior_segment(segmentation_node: SegmentationNode, organ: str) -> Segment:
    """Return the shape prior's segment. Raises InputError if there is none."""
    node, segment_id = _shape_prior(segmentation_node, organ)
    return node.GetSegmentation().GetSegment(segment_id)


def organ_segment(segmentation_node: SegmentationNode, organ: str) -> Segment:
    """Return the organ's own segment. Raises InputError if there is none."""
    return segmentation_node.GetSegmentation().GetSegment(segment_id_of(segmentation_node, organ))


def _make_node(scene: Scene, segmentation_node: SegmentationNode) -> SegmentationNode:
    node = slicer.vtkMRMLSegmentationNode()
    node.SetName(f"{segmentation_node.GetName()} {NOT_TRUTH}")
    add_hidden_node(scene, node, SHAPE_PRIOR_ROLE)  # nobody picks a prior for an export by mistake
    display = node.GetDisplayNode()
    display.SetVisibility2DFill(False)
    display.SetVisibility2DOutline(True)
    display.SetSliceIntersectionThickness(OUTLINE_PIXELS)
    display.SetOpacity3D(OPACITY_3D)
    display.SetPreferredDisplayRepresentationName3D(SURFACE)
    segmentation_node.SetNodeReferenceID(SHAPE_PRIOR_ROLE, node.GetID())
    return node


def _put(node: SegmentationNode, organ: str, image: OrientedImage, label: int, drawn: Fingerprint) -> None:
    segmentation = node.GetSegmentation()
    old = organ_segments(node).get(organ)
    if old is not None:
        segmentation.RemoveSegment(old)
    segment = slicer.vtkSegment()
    segment.SetName(f"{organ} {NOT_TRUTH}")
    segment.SetColor(*COLOR)
    segment.SetTag(ORGAN_TAG, organ)
    segment.SetTag(MADE_FROM_TAG, tag_text(drawn.to_json()))
    segment.SetLabelValue(label)
    segment.AddRepresentation(LABELMAP, image)
    segmentation.AddSegment(segment, organ)


def _grid_of_both(
    segmentation_node: SegmentationNode, segment_id: str, prior_node: SegmentationNode, prior_id: str
) -> OrientedImage:
    """An image without voxels on the segment's grid that covers both, and a rim; the shape prior's grid where the segment has none."""
    boxes, prior = [segment_box(segmentation_node, segment_id)], segment_box(prior_node, prior_id)
    image = segmentation_node.GetSegmentation().GetSegment(segment_id).GetRepresentation(LABELMAP)
    matrix, other = own_grid(segmentation_node, segment_id), own_grid(prior_node, prior_id)
    if not voxels(image).size:
        matrix = other
    if prior is not None:  # on another grid: the box of its eight corners
        to_index = np.linalg.inv(matrix) @ other
        corners = box_corners(prior[0] - 0.5, prior[1] + 0.5).T
        index = to_index[:3, :3] @ corners + to_index[:3, 3:]
        boxes.append(np.stack([np.floor(index.min(axis=1)), np.ceil(index.max(axis=1))]).astype(int))
    known = [box for box in boxes if box is not None]
    if not known:
        return grid_of(matrix, np.zeros((2, 3), int))
    low, high = np.min([b[0] for b in known], axis=0), np.max([b[1] for b in known], axis=0)
    margin = np.ceil(RIM_MM / np.linalg.norm(matrix[:3, :3], axis=0)).astype(int)
    return grid_of(matrix, np.stack([low, high]), margin)


def _ball(image: OrientedImage, center_ras: np.ndarray, radius_mm: float) -> np.ndarray:
    """bool (z, y, x): voxels whose centres lie within ``radius_mm`` of a point in the node's own RAS."""
    matrix, extent = image_matrix(image), image.GetExtent()
    x, y, z = (np.arange(extent[2 * i], extent[2 * i + 1] + 1) for i in range(3))
    index = np.linalg.solve(matrix[:3, :3], center_ras - matrix[:3, 3])
    squared = 0.0
    for axis in range(3):  # of RAS
        along = [matrix[axis, i] * (values - index[i]) for i, values in enumerate((x, y, z))]
        offset = along[2][:, None, None] + along[1][None, :, None] + along[0][None, None, :]
        squared = squared + offset**2
    return np.asarray(squared <= radius_mm**2)


def segment_id_of(segmentation_node: SegmentationNode, organ: str) -> str:
    segment_id = organ_segments(segmentation_node).get(organ)
    if segment_id is None:
        raise InputError(f"{organ} is not in {segmentation_node.GetName()}.")
    return segment_id


def _shape_prior(segmentation_node: SegmentationNode, organ: str) -> tuple[SegmentationNode, str]:
    """Return the node that holds the shape priors and the ID of the organ's segment in it. Raises InputError if there is none."""
    node = shape_prior_node(segmentation_node)
    segment_id = organ_segments(node).get(organ) if node is not None else None
    if node is None or segment_id is None:
        raise InputError(f"There is no shape prior of {organ}; score the segmentation first.")
    return node, segment_id
