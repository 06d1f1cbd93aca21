"""Where an organ lies: its largest part and that part's largest slices; where an organ that is empty would be expected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from focusnet.image.volume import box_corners
from focusnet.io.segment_tags import RESULT_TAG, tag_value, tagged_peak_mm_xyz
from focusnet.qa.reference_statistics import MINIMUM, ReferenceStatistics, load_reference_statistics

from ..scene.labelmaps import LABELMAP, get_tag, image_matrix, voxels
from ..scene.nodes import organ_segments
from ..scene.types import Box, OrientedImage, SegmentationNode
from ..scene.volumes import LPS_RAS, transform_matrix

COARSE = 4  # voxels: in a slice every fourth row and column is looked at first, because all 40 million take too long
POOLED_ABOVE = 1_000_000  # voxels of an organ's box: parts of larger organs are looked for on a coarser grid
NEARLY_LARGEST = 0.97  # of the largest area: of such slices the one next to the middle is taken, not a tube's first
LOCALIZED = 0.3  # of a heat map's maximum; half of what the networks' default settings ask for: below it the place means nothing
NEIGHBOURS = 5  # as many as ``focusnet qa`` judges a place from


@dataclass(frozen=True)
class Place:
    """The largest part of an organ on its own grid, indices in the order x, y, z.

    ``to_world`` (4, 4): index to world RAS mm. ``index_xyz`` (3,): the largest slice along each axis. ``slice_boxes`` (3, 2, 3): for each axis the lowest
    and highest voxel of the part within that slice. ``box`` (2, 3): lowest and highest voxel of the whole part.
    """

    to_world: np.ndarray
    index_xyz: np.ndarray
    slice_boxes: np.ndarray
    box: np.ndarray

    @property
    def center_ras(self) -> np.ndarray:
        """Return where the three largest slices meet, in world RAS mm."""
        return self.world(self.index_xyz)

    @property
    def corners_ras(self) -> np.ndarray:
        """Return the corners (8, 3) of the part's box in world RAS mm."""
        corners = np.c_[box_corners(self.box[0] - 0.5, self.box[1] + 0.5), np.ones(8)]
        return np.asarray((corners @ self.to_world.T)[:, :3])

    def world(self, index_xyz: np.ndarray) -> np.ndarray:
        """Return the world RAS mm (3,) of an index."""
        return np.asarray((self.to_world @ [*index_xyz, 1.0])[:3])


