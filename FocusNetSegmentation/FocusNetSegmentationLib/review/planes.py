"""Slice views and the planes of a CT: turned into the CT's own planes, stopped on its slices, zoomed, fitted. Arithmetic on slice nodes alone."""

from __future__ import annotations

import numpy as np

from focusnet.image.volume import box_corners

from ..scene.types import Node, VolumeNode
from ..scene.volumes import from_vtk, ijk_to_ras, to_vtk, transform_matrix

TURNED = 1e-4  # as a direction cosine: 0.03 mm at the edge of a view of 500 mm; below it a view is left as it is
SHEARED = 1e-3  # axes that are not perpendicular give no planes to turn a view into
MARGIN_MM = 25.0  # around the organ: its neighbours must be seen to judge it
SMALLEST_FIELD_MM = 70.0  # a lens alone on a screen tells nothing
LARGEST_REST_MM = 50.0  # from a view's centre: as much of the organ's other slices is kept in view, so that a cord does not set the zoom
FIT_MARGIN = 1.05  # around a whole CT


def grid_to_world(volume_node: VolumeNode) -> np.ndarray:
    """Return the matrix (4, 4) from a volume's index (i, j, k) to world RAS mm. Raises InputError for a non-linear parent transform."""
    return np.asarray(transform_matrix(volume_node) @ ijk_to_ras(volume_node))


def axes_of(slice_node: Node) -> np.ndarray:
    """Return a view's axes as unit columns (3, 3): to the right, up, along its normal; world RAS."""
    axes = from_vtk(slice_node.GetSliceToRAS())[:3, :3]
    return np.asarray(axes / np.linalg.norm(axes, axis=0))


def axis_along(to_world: np.ndarray, direction_ras: np.ndarray) -> int:
    """Return which of a grid's axes runs most nearly along a direction."""
    units = to_world[:3, :3] / np.linalg.norm(to_world[:3, :3], axis=0)
    return int(np.abs(units.T @ direction_ras).argmax())


def turn_to_planes(slice_node: Node, to_world: np.ndarray) -> bool:
    """Turn a view into the nearest plane of a volume's own grid; return whether it had to be turned. A sheared grid has none."""
    units = to_world[:3, :3] / np.linalg.norm(to_world[:3, :3], axis=0)
    if np.abs(units.T @ units - np.eye(3)).max() > SHEARED:
        return False
    old = axes_of(slice_node)
    normal_axis = int(np.abs(units.T @ old[:, 2]).argmax())
    rest = [axis for axis in range(3) if axis != normal_axis]
    up_axis = rest[int(np.abs(units.T @ old[:, 1])[rest].argmax())]
    normal, up = (
        units[:, axis] * np.sign(units[:, axis] @ old[:, column]) for axis, column in ((normal_axis, 2), (up_axis, 1))
    )
    right = np.cross(up, normal) * np.sign(np.linalg.det(old))  # a view is as right- or left-handed as it was
    new = np.stack([right, up, normal], axis=1)
    if np.abs(new - old).max() < TURNED:
        return False
    matrix = from_vtk(slice_node.GetSliceToRAS())
    matrix[:3, :3] = new
    slice_node.GetSliceToRAS().DeepCopy(to_vtk(matrix))
    slice_node.UpdateMatrices()
    return True


def on_a_slice(
    point_ras: np.ndarray, normal_ras: np.ndarray, volume_node: VolumeNode, to_world: np.ndarray
) -> np.ndarray:
    """Return the point (3,) moved along the volume's own slice axis to the middle of its nearest slice, inside the volume.

    ``to_world``: of ``grid_to_world``. The index along the axis that runs most nearly along ``normal_ras`` is then a whole number.
    """
    index = np.linalg.solve(to_world, [*point_ras, 1.0])
    axis = axis_along(to_world, normal_ras)
    size = volume_node.GetImageData().GetDimensions()[axis] if volume_node.GetImageData() is not None else None
    index[axis] = np.round(index[axis]) if size is None else np.clip(np.round(index[axis]), 0, size - 1)
    return np.asarray((to_world @ index)[:3])


def look_at(slice_node: Node, center_ras: np.ndarray, needed_mm: tuple[float, float] | None) -> None:
    """Centre a view on a point, with at least ``needed_mm`` (across, up) in view; None keeps the zoom. A pan by hand is taken back."""
    width, height = slice_node.GetDimensions()[:2]
    if needed_mm is not None and width > 0 and height > 0:
        mm_per_pixel = max(needed_mm[0] / width, needed_mm[1] / height)
        slice_node.SetFieldOfView(mm_per_pixel * width, mm_per_pixel * height, slice_node.GetFieldOfView()[2])
    _, _, z = slice_node.GetXYZOrigin()
    slice_node.SetXYZOrigin(0.0, 0.0, z)
    slice_node.JumpSliceByCentering(*(float(v) for v in center_ras))


def needed_field_mm(
    center_ras: np.ndarray, slice_ras: np.ndarray, whole_ras: np.ndarray, axes: np.ndarray
) -> tuple[float, float]:
    """Return how many mm (across, up) a view centred on a point needs for an organ.

    ``slice_ras``, ``whole_ras``: points (n, 3) around the slice that is shown, and around the whole organ, which is kept in view only as far as it
    does not reach far beyond that slice.
    """
    shown = np.abs((slice_ras - center_ras) @ axes[:, :2]).max(axis=0) + MARGIN_MM
    rest = np.minimum(np.abs((whole_ras - center_ras) @ axes[:, :2]).max(axis=0) + 10.0, LARGEST_REST_MM)
    across, up = 2 * np.maximum(shown, rest)
    return (max(SMALLEST_FIELD_MM, float(across)), max(SMALLEST_FIELD_MM, float(up)))


def fit(slice_node: Node, volume_node: VolumeNode) -> None:
    """Turn a view into the volume's planes and show the whole volume in it, stopped on a slice. Nothing for a volume without voxels."""
    if volume_node.GetImageData() is None:
        return
    to_world, size = grid_to_world(volume_node), np.array(volume_node.GetImageData().GetDimensions())
    turn_to_planes(slice_node, to_world)
    axes = axes_of(slice_node)
    corners = box_corners(np.full(3, -0.5), size - 0.5)
    points = (np.c_[corners, np.ones(8)] @ to_world.T)[:, :3]
    middle = points.mean(axis=0)
    across, up = (float(v) for v in 2 * np.abs((points - middle) @ axes[:, :2]).max(axis=0) * FIT_MARGIN)
    look_at(slice_node, on_a_slice(middle, axes[:, 2], volume_node, to_world), (across, up))
