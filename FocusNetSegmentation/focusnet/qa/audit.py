"""Measure what a person changed in a result, organ by organ, against the copy that was frozen before editing.

Added path length after Vaassen et al., "Evaluation of measures for assessing time-saving of automatic organ-at-risk segmentation
in radiotherapy", Physics and Imaging in Radiation Oncology 13, 2020: the length of contour that had to be drawn, which follows
editing time better than DSC or surface distances do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from ..errors import InputError
from ..files.atomic_write import atomic_path, check_output, json_text
from ..image.segmentation import Segmentation
from ..image.volume import Geometry
from ..metrics import added_voxels, dice, surface_distances, volume_ml

FORMAT_VERSION = 1
IDLE_S = 30.0  # a pause longer than this counts as this long: the person was reading, or away


@dataclass(frozen=True)
class OrganEdit:
    """Changes in one organ, from the frozen copy (before) to the edited one (after). Distances are in mm.

    nan where the organ is absent from both copies; infinite distances and DSC 0 where a person drew or deleted it as a whole.
    ``added_path_mm`` of ``path_mm`` of the edited contours were drawn anew. ``active_s`` is None where time was not taken.
    """

    organ: str
    changed: bool
    dsc: float
    hd95_mm: float
    surface_dsc: float
    added_path_mm: float
    path_mm: float
    volume_before_ml: float
    volume_after_ml: float
    voxels_added: int
    voxels_removed: int
    active_s: float | None = None

    @property
    def volume_change_ml(self) -> float:
        """Return the volume after editing minus that before, in ml."""
        return self.volume_after_ml - self.volume_before_ml


@dataclass(frozen=True)
class Audit:
    """Every organ of either copy, in the order of the frozen one. ``tolerance_mm``: of the surface DSC."""

    organs: tuple[OrganEdit, ...]
    tolerance_mm: float
    model: str = ""
    editor: str = ""


def audit(
    frozen: Segmentation,
    edited: Segmentation,
    tolerance_mm: float = 2.0,
    active_s: Mapping[str, float] | None = None,
    editor: str = "",
) -> Audit:
    """Compare the edited result with the frozen copy. An organ that only one of them names counts as empty in the other.

    ``active_s``: seconds of editing by organ, see ``active_seconds``. Raises InputError if the grids differ, an organ of
    ``active_s`` is in neither copy, or the tolerance is not above 0.
    """
    if not tolerance_mm > 0:
        raise InputError(f"The tolerance is {tolerance_mm} mm; a number above 0 is expected.")
    if not frozen.geometry.same_grid_as(edited.geometry):
        raise InputError(
            f"The edited segmentation ({edited.geometry.shape_zyx} voxels) lies on another grid than the frozen copy "
            f"({frozen.geometry.shape_zyx} voxels); compare it with the copy of the same scan."
        )
    names = list(dict.fromkeys(r.organ.name for part in (frozen, edited) for r in part.results))
    times = dict(active_s or {})
    strangers = sorted(set(times) - set(names))
    if strangers:
        raise InputError(f"Editing time is given for {', '.join(strangers)}; there are {', '.join(names)}.")
    rows = tuple(
        _organ_edit(name, _mask(frozen, name), _mask(edited, name), frozen.geometry, tolerance_mm, times.get(name))
        for name in names
    )
    return Audit(rows, tolerance_mm, str(frozen.provenance.get("model", "")), editor)


def added_path_mm(before: np.ndarray, after: np.ndarray, geometry: Geometry) -> tuple[float, float]:
    """Return (added path, whole path) of the contours of ``after``, in mm, summed over axial slices.

    ``before``, ``after``: boolean (z, y, x) masks. A contour is the voxels of a slice's mask that touch the outside (4
    neighbours); its added part is those that are not contour voxels of ``before``, without any tolerance; a voxel counts as long
    as the mean of the slice's two spacings. Slices are those across the patient's long axis, whichever axis of the array that is.
    """
    axis = 2 - int(
        np.argmax(np.abs(np.asarray(geometry.direction_xyz)[2]))
    )  # column of the direction that runs to the head
    old, new = _contour_voxels(before, axis), _contour_voxels(after, axis)
    spacings = [s for i, s in enumerate(geometry.spacing_mm_zyx) if i != axis]
    length_mm = float(np.mean(spacings))
    return float(np.count_nonzero(new & ~old)) * length_mm, float(np.count_nonzero(new)) * length_mm


def active_seconds(moments_s: Sequence[float], idle_s: float = IDLE_S) -> float:
    """Return seconds of work from the moments of a person's actions (any clock); each pause counts at most ``idle_s``."""
    ordered = sorted(moments_s)
    return float(sum(min(later - earlier, idle_s) for earlier, later in pairwise(ordered)))


