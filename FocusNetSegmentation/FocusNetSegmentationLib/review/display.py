"""How contours are drawn during a review: the current organ as a bold outline without fill, the others thin; and the user's own display again afterwards."""

from __future__ import annotations

import json
from typing import Any

from ..scene.types import Node, Scene, SegmentationNode

BOLD_PIXELS = 3
THIN_PIXELS = 1
FAINT = 0.3  # opacity of the other organs' surfaces in 3D
BEFORE = "FocusNet.DisplayBefore"  # JSON on the display node: as the user had it, so that it comes back even from a scene saved in mid-review
BOLD = "FocusNet.BoldOutline"  # on the second display node: it draws the current organ alone

NODE_VALUES = (
    "Visibility2DFill",
    "Visibility2DOutline",
    "Opacity2DFill",
    "Opacity2DOutline",
    "SliceIntersectionThickness",
)
SEGMENT_VALUES = ("Visibility2DFill", "Visibility2DOutline", "Opacity3D")


class Display:
    """The display of one segmentation during a review. Slicer draws all outlines of a display node equally thick, so the current organ is drawn once
    more by a second display node of the same segmentation, which is not in any list and goes when the review ends."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.fill, self.others_hidden = False, False
        self._node: SegmentationNode | None = None
        self._segment_id = ""
        self._observed: tuple[Node, int] | None = None

    @property
    def is_active(self) -> bool:
        return self._node is not None

    def highlight(self, segmentation_node: SegmentationNode, segment_id: str) -> None:
        """Draw one organ as a bold outline without fill, and the others thin; what the user had before is kept for ``restore``."""
        if self._node is not None and self._node is not segmentation_node:
            self.restore()
        display = _own_display(segmentation_node)
        if display is None:
            return
        self._node, self._segment_id = segmentation_node, segment_id
        _keep(segmentation_node, display)
        bold = self._bold(segmentation_node)
        self._draw(display, bold)
        if self._observed is None:
            self._observed = (display, display.AddObserver("ModifiedEvent", self._follow))

    def toggle_fill(self) -> bool:
        """Fill the current organ, or do not; return what holds now. It stays so for the next organs."""
        self.fill = not self.fill
        self._draw_again()
        return self.fill

    def toggle_others(self) -> bool:
        """Hide the other organs in the slices and in 3D, or show them; return whether they are hidden now."""
        self.others_hidden = not self.others_hidden
        self._draw_again()
        return self.others_hidden

    def toggle_visible(self, segmentation_node: SegmentationNode, segment_id: str) -> None:
        """Hide an organ or show it again, as its eye in the list does; it stays so, for the next organs and after the review."""
        display = _own_display(segmentation_node)
        if display is None:
            return
        shown = not display.GetSegmentVisibility(segment_id)
        before = json.loads(display.GetAttribute(BEFORE) or "{}")
        if segment_id in before.get("segments", {}):
            before["segments"][segment_id]["Visibility"] = shown
            display.SetAttribute(BEFORE, json.dumps(before))
        display.SetSegmentVisibility(segment_id, shown)

    def restore(self) -> None:
        """Give the segmentation the display back that the user had."""
        node, self._node, self._segment_id = self._node, None, ""
        self._unobserve()
        self.fill, self.others_hidden = False, False
        if node is not None and node.GetScene() is self.scene:
            restore_display(node)
        elif node is not None:  # it was deleted
            for index in reversed(range(self.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationDisplayNode"))):
                display = self.scene.GetNthNodeByClass(index, "vtkMRMLSegmentationDisplayNode")
                if display.GetAttribute(BOLD) and display.GetDisplayableNode() is None:
                    self.scene.RemoveNode(display)

    def forget(self) -> None:
        """Forget everything: the scene is going."""
        self._unobserve()
        self._node, self._segment_id = None, ""
        self.fill, self.others_hidden = False, False

    def _draw_again(self) -> None:
        if self._node is not None:
            self.highlight(self._node, self._segment_id)

    def _draw(self, display: Node, bold: Node) -> None:
        before = json.loads(display.GetAttribute(BEFORE))
        hidden = set(before["hidden"])
        modifying, modifying_bold = display.StartModify(), bold.StartModify()
        display.SetVisibility2DFill(True)
        display.SetVisibility2DOutline(True)
        display.SetSliceIntersectionThickness(THIN_PIXELS)
        for segment_id in _segment_ids(self._node):
            current = segment_id == self._segment_id
            if current or (segment_id in hidden and not self.others_hidden):
                display.SetSegmentVisibility(segment_id, True)
                hidden.discard(segment_id)
            elif self.others_hidden and display.GetSegmentVisibility(segment_id):
                display.SetSegmentVisibility(segment_id, False)
                hidden.add(segment_id)
            display.SetSegmentVisibility2DFill(segment_id, current and self.fill)
            display.SetSegmentVisibility2DOutline(segment_id, not current)  # the current one's is the bold one
            display.SetSegmentOpacity3D(segment_id, 1.0 if current else FAINT)
            bold.SetSegmentVisibility(segment_id, current)
        bold.SetVisibility(display.GetVisibility())
        if hidden != set(before["hidden"]):
            display.SetAttribute(BEFORE, json.dumps({**before, "hidden": sorted(hidden)}))
        bold.EndModify(modifying_bold)
        display.EndModify(modifying)

    def _follow(self, *_args: object) -> None:
        """The bold outline goes and comes with its organ's eye and with the whole segmentation's."""
        node = self._node
        bold = _bold_display(node) if node is not None else None
        display = node.GetDisplayNode() if node is not None else None
        if bold is not None and display is not None and self._segment_id in _segment_ids(node):
            shown = bool(display.GetVisibility() and display.GetSegmentVisibility(self._segment_id))
            if bool(bold.GetVisibility()) != shown:
                bold.SetVisibility(shown)

    def _unobserve(self) -> None:
        if self._observed is not None:
            display, tag = self._observed
            display.RemoveObserver(tag)
            self._observed = None

    def _bold(self, segmentation_node: SegmentationNode) -> Node:
        known = _bold_display(segmentation_node)
        if known is not None:
            return known
        bold = self.scene.AddNewNodeByClass(
            "vtkMRMLSegmentationDisplayNode", f"{segmentation_node.GetName()} bold outline"
        )
        bold.SetHideFromEditors(True)
        bold.SetAttribute(BOLD, "1")
        bold.SetVisibility3D(False)
        bold.SetVisibility2DFill(False)
        bold.SetVisibility2DOutline(True)
        bold.SetSliceIntersectionThickness(BOLD_PIXELS)
        bold.SetAllSegmentsVisibility(False)
        segmentation_node.AddAndObserveDisplayNodeID(bold.GetID())
        return bold


def restore_display(segmentation_node: SegmentationNode) -> bool:
    """Give a segmentation the display back that it had before a review, also after its scene was saved in mid-review and loaded again; return whether
    there was anything to give back."""
    bold, display = _bold_display(segmentation_node), _own_display(segmentation_node)
    if bold is not None:
        segmentation_node.RemoveNthDisplayNodeID(_displays(segmentation_node).index(bold))
        segmentation_node.GetScene().RemoveNode(bold)
    text = display.GetAttribute(BEFORE) if display is not None else None
    if display is None or not text:
        return bold is not None
    before = json.loads(text)
    modifying = display.StartModify()
    for name, value in before["node"].items():
        getattr(display, f"Set{name}")(value)
    for segment_id in set(_segment_ids(segmentation_node)) & set(before["hidden"]):
        display.SetSegmentVisibility(segment_id, True)
    for segment_id in set(_segment_ids(segmentation_node)) & set(before["segments"]):
        for name, value in before["segments"][segment_id].items():
            getattr(display, f"SetSegment{name}")(segment_id, value)
    for segment_id in set(_segment_ids(segmentation_node)) - set(before["segments"]):  # made during the review
        display.SetSegmentVisibility2DFill(segment_id, True)
        display.SetSegmentVisibility2DOutline(segment_id, True)
        display.SetSegmentOpacity3D(segment_id, 1.0)
    display.RemoveAttribute(BEFORE)
    display.EndModify(modifying)
    return True


def _keep(segmentation_node: SegmentationNode, display: Node) -> None:
    """Remember the user's display once, and segments that came later."""
    before = json.loads(display.GetAttribute(BEFORE) or "{}") or {
        "node": {name: getattr(display, f"Get{name}")() for name in NODE_VALUES},
        "segments": {},
        "hidden": [],  # by the review; what a person hides by its eye stays hidden
    }
    new = [s for s in _segment_ids(segmentation_node) if s not in before["segments"]]
    for segment_id in new:
        before["segments"][segment_id] = {
            name: getattr(display, f"GetSegment{name}")(segment_id) for name in SEGMENT_VALUES
        }
    if new or not display.GetAttribute(BEFORE):
        display.SetAttribute(BEFORE, json.dumps(before))


def _own_display(segmentation_node: SegmentationNode) -> Node | None:
    """The segmentation's first display node, made if there is none."""
    if segmentation_node.GetDisplayNode() is None:
        segmentation_node.CreateDefaultDisplayNodes()
    return segmentation_node.GetDisplayNode()


def _bold_display(segmentation_node: SegmentationNode) -> Node | None:
    return next((d for d in _displays(segmentation_node) if d is not None and d.GetAttribute(BOLD)), None)


def _displays(segmentation_node: SegmentationNode) -> list[Any]:
    return [segmentation_node.GetNthDisplayNode(i) for i in range(segmentation_node.GetNumberOfDisplayNodes())]


def _segment_ids(segmentation_node: SegmentationNode | None) -> list[str]:
    segmentation = segmentation_node.GetSegmentation() if segmentation_node is not None else None
    return [segmentation.GetNthSegmentID(i) for i in range(segmentation.GetNumberOfSegments())] if segmentation else []
