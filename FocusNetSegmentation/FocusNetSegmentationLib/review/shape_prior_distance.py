"""Where a segment and its shape prior disagree: signed distances in mm as colours on the segment's surface."""

from __future__ import annotations

import json
import math

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from focusnet.errors import InputError

from ..scene.helper_nodes import COVERED, COVERED_BEFORE, DISTANCE_ROLE, uncover
from ..scene.types import ModelNode, Node, Scene, SegmentationNode, Surface
from .organ_surface import surface_of
from .shape_prior import organ_segment, segment_id_of, shape_prior_segment

ARRAY = "Distance to shape prior (mm)"
COLORS = "FocusNet distance"
SURFACES_ROLE = "FocusNet.ReviewSurfaces"  # attribute of the node with the review's surfaces: ID of the segmentation
OUTLINE_PIXELS = 3
LEGEND_SIZE = (0.12, 0.28)  # of the one view that it is shown in
LEGEND_POSITION = (0.97, 0.05)
SMALLEST_RANGE_MM = 1.0  # differences below a voxel shall not look like much
HIDDEN = {"Visibility3D": False, "Opacity2DFill": 0.0, "Opacity2DOutline": 0.0}
BLUE, RED = (
    (0.230, 0.299, 0.754),
    (0.706, 0.016, 0.150),
)  # K. Moreland, Diverging color maps for scientific visualization, 2009


def color_by_distance(scene: Scene, segmentation_node: SegmentationNode, organ: str) -> ModelNode:
    """Make (or renew) a model of the organ's surface, coloured by its distance to the shape prior, with a legend; return its node.

    Red and positive: the segment reaches beyond the prior; blue and negative: it stays inside. The range is symmetric. Raises InputError
    where there is no prior or one of the two is empty.
    """
    surface, prior = (
        surface_of(s) for s in (organ_segment(segmentation_node, organ), shape_prior_segment(segmentation_node, organ))
    )
    for what, mesh in ((f"{organ} is", surface), (f"The shape prior of {organ} is", prior)):
        if mesh is None or mesh.GetNumberOfPoints() == 0:
            raise InputError(f"{what} empty: there is no surface to colour.")
    measured = vtk.vtkPolyData()
    measured.DeepCopy(surface)
    distances = signed_distances_mm(measured, prior)
    scalars = numpy_to_vtk(distances, deep=True)
    scalars.SetName(ARRAY)
    measured.GetPointData().AddArray(scalars)
    measured.GetPointData().SetActiveScalars(ARRAY)
    hide_distance(segmentation_node)
    node = distance_node(segmentation_node) or _make_node(scene, segmentation_node)
    _cover(segmentation_node, node, segment_id_of(segmentation_node, organ))
    node.SetName(f"{organ}: mm outside (+) or inside (-) the shape prior, which is not truth")
    node.SetAndObserveTransformNodeID(segmentation_node.GetTransformNodeID())
    node.SetAndObservePolyData(measured)
    _show(scene, node, organ, symmetric_range_mm(distances))
    return node


def distance_node(segmentation_node: SegmentationNode | None) -> ModelNode | None:
    """Return the model that ``color_by_distance`` made, None if there is none."""
    return segmentation_node.GetNodeReference(DISTANCE_ROLE) if segmentation_node is not None else None


def hide_distance(segmentation_node: SegmentationNode) -> None:
    """Hide the coloured surface, and show the segment's own outline and surface again as they were shown."""
    node = distance_node(segmentation_node)
    if node is not None:
        uncover(node, _displays_of(segmentation_node))
        node.GetDisplayNode().SetVisibility(False)
        legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node)
        if legend is not None:
            legend.SetVisibility(False)


def covered_segment(segmentation_node: SegmentationNode | None) -> str:
    """Return the ID of the segment that is coloured by distance now, "" if none is: its own surface would flicker through the coloured one."""
    node = distance_node(segmentation_node)
    return (node.GetAttribute(COVERED) or "") if node is not None else ""


def signed_distances_mm(surface: Surface, prior: Surface) -> np.ndarray:
    """Return the distance (mm) of each point of ``surface`` to the closed surface ``prior``: negative inside of it."""
    implicit = vtk.vtkImplicitPolyDataDistance()
    implicit.SetInput(prior)
    values = vtk.vtkDoubleArray()
    implicit.FunctionValue(surface.GetPoints().GetData(), values)
    return np.array(vtk_to_numpy(values), np.float32)


