"""Names for Slicer's and VTK's classes in annotations.

Slicer ships no type stubs, so a type checker takes each of them as ``Any``; for a reader they say which class is meant. Where stubs are
installed they are checked. At run time nothing is imported: a Slicer that lacks one of these classes can still load this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from slicer import vtkMRMLModelNode as ModelNode
    from slicer import vtkMRMLNode as Node
    from slicer import vtkMRMLScalarVolumeNode as VolumeNode
    from slicer import vtkMRMLScene as Scene
    from slicer import vtkMRMLSegmentationNode as SegmentationNode
    from slicer import vtkMRMLTransformableNode as TransformableNode
    from slicer import vtkOrientedImageData as OrientedImage
    from slicer import vtkSegment as Segment
    from slicer import vtkSegmentation as SegmentList
    from vtk import vtkMatrix4x4 as Matrix
    from vtk import vtkPolyData as Surface
else:
    ModelNode = Node = VolumeNode = Scene = SegmentationNode = TransformableNode = Any
    OrientedImage = Segment = SegmentList = Matrix = Surface = Any

Box: TypeAlias = tuple[slice, ...]  # part of an array, one slice per axis (z, y, x)

# Made by Qt or by Slicer's wrappers at run time, with members that no checker can know.
Widget: TypeAlias = Any  # a Qt widget, or the form's widgets by name (``ui``)
ParameterNode: TypeAlias = Any  # FocusNetSegmentationLib.parameters.FocusNetSegmentationParameterNode, wrapped

__all__ = [
    "Box",
    "Matrix",
    "ModelNode",
    "Node",
    "OrientedImage",
    "ParameterNode",
    "Scene",
    "Segment",
    "SegmentList",
    "SegmentationNode",
    "Surface",
    "TransformableNode",
    "VolumeNode",
    "Widget",
]
