"""Organs in 3D during a review: centred on the current one, the others transparent, made one at a time between two events and renewed after a stroke.

Slicer's own surfaces (Show 3D) are made for all organs at once, on the whole scan's grid, and anew with every stroke of the brush: seconds in which
nothing else can be done. These are made of each organ's own box, on a coarser grid for large organs, and lie in a segmentation node of their own that is
in no list and is not saved. Free of ``slicer.app``: the panel calls ``step`` from a timer.
"""

from __future__ import annotations

import zlib

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from ..scene.labelmaps import LABELMAP, image_matrix, voxels
from ..scene.nodes import SURFACE
from ..scene.types import Node, Scene, Segment, SegmentationNode, Surface
from ..scene.volumes import to_vtk
from .places import Boxes, largest_place

ROLE = "FocusNet.ReviewSurfaces"  # attribute of the node that holds the surfaces: ID of the segmentation
LARGEST_BOX = 400_000  # voxels of an organ's box, margins included: larger organs are drawn from every second (third, ...) row and column
SMOOTHING = 20  # iterations of a windowed sinc filter
PASS_BAND = 0.02
FAINT = 0.15  # opacity of the other organs
FIELD = 2.5  # of the organ's diameter: what the 3D view shows around it
SMALLEST_FIELD_MM = 120.0


