"""How a segmentation and a CT stand in the slice views now: which CT is behind the contours, which organs are drawn, in which colour."""

from __future__ import annotations

from ..scene.types import Scene, SegmentationNode, VolumeNode


def is_shown(scene: Scene, volume: VolumeNode) -> bool:
    """Return whether every slice view has this volume in its background."""
    kind = "vtkMRMLSliceCompositeNode"
    composites = [scene.GetNthNodeByClass(i, kind) for i in range(scene.GetNumberOfNodesByClass(kind))]
    return bool(composites) and all(c.GetBackgroundVolumeID() == volume.GetID() for c in composites)


def visible(node: SegmentationNode, segment_id: str) -> bool:
    """Return whether a segment is drawn in the views."""
    display = node.GetDisplayNode()
    return display is None or bool(display.GetSegmentVisibility(segment_id))


def color_of(node: SegmentationNode, segment_id: str) -> tuple[float, float, float]:
    """Return a segment's colour, each part from 0 to 1."""
    red, green, blue = node.GetSegmentation().GetSegment(segment_id).GetColor()
    return float(red), float(green), float(blue)
