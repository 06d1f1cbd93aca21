"""Slice views on one organ over its own CT: on its largest slice, zoomed view by view, linked; and the user's own display again afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from focusnet.image.volume import box_corners

from ..scene.types import Node, Scene, SegmentationNode, VolumeNode
from ..scene.volumes import from_vtk, to_vtk
from .places import Boxes, Place, largest_place, usual_place_ras
from .planes import axes_of, axis_along, fit, grid_to_world, look_at, needed_field_mm, on_a_slice, turn_to_planes
from .windows import Windows, show_soft_tissue


@dataclass(frozen=True)
class _Before:
    """A slice view as the user had it."""

    matrix: np.ndarray  # (4, 4) slice to RAS
    field_mm: tuple[float, ...]
    origin: tuple[float, ...]


class Views:
    """The scene's slice views during a review. View colours and layouts are never touched."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.windows = Windows(scene)
        self._boxes = Boxes()
        self._slices: dict[str, _Before] = {}  # by node ID, as all of these
        self._layers: dict[str, dict[str, Any]] = {}
        self._crosshair: tuple[int, int, tuple[float, ...]] | None = None

    @property
    def is_active(self) -> bool:
        return bool(self.windows.is_active or self._layers or self._slices)

    # Showing -------------------------------------------------------------------------------------------------------------------------

    def show_volume(self, volume_node: VolumeNode | None) -> bool:
        """Show a CT that was chosen or segmented: in every slice view that shows something else it becomes the background, fitted, in its own
        planes. It gets the soft-tissue window where nobody has set another. Return whether anything was changed.

        This is the user's display from now on; no review takes it back.
        """
        if volume_node is None:
            return False
        changed = show_soft_tissue(volume_node)
        for composite in self._nodes("vtkMRMLSliceCompositeNode"):
            if composite.GetBackgroundVolumeID() == volume_node.GetID():
                continue
            composite.SetBackgroundVolumeID(volume_node.GetID())
            changed = True
            for node in self._nodes("vtkMRMLSliceNode"):
                if node.GetLayoutName() == composite.GetLayoutName():
                    with _one_change(node):
                        fit(node, volume_node)
        return changed

    def show_organ(
        self,
        segmentation_node: SegmentationNode,
        segment_id: str,
        organ: str,
        volume_node: VolumeNode | None,
        place_ras: Sequence[float] | np.ndarray | None = None,
    ) -> bool:
        """Show one organ over ``volume_node``, the CT that it was drawn on: the largest slice of its largest part in each view, on a slice of the CT.

        An empty organ is shown at ``place_ras`` (world), by default at its usual place. False if there is no place to show: the views stay
        where they are. Raises InputError if a parent transform is not linear.
        """
        self._show_over(volume_node)
        self.windows.show(volume_node, organ)
        place = largest_place(segmentation_node, segment_id, self._boxes)
        if place is None and place_ras is None:
            place_ras = usual_place_ras(segmentation_node, organ)
        if place is None and place_ras is None:
            return False
        center = place.center_ras if place is not None else np.asarray(place_ras, float)
        self._link(center)
        for node in self._nodes("vtkMRMLSliceNode"):
            origin = tuple(node.GetXYZOrigin())
            before = _Before(from_vtk(node.GetSliceToRAS()), tuple(node.GetFieldOfView()), origin)
            self._slices.setdefault(node.GetID(), before)
            with _one_change(node):
                _show_in(node, place, center, volume_node)
        return True

    def focus(self, *args: Any, **kwargs: Any) -> bool:
        """The older name of ``show_organ``."""
        return self.show_organ(*args, **kwargs)

    # The user's own display ----------------------------------------------------------------------------------------------------------

    def restore(self) -> None:
        """Give windows, layers, links, crosshair, planes, places and zooms back as the user had them: the review is over.

        A view that showed no CT before keeps this one.
        """
        self.windows.restore()
        shown_anew = set()
        for node_id, before in self._layers.items():
            composite = self.scene.GetNodeByID(node_id)
            if composite is not None:
                if self.scene.GetNodeByID(before["background"] or "") is None:
                    shown_anew.add(composite.GetLayoutName())
                else:
                    composite.SetBackgroundVolumeID(before["background"])
                composite.SetForegroundVolumeID(before["foreground"])
                composite.SetLabelVolumeID(before["label"])
                composite.SetLinkedControl(before["linked"])
        for node_id, view in self._slices.items():
            node = self.scene.GetNodeByID(node_id)
            if node is not None:
                with _one_change(node):
                    _give_back(node, view, keep_place=node.GetLayoutName() in shown_anew)
        crosshair = self._crosshair_node()
        if crosshair is not None and self._crosshair is not None:
            mode, behaviour, position = self._crosshair
            crosshair.SetCrosshairMode(mode)
            crosshair.SetCrosshairBehavior(behaviour)
            crosshair.SetCrosshairRAS(*position)
        self.forget()

    def forget(self) -> None:
        """Forget what was there before: the scene is going, and nothing can be restored."""
        self.windows.forget()
        self._slices, self._layers, self._crosshair = {}, {}, None

    # Parts ---------------------------------------------------------------------------------------------------------------------------

    def _show_over(self, volume_node: VolumeNode | None) -> None:
        """Make the organ's own CT the background, and take other layers away once; one that a person puts there later stays."""
        for composite in self._nodes("vtkMRMLSliceCompositeNode"):
            first = composite.GetID() not in self._layers
            if first:
                self._layers[composite.GetID()] = {
                    "background": composite.GetBackgroundVolumeID(),
                    "foreground": composite.GetForegroundVolumeID(),
                    "label": composite.GetLabelVolumeID(),
                    "linked": bool(composite.GetLinkedControl()),
                }
            if volume_node is None or volume_node.GetScene() is not self.scene:
                continue
            if composite.GetBackgroundVolumeID() != volume_node.GetID():
                composite.SetBackgroundVolumeID(volume_node.GetID())
            if first:
                composite.SetForegroundVolumeID(None)
                composite.SetLabelVolumeID(None)

    def _link(self, center_ras: np.ndarray) -> None:
        """Link the views, and let the crosshair mark the same point in all of them."""
        for composite in self._nodes("vtkMRMLSliceCompositeNode"):
            composite.SetLinkedControl(True)
        crosshair = self._crosshair_node()
        if crosshair is None:
            return
        if self._crosshair is None:
            position = tuple(float(v) for v in crosshair.GetCrosshairRAS())
            self._crosshair = (crosshair.GetCrosshairMode(), crosshair.GetCrosshairBehavior(), position)
            crosshair.SetCrosshairMode(crosshair.ShowSmallIntersection)  # leaves the point itself free
            crosshair.SetCrosshairBehavior(crosshair.OffsetJumpSlice)
        crosshair.SetCrosshairRAS(*(float(v) for v in center_ras))

    def _crosshair_node(self) -> Node | None:
        return self.scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")

    def _nodes(self, kind: str) -> list[Node]:
        return [self.scene.GetNthNodeByClass(i, kind) for i in range(self.scene.GetNumberOfNodesByClass(kind))]


