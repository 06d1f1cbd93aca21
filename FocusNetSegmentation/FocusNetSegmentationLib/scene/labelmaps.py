"""Label maps as Slicer holds them: vtkOrientedImageData to and from NumPy, and when two of them say the same."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from focusnet.errors import InputError
from focusnet.image.volume import Geometry

from .types import OrientedImage, Segment, SegmentationNode, SegmentList
from .volumes import from_vtk, to_vtk

LABELMAP = "Binary labelmap"  # Slicer's name of the representation


def get_tag(segment: Segment, name: str) -> str:
    """Return a segment's tag, "" if it has none of that name."""
    value = vtk.reference("")
    return str(value.get()) if segment.GetTag(name, value) else ""


def oriented_image(labels: np.ndarray, matrix_ras: np.ndarray) -> OrientedImage:
    """Return a vtkOrientedImageData of labels (z, y, x); ``matrix_ras``: index (x, y, z) to RAS mm. The voxels are copied once."""
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(labels.shape[2], labels.shape[1], labels.shape[0])
    scalars = numpy_to_vtk(np.ascontiguousarray(labels).ravel(), deep=True, array_type=vtk.VTK_UNSIGNED_CHAR)
    image.GetPointData().SetScalars(scalars)
    image.SetGeometryFromImageToWorldMatrix(to_vtk(matrix_ras))
    return image


def voxels(image: OrientedImage | None) -> np.ndarray:
    """Return the voxels (z, y, x), not a copy; empty for an image without voxels."""
    scalars = image.GetPointData().GetScalars() if image is not None else None
    if image is None or scalars is None:
        return np.zeros((0, 0, 0), np.uint8)
    x, y, z = image.GetDimensions()
    return vtk_to_numpy(scalars).reshape(z, y, x)


def label_box(image: OrientedImage, label: int) -> tuple[slice, slice, slice] | None:
    """Return the box (z, y, x) of one label in the image's array, None if it has no voxels."""
    from scipy import ndimage

    array = voxels(image)
    boxes = ndimage.find_objects(array) if array.size else []
    return boxes[label - 1] if 0 < label <= len(boxes) else None


def image_matrix(image: OrientedImage) -> np.ndarray:
    """Return the 4x4 matrix from index (x, y, z) to the node's own RAS mm."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return from_vtk(matrix)


def same_grid(first: OrientedImage, second: OrientedImage) -> bool:
    """Return whether both have the same voxel centres, and as many of them."""
    return first.GetExtent() == second.GetExtent() and bool(
        np.allclose(image_matrix(first), image_matrix(second), atol=1e-4)
    )


def same_voxels(now: OrientedImage, then: OrientedImage, labels: Iterable[tuple[int, int]]) -> list[bool]:
    """Return for each (label now, label then) whether their voxels are the same. Images may be cropped differently; a grid that is rotated, scaled
    or shifted by parts of a voxel is another one."""
    labels = list(labels)
    a, b = voxels(now), voxels(then)
    size_a, size_b = (int(x.max(initial=0)) + 1 for x in (a, b))
    total_a = _counts(a, max([size_a, *(n + 1 for n, _ in labels)]))
    total_b = _counts(b, max([size_b, *(t + 1 for _, t in labels)]))
    both = np.zeros((total_b.size, total_a.size), np.int64)
    windows = _common(now, then) if a.size and b.size else None
    if windows is not None:
        for slice_a, slice_b in zip(a[windows[0]], b[windows[1]], strict=True):  # slice by slice: little memory
            code = slice_b.astype(np.int64) * total_a.size + slice_a
            both += np.bincount(code.ravel(), minlength=both.size).reshape(both.shape)
    return [bool(total_a[n] == total_b[t] and (total_a[n] == 0 or both[t, n] == total_a[n])) for n, t in labels]


def _counts(labels: np.ndarray, size: int) -> np.ndarray:
    """Voxels of each label, slice by slice: bincount makes a copy of eight bytes a voxel."""
    total = np.zeros(size, np.int64)
    for one in labels:
        total += np.bincount(one.ravel(), minlength=size)
    return total


def _common(now: OrientedImage, then: OrientedImage) -> tuple[tuple[slice, ...], tuple[slice, ...]] | None:
    """Return the box (z, y, x) that both images hold, in each one's own array; None if there is none or the grids differ."""
    relative = np.linalg.inv(image_matrix(then)) @ image_matrix(now)  # index now to index then
    shift = np.round(relative[:3, 3]).astype(int)
    expected = np.eye(4)
    expected[:3, 3] = shift
    if not np.allclose(relative, expected, atol=1e-3):
        return None
    low_a, high_a = (np.array(now.GetExtent())[i::2] for i in (0, 1))
    low_b, high_b = (np.array(then.GetExtent())[i::2] for i in (0, 1))
    low, high = np.maximum(low_a + shift, low_b), np.minimum(high_a + shift, high_b)
    if (low > high).any():
        return None
    window_a = tuple(slice(a, b + 1) for a, b in zip(low - shift - low_a, high - shift - low_a, strict=True))[::-1]
    window_b = tuple(slice(a, b + 1) for a, b in zip(low - low_b, high - low_b, strict=True))[::-1]
    return window_a, window_b


