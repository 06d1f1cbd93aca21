"""Masks of many segments of one node on one grid, each only in the box around it: 22 passes over a whole scan would freeze Slicer."""

from __future__ import annotations

import numpy as np

from focusnet.image.label_boxes import Box, label_boxes

from .labelmaps import LABELMAP, image_matrix, mask_on, voxels, whole_voxel_shift
from .types import OrientedImage, SegmentationNode


class SegmentBoxes:
    """``target``: the grid and extent (vtkOrientedImageData in the node's own space, no voxels needed). The node must not change meanwhile."""

    def __init__(self, target: OrientedImage, node: SegmentationNode) -> None:
        self.target, self.node = target, node
        self._extent = np.array(target.GetExtent())
        self._shape_zyx = tuple(int(n) for n in (self._extent[1::2] - self._extent[::2] + 1)[::-1])
        self._layers: dict[int, tuple[OrientedImage, np.ndarray | None, list[Box | None]]] = {}

    def mask(self, segment_id: str) -> tuple[Box, np.ndarray]:
        """Return where in an array of the target's grid (z, y, x) the segment may lie, and its mask (bool) there; nothing of it is outside.

        Raises InputError for a segment that cannot be put on the grid.
        """
        segment = self.node.GetSegmentation().GetSegment(segment_id)
        image = segment.GetRepresentation(LABELMAP)
        label = int(segment.GetLabelValue())
        array = voxels(image)
        if image is None or not array.size:
            return self._nowhere()
        _, shift, boxes = self._layer(image, array)
        if shift is None or label <= 0:  # resampled, or a label that no box is known of
            return (slice(None), slice(None), slice(None)), mask_on(self.target, self.node, segment_id)
        box = boxes[label - 1] if label <= len(boxes) else None
        if box is None:
            return self._nowhere()
        first = (np.array(image.GetExtent()[::2]) + shift - self._extent[::2])[
            ::-1
        ]  # of the image in the target, z, y, x
        low = np.maximum([s.start for s in box] + first, 0)
        high = np.minimum([s.stop for s in box] + first, self._shape_zyx)
        if (low >= high).any():
            return self._nowhere()
        z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        there = tuple(slice(int(a), int(b)) for a, b in zip(low - first, high - first, strict=True))
        return (z, y, x), array[there] == label

    def _layer(
        self, image: OrientedImage, array: np.ndarray
    ) -> tuple[OrientedImage, np.ndarray | None, list[Box | None]]:
        if id(image) not in self._layers:
            shift = whole_voxel_shift(image_matrix(self.target), image_matrix(image))
            self._layers[id(image)] = (image, shift, label_boxes(array) if shift is not None else [])
        return self._layers[id(image)]

    @staticmethod
    def _nowhere() -> tuple[Box, np.ndarray]:
        return (slice(0, 0), slice(0, 0), slice(0, 0)), np.zeros((0, 0, 0), bool)
