"""Where an organ should be of which nothing is drawn: that is the place to look at before its absence is confirmed."""

from __future__ import annotations

import numpy as np

from focusnet.io.segment_tags import RESULT_TAG, tag_value, tagged_peak_mm_xyz
from focusnet.qa.reference_statistics import MINIMUM, load_reference_statistics
from focusnet.qa.spatial_relations import PARTNERS

from ..scene.labelmaps import LABELMAP, get_tag, image_matrix, voxels
from ..scene.nodes import organ_segments
from ..scene.types import Segment, SegmentationNode
from ..scene.volumes import LPS_RAS, transform_matrix

LEAST_PEAK = 0.1  # of the heat map, 0 to 1: below it the map is flat, and the place of its maximum means nothing


def place_to_look_ras(segmentation_node: SegmentationNode, segment_id: str, organ: str) -> np.ndarray | None:
    """Return where an empty organ should be, in world RAS mm: where the model localized it, else its usual place among the organs that are
    drawn. None if neither is known."""
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
    localized = _localized_ras(segment)
    return localized if localized is not None else usual_place_ras(segmentation_node, organ)


def usual_place_ras(segmentation_node: SegmentationNode, organ: str) -> np.ndarray | None:
    """Return where an organ's centre usually lies (world RAS mm), seen from the five drawn organs that it keeps the steadiest offset to; None
    without any. The middle of what they say, so that one misplaced neighbour does not mislead."""
    statistics = load_reference_statistics()
    segments = organ_segments(segmentation_node)
    pairs = [(name, statistics.offset(name, organ)) for name in segments if name != organ]
    known = [(name, o) for name, o in pairs if o is not None and o.n >= MINIMUM and not statistics.leaves_scan(name)]
    known.sort(key=lambda pair: pair[1].spread_mm)
    places = []
    for name, offset in known:
        center = _center_ras(segmentation_node, segments[name])
        if center is not None:
            places.append(center + LPS_RAS[:3, :3] @ offset.mean_mm_xyz)
        if len(places) == PARTNERS:
            break
    return np.median(places, axis=0) if places else None


def _localized_ras(segment: Segment) -> np.ndarray | None:
    text = get_tag(segment, RESULT_TAG)
    peak_mm_lps, peak = tagged_peak_mm_xyz(text), tag_value(text).get("peak")
    if peak_mm_lps is None or (isinstance(peak, (int, float)) and peak < LEAST_PEAK):
        return None
    return np.asarray((LPS_RAS @ [*peak_mm_lps, 1.0])[:3])


def _center_ras(segmentation_node: SegmentationNode, segment_id: str) -> np.ndarray | None:
    """Return the middle of a segment's voxels in world RAS mm, None for an empty one."""
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
    image = segment.GetRepresentation(LABELMAP)
    array = voxels(image)
    drawn = np.argwhere(array == segment.GetLabelValue()) if array.size else np.zeros((0, 3))
    if not len(drawn):
        return None
    index = drawn.mean(axis=0)[::-1] + np.array(image.GetExtent()[::2])
    return np.asarray((transform_matrix(segmentation_node) @ image_matrix(image) @ [*index, 1.0])[:3])
