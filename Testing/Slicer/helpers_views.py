"""Slice views, CTs and layers for the tests of what the review shows. Import it where ``slicer`` is known to be there."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Volume
from FocusNetSegmentationLib.review.planes import axes_of, axis_along, grid_to_world
from FocusNetSegmentationLib.scene.nodes import import_result, organ_segments
from FocusNetSegmentationLib.scene.volumes import from_vtk

from .helpers_nodes import World

AXES = ("Axial", "Sagittal", "Coronal")
IDENTITY = np.eye(3)


def lps_rotation(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    """A rotation (3, 3) by degrees around the three axes."""
    turned = np.eye(3)
    for axis, degrees in enumerate((x, y, z)):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        one, (a, b) = np.eye(3), [i for i in range(3) if i != axis]
        one[a, a], one[a, b], one[b, a], one[b, b] = c, -s, s, c
        turned = one @ turned
    return turned


def ct_with(world: World, result: Segmentation) -> tuple[Any, Any]:
    """A CT of nothing on the result's grid, and the node of the result on it."""
    ct = world.volume(Volume(np.zeros(result.geometry.shape_zyx, np.int16), result.geometry))
    return ct, import_result(world.scene, result, ct).node


def slice_views(world: World) -> list[Any]:
    """Axial, sagittal and coronal, 400 x 300 pixels."""
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(world.scene)  # as the application does at its start
    views = []
    for name in AXES:
        node = world.scene.AddNewNodeByClass("vtkMRMLSliceNode", name)
        node.SetLayoutName(name)
        node.SetDimensions(400, 300, 1)
        getattr(node, f"SetOrientationTo{name}")()
        node.SetFieldOfView(400.0, 300.0, 1.0)
        views.append(node)
    return views


def with_layers(world: World, background: Any, foreground: Any) -> list[Any]:
    """The composite nodes of ``slice_views``."""
    composites = []
    for name in AXES:
        composite = world.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", name)
        composite.SetLayoutName(name)
        composite.SetBackgroundVolumeID(background.GetID() if background is not None else None)
        composite.SetForegroundVolumeID(foreground.GetID() if foreground is not None else None)
        composites.append(composite)
    return composites


def show(views: Any, node: Any, organ: str, ct: Any, place_ras: Any = None) -> bool:
    return bool(views.show_organ(node, organ_segments(node)[organ], organ, ct, place_ras))


def center_of(view: Any) -> np.ndarray:
    """The middle of a view, world RAS mm."""
    return from_vtk(view.GetSliceToRAS())[:3, 3]


def indices_at_center(view: Any, ct: Any) -> tuple[np.ndarray, int]:
    """The CT's index (i, j, k) in the middle of a view, and which of the three runs through the view."""
    to_world = grid_to_world(ct)
    index = np.linalg.solve(to_world, [*center_of(view), 1.0])[:3]
    return index, axis_along(to_world, axes_of(view)[:, 2])