def text_table(result: Audit) -> str:
    """Return the audit for a terminal: changed organs first, most drawing first; the unchanged ones are named in one line."""
    width = max([len(o.organ) for o in result.organs] or [5])
    surface = f"sDSC@{result.tolerance_mm:g}mm"
    head = (
        f"{'organ':<{width}}  {'DSC':>6} {'HD95':>7} {surface:>9} {'path mm':>8} {'of mm':>8} "
        f"{'ml':>8} {'change':>8} {'+voxels':>8} {'-voxels':>8} {'active s':>8}"
    )
    changed = sorted((o for o in result.organs if o.changed), key=lambda o: -o.added_path_mm)
    lines = [head] if changed else []
    for o in changed:
        time = "" if o.active_s is None else f"{o.active_s:.0f}"
        lines.append(
            f"{o.organ:<{width}}  {o.dsc:>6.3f} {o.hd95_mm:>7.2f} {o.surface_dsc:>9.3f} {o.added_path_mm:>8.1f} {o.path_mm:>8.1f} "
            f"{o.volume_after_ml:>8.2f} {o.volume_change_ml:>+8.2f} {o.voxels_added:>8} {o.voxels_removed:>8} {time:>8}".rstrip()
        )
    same = [o.organ for o in result.organs if not o.changed]
    if same:
        lines.append(f"unchanged: {', '.join(same)}")
    return "\n".join(lines)


def write_audit(result: Audit, path: Path | str, overwrite: bool = False) -> None:
    """Write the audit as JSON (distances that do not exist are null). Raises OutputError."""
    path = Path(path)
    check_output(path, overwrite, (".json",))
    with atomic_path(path) as partial:
        partial.write_text(json_text(as_dict(result), indent=1) + "\n", encoding="utf-8")


def as_dict(result: Audit) -> dict[str, Any]:
    """Return the audit as plain values."""
    organs = [{**asdict(o), "volume_change_ml": o.volume_change_ml} for o in result.organs]
    head = {"format": FORMAT_VERSION, "model": result.model, "editor": result.editor}
    return {**head, "surface_dsc_tolerance_mm": result.tolerance_mm, "organs": organs}


def _organ_edit(
    name: str, before: np.ndarray, after: np.ndarray, geometry: Geometry, tolerance_mm: float, active_s: float | None
) -> OrganEdit:
    spacing = geometry.spacing_mm_zyx
    box = ndimage.find_objects((before | after).astype(np.uint8))
    if box:  # everything below looks at the organ only
        before, after = np.ascontiguousarray(before[box[0]]), np.ascontiguousarray(after[box[0]])
    else:
        before = after = np.zeros((1, 1, 1), bool)
    distances = surface_distances(before, after, spacing)
    added, removed = added_voxels(before, after)
    path, whole = added_path_mm(before, after, geometry)
    return OrganEdit(
        organ=name,
        changed=bool(added or removed),
        dsc=dice(before, after),
        hd95_mm=distances.hd95_average_mm,
        surface_dsc=distances.surface_dice(tolerance_mm),
        added_path_mm=path,
        path_mm=whole,
        volume_before_ml=volume_ml(before, spacing),
        volume_after_ml=volume_ml(after, spacing),
        voxels_added=added,
        voxels_removed=removed,
        active_s=None if active_s is None or math.isnan(active_s) else float(active_s),
    )


def _mask(segmentation: Segmentation, name: str) -> np.ndarray:
    if any(r.organ.name == name for r in segmentation.results):
        return segmentation.mask(name)
    return np.zeros_like(segmentation.labels, bool)


def _contour_voxels(mask: np.ndarray, axis: int) -> np.ndarray:
    """Return the voxels of a mask (z, y, x) that touch the outside within their slice; beyond the image is outside."""
    cross = np.expand_dims(ndimage.generate_binary_structure(2, 1), axis)
    return mask & ~ndimage.binary_erosion(mask, cross)
