"""Sample data that needs no network: the engine's synthetic phantom, made on this computer in about two seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from focusnet.errors import InputError

from .scene.types import Scene, VolumeNode
from .scene.volumes import LPS_RAS, to_vtk

NAME = "FocusNetPhantom"
CATEGORY = "FocusNet Segmentation"
SPACING_MM_XYZ = (1.0, 1.0, 3.0)
ICON = Path(__file__).resolve().parents[1] / "Resources" / "Icons" / f"{NAME}.png"


def load_phantom(
    scene: Scene | None = None, seed: int = 0, spacing_mm_xyz: tuple[float, float, float] = SPACING_MM_XYZ
) -> VolumeNode:
    """Make the phantom's CT and add it to ``scene`` (Slicer's own if none is given). Returns the volume node. Raises InputError where
    packages are missing. Synthetic: nothing about a model's quality can be learned from it."""
    try:
        from focusnet.phantom.write import phantom
    except ImportError as problem:
        raise InputError(
            "The sample data need packages that are not here yet. Open FocusNet Segmentation: its first line names what is missing."
        ) from problem

    scene = scene if scene is not None else slicer.mrmlScene
    volume, _ = phantom(seed, spacing_mm_xyz)
    return add_volume(scene, volume.array, volume.geometry.affine_xyz, scene.GenerateUniqueName(NAME))


def add_volume(scene: Scene, hu: np.ndarray, affine_lps: np.ndarray, name: str) -> VolumeNode:
    """Add a CT node made from HU (z, y, x) and a 4x4 matrix from index (x, y, z) to LPS mm, shown with a soft-tissue window."""
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetIJKToRASMatrix(to_vtk(LPS_RAS @ affine_lps))
    set_voxels(node, hu)
    node.SetAttribute("DICOM.Modality", "CT")
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    if display is not None:
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(350.0, 40.0)
    return node


def set_voxels(node: VolumeNode, array: np.ndarray) -> None:
    """Give a volume node a copy of ``array`` (z, y, x)."""
    image = vtk.vtkImageData()
    image.SetDimensions(*array.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(array.ravel(), deep=True))
    node.SetAndObserveImageData(image)


def register_sample_data() -> bool:
    """List the phantom in Slicer's Sample Data module; False where this Slicer has none."""
    try:
        import SampleData
    except ImportError:
        return False
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=NAME,
        thumbnailFileName=str(ICON),
        uris="",  # texts, not None: older versions count what is in these lists
        fileNames="",
        nodeNames=NAME,
        customDownloader=lambda *_: [load_phantom()],
    )
    return True