def clear_or_keep_old_segments(segmentation: SegmentList, replaced: set[str], image: OrientedImage, used: int) -> None:
    """Clear the old voxels of ``replaced`` segments, and move kept ones into ``image`` where the grid is the same and none of them
    overlaps: the node keeps one layer. ``used``: the highest label in ``image``."""
    layers: dict[int, tuple[OrientedImage, list[str]]] = {}
    for index in range(segmentation.GetNumberOfSegments()):
        segment_id = segmentation.GetNthSegmentID(index)
        layer = segmentation.GetSegment(segment_id).GetRepresentation(LABELMAP)
        if layer is not None:
            layers.setdefault(id(layer), (layer, []))[1].append(segment_id)
    labels = voxels(image)
    for layer, segment_ids in layers.values():
        kept = [s for s in segment_ids if s not in replaced]
        if not kept or (len(kept) == len(segment_ids) and not same_grid(layer, image)):
            continue
        old = voxels(layer)
        table = np.zeros(int(old.max(initial=0)) + 1, old.dtype)
        values = {s: segmentation.GetSegment(s).GetLabelValue() for s in kept}
        for value in values.values():
            if value < table.size:
                table[value] = value
        if same_grid(layer, image) and used + len(kept) < 256:
            fresh = {s: used + 1 + i for i, s in enumerate(kept)}
            moved = np.zeros(table.size, np.uint8)
            for segment_id, value in values.items():
                if value < moved.size:
                    moved[value] = fresh[segment_id]
            added = moved[old]
            if not ((labels > 0) & (added > 0)).any():
                labels |= added
                used += len(kept)
                for segment_id in kept:
                    segment = segmentation.GetSegment(segment_id)
                    segment.SetLabelValue(fresh[segment_id])
                    segment.AddRepresentation(LABELMAP, image)
                continue
        if len(kept) < len(segment_ids):
            old[...] = table[old]
            layer.Modified()
    image.Modified()


def empty_image(geometry: Geometry, matrix_ras: np.ndarray) -> OrientedImage:
    """Return an image of no voxels on ``geometry``'s grid; ``matrix_ras``: index (x, y, z) to the node's own RAS mm."""
    z, y, x = geometry.shape_zyx
    image = slicer.vtkOrientedImageData()
    image.SetExtent(0, x - 1, 0, y - 1, 0, z - 1)
    image.SetGeometryFromImageToWorldMatrix(to_vtk(matrix_ras))
    return image


def mask_on(target: OrientedImage, node: SegmentationNode, segment_id: str) -> np.ndarray:
    """Return the mask, bool (z, y, x), of one segment on the grid and extent of ``target`` (vtkOrientedImageData in the node's own space, no voxels needed).

    A grid that differs by whole voxels is copied, any other resampled. Raises InputError if that fails.
    """
    low_target, high_target = (np.array(target.GetExtent())[i::2] for i in (0, 1))
    shape_zyx = tuple(int(n) for n in (high_target - low_target + 1)[::-1])
    segment = node.GetSegmentation().GetSegment(segment_id)
    image = segment.GetRepresentation(LABELMAP)
    mask = np.zeros(shape_zyx, bool)
    if image is None or voxels(image).size == 0:
        return mask
    shift = whole_voxel_shift(image_matrix(target), image_matrix(image))
    if shift is not None:  # the same grid, perhaps cropped: copied, not resampled
        low = np.array(image.GetExtent()[::2]) + shift - low_target
        high = np.array(image.GetExtent()[1::2]) + shift + 1 - low_target
        first, last = np.maximum(low, 0), np.minimum(high, shape_zyx[::-1])
        if (first < last).all():
            here = tuple(slice(a, b) for a, b in zip(first, last, strict=True))[::-1]
            there = tuple(slice(a, b) for a, b in zip(first - low, last - low, strict=True))[::-1]
            mask[here] = voxels(image)[there] == segment.GetLabelValue()
        return mask
    ids = vtk.vtkStringArray()
    ids.InsertNextValue(segment_id)
    merged = slicer.vtkOrientedImageData()
    if not node.GenerateMergedLabelmapForAllSegments(
        merged, slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY, target, ids
    ):
        raise InputError(f"The segment {segment.GetName()} cannot be put on the CT's grid.")
    return voxels(merged) > 0


def whole_voxel_shift(target: np.ndarray, image: np.ndarray) -> np.ndarray | None:
    """Return the index (x, y, z) in ``target`` of the image's index 0; None if the grids differ by more than a shift by whole voxels."""
    relative = np.linalg.inv(target) @ image
    shift = np.round(relative[:3, 3])
    expected = np.eye(4)
    expected[:3, 3] = shift
    return shift.astype(int) if np.allclose(relative, expected, atol=1e-3) else None
