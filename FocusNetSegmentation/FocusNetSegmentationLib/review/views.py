"""Slice views on one organ: centred, zoomed, linked, with a window that suits it; and the user's own window again afterwards."""

from __future__ import annotations

import numpy as np

from focusnet.image.organs import without_side
from focusnet.image.volume import box_corners

from ..scene.labelmaps import LABELMAP, image_matrix, label_box
from ..scene.types import Node, Scene, SegmentationNode, VolumeNode
from ..scene.volumes import transform_matrix

MARGIN_MM = 25.0  # around the organ: its neighbours must be seen to judge it
SMALLEST_FIELD_MM = 70.0  # a lens alone on a screen tells nothing
SOFT_TISSUE = (350.0, 40.0)  # window width and level in HU
BRAIN = (120.0, 40.0)
BONE = (2000.0, 500.0)
WINDOWS = {  # by TG-263 name without its side; every other organ: soft tissue
    **dict.fromkeys(("Brain", "Brainstem", "OpticChiasm", "Pituitary", "Lobe_Temporal", "SpinalCord"), BRAIN),
    **dict.fromkeys(("Bone_Mandible", "Cochlea", "Ear_Internal", "Ear_Middle", "Joint_TM"), BONE),
}  # fmt: skip


def window_for(organ: str) -> tuple[float, float]:
    """Return window width and level (HU) in which an organ is judged."""
    base = without_side(organ)
    return WINDOWS.get(base, SOFT_TISSUE)


def box_ras(segmentation_node: SegmentationNode, segment_id: str) -> np.ndarray | None:
    """Return lowest and highest corner (2, 3) of a segment in world RAS mm; None for an empty one."""
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
    image = segment.GetRepresentation(LABELMAP)
    box = label_box(image, segment.GetLabelValue())
    if box is None:
        return None
    low = np.array([s.start for s in box])[::-1] + np.array(image.GetExtent()[::2]) - 0.5
    high = np.array([s.stop for s in box])[::-1] + np.array(image.GetExtent()[::2]) - 0.5
    corners = box_corners(low, high).T
    world = transform_matrix(segmentation_node) @ image_matrix(image) @ np.vstack([corners, np.ones(8)])
    return np.stack([world[:3].min(axis=1), world[:3].max(axis=1)])


class Views:
    """The scene's slice views during a review. View colours and layouts are never touched."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._windows: dict[str, tuple[bool, float, float]] = {}  # of each volume, before the review
        self._linked: dict[str, bool] = {}

    @property
    def is_active(self) -> bool:
        return bool(self._windows or self._linked)

    def focus(
        self,
        segmentation_node: SegmentationNode,
        segment_id: str,
        organ: str,
        volume_node: VolumeNode | None,
        place_ras: np.ndarray | None = None,
    ) -> bool:
        """Show one organ; an empty one at ``place_ras``. False if there is no place to show."""
        box = box_ras(segmentation_node, segment_id)
        if box is None and place_ras is None:
            self._set_window(volume_node, organ)
            return False
        if box is None:
            box = np.stack([np.asarray(place_ras, float)] * 2)
        center = box.mean(axis=0)
        field_mm = max(SMALLEST_FIELD_MM, float((box[1] - box[0]).max()) + 2 * MARGIN_MM)
        self._link()
        for node in self._nodes("vtkMRMLSliceNode"):
            width, height = node.GetDimensions()[:2]
            if width > 0 and height > 0:
                shorter = min(width, height)
                node.SetFieldOfView(field_mm * width / shorter, field_mm * height / shorter, node.GetFieldOfView()[2])
            node.JumpSliceByCentering(*(float(v) for v in center))
        self._set_window(volume_node, organ)
        return True

    def restore(self) -> None:
        """Give windows and links back as the user had them: the review is over."""
        for node_id, (automatic, width, level) in self._windows.items():
            display = self.scene.GetNodeByID(node_id)
            if display is not None:
                display.SetWindowLevel(width, level)
                display.SetAutoWindowLevel(automatic)
        for node_id, linked in self._linked.items():
            composite = self.scene.GetNodeByID(node_id)
            if composite is not None:
                composite.SetLinkedControl(linked)
        self.forget()

    def forget(self) -> None:
        """Forget what was there before: the scene is going, and nothing can be restored."""
        self._windows, self._linked = {}, {}

    def _set_window(self, volume_node: VolumeNode | None, organ: str) -> None:
        display = volume_node.GetDisplayNode() if volume_node is not None else None
        if display is None:
            return
        before = (bool(display.GetAutoWindowLevel()), float(display.GetWindow()), float(display.GetLevel()))
        self._windows.setdefault(display.GetID(), before)
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(*window_for(organ))

    def _link(self) -> None:
        for composite in self._nodes("vtkMRMLSliceCompositeNode"):
            self._linked.setdefault(composite.GetID(), bool(composite.GetLinkedControl()))
            composite.SetLinkedControl(True)

    def _nodes(self, kind: str) -> list[Node]:
        return [self.scene.GetNthNodeByClass(i, kind) for i in range(self.scene.GetNumberOfNodesByClass(kind))]
