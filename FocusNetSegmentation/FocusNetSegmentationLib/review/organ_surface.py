"""The surface of one organ, made of its own box in some 10 ms; Slicer makes all of them on the whole scan's grid."""

from __future__ import annotations

import numpy as np
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from ..scene.labelmaps import LABELMAP, image_matrix, voxels
from ..scene.types import Segment, Surface
from ..scene.volumes import to_vtk
from .places import Boxes

LARGEST_BOX = 400_000  # voxels of an organ's box: larger organs are drawn from every second (third, ...) row and column
SMOOTHING = 20  # iterations of a windowed sinc filter
PASS_BAND = 0.02


def surface_of(segment: Segment) -> Surface:
    """Return the closed surface (vtkPolyData, the node's own RAS mm) of one segment, without touching its node; without points for an empty one."""
    image, label = segment.GetRepresentation(LABELMAP), segment.GetLabelValue()
    box = Boxes().box(image, label)
    if box is None:
        return vtk.vtkPolyData()
    first = np.array([s.start for s in box])[::-1] + np.array(image.GetExtent()[::2])
    return organ_surface(voxels(image)[box] == label, image_matrix(image), first)


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