def _show_in(slice_node: Node, place: Place | None, center_ras: np.ndarray, volume_node: VolumeNode | None) -> None:
    """Put one view on an organ, or on a point where there is none."""
    to_world = grid_to_world(volume_node) if volume_node is not None else None
    if to_world is not None:
        turn_to_planes(slice_node, to_world)
    axes = axes_of(slice_node)
    needed = (2 * 60.0, 2 * 60.0)  # an empty organ: its surroundings
    if place is not None:
        low, high = place.slice_boxes[axis_along(place.to_world, axes[:, 2])]
        center_ras = place.world((low + high) / 2)
        corners = np.c_[box_corners(low - 0.5, high + 0.5), np.ones(8)] @ place.to_world.T
        needed = needed_field_mm(center_ras, corners[:, :3], place.corners_ras, axes)
    if volume_node is not None and to_world is not None:
        center_ras = on_a_slice(center_ras, axes[:, 2], volume_node, to_world)
    look_at(slice_node, center_ras, needed)


def _give_back(slice_node: Node, before: _Before, keep_place: bool) -> None:
    """The user's plane, place and zoom; the zoom by its smaller side, because the view may have another shape by now."""
    matrix = before.matrix.copy()
    if keep_place:
        matrix[:3, 3] = from_vtk(slice_node.GetSliceToRAS())[:3, 3]
    slice_node.GetSliceToRAS().DeepCopy(to_vtk(matrix))
    slice_node.UpdateMatrices()
    width, height = slice_node.GetDimensions()[:2]
    if not keep_place and width > 0 and height > 0:
        mm_per_pixel = min(before.field_mm[0], before.field_mm[1]) / min(width, height)
        slice_node.SetFieldOfView(mm_per_pixel * width, mm_per_pixel * height, before.field_mm[2])
        slice_node.SetXYZOrigin(*before.origin)


@contextmanager
def _one_change(slice_node: Node) -> Iterator[None]:
    """Several changes of a view are drawn once."""
    modifying = slice_node.StartModify()
    try:
        yield
    finally:
        slice_node.EndModify(modifying)
