"""Where a segment and its shape prior disagree: signed distances in mm as colours on the segment's surface."""

from __future__ import annotations

import math

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from focusnet.errors import InputError

from ..scene.helper_nodes import COVERED, DISTANCE_ROLE
from ..scene.types import ModelNode, Node, Scene, SegmentationNode, Surface
from .shape_prior import organ_segment, segment_id_of, shape_prior_segment, surface_of

ARRAY = "Distance to shape prior (mm)"
COLORS = "FocusNet distance"
SMALLEST_RANGE_MM = 1.0  # differences below a voxel shall not look like much
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
    """Hide the coloured surface, and show the segment's own again where it was shown."""
    node = distance_node(segmentation_node)
    if node is not None:
        covered, display = node.GetAttribute(COVERED), segmentation_node.GetDisplayNode()
        if covered and display is not None:
            display.SetSegmentVisibility3D(covered, True)
            node.RemoveAttribute(COVERED)
        node.GetDisplayNode().SetVisibility(False)
        legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node)
        if legend is not None:
            legend.SetVisibility(False)


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
    """The segment's own surface lies in the same place: two would flicker through each other."""
    display = segmentation_node.GetDisplayNode()
    if display is not None and display.GetSegmentVisibility3D(segment_id):
        node.SetAttribute(COVERED, segment_id)
        display.SetSegmentVisibility3D(segment_id, False)


def _show(scene: Scene, node: ModelNode, organ: str, limit_mm: float) -> None:
    display = node.GetDisplayNode()
    display.SetActiveScalarName(ARRAY)
    display.SetScalarVisibility(True)
    display.SetScalarRangeFlag(display.UseManualScalarRange)
    display.SetScalarRange(-limit_mm, limit_mm)
    display.SetAndObserveColorNodeID(_colors(scene).GetID())
    display.SetVisibility2D(True)
    display.SetSliceIntersectionThickness(3)
    display.SetVisibility(True)
    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(node)
    if legend is not None:
        legend.SetTitleText(f"{organ}\nmm outside (+) or inside (-)\nthe shape prior")
        legend.SetLabelFormat("%+.1f")
        legend.SetNumberOfLabels(5)
        legend.SetVisibility(True)


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
