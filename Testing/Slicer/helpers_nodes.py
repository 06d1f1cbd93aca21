"""CTs and results as nodes of a live scene, for the tests of FocusNetSegmentationLib.

Import it where ``slicer`` is known to be there: ``pytest.importorskip("slicer")`` first.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Volume
from FocusNetSegmentationLib.scene.labelmaps import voxels
from FocusNetSegmentationLib.scene.nodes import import_result, organ_segments
from FocusNetSegmentationLib.scene.volumes import LPS_RAS, to_vtk, transform_matrix

from ..Core.helpers_outputs import scan_and_organs
from .helpers_slicer import BINARY_LABELMAP

TURNED = np.array([[0.8, -0.6, 0, 11.0], [0.6, 0.8, 0, -7.5], [0, 0, 1, 30.0], [0, 0, 0, 1]])  # RAS, rigid


def register_nodes(scene: Any) -> None:
    """The kinds of nodes that the application's logics make known to its scene."""
    for kind in ("ColorLegendDisplayNode", "MarkupsJsonStorageNode"):
        scene.RegisterNodeClass(getattr(slicer, f"vtkMRML{kind}")())


class World:
    """A scene with Slicer's segmentations logic."""

    def __init__(self) -> None:
        self.scene = slicer.vtkMRMLScene()
        self.logic = slicer.vtkSlicerSegmentationsModuleLogic()
        self.logic.SetMRMLScene(self.scene)
        register_nodes(self.scene)

    def volume(self, volume: Volume, name: str = "CT 1", kind: str = "vtkMRMLScalarVolumeNode") -> Any:
        node = self.scene.AddNewNodeByClass(kind, name)
        z, y, x = volume.array.shape
        image = vtk.vtkImageData()
        image.SetDimensions(x, y, z)
        image.GetPointData().SetScalars(numpy_to_vtk(volume.array.ravel(), deep=True))
        node.SetAndObserveImageData(image)
        node.SetIJKToRASMatrix(to_vtk(LPS_RAS @ volume.geometry.affine_xyz))
        return node

    def transform(self, matrix: np.ndarray, *nodes_below: Any) -> Any:
        transform = self.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        transform.SetMatrixTransformToParent(to_vtk(matrix))
        for node in nodes_below:
            node.SetAndObserveTransformNodeID(transform.GetID())
        return transform

    def result(self, grid: str = "upright") -> tuple[Any, Any, Segmentation]:
        """CT node, imported result, and what it was made of."""
        scan, result = scan_and_organs(grid)
        ct = self.volume(scan)
        return ct, import_result(self.scene, result, ct), result


def segment(node: Any, name: str) -> Any:
    return node.GetSegmentation().GetSegment(organ_segments(node)[name])


def mask(node: Any, name: str) -> np.ndarray:
    image = segment(node, name).GetRepresentation(BINARY_LABELMAP)
    return voxels(image) == segment(node, name).GetLabelValue()


def points_lps(node: Any, name: str) -> np.ndarray:
    """Centres of a segment's voxels in world space (LPS mm), sorted: parent transforms applied as Slicer does."""
    image = segment(node, name).GetRepresentation(BINARY_LABELMAP)
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    to_node = np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
    index = np.argwhere(mask(node, name))[:, ::-1] + np.array(image.GetExtent()[::2])
    homogeneous = np.c_[index, np.ones(len(index))]
    world = homogeneous @ (LPS_RAS @ transform_matrix(node) @ to_node).T
    return world[np.lexsort(np.round(world[:, :3], 3).T)][:, :3]


def layers(node: Any) -> int:
    return int(node.GetSegmentation().GetNumberOfLayers(BINARY_LABELMAP))


def paint(node: Any, name: str, change: Any) -> None:
    """Edit a segment as Segment Editor does with overwriting allowed: in the shared label map, in place."""
    image = segment(node, name).GetRepresentation(BINARY_LABELMAP)
    change(voxels(image), segment(node, name).GetLabelValue())
    image.Modified()


def erase_a_bit(array: np.ndarray, label: int) -> None:
    z, y, x = np.argwhere(array == label)[0]
    array[z, y, x] = 0


def load_mrb(path: Path, folder: Path) -> Any:
    """As the application opens an .mrb: unpacked, then the scene read from its folder."""
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    scene = slicer.vtkMRMLScene()
    logic = slicer.vtkSlicerSegmentationsModuleLogic()
    logic.SetMRMLScene(scene)
    register_nodes(scene)
    (mrml,) = folder.rglob("*.mrml")
    scene.SetURL(str(mrml))
    scene.SetRootDirectory(str(mrml.parent))
    assert scene.Connect() == 1
    return scene


def segmentation_of(scene: Any) -> Any:
    """The one segmentation that a user sees in a scene."""
    count = scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    found = [scene.GetNthNodeByClass(i, "vtkMRMLSegmentationNode") for i in range(count)]
    (node,) = (n for n in found if not n.GetHideFromEditors())
    return node


def save_segmentation(node: Any, path: Path, crop: bool = False) -> Path:
    """Save a .seg.nrrd as Slicer does; ``crop`` is its option to store only the box around the segments."""
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    storage.SetCropToMinimumExtent(crop)
    assert storage.WriteData(node) == 1
    return path
