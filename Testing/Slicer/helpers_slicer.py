"""Open, look into and save segmentations with 3D Slicer's own storage node, from the slicer-core package.

Import it where ``slicer`` is known to be there: ``pytest.importorskip("slicer")`` first. A node lives only as long as
its scene, so every function hands back a ``Scene`` or takes one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

BINARY_LABELMAP = "Binary labelmap"
CLOSED_SURFACE = "Closed surface"
TAGS = (
    "TerminologyEntry",
    "Segmentation.Status",
    "FocusNet.Result",
    "DICOM.SegmentAlgorithmType",
    "DICOM.SegmentAlgorithmName",
)
LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class SlicerSegment:
    """What Slicer shows of a segment. ``mask``: bool (z, y, x). ``affine_lps``: 4x4, index (x, y, z) to LPS mm."""

    id: str
    name: str
    color_rgb: tuple[int, int, int]
    terminology: dict[str, tuple[str, str, str]]
    tags: dict[str, str]
    mask: np.ndarray
    affine_lps: np.ndarray


class Scene:
    """A MRML scene with one segmentation node."""

    def __init__(self) -> None:
        self.scene = slicer.vtkMRMLScene()
        self.logic = (
            slicer.vtkSlicerSegmentationsModuleLogic()
        )  # registers the rules that make surfaces from label maps
        self.logic.SetMRMLScene(self.scene)
        self.node = self.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")

    @property
    def segmentation(self) -> slicer.vtkSegmentation:
        return self.node.GetSegmentation()

    def segment(self, segment_id: str) -> slicer.vtkSegment:
        return self.segmentation.GetSegment(segment_id)

    def segments(self) -> list[SlicerSegment]:
        """Every segment in Slicer's order, read through Slicer's own objects."""
        ids = [self.segmentation.GetNthSegmentID(i) for i in range(self.segmentation.GetNumberOfSegments())]
        return [_describe(segment_id, self.segment(segment_id)) for segment_id in ids]

    def layers(self) -> int:
        return int(self.segmentation.GetNumberOfLayers(BINARY_LABELMAP))

    def reference_affine_lps(self) -> np.ndarray:
        """Index (x, y, z) to LPS mm of the reference geometry that Slicer would give to a new segment."""
        text = self.segmentation.GetConversionParameter("Reference image geometry")
        image = slicer.vtkOrientedImageData()
        slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, image)
        return _affine_lps(image)

    def paint(self, segment_id: str, mask: np.ndarray, like: str) -> None:
        """Replace a segment's voxels by ``mask`` (z, y, x) on the grid of segment ``like``, in a layer of its own."""
        image = slicer.vtkOrientedImageData()
        image.DeepCopy(self.segment(like).GetRepresentation(BINARY_LABELMAP))
        vtk_to_numpy(image.GetPointData().GetScalars())[:] = mask.ravel()
        segment = self.segment(segment_id)
        self.segmentation.SeparateSegmentLabelmap(segment_id)
        segment.AddRepresentation(BINARY_LABELMAP, image)
        segment.SetLabelValue(1)

    def save(self, path: Path, crop: bool = False) -> Path:
        """Save as Slicer does; ``crop`` is its option to store only the box around the segments."""
        storage = self.scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
        storage.SetFileName(str(path))
        storage.SetCropToMinimumExtent(crop)
        assert storage.WriteData(self.node) == 1, f"Slicer could not write {path}"
        return path


def open_segmentation(path: Path) -> Scene:
    """Read a .seg.nrrd with vtkMRMLSegmentationStorageNode. Fails the test if Slicer refuses it."""
    opened = Scene()
    storage = opened.scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(path))
    assert storage.ReadData(opened.node) == 1, f"Slicer could not read {path}"
    return opened


def _describe(segment_id: str, segment: slicer.vtkSegment) -> SlicerSegment:
    image = segment.GetRepresentation(BINARY_LABELMAP)
    x, y, z = image.GetDimensions()
    voxels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(z, y, x)
    red, green, blue = (round(255 * c) for c in segment.GetColor())
    tags = _tags(segment)
    return SlicerSegment(
        id=segment_id,
        name=segment.GetName(),
        color_rgb=(red, green, blue),
        terminology=_terminology(tags.get("TerminologyEntry", "")),
        tags=tags,
        mask=voxels == segment.GetLabelValue(),
        affine_lps=_affine_lps(image),
    )


def _affine_lps(image: slicer.vtkOrientedImageData) -> np.ndarray:
    """Slicer's matrix is for index 0, which need not be the first voxel that is stored: the extent's start is
    added."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    affine = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
    affine[:3, 3] += affine[:3, :3] @ np.array(image.GetExtent()[::2])
    return LPS_RAS @ affine


def _tags(segment: slicer.vtkSegment) -> dict[str, str]:
    found = {}
    for name in TAGS:
        value = vtk.reference("")
        if segment.GetTag(name, value):
            found[name] = str(value.get())
    return found


def _terminology(text: str) -> dict[str, tuple[str, str, str]]:
    """The entry as Slicer's terminology code parses it: (scheme, code, meaning) of category, type and type
    modifier."""
    entry = slicer.vtkSlicerTerminologyEntry()
    if not text or not slicer.vtkSlicerTerminologiesModuleLogic().DeserializeTerminologyEntry(text, entry):
        return {}
    parts = {
        "category": entry.GetCategoryObject(),
        "type": entry.GetTypeObject(),
        "modifier": entry.GetTypeModifierObject(),
    }
    return {
        name: (part.GetCodingSchemeDesignator(), part.GetCodeValue(), part.GetCodeMeaning())
        for name, part in parts.items()
        if part.GetCodeValue()
    }