def symmetric_range_mm(distances: np.ndarray) -> float:
    """Return half the range of the colours: whole millimetres up to the largest distance."""
    largest = float(np.abs(distances).max(initial=0.0))
    return max(SMALLEST_RANGE_MM, float(math.ceil(largest - 1e-3)))


def _make_node(scene: Scene, segmentation_node: SegmentationNode) -> ModelNode:
    node = scene.AddNewNodeByClass("vtkMRMLModelNode")
    node.SetAttribute(DISTANCE_ROLE, "1")
    node.CreateDefaultDisplayNodes()
    segmentation_node.SetNodeReferenceID(DISTANCE_ROLE, node.GetID())
    return node


def _cover(segmentation_node: SegmentationNode, node: ModelNode, segment_id: str) -> None:
    """The segment's own outline and surface lie in the same place: they would hide the colours or flicker through them."""
    before = {}
    for display in _displays_of(segmentation_node):
        before[display.GetID()] = {name: getattr(display, f"GetSegment{name}")(segment_id) for name in HIDDEN}
        for name, hidden in HIDDEN.items():
            getattr(display, f"SetSegment{name}")(segment_id, hidden)
    node.SetAttribute(COVERED, segment_id)
    node.SetAttribute(COVERED_BEFORE, json.dumps(before))


def _displays_of(segmentation_node: SegmentationNode) -> list[Node]:
    """All that draws the segments: the segmentation's own display nodes, and that of the review's surfaces in 3D."""
    scene, nodes = segmentation_node.GetScene(), [segmentation_node]
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") if scene is not None else 0):
        other = scene.GetNthNodeByClass(index, "vtkMRMLSegmentationNode")
        if other.GetAttribute(SURFACES_ROLE) == segmentation_node.GetID():
            nodes.append(other)
    found = [n.GetNthDisplayNode(i) for n in nodes for i in range(n.GetNumberOfDisplayNodes())]
    return [display for display in found if display is not None]


def _show(scene: Scene, node: ModelNode, organ: str, limit_mm: float) -> None:
    display = node.GetDisplayNode()
    display.SetActiveScalarName(ARRAY)
    display.SetScalarVisibility(True)
    display.SetScalarRangeFlag(display.UseManualScalarRange)
    display.SetScalarRange(-limit_mm, limit_mm)
    display.SetAndObserveColorNodeID(_colors(scene).GetID())
    display.SetVisibility2D(True)
    display.SetSliceIntersectionThickness(OUTLINE_PIXELS)
    display.SetVisibility(True)
    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(node)
    if legend is not None:
        legend.SetTitleText(f"{organ}\nmm outside (+) or inside (-)\nthe shape prior")
        legend.SetLabelFormat("%+.1f")
        legend.SetNumberOfLabels(3)
        legend.SetSize(*LEGEND_SIZE)
        legend.SetPosition(*LEGEND_POSITION)
        _in_one_view(scene, legend)
        legend.SetVisibility(True)


def _in_one_view(scene: Scene, legend: Node) -> None:
    """The legend is shown once, in the 3D view if there is one: in the slice views it would lie over the anatomy."""
    legend.RemoveAllViewNodeIDs()
    for kind in ("vtkMRMLViewNode", "vtkMRMLSliceNode"):
        views = [scene.GetNthNodeByClass(i, kind) for i in range(scene.GetNumberOfNodesByClass(kind))]
        shown = [view for view in views if view.IsMappedInLayout()] or views[:1]
        if shown:
            legend.AddViewNodeID(shown[0].GetID())
            return


def _colors(scene: Scene) -> Node:
    """Blue, white, red: one table for every organ."""
    known = scene.GetFirstNodeByName(COLORS)
    if known is not None and known.IsA("vtkMRMLColorTableNode"):
        return known
    ramp = vtk.vtkColorTransferFunction()
    ramp.SetColorSpaceToDiverging()
    ramp.AddRGBPoint(0.0, *BLUE)
    ramp.AddRGBPoint(1.0, *RED)
    table = scene.AddNewNodeByClass("vtkMRMLColorTableNode", COLORS)
    table.SetTypeToUser()
    table.SetHideFromEditors(True)
    table.SetNumberOfColors(256)
    for index in range(256):
        table.SetColor(index, f"{index}", *ramp.GetColor(index / 255), 1.0)
    return table