class Surfaces:
    """The surfaces of one segmentation. ``show`` starts; ``step`` makes the next surface, in some 10 ms; ``restore`` takes everything away."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._node: SegmentationNode | None = None  # whose organs are drawn
        self._drawn: SegmentationNode | None = None  # their surfaces
        self._current = ""
        self._queue: list[str] = []
        self._made_from: dict[str, int] = {}  # by segment ID: checksum of the voxels that its surface was made from
        self._boxes = Boxes()
        self._own_3d: bool | None = None  # were Slicer's own surfaces of it shown?
        self._cameras: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {}

    @property
    def is_active(self) -> bool:
        return self._node is not None

    @property
    def pending(self) -> int:
        """Return how many surfaces are still to be looked at: while it is not 0, call ``step``."""
        return len(self._queue)

    def show(self, segmentation_node: SegmentationNode, segment_id: str) -> None:
        """Centre the 3D views on an organ and make the others transparent; surfaces that are missing or outdated are queued, the organ's own first.

        Raises InputError if a parent transform is not linear.
        """
        if self._node is not segmentation_node:
            self.restore()
            self._node = segmentation_node
        self._current = segment_id
        self._make_node()
        self._set_opacities()
        self._queue_all()
        self._center(segment_id)

    def changed(self) -> None:
        """The segments were changed, by a stroke or by anything else: their surfaces are looked at again, the current organ's first."""
        if self._node is not None:
            self._queue_all()

    def step(self) -> bool:
        """Look at one organ, and make its surface anew if its voxels have changed; return whether more are waiting."""
        if self._gone():
            self.restore()
        while self._queue and self._node is not None:
            segment_id = self._queue.pop(0)
            if self._renew(segment_id):
                break
        return bool(self._queue)

    def restore(self) -> None:
        """Take the surfaces away, and give cameras and Slicer's own surfaces back as they were."""
        if self._drawn is not None and self._drawn.GetScene() is self.scene:
            for index in reversed(range(self._drawn.GetNumberOfDisplayNodes())):
                self.scene.RemoveNode(self._drawn.GetNthDisplayNode(index))
            self.scene.RemoveNode(self._drawn)
        if self._node is not None and self._own_3d and self._node.GetDisplayNode() is not None:
            self._node.GetDisplayNode().SetVisibility3D(True)
        for node_id, (position, focal_point) in self._cameras.items():
            camera = self.scene.GetNodeByID(node_id)
            if camera is not None:
                camera.SetFocalPoint(*focal_point)
                camera.SetPosition(*position)
                camera.ResetClippingRange()
        self.forget()

    def forget(self) -> None:
        """Forget everything: the scene is going."""
        self._node, self._drawn, self._current, self._queue = None, None, "", []
        self._made_from, self._own_3d, self._cameras = {}, None, {}

    # Parts ---------------------------------------------------------------------------------------------------------------------------

    def _gone(self) -> bool:
        return self._node is not None and (self._node.GetScene() is not self.scene or self._drawn is None)

    def _make_node(self) -> None:
        """A node whose source is surfaces: nothing is converted when they change. First added, then hidden: Slicer's Data module wants it so."""
        assert self._node is not None
        if self._drawn is not None and self._drawn.GetScene() is self.scene:
            self._drawn.SetAndObserveTransformNodeID(self._node.GetTransformNodeID())
            return
        node = slicer.vtkMRMLSegmentationNode()
        node.SetName(f"{self._node.GetName()} (surfaces of the review)")
        node.SetAttribute(ROLE, self._node.GetID())
        node.SetSaveWithScene(False)
        node = self.scene.AddNode(node)
        node.GetSegmentation().SetSourceRepresentationName(SURFACE)
        node.CreateDefaultDisplayNodes()
        node.SetHideFromEditors(True)
        node.SetSelectable(False)
        node.SetAndObserveTransformNodeID(self._node.GetTransformNodeID())
        display = node.GetDisplayNode()
        display.SetSaveWithScene(False)
        display.SetVisibility2D(False)
        display.SetVisibility2DFill(False)
        display.SetVisibility2DOutline(False)
        display.SetPreferredDisplayRepresentationName3D(SURFACE)
        self._drawn = node
        own = self._node.GetDisplayNode()
        if own is not None and self._own_3d is None:
            self._own_3d = bool(own.GetVisibility3D())
            own.SetVisibility3D(False)  # two surfaces in one place flicker

    def _set_opacities(self) -> None:
        display = self._drawn.GetDisplayNode() if self._drawn is not None else None
        if display is None or self._drawn is None:
            return
        modifying = display.StartModify()
        for segment_id in _ids(self._drawn):
            display.SetSegmentOpacity3D(segment_id, 1.0 if segment_id == self._current else FAINT)
        display.EndModify(modifying)

    def _queue_all(self) -> None:
        assert self._node is not None
        ids = _ids(self._node)
        self._queue = [s for s in ids if s == self._current] + [s for s in ids if s != self._current]

    def _renew(self, segment_id: str) -> bool:
        """Make one organ's surface anew where it is outdated; return whether that was work."""
        assert self._node is not None
        assert self._drawn is not None
        segment = self._node.GetSegmentation().GetSegment(segment_id)
        if segment is None:
            return False
        image, label = segment.GetRepresentation(LABELMAP), segment.GetLabelValue()
        box = self._boxes.box(image, label)
        mask = voxels(image)[box] == label if box is not None else np.zeros((0, 0, 0), bool)
        seen = (
            zlib.crc32(np.packbits(mask).tobytes(), zlib.crc32(repr((box, image.GetExtent())).encode()))
            if mask.size
            else 0
        )
        drawn = self._drawn.GetSegmentation().GetSegment(segment_id)
        if drawn is not None and self._made_from.get(segment_id) == seen:
            return False
        self._made_from[segment_id] = seen
        if box is None:
            surface = vtk.vtkPolyData()
        else:
            first = np.array([s.start for s in box])[::-1] + np.array(image.GetExtent()[::2])
            surface = organ_surface(mask, image_matrix(image), first)
        self._put(segment_id, segment, surface)
        return True

    def _put(self, segment_id: str, segment: Segment, surface: Surface) -> None:
        assert self._drawn is not None
        segmentation, display = self._drawn.GetSegmentation(), self._drawn.GetDisplayNode()
        drawn = segmentation.GetSegment(segment_id)
        if drawn is None:
            drawn = slicer.vtkSegment()
            drawn.SetName(segment.GetName())
            drawn.SetColor(*segment.GetColor())
            drawn.AddRepresentation(SURFACE, surface)
            segmentation.AddSegment(drawn, segment_id)
            display.SetSegmentOpacity3D(segment_id, 1.0 if segment_id == self._current else FAINT)
        else:
            drawn.AddRepresentation(SURFACE, surface)

    def _center(self, segment_id: str) -> None:
        """Let the cameras look at the organ from where they look now, from as far away as its size asks for."""
        assert self._node is not None
        place = largest_place(self._node, segment_id, self._boxes)
        if place is None:
            return
        corners = place.corners_ras
        middle = corners.mean(axis=0)
        field_mm = max(
            SMALLEST_FIELD_MM, FIELD * float(np.linalg.norm(corners.max(axis=0) - corners.min(axis=0))) / np.sqrt(3)
        )
        for index in range(self.scene.GetNumberOfNodesByClass("vtkMRMLCameraNode")):
            camera = self.scene.GetNthNodeByClass(index, "vtkMRMLCameraNode")
            position, focal_point = tuple(camera.GetPosition()), tuple(camera.GetFocalPoint())
            self._cameras.setdefault(camera.GetID(), (position, focal_point))
            _look_at(camera, middle, field_mm)


