"""What a person sees in the slice views: the CT behind the contours, which organs are drawn, filled or not, and the window."""

from __future__ import annotations

from typing import Any

import slicer

from ..scene.types import Scene, SegmentationNode, VolumeNode

# Width and level in HU, with the key W one after the other.
WINDOWS = ((350.0, 40.0), (120.0, 40.0), (2000.0, 500.0))


def is_shown(scene: Scene, volume: VolumeNode) -> bool:
    """Return whether every slice view has this volume in its background."""
    composites = _composites(scene)
    return bool(composites) and all(c.GetBackgroundVolumeID() == volume.GetID() for c in composites)


def show_volume(scene: Scene, volume: VolumeNode) -> None:
    """Put a volume behind the contours in all slice views, and fit the views to it where it was not there before."""
    if not is_shown(scene, volume):
        slicer.util.setSliceViewerLayers(background=volume, fit=True)


def _composites(scene: Scene) -> list[Any]:
    kind = "vtkMRMLSliceCompositeNode"
    return [scene.GetNthNodeByClass(i, kind) for i in range(scene.GetNumberOfNodesByClass(kind))]


def next_window(volume: VolumeNode | None) -> tuple[float, float] | None:
    """Set the window after the one that is set, and return its width and level (HU). None without a CT."""
    display = volume.GetDisplayNode() if volume is not None else None
    if display is None:
        return None
    now = (float(display.GetWindow()), float(display.GetLevel()))
    place = WINDOWS.index(now) if now in WINDOWS else -1
    width, level = WINDOWS[(place + 1) % len(WINDOWS)]
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(width, level)
    return width, level


class Visibility:
    """Which organs of a segmentation are drawn, while they are reviewed."""

    def __init__(self) -> None:
        self._node: SegmentationNode | None = None
        self._before: dict[str, bool] = {}  # of all segments, while the others are off

    @property
    def others_off(self) -> bool:
        return bool(self._before)

    def toggle(self, node: SegmentationNode, segment_id: str) -> None:
        """Hide one organ or show it again."""
        display = node.GetDisplayNode()
        if display is not None:
            display.SetSegmentVisibility(segment_id, not display.GetSegmentVisibility(segment_id))

    def toggle_fill(self, node: SegmentationNode, segment_id: str) -> None:
        """Fill one organ's contour in the slice views, or show its outline alone."""
        display = node.GetDisplayNode()
        if display is not None:
            display.SetSegmentVisibility2DFill(segment_id, not display.GetSegmentVisibility2DFill(segment_id))

    def toggle_others(self, node: SegmentationNode, segment_id: str) -> None:
        """Show one organ alone, or all again as they were."""
        if self.others_off:
            self.restore()
        else:
            self._alone(node, segment_id)

    def follow(self, node: SegmentationNode, segment_id: str) -> None:
        """The review went on to another organ: while the others are off, it is the one to see."""
        if self.others_off:
            self.restore()
            self._alone(node, segment_id)

    def restore(self) -> None:
        """Show what was shown before the others were switched off."""
        display = self._node.GetDisplayNode() if self._node is not None else None
        for segment_id, visible in self._before.items():
            if display is not None and self._node.GetSegmentation().GetSegment(segment_id) is not None:
                display.SetSegmentVisibility(segment_id, visible)
        self.forget()

    def forget(self) -> None:
        """Forget what was shown before: the scene is going."""
        self._node, self._before = None, {}

    def _alone(self, node: SegmentationNode, segment_id: str) -> None:
        display, segmentation = node.GetDisplayNode(), node.GetSegmentation()
        if display is None:
            return
        ids = [segmentation.GetNthSegmentID(i) for i in range(segmentation.GetNumberOfSegments())]
        self._node, self._before = node, {i: bool(display.GetSegmentVisibility(i)) for i in ids}
        for other in ids:
            display.SetSegmentVisibility(other, other == segment_id)


def visible(node: SegmentationNode, segment_id: str) -> bool:
    """Return whether a segment is drawn in the views."""
    display = node.GetDisplayNode()
    return display is None or bool(display.GetSegmentVisibility(segment_id))


def color_of(node: SegmentationNode, segment_id: str) -> tuple[float, float, float]:
    """Return a segment's colour, each part from 0 to 1."""
    red, green, blue = node.GetSegmentation().GetSegment(segment_id).GetColor()
    return float(red), float(green), float(blue)
