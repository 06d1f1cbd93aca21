"""Voxels of single organs, taken out of a segmentation and put back without touching the others. Whole scans are never copied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import slicer

from focusnet.errors import InputError

from ..scene.labelmaps import LABELMAP, image_matrix, mask_on, oriented_image, voxels
from ..scene.types import OrientedImage, SegmentationNode
from ..scene.volumes import to_vtk
from .places import Boxes


def segment_box(segmentation_node: SegmentationNode, segment_id: str, boxes: Boxes | None = None) -> np.ndarray | None:
    """Return lowest and highest index (2, 3), in x, y, z, of a segment's voxels on its own grid; None for an empty one."""
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
    image = segment.GetRepresentation(LABELMAP)
    box = (boxes or Boxes()).box(image, segment.GetLabelValue())
    if box is None:
        return None
    first = np.array(image.GetExtent()[::2])
    return np.array([[s.start for s in box[::-1]], [s.stop - 1 for s in box[::-1]]]) + first


def grid_of(matrix: np.ndarray, box: np.ndarray, margin: int | Sequence[int] = 0) -> OrientedImage:
    """Return an image without voxels that covers a box (2, 3) of indices and a margin; ``matrix`` (4, 4): index to the node's own RAS mm."""
    low, high = box[0] - np.asarray(margin), box[1] + np.asarray(margin)
    image = slicer.vtkOrientedImageData()
    image.SetExtent(*(int(v) for pair in zip(low, high, strict=True) for v in pair))
    image.SetGeometryFromImageToWorldMatrix(to_vtk(matrix))
    return image


def own_grid(segmentation_node: SegmentationNode, segment_id: str) -> np.ndarray:
    """Return the matrix (4, 4) from a segment's index (x, y, z) to the node's own RAS mm."""
    return image_matrix(segmentation_node.GetSegmentation().GetSegment(segment_id).GetRepresentation(LABELMAP))


def spacing_zyx(image: OrientedImage) -> tuple[float, ...]:
    """Return the mm between voxels along the array's axes."""
    return tuple(float(s) for s in np.linalg.norm(image_matrix(image)[:3, :3], axis=0)[::-1])


def masks_of_others(
    target: OrientedImage, segmentation_node: SegmentationNode, segment_id: str
) -> dict[str, np.ndarray]:
    """Return the masks, bool (z, y, x) on ``target``, of every other segment that has voxels there, by segment ID."""
    segmentation = segmentation_node.GetSegmentation()
    found = {}
    for index in range(segmentation.GetNumberOfSegments()):
        other = segmentation.GetNthSegmentID(index)
        if other != segment_id and voxels(segmentation.GetSegment(other).GetRepresentation(LABELMAP)).size:
            mask = mask_on(target, segmentation_node, other)
            if mask.any():
                found[other] = mask
    return found


def any_of(masks: Mapping[str, np.ndarray], shape_zyx: tuple[int, ...]) -> np.ndarray:
    """Return where any of the masks has a voxel."""
    total = np.zeros(shape_zyx, bool)
    for mask in masks.values():
        total |= mask
    return total


def replace_voxels(
    segmentation_node: SegmentationNode, segment_id: str, mask: np.ndarray, target: OrientedImage
) -> None:
    """Make ``mask``, bool (z, y, x) on ``target``, a segment's only voxels; other segments keep theirs. Raises InputError if Slicer refuses."""
    image = oriented_image(mask.astype(np.uint8), image_matrix(target))
    image.SetExtent(target.GetExtent())
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    if not logic.SetBinaryLabelmapToSegment(image, segmentation_node, segment_id, logic.MODE_REPLACE):
        name = segmentation_node.GetSegmentation().GetSegment(segment_id).GetName()
        raise InputError(f"{name} could not be changed in {segmentation_node.GetName()}.")


def change_inside(
    segmentation_node: SegmentationNode, segment_id: str, target: OrientedImage, add: np.ndarray, remove: np.ndarray
) -> None:
    """Add voxels to a segment and remove others, both bool (z, y, x) on ``target``, which lies on the segment's grid; the rest of it stays."""
    own = segment_box(segmentation_node, segment_id)
    extent = np.array(target.GetExtent()).reshape(3, 2).T
    box = extent if own is None else np.stack([np.minimum(own[0], extent[0]), np.maximum(own[1], extent[1])])
    whole = grid_of(image_matrix(target), box)
    mask = mask_on(whole, segmentation_node, segment_id)
    low = (extent[0] - box[0])[::-1]
    window = tuple(slice(int(a), int(a) + n) for a, n in zip(low, add.shape, strict=True))
    mask[window] = (mask[window] | add) & ~remove
    replace_voxels(segmentation_node, segment_id, mask, whole)