def organ_surface(mask: np.ndarray, to_node: np.ndarray, first_xyz: np.ndarray) -> Surface:
    """Return the smoothed surface (vtkPolyData with normals, the node's own RAS mm) of a mask, bool (z, y, x), whose first voxel has the index
    ``first_xyz``; ``to_node`` (4, 4): index to RAS mm. A large mask is taken on a coarser grid."""
    factor = max(1, int(np.ceil(np.sqrt(mask.size / LARGEST_BOX))))
    coarse = mask[:, factor // 2 :: factor, factor // 2 :: factor]
    image = vtk.vtkImageData()
    z, y, x = (n + 2 for n in coarse.shape)
    image.SetDimensions(x, y, z)  # with a rim of nothing, so that the surface is closed
    image.GetPointData().SetScalars(numpy_to_vtk(np.pad(coarse.astype(np.uint8), 1).ravel(), deep=True))
    contour = vtk.vtkDiscreteFlyingEdges3D()
    contour.SetInputData(image)
    contour.SetValue(0, 1)
    contour.ComputeNormalsOff()
    contour.ComputeGradientsOff()
    contour.ComputeScalarsOff()
    placed = vtk.vtkTransformPolyDataFilter()
    placed.SetInputConnection(contour.GetOutputPort())
    to_index = np.diag([factor, factor, 1.0, 1.0])
    to_index[:3, 3] = np.array([factor // 2 - factor, factor // 2 - factor, -1.0]) + first_xyz
    transform = vtk.vtkTransform()
    transform.SetMatrix(to_vtk(to_node @ to_index))
    placed.SetTransform(transform)
    smooth = vtk.vtkWindowedSincPolyDataFilter()
    smooth.SetInputConnection(placed.GetOutputPort())
    smooth.SetNumberOfIterations(SMOOTHING)
    smooth.SetPassBand(PASS_BAND)
    smooth.BoundarySmoothingOff()
    smooth.FeatureEdgeSmoothingOff()
    smooth.NonManifoldSmoothingOn()
    smooth.NormalizeCoordinatesOn()
    last = smooth
    if np.linalg.det(to_node[:3, :3]) < 0:  # mirrored: the inside would be drawn as the outside
        last = vtk.vtkReverseSense()
        last.SetInputConnection(smooth.GetOutputPort())
        last.ReverseCellsOn()
        last.ReverseNormalsOff()
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputConnection(last.GetOutputPort())
    normals.SplittingOff()
    normals.ConsistencyOff()
    normals.Update()
    return normals.GetOutput()


def remove_leftovers(scene: Scene) -> int:
    """Remove surfaces of a review whose panel has gone without taking them away; return how many nodes."""
    count = 0
    for index in reversed(range(scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode"))):
        node = scene.GetNthNodeByClass(index, "vtkMRMLSegmentationNode")
        if node.GetAttribute(ROLE):
            scene.RemoveNode(node)
            count += 1
    return count


def _look_at(camera: Node, middle_ras: np.ndarray, field_mm: float) -> None:
    direction = np.array(camera.GetPosition(), float) - np.array(camera.GetFocalPoint(), float)
    length = float(np.linalg.norm(direction))
    direction = direction / length if length > 0 else np.array([0.0, 1.0, 0.0])  # from the front
    angle = np.radians(camera.GetViewAngle() or 30.0)
    position = middle_ras + direction * field_mm / (2 * np.tan(angle / 2))
    modifying = camera.StartModify()
    camera.SetFocalPoint(*(float(v) for v in middle_ras))
    camera.SetPosition(*(float(v) for v in position))
    if camera.GetParallelProjection():
        camera.SetParallelScale(field_mm / 2)
    camera.ResetClippingRange()
    camera.EndModify(modifying)


def _ids(node: SegmentationNode) -> list[str]:
    segmentation = node.GetSegmentation()
    return [segmentation.GetNthSegmentID(i) for i in range(segmentation.GetNumberOfSegments())]
