"""Correcting an organ: the Segment Editor set up for it, slices filled in between drawn ones, a smoothed outline. Neighbours keep their voxels."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import slicer

from focusnet.errors import InputError
from focusnet.image.organs import without_side
from focusnet.qa.reference_statistics import load_reference_statistics

from ..scene.labelmaps import mask_on
from ..scene.nodes import organ_segments
from ..scene.types import Node, SegmentationNode, Widget
from .segment_voxels import any_of, grid_of, masks_of_others, own_grid, replace_voxels, segment_box, spacing_zyx

BRUSH_OF_DIAMETER = 0.3  # of the diameter of a ball of the organ's volume
SMALLEST_BRUSH_MM, LARGEST_BRUSH_MM = 2.0, 16.0
UNKNOWN_BRUSH_MM = 5.0
SMOOTHING_OF_DIAMETER = 0.06
SMALLEST_SMOOTHING_MM, LARGEST_SMOOTHING_MM = 0.5, 3.0
INSIDE_ANOTHER = ("Lens",)  # drawn inside the eye: a brush that keeps the eye could never enlarge a lens
BRUSH_EFFECTS = ("Paint", "Erase")


def brush_mm(organ: str, volume_ml: float) -> float:
    """Return the brush's diameter for an organ, in steps of half a millimetre: 2 mm for a lens, 12 mm for a parotid. An empty organ gets that
    of its usual volume."""
    if volume_ml <= 0:
        usual = load_reference_statistics().volumes.get(organ)
        if usual is None:
            return UNKNOWN_BRUSH_MM
        volume_ml = usual.percentiles[50]
    wanted = BRUSH_OF_DIAMETER * _diameter_mm(volume_ml)
    return float(np.clip(round(2 * wanted) / 2, SMALLEST_BRUSH_MM, LARGEST_BRUSH_MM))


def set_up_editor(
    editor_node: Node | None,
    editor_widget: Widget | None,
    organ: str,
    volume_ml: float,
    keep_neighbours: bool = True,
) -> float:
    """Prepare the Segment Editor for one organ and return the brush's diameter in mm: a ball as brush, its size in mm by the organ's, and neighbours
    that keep their voxels (a lens takes from the eye around it).

    ``editor_node``: the vtkMRMLSegmentEditorNode, by default that of ``editor_widget`` (a qMRMLSegmentEditorWidget). The brush is that of Paint and
    Erase alike.
    """
    node = editor_node if editor_node is not None or editor_widget is None else editor_widget.mrmlSegmentEditorNode()
    diameter = brush_mm(organ, volume_ml)
    if node is None:
        return diameter
    for name, value in (
        ("BrushDiameterIsRelative", "0"),
        ("BrushAbsoluteDiameter", f"{diameter:g}"),
        ("BrushSphere", "1"),
    ):
        node.SetAttribute(name, value)
        for effect in BRUSH_EFFECTS:  # one that was set for this effect alone comes first
            if node.GetAttribute(f"{effect}.{name}"):
                node.SetAttribute(f"{effect}.{name}", value)
    set_keep_neighbours(node, keep_neighbours and without_side(organ) not in INSIDE_ANOTHER)
    return diameter


def set_keep_neighbours(editor_node: Node, keep: bool) -> None:
    """Let strokes stop at other segments, or overwrite those that are visible."""
    kinds = slicer.vtkMRMLSegmentationNode
    editor_node.SetOverwriteMode(editor_node.OverwriteNone if keep else editor_node.OverwriteVisibleSegments)
    editor_node.SetMaskMode(kinds.EditAllowedOutsideAllSegments if keep else kinds.EditAllowedEverywhere)


def keeps_neighbours(editor_node: Node) -> bool:
    """Return whether strokes leave other segments alone."""
    return bool(editor_node.GetOverwriteMode() == editor_node.OverwriteNone)


def fill_between_slices(
    segmentation_node: SegmentationNode, organ: str, save_state: Callable[[], object] | None = None
) -> int:
    """Fill the empty slices between drawn ones of an organ, and return how many voxels that added.

    The outline in between follows from the distances to the two outlines (shape-based interpolation, Raya and Udupa 1990); outlines that do not overlap
    are moved onto each other first. Drawn slices and neighbours stay as they are. ``save_state`` is called before anything is changed: the editor's
    undo. Raises InputError for an organ that has no slice drawn, or no gap.
    """
    segment_id, box = _organ(segmentation_node, organ)
    target = grid_of(own_grid(segmentation_node, segment_id), box, margin=(2, 2, 0))
    mask = mask_on(target, segmentation_node, segment_id)
    drawn = np.flatnonzero(mask.any(axis=(1, 2)))
    if (np.diff(drawn) == 1).all():
        raise InputError(
            f"{organ} has no empty slice between drawn ones: erase the wrong slices or draw every third one first."
        )
    new = mask.copy()
    for low, high in pairwise(drawn):
        for z in range(low + 1, high):
            new[z] = _between(mask[low], mask[high], (z - low) / (high - low), spacing_zyx(target)[1:])
    return _change(segmentation_node, segment_id, target, mask, new, save_state)


def smooth(
    segmentation_node: SegmentationNode,
    organ: str,
    save_state: Callable[[], object] | None = None,
    sigma_mm: float | None = None,
) -> int:
    """Smooth an organ's outline in all three directions, and return how many voxels that changed. Its volume stays as it is as far as its neighbours,
    which keep their voxels, allow it.

    ``sigma_mm``: of the Gaussian, by default by the organ's size. ``save_state`` as for ``fill_between_slices``. Raises InputError for an empty organ.
    """
    from scipy import ndimage

    segment_id, box = _organ(segmentation_node, organ)
    target = grid_of(own_grid(segmentation_node, segment_id), box, margin=4)
    mask, spacing = mask_on(target, segmentation_node, segment_id), spacing_zyx(target)
    count = int(np.count_nonzero(mask))
    if sigma_mm is None:
        diameter = _diameter_mm(count * float(np.prod(spacing)) / 1000)
        sigma_mm = float(np.clip(SMOOTHING_OF_DIAMETER * diameter, SMALLEST_SMOOTHING_MM, LARGEST_SMOOTHING_MM))
    blurred = ndimage.gaussian_filter(
        mask.astype(np.float32), [sigma_mm / s for s in spacing], mode="constant", truncate=3.0
    )
    level = np.partition(blurred.ravel(), blurred.size - count)[blurred.size - count]
    return _change(segmentation_node, segment_id, target, mask, blurred >= max(float(level), 1e-3), save_state)


def _change(
    segmentation_node: SegmentationNode,
    segment_id: str,
    target: slicer.vtkOrientedImageData,
    old: np.ndarray,
    new: np.ndarray,
    save_state: Callable[[], object] | None,
) -> int:
    """Give a segment its new voxels, without those that its neighbours have; return how many changed."""
    new = new & (old | ~any_of(masks_of_others(target, segmentation_node, segment_id), old.shape))
    changed = int(np.count_nonzero(new != old))
    if changed:
        if save_state is not None:
            save_state()
        replace_voxels(segmentation_node, segment_id, new, target)
    return changed


def _between(first: np.ndarray, second: np.ndarray, part: float, spacing_yx: tuple[float, ...]) -> np.ndarray:
    """The outline at ``part`` (0 to 1) of the way from one slice's outline to another's; bool (y, x)."""
    from scipy import ndimage

    shapes = [_signed_distance(m, spacing_yx) for m in (first, second)]
    if not (first & second).any():
        centers = [np.array(ndimage.center_of_mass(m)) for m in (first, second)]
        middle = (1 - part) * centers[0] + part * centers[1]
        shapes = [ndimage.shift(d, middle - c, order=1, mode="nearest") for d, c in zip(shapes, centers, strict=True)]
    return np.asarray((1 - part) * shapes[0] + part * shapes[1] > 0)


def _signed_distance(mask: np.ndarray, spacing_yx: tuple[float, ...]) -> np.ndarray:
    """mm to the outline, positive inside."""
    from scipy import ndimage

    inside = ndimage.distance_transform_edt(mask, spacing_yx)
    outside = ndimage.distance_transform_edt(~mask, spacing_yx)
    half = float(min(spacing_yx)) / 2  # the outline lies between two voxels
    return np.asarray(np.where(mask, inside - half, half - outside))


def _organ(segmentation_node: SegmentationNode, organ: str) -> tuple[str, np.ndarray]:
    segment_id = organ_segments(segmentation_node).get(organ)
    if segment_id is None:
        raise InputError(f"{organ} is not in {segmentation_node.GetName()}.")
    box = segment_box(segmentation_node, segment_id)
    if box is None:
        raise InputError(f"{organ} is empty: draw it in some slices first.")
    return segment_id, box


def _diameter_mm(volume_ml: float) -> float:
    """Of a ball of that volume."""
    return float((6000.0 * volume_ml / np.pi) ** (1 / 3))
