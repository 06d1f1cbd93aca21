"""Bring label maps as they are stored (datasets/bit_masks.py) to the grid of the simulated scan."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..datasets.bit_masks import LabelMap
from ..errors import InputError
from ..image.organs import organ_set, without_side
from ..image.volume import Geometry
from .ct import thin_grid

HEAD_MM = 256.0  # side of the square around the head
ABOVE_MM, BELOW_MM = 15.0, 45.0  # of the brain's top; below the lowest of jaw and glands
SMALL_REGION = ("Brain", "Brainstem", "Eye_L", "Eye_R")  # large organs that are labelled around the small ones
SMALL_MARGIN_MM = (12.0, 16.0, 16.0)  # z, y, x around the small organs
BASE_MARGIN_MM = 36.0  # above and below the small organs, of region "base"; in plane the whole head and SKIN_MM
SKIN_MM = 22.0


def grid_around(label_map: LabelMap, spacing_mm_xyz: tuple[float, float, float], region: str) -> Geometry:
    """The grid of the simulated scan: ``region`` "head" (vertex to below the jaw's glands), "base" (slices from below the ears to above the
    orbits) or "small" (the small organs and a margin).

    ``region``: "head" (vertex to below the jaw's glands) or "small" (the small organs and a margin). Raises InputError where the
    label map has none of the organs that place it.
    """
    boxes = {name: _box_mm(label_map, name) for name in label_map.organs}
    found = {name: box for name, box in boxes.items() if box is not None}
    if region in ("small", "base"):
        small = {organ.name for organ in organ_set("tcia-oars") if organ.small}
        chosen = [box for name, box in found.items() if name in small]
        margin = np.array(SMALL_MARGIN_MM[::-1])
        if not chosen:
            raise InputError(f"{label_map.name} has no contour of a small organ ({', '.join(sorted(small))}).")
        low = np.min([low for low, _ in chosen], axis=0) - margin
        high = np.max([high for _, high in chosen], axis=0) + margin
        if region == "base":
            low, high = _slices_of_base(low, high, found)
    else:
        if "Brain" not in found:
            raise InputError(f"{label_map.name} has no contour of the brain; the simulator needs it to know where the head is.")  # fmt: skip
        lower = [found[name][0][2] for name in ("Bone_Mandible", "Glnd_Submand_L", "Glnd_Submand_R") if name in found]
        head = [found[name] for name in ("Brain", "Bone_Mandible") if name in found]
        middle = (np.min([low for low, _ in head], axis=0) + np.max([high for _, high in head], axis=0)) / 2
        low, high = middle - HEAD_MM / 2, middle + HEAD_MM / 2
        low[2], high[2] = min([*lower, found["Brain"][0][2]]) - BELOW_MM, found["Brain"][1][2] + ABOVE_MM
    return _within(label_map.geometry, low, high, spacing_mm_xyz)


def _slices_of_base(
    low: np.ndarray, high: np.ndarray, found: dict[str, tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """The box around the small organs, widened in plane to all of the head, in z by what a chunk may see beside them."""
    extra = np.array([0.0, 0.0, BASE_MARGIN_MM - SMALL_MARGIN_MM[0]])
    head = [
        box for name, box in found.items() if without_side(name) in ("Brain", "Eye", "Lens", "Cochlea", "Glnd_Lacrimal")
    ]
    plane = np.array([SKIN_MM, SKIN_MM, 0.0])
    lowest, highest = np.min([b[0] for b in head], axis=0) - plane, np.max([b[1] for b in head], axis=0) + plane
    lowest[2], highest[2] = low[2], high[2]
    return np.minimum(low, lowest) - extra, np.maximum(high, highest) + extra


def _within(scan: Geometry, low: np.ndarray, high: np.ndarray, spacing_mm_xyz: tuple[float, float, float]) -> Geometry:
    """Return a grid of whole voxels from ``low`` to ``high`` (x, y, z, LPS mm), no larger than the scan that was contoured."""
    steps = np.array(spacing_mm_xyz)
    first = np.array(scan.origin_mm_xyz) - np.array(scan.spacing_mm_xyz) / 2
    last = first + np.array(scan.spacing_mm_xyz) * scan.shape_zyx[::-1]
    low, high = np.maximum(low, first), np.minimum(high, last)
    counts = np.maximum(np.floor((high - low) / steps).astype(int), 1)
    origin = (low + high) / 2 - (counts - 1) / 2 * steps
    x, y, z = (float(v) for v in origin)
    return Geometry((int(counts[2]), int(counts[1]), int(counts[0])), spacing_mm_xyz, (x, y, z))


def thin_masks(label_map: LabelMap, geometry: Geometry) -> dict[str, np.ndarray]:
    """Return every organ on ``thin_grid(geometry)``, bool (z, y, x), interpolated linearly between the drawn slices; 0.5 is inside."""
    thin, _ = thin_grid(geometry)
    return {name: on_grid(label_map, name, thin) for name in label_map.boxes}


def on_grid(label_map: LabelMap, organ: str, target: Geometry) -> np.ndarray:
    """Return an organ on another upright grid, bool (z, y, x): linearly interpolated, at least half inside.

    Only the organ's own box is computed.
    """
    out = np.zeros(target.shape_zyx, bool)
    source = label_map.geometry
    box, mask = label_map.mask(organ)
    ends = np.array([[s.start for s in box], [s.stop - 1 for s in box]])
    there = target.mm_to_index(source.index_to_mm(ends))
    low = np.clip(np.floor(there[0]).astype(int), 0, np.array(target.shape_zyx))
    high = np.clip(np.ceil(there[1]).astype(int) + 1, 0, np.array(target.shape_zyx))
    if (high <= low).any():
        return out
    scale = np.array(target.spacing_mm_zyx) / np.array(source.spacing_mm_zyx)
    offset = source.mm_to_index(target.index_to_mm(low)) - ends[0]
    shape = tuple(int(n) for n in high - low)
    inside = ndimage.affine_transform(mask.astype(np.float32), scale, offset, shape, order=1, mode="constant")
    out[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = inside >= 0.5
    return out


def label_values(organs: dict[str, int], region: str = "head") -> dict[str, int]:
    """Return the label value of each organ, 1, 2, 3 ... in the order of ``organ_set("tcia-oars")``.

    ``region`` "small": only organs that lie there.
    """
    known = organ_set("tcia-oars")
    names = [organ.name for organ in known if organ.name in organs]
    names += sorted(set(organs) - set(names))
    if region == "small":
        names = [name for name in names if name in (*SMALL_REGION, *(organ.name for organ in known if organ.small))]
    return {name: value for value, name in enumerate(names, start=1)}


def merged_labels(masks: dict[str, np.ndarray], values: dict[str, int], geometry: Geometry) -> np.ndarray:
    """Merge masks on the thin grid into one uint8 label map (z, y, x) on ``geometry``; small organs lie over large ones.

    An organ has the voxels that it fills by half or more. One that nowhere fills half a voxel keeps the voxels it fills most, so
    that a thin nerve is not lost.
    """
    per_slice = thin_grid(geometry)[1]
    labels = np.zeros(geometry.shape_zyx, np.uint8)
    for name in sorted(set(masks) & set(values), key=lambda organ: (int(masks[organ].sum()), organ), reverse=True):
        share = masks[name].reshape(-1, per_slice, *geometry.shape_zyx[1:]).sum(axis=1)
        if share.any():
            labels[share * 2 >= min(per_slice, 2 * int(share.max()))] = values[name]
    return labels


def _box_mm(label_map: LabelMap, organ: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the lowest and highest corner (x, y, z, LPS mm) of an organ's voxels; None where it was not drawn."""
    box = label_map.boxes.get(organ)
    if box is None:
        return None
    ends = label_map.geometry.index_to_mm(np.array([[s.start + 0.5 for s in box], [s.stop - 1.5 for s in box]]))
    return ends[0], ends[1]
