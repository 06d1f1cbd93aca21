"""What the runs that drew a segmentation said of their CT's orientation."""

from __future__ import annotations

from typing import Any

from focusnet.image.orientation_doubt import DOUBT, doubt_text
from focusnet.io.segment_tags import RUN_TAG, tag_value

from .labelmaps import get_tag
from .types import SegmentationNode


def doubt_of(segmentation_node: SegmentationNode | None) -> dict[str, Any]:
    """Return {DOUBT: ...} where any run that drew a segment doubted its CT's orientation, else {}: a later run of a few organs may not have
    looked."""
    if segmentation_node is None:
        return {}
    segmentation = segmentation_node.GetSegmentation()
    for index in range(segmentation.GetNumberOfSegments()):
        run = tag_value(get_tag(segmentation.GetNthSegment(index), RUN_TAG))
        if doubt_text(run):
            return {DOUBT: run[DOUBT]}
    return {}


def doubt_text_of(segmentation_node: SegmentationNode | None) -> str:
    """Return the sentence for a person; "" if nothing is doubted."""
    return doubt_text(doubt_of(segmentation_node))
