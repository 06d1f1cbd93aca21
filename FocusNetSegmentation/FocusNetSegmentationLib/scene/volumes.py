"""A CT in the scene: can it be segmented, where does it lie, and how it reaches the worker.

Free of ``slicer.app``: works on nodes, in the desktop, in tests and in a browser alike.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from focusnet.errors import FocusNetError, InputError, OutputError
from focusnet.image.volume import Geometry, Volume

from .types import Matrix, TransformableNode, VolumeNode

LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
OTHER_MODALITIES = ("MR", "PT", "NM", "US", "XA", "CR", "DX", "MG", "RTDOSE", "RF", "OT", "SC")
PLANES = {0: "sagittal", 1: "coronal", 2: "axial"}
OBLIQUE = 0.02  # radians between a slice's normal and the patient's axis: 1.1 degrees


def volume_summary(volume_node: VolumeNode, hu_offset: float = 0.0) -> tuple[str, str]:
    """Return ("ok" | "warning" | "refused", one line for a person) for a volume node: kind, modality, transform, HU (``hu_offset`` added to
    every value), spacing, field of view, orientation. Does not change the scene."""
    try:
        geometry = check_node(volume_node)
        warnings = _check_values(volume_node, geometry, hu_offset)
    except FocusNetError as problem:
        return "refused", re.sub(
            r"read it with --hu-offset (\S+)\.",
            r'set "Add to every voxel (HU)" under Advanced to \1 (in Python: hu_offset=\1).',
            str(problem),
        )
    text = _describe(volume_node, geometry)
    sequence = _sequence_of(volume_node)
    if sequence:
        warnings.insert(0, f"This is one frame of the sequence {sequence}; the frame shown now is used.")
    return ("warning", f"{text} {' '.join(warnings)}") if warnings else ("ok", text)


def check_node(volume_node: VolumeNode) -> Geometry:
    """Return the volume's grid in world space (LPS). Raises InputError for a node that cannot be a CT, whatever its values."""
    if volume_node is None:
        raise InputError("No volume is chosen. Load a head-and-neck CT and choose it.")
    name = volume_node.GetName()
    if not volume_node.IsA("vtkMRMLScalarVolumeNode") or volume_node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise InputError(f"{name} is not a scalar volume (a label map, colour image or other data). Choose a CT.")
    image = volume_node.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0 or image.GetPointData().GetScalars() is None:
        raise InputError(f"{name} has no voxels. Load it again.")
    if image.GetNumberOfScalarComponents() != 1:
        raise InputError(f"{name} has {image.GetNumberOfScalarComponents()} values per voxel. Choose a CT.")
    modality = _modality(volume_node)
    if modality in OTHER_MODALITIES:
        raise InputError(f"{name} has the modality {modality}; CT is expected. Choose a head-and-neck CT.")
    return world_geometry(volume_node)


def world_geometry(volume_node: VolumeNode) -> Geometry:
    """Return the grid of a volume in world space (LPS mm), parent transforms applied. Raises InputError if they are not linear or shear it."""
    affine_lps = LPS_RAS @ transform_matrix(volume_node) @ ijk_to_ras(volume_node)
    x, y, z = volume_node.GetImageData().GetDimensions()
    spacing = np.linalg.norm(affine_lps[:3, :3], axis=0)
    if not np.all(spacing > 0):
        raise InputError(f"{volume_node.GetName()} has an axis without length. Correct its spacing or its transform.")
    try:
        return Geometry(
            (z, y, x), tuple(spacing), tuple(affine_lps[:3, 3]), tuple(map(tuple, affine_lps[:3, :3] / spacing))
        )
    except InputError as problem:
        raise InputError(f"{volume_node.GetName()}: {problem}") from problem


def transform_matrix(node: TransformableNode) -> np.ndarray:
    """Return the 4x4 matrix from the node's own space to world, both RAS. Raises InputError if a parent transform is not linear."""
    parent = node.GetParentTransformNode()
    matrix = vtk.vtkMatrix4x4()
    if has_non_linear_transform(node):
        raise InputError(
            f"{node.GetName()} is under the non-linear transform {parent.GetName()}. Harden it (Data module, right click on the "
            "transform: Harden transform) or take the volume out of it."
        )
    if parent is not None:
        parent.GetMatrixTransformToWorld(matrix)
    return from_vtk(matrix)


def has_non_linear_transform(node: TransformableNode | None) -> bool:
    parent = node.GetParentTransformNode() if node is not None else None
    return parent is not None and not parent.IsTransformToWorldLinear()


def hardened_copy(volume_node: VolumeNode) -> VolumeNode:
    """Return a new volume with all transforms above ``volume_node``, non-linear ones included, applied to its voxels; the volume itself stays
    as it is."""
    scene = volume_node.GetScene()
    copy = slicer.vtkSlicerVolumesLogic.CloneVolume(scene, volume_node, f"{volume_node.GetName()} hardened")
    copy.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    copy.HardenTransform()
    return copy


