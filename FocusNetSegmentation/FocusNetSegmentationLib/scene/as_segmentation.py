"""Turn a segmentation of the scene, corrections included, into the engine's Segmentation."""

from __future__ import annotations

import numpy as np

from focusnet.errors import InputError
from focusnet.image.label_boxes import label_counts
from focusnet.image.organs import find_organ
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Geometry
from focusnet.io.segment_tags import ORGAN_TAG, RESULT_TAG, from_tag

from .labelmaps import empty_image, get_tag
from .run_tags import node_provenance
from .segment_boxes import SegmentBoxes
from .types import SegmentationNode
from .volumes import LPS_RAS, transform_matrix


def segmentation_on(geometry: Geometry, segmentation_node: SegmentationNode) -> tuple[Segmentation, list[str]]:
    """Return every segment of the node on ``geometry`` (LPS mm), whatever grid, layer and linear transform it has, and sentences for
    the user: where segments overlap, the later one wins.

    What the model said of an organ holds only while the organ has as many voxels as then. Raises InputError.
    """
    from focusnet.io.label_map import unknown_organ

    source = segmentation_node.GetSegmentation()
    count = source.GetNumberOfSegments()
    if count > 255:
        raise InputError(f"There are {count} segments; a label map holds 255. Remove some of them.")
    to_local = np.linalg.inv(transform_matrix(segmentation_node))
    target = empty_image(geometry, to_local @ LPS_RAS @ geometry.affine_xyz)
    labels = np.zeros(geometry.shape_zyx, np.uint8)
    boxes = SegmentBoxes(target, segmentation_node)
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
        place, mask = boxes.mask(segment_id)
        there = labels[place]
        lost = int(np.count_nonzero(there[mask]))
        if lost:
            notes.append(
                f"{lost} voxels of {organ.name} overlap segments above it in the list; they were given to {organ.name}."
            )
        there[mask] = index + 1
        results.append((organ, index + 1, segment))
    counts = label_counts(labels)
    found = tuple(
        from_tag(get_tag(segment, RESULT_TAG), organ, label, int(counts[label]), voxel_ml)
        for organ, label, segment in results
    )
    return Segmentation(labels, geometry, found, node_provenance(segmentation_node)), notes