class Boxes:
    """Boxes of labels in label maps, looked for once as long as nobody changes a map's voxels."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, list[Box | None]]] = {}

    def coarse(self, image: OrientedImage) -> list[Box | None]:
        """Return the box (z, y, x) of each label, from every fourth row and column of the array."""
        from scipy import ndimage

        key, changed = image.GetAddressAsString(""), image.GetMTime()
        if self._known.get(key, (None,))[0] != changed:
            if len(self._known) > 16:
                self._known.clear()
            array = voxels(image)
            found = ndimage.find_objects(array[:, ::COARSE, ::COARSE]) if array.size else []
            self._known[key] = (changed, found)
        return self._known[key][1]

    def box(self, image: OrientedImage | None, label: int) -> Box | None:
        """Return the box (z, y, x) of a label's voxels in the image's array, None if it has none.

        Specks of a few voxels that lie away from everything else of a larger organ may be left out.
        """
        array = voxels(image)
        if image is None or not array.size or label < 1:
            return None
        coarse = self.coarse(image)
        start = coarse[label - 1] if label <= len(coarse) else None
        if start is None:
            return _box_of(array == label)
        scale = (1, COARSE, COARSE)
        low = np.array([s.start * f for s, f in zip(start, scale, strict=True)])
        high = np.array([(s.stop - 1) * f + 1 for s, f in zip(start, scale, strict=True)])
        shape, step = np.array(array.shape), np.array([2, 2 * COARSE, 2 * COARSE])
        while True:
            low, high = np.maximum(low - step, 0), np.minimum(high + step, shape)
            box = _box_of(array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] == label)
            assert box is not None  # the coarse box has voxels
            first = low + [s.start for s in box]
            last = low + [s.stop for s in box]
            if (((first > low) | (low == 0)) & ((last < high) | (high == shape))).all():
                return tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))


def largest_place(segmentation_node: SegmentationNode, segment_id: str, boxes: Boxes | None = None) -> Place | None:
    """Return where the largest connected part of a segment lies, None for an empty segment.

    Raises InputError if a parent transform is not linear.
    """
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
    image = segment.GetRepresentation(LABELMAP)
    box = (boxes or Boxes()).box(image, segment.GetLabelValue())
    if box is None:
        return None
    mask = voxels(image)[box] == segment.GetLabelValue()
    factor = int(np.ceil(np.sqrt(mask.size / POOLED_ABOVE)))
    part = _largest_part(_pooled(mask, factor))
    low = np.array([s.start for s in box])[::-1] + np.array(image.GetExtent()[::2])
    scale = np.array([factor, factor, 1])
    index, slices = np.zeros(3), np.zeros((3, 2, 3))
    for axis in range(3):  # of x, y, z; the array's axes are the other way round
        others = tuple(a for a in range(3) if a != 2 - axis)
        index[axis] = _largest_slice(part.sum(axis=others))
        slices[axis] = _low_high(np.take(part, [int(index[axis])], axis=2 - axis))
        slices[axis][:, axis] = index[axis]
    to_index = (scale - 1) / 2  # the middle of a pooled voxel
    whole = _low_high(part)
    edges = np.array([[0.0] * 3, list(scale - 1)])
    return Place(
        to_world=transform_matrix(segmentation_node) @ image_matrix(image),
        index_xyz=np.floor(index * scale + to_index) + low,
        slice_boxes=slices * scale + edges + low,
        box=whole * scale + edges + low,
    )


def usual_place_ras(
    segmentation_node: SegmentationNode, organ: str, statistics: ReferenceStatistics | None = None
) -> np.ndarray | None:
    """Return where to look for an organ that is empty, world RAS mm: where the model located it, else its usual place among the organs that are
    there, else None.

    A localization whose heat map stays far below the model's threshold does not count: its maximum may be any voxel, often in a corner.
    """
    segment_id = organ_segments(segmentation_node).get(organ)
    tag = "" if segment_id is None else get_tag(segmentation_node.GetSegmentation().GetSegment(segment_id), RESULT_TAG)
    peak_mm, peak = tagged_peak_mm_xyz(tag), tag_value(tag).get("peak")
    if peak_mm is not None and (not isinstance(peak, (int, float)) or peak >= LOCALIZED):
        return np.asarray((LPS_RAS @ [*peak_mm, 1.0])[:3])
    return _among_neighbours(segmentation_node, organ, statistics or load_reference_statistics())


def _among_neighbours(
    segmentation_node: SegmentationNode, organ: str, statistics: ReferenceStatistics
) -> np.ndarray | None:
    """The median of what the steadiest neighbours say, in world RAS: one that is misplaced does not lead astray."""
    known = []
    for name in organ_segments(segmentation_node):
        offset = statistics.offset(name, organ) if name != organ and not statistics.leaves_scan(name) else None
        if offset is not None and offset.n >= MINIMUM:
            known.append((offset.spread_mm, name, offset.mean_mm_xyz))
    boxes, places = Boxes(), []
    for _, name, mean_mm_xyz in sorted(known, key=lambda k: k[0]):
        center = _center_ras(segmentation_node, organ_segments(segmentation_node)[name], boxes)
        if center is not None:
            places.append(center + np.array([-1, -1, 1]) * mean_mm_xyz)  # statistics are in LPS
        if len(places) == NEIGHBOURS:
            break
    return np.median(places, axis=0) if places else None


def _center_ras(segmentation_node: SegmentationNode, segment_id: str, boxes: Boxes) -> np.ndarray | None:
    """The middle of a segment's voxels in world RAS."""
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
    image = segment.GetRepresentation(LABELMAP)
    box = boxes.box(image, segment.GetLabelValue())
    if box is None:
        return None
    mask = voxels(image)[box] == segment.GetLabelValue()
    sums = [mask.sum(axis=tuple(a for a in range(3) if a != axis)) for axis in (2, 1, 0)]
    index = [float((np.arange(s.size) * s).sum() / s.sum()) for s in sums]
    index = np.array(index) + [s.start for s in box[::-1]] + np.array(image.GetExtent()[::2])
    return np.asarray((transform_matrix(segmentation_node) @ image_matrix(image) @ [*index, 1.0])[:3])


def _pooled(mask: np.ndarray, factor: int) -> np.ndarray:
    """Blocks of ``factor`` rows and columns as one voxel each; slices stay as they are."""
    if factor == 1:
        return mask
    z, y, x = mask.shape
    padded = np.zeros((z, -(-y // factor) * factor, -(-x // factor) * factor), bool)
    padded[:, :y, :x] = mask
    rows = padded.reshape(z, -1, factor, padded.shape[2]).any(axis=2)
    return np.asarray(rows.reshape(z, rows.shape[1], -1, factor).any(axis=3))


def _largest_part(mask: np.ndarray) -> np.ndarray:
    """The largest part whose voxels touch each other, by a corner at least."""
    from scipy import ndimage

    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    if count == 1:
        return mask
    return np.asarray(labels == 1 + int(np.bincount(labels.ravel())[1:].argmax()))


def _largest_slice(areas: np.ndarray) -> int:
    middle = float((np.arange(areas.size) * areas).sum() / areas.sum())
    nearly = np.flatnonzero(areas >= NEARLY_LARGEST * areas.max())
    return int(nearly[np.abs(nearly - middle).argmin()])


def _low_high(mask: np.ndarray) -> np.ndarray:
    """Lowest and highest voxel (2, 3) in the order x, y, z."""
    box = _box_of(mask) or (slice(0, 1),) * 3
    return np.array([[s.start for s in box[::-1]], [s.stop - 1 for s in box[::-1]]], float)


def _box_of(mask: np.ndarray) -> Box | None:
    found: list[slice] = []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        if not used.size:
            return None
        found.append(slice(int(used[0]), int(used[-1]) + 1))
    return tuple(found)