def ijk_to_ras(volume_node: VolumeNode) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(matrix)
    return from_vtk(matrix)


def from_vtk(matrix: Matrix) -> np.ndarray:
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def to_vtk(matrix: np.ndarray) -> Matrix:
    out = vtk.vtkMatrix4x4()
    for row in range(4):
        for column in range(4):
            out.SetElement(row, column, float(matrix[row, column]))
    return out


def write_ct_for_worker(volume_node: VolumeNode, path: Path | str) -> Geometry:
    """Write the volume as NRRD in world space (linear parent transforms become part of the header, no voxel is changed) and
    return that grid. The node and its scene stay as they are. Raises InputError, OutputError."""
    geometry = check_node(volume_node)
    copy = slicer.vtkMRMLScalarVolumeNode()  # in no scene: nothing stray for the user, no events
    copy.SetAndObserveImageData(volume_node.GetImageData())
    copy.SetIJKToRASMatrix(to_vtk(LPS_RAS @ geometry.affine_xyz))
    storage = slicer.vtkMRMLNRRDStorageNode()
    storage.SetFileName(str(path))
    storage.SetUseCompression(False)  # read once, on this machine
    written = storage.WriteData(copy)
    if not written or not Path(path).is_file() or Path(path).stat().st_size < _bytes(volume_node):
        Path(path).unlink(missing_ok=True)
        raise OutputError(
            f"The CT cannot be written to {path}: the disk is full or the folder not writable. Free some space."
        )
    return geometry


def voxels_of(volume_node: VolumeNode) -> np.ndarray:
    """Return the node's own voxels (z, y, x), not a copy."""
    image = volume_node.GetImageData()
    x, y, z = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(z, y, x)


def _bytes(volume_node: VolumeNode) -> int:
    image = volume_node.GetImageData()
    return int(image.GetNumberOfPoints()) * int(image.GetScalarSize())


def _check_values(volume_node: VolumeNode, geometry: Geometry, hu_offset: float) -> list[str]:
    """The engine's own checks; without SciPy or SimpleITK they are left to the worker, which has both."""
    try:
        from focusnet.io.ct_checks import check_ct
        from focusnet.io.image_read import as_hu
        from focusnet.io.read import shifted
    except ImportError:
        return ["Its values are checked when it is segmented, because not all packages are installed yet."]
    name = volume_node.GetName()
    volume = Volume(as_hu(voxels_of(volume_node), Path(name)), geometry, name)
    return [w.replace(" (--hu-offset)", "") for w in check_ct(shifted(volume, hu_offset) if hu_offset else volume)]


def _describe(volume_node: VolumeNode, geometry: Geometry) -> str:
    field = " x ".join(f"{n * s:.0f}" for n, s in zip(geometry.shape_zyx[::-1], geometry.spacing_mm_xyz, strict=True))
    spacing = " x ".join(f"{s:.3g}" for s in geometry.spacing_mm_xyz)
    low, high = (f"{v:.0f}" for v in volume_node.GetImageData().GetScalarRange())
    return f"CT in HU ({low} to {high}), voxels of {spacing} mm, field of view {field} mm, {_orientation(geometry)}."


def _orientation(geometry: Geometry) -> str:
    normal = np.abs(np.asarray(geometry.direction_xyz)[:, 2])
    axis = int(normal.argmax())
    tilt = np.degrees(np.arccos(min(1.0, normal[axis])))
    oblique = np.abs(np.abs(np.asarray(geometry.direction_xyz)).max(axis=0) - 1).max() > 1 - np.cos(OBLIQUE)
    return f"{PLANES[axis]} slices" + (
        f", tilted by {tilt:.0f} degrees" if tilt >= 1 else ", oblique" if oblique else ""
    )


def _modality(volume_node: VolumeNode) -> str:
    """DICOM modality as far as the scene knows it, else ""."""
    known = volume_node.GetAttribute("DICOM.Modality")
    scene = volume_node.GetScene()
    hierarchy = scene.GetFirstNodeByClass("vtkMRMLSubjectHierarchyNode") if scene is not None else None
    if not known and hierarchy is not None:
        item = hierarchy.GetItemByDataNode(volume_node)
        if item != hierarchy.GetInvalidItemID():
            known = hierarchy.GetItemAttribute(item, "DICOM.Modality")
    return (known or "").strip().upper()


def _sequence_of(volume_node: VolumeNode) -> str:
    """Name of the sequence browser that changes this volume, else ""."""
    scene = volume_node.GetScene()
    if scene is None or not hasattr(slicer, "vtkMRMLSequenceBrowserNode"):
        return ""
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode")):
        browser = scene.GetNthNodeByClass(index, "vtkMRMLSequenceBrowserNode")
        if browser.IsProxyNodeID(volume_node.GetID()):
            return str(browser.GetName())
    return ""
