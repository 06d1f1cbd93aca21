"""Slices of the CT with outlines, as data for an SVG: the CT a small JPEG, the outlines lines that stay sharp in print.

Radiological view, as in ``focusnet.reports.overview``: the patient's right on the left, nose up (axial) or left (sagittal), head
up, whatever the axis order of the file was. Each panel is a square of the same number of millimetres on the page.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..image.orientation import to_upright
from ..image.segmentation import Segmentation
from ..image.volume import Geometry, Volume
from .overview import WINDOW_HU, place_text

SIDE = 300  # units of a panel's coordinates, whatever it shows
PIXELS = 420
JPEG_QUALITY = 84
MARGIN_MM = 22.0  # of anatomy around an organ
SMALLEST_MM = 60.0  # a smaller picture does not show which part of the body it is
LETTERS = (("R", "L", "A", "P"), ("R", "L", "S", "I"), ("A", "P", "S", "I"))  # left, right, top, bottom
TITLES = ("Axial", "Coronal", "Sagittal")
BARS_MM = (100, 50, 20, 10)
Box = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Outline:
    """``path``: SVG path data in panel units. ``kind``: contour, model, shape prior or neighbour. ``color``: CSS; empty for the kind's own."""

    kind: str
    path: str
    color: str
    name: str


@dataclass(frozen=True)
class PlanePicture:
    """One square panel. ``image``: a data URI. ``bar``: length of the scale bar in panel units, ``bar_mm`` in mm. ``mark``: (x, y) or None."""

    title: str
    place: str
    letters: tuple[str, str, str, str]
    image: str
    outlines: tuple[Outline, ...]
    bar: float
    bar_mm: int
    mark: tuple[float, float] | None = None


@dataclass(frozen=True)
class UprightCase:
    """Everything that is drawn, on upright axes (z, y, x to head, back and left); ``model`` and ``shape_prior`` may be None."""

    hu: np.ndarray
    geometry: Geometry
    labels: np.ndarray
    model: np.ndarray | None
    shape_prior: np.ndarray | None
    values: Mapping[
        str, tuple[int, int, int]
    ]  # organ -> its label in labels, model and shape prior; 0 where it has none
    colors: Mapping[str, str]


def upright_case(
    volume: Volume,
    segmentation: Segmentation,
    model: Segmentation | None = None,
    shape_prior: Segmentation | None = None,
) -> UprightCase:
    """Return scan and contours on upright axes. All must lie on one grid."""
    hu, geometry, _, _ = to_upright(volume.array, volume.geometry)
    parts = [None if s is None else to_upright(s.labels, s.geometry)[0] for s in (segmentation, model, shape_prior)]
    known = {
        name: {r.organ.name: r for r in s.results} if s else {}
        for name, s in zip("smg", (segmentation, model, shape_prior), strict=True)
    }
    names = dict.fromkeys([*known["s"], *known["m"]])
    values = {n: tuple(known[k][n].label if n in known[k] else 0 for k in "smg") for n in names}
    colors = {n: css_color((known["s"].get(n) or known["m"][n]).organ.color_rgb) for n in names}
    assert parts[0] is not None
    return UprightCase(hu, geometry, parts[0], parts[1], parts[2], values, colors)  # type: ignore[arg-type]


def css_color(rgb: Sequence[int]) -> str:
    """Return an RGB colour (0 to 255 each) as CSS."""
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def organ_pictures(
    case: UprightCase, organ: str, mark_mm_xyz: Sequence[float] | None = None
) -> tuple[PlanePicture, ...]:
    """Return an axial, a coronal and a sagittal panel zoomed on ``organ``; empty if there is nothing to show.

    They cut where the organ was edited most, else where it is widest. ``mark_mm_xyz`` (LPS mm): where to look instead if the
    organ has no voxel.
    """
    masks = [m for m in _masks(case, organ).values() if m.any()]
    if not masks:
        return _empty_pictures(case, mark_mm_xyz)
    union = np.logical_or.reduce(masks)
    box = tuple((s.start, s.stop) for s in ndimage.find_objects(union.astype(np.uint8))[0])
    both = _masks(case, organ)
    changed = both["contour"] ^ both["model"] if "model" in both else None
    at = _slices(
        changed if changed is not None and changed.any() else both["contour"] if both["contour"].any() else union, box
    )
    center = [(low + high - 1) / 2 for low, high in box]
    size_mm = max((high - low) * s for (low, high), s in zip(box, case.geometry.spacing_mm_zyx, strict=True))
    return _panels(case, at, center, max(SMALLEST_MM, size_mm + 2 * MARGIN_MM), organ)


def overview_pictures(case: UprightCase) -> tuple[PlanePicture, ...]:
    """Return three slices that show most organs, each as a contour of its own colour."""
    from .overview import choose_slices

    values = [value[0] for value in case.values.values() if value[0]]
    at = choose_slices(case.labels, values)
    boxes = ndimage.find_objects((case.labels > 0).astype(np.uint8))
    box = [(s.start, s.stop) for s in boxes[0]] if boxes else [(0, n) for n in case.labels.shape]
    spacing = case.geometry.spacing_mm_zyx
    size_mm = max((high - low) * s for (low, high), s in zip(box, spacing, strict=True)) + 2 * MARGIN_MM
    return _panels(case, at, [(low + high - 1) / 2 for low, high in box], size_mm, None)


def _empty_pictures(case: UprightCase, mark_mm_xyz: Sequence[float] | None) -> tuple[PlanePicture, ...]:
    if mark_mm_xyz is None:
        return ()
    index = case.geometry.mm_to_index(np.asarray(mark_mm_xyz, float))
    at = tuple(int(np.clip(round(i), 0, n - 1)) for i, n in zip(index, case.hu.shape, strict=True))
    return _panels(case, at, list(index), 2 * SMALLEST_MM, None, mark=True)


def _masks(case: UprightCase, organ: str) -> dict[str, np.ndarray]:
    now, then, prior = case.values.get(organ, (0, 0, 0))
    masks = {"contour": case.labels == now if now else np.zeros(case.labels.shape, bool)}
    if case.model is not None:
        masks["model"] = case.model == then if then else np.zeros(case.labels.shape, bool)
    if case.shape_prior is not None and prior:
        masks["shape-prior"] = case.shape_prior == prior
    return masks


def _slices(mask: np.ndarray, box: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Return the middle one of the slices in which the mask (z, y, x) is largest, along each axis."""
    at = []
    for axis in range(3):
        areas = mask.sum(axis=tuple(a for a in range(3) if a != axis))
        best = np.flatnonzero(areas == areas.max()) if areas.max() else np.arange(*box[axis])
        at.append(int(best[len(best) // 2]))
    return tuple(at)


def _panels(
    case: UprightCase, at: Sequence[int], center: Sequence[float], size_mm: float, organ: str | None, mark: bool = False
) -> tuple[PlanePicture, ...]:
    return tuple(_panel(case, axis, at, center, size_mm, organ, mark) for axis in range(3))


def _panel(
    case: UprightCase,
    axis: int,
    at: Sequence[int],
    center: Sequence[float],
    size_mm: float,
    organ: str | None,
    mark: bool,
) -> PlanePicture:
    rows, columns = (a for a in range(3) if a != axis)
    spacing = case.geometry.spacing_mm_zyx
    scale = np.array([SIDE * spacing[columns] / size_mm, SIDE * spacing[rows] / size_mm])  # units per voxel, x and y
    up = axis != 0  # the head is up; in axial slices the nose is, which comes first in the array
    middle = np.array([center[columns], center[rows]])
    turn = np.array([1.0, -1.0 if up else 1.0])

    def to_units(points_xy: np.ndarray) -> np.ndarray:
        return np.asarray((points_xy - middle) * scale * turn + SIDE / 2)

    bar_mm = next((b for b in BARS_MM if b <= 0.4 * size_mm), 5)
    return PlanePicture(
        title=TITLES[axis],
        place=place_text(case.geometry, axis, at[axis]),
        letters=LETTERS[axis],
        image=_image(np.take(case.hu, at[axis], axis=axis), middle, size_mm, (spacing[columns], spacing[rows]), up),
        outlines=tuple(_outlines(case, axis, at[axis], organ, to_units)),
        bar=round(SIDE * bar_mm / size_mm, 2),
        bar_mm=bar_mm,
        mark=tuple(np.round(to_units(np.array([at[columns], at[rows]])), 1).tolist()) if mark else None,
    )


def _outlines(case: UprightCase, axis: int, index: int, organ: str | None, to_units: object) -> list[Outline]:
    """Return the outlines of one slice: neighbours first, the organ's own contour last, so that it lies on top."""
    found = []
    slices = {kind: None if a is None else np.take(a, index, axis=axis) for kind, a in
              (("contour", case.labels), ("model", case.model), ("shape-prior", case.shape_prior))}  # fmt: skip
    for name, (now, then, prior) in case.values.items():
        wanted = [("contour" if organ in (None, name) else "neighbour", "contour", now)]
        if name == organ:
            wanted = [("shape-prior", "shape-prior", prior), ("model", "model", then), *wanted]
        for kind, source, value in wanted:
            labels = slices[source]
            path = _path(labels == value, to_units) if labels is not None and value else ""
            if path:
                found.append(Outline(kind, path, case.colors[name] if kind in ("contour", "neighbour") else "", name))
    order = {"neighbour": 0, "shape-prior": 1, "model": 2, "contour": 3}
    return sorted(found, key=lambda o: order[o.kind])


def _path(mask: np.ndarray, to_units: object) -> str:
    """Return the SVG path of a 2D mask's outlines (rows, columns), half-way between voxel centres; "" for an empty one."""
    from contourpy import contour_generator

    if not mask.any():
        return ""
    lines = contour_generator(z=np.pad(mask.astype(np.float32), 1)).lines(0.5)
    parts = []
    for line in lines:
        points = np.asarray(to_units(np.asarray(line) - 1.0))  # type: ignore[operator]
        parts.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z")
    return "".join(parts)


def _image(hu: np.ndarray, middle_xy: np.ndarray, size_mm: float, spacing_xy: tuple[float, float], up: bool) -> str:
    """Return the square around ``middle_xy`` (column, row) as a grey JPEG; black beyond the scan."""
    from PIL import Image

    offsets_mm = (np.arange(PIXELS) + 0.5) / PIXELS * size_mm - size_mm / 2
    columns = middle_xy[0] + offsets_mm / spacing_xy[0]
    rows = middle_xy[1] + (-offsets_mm if up else offsets_mm) / spacing_xy[1]
    low, high = WINDOW_HU
    grey = np.clip((hu.astype(np.float32) - low) / (high - low), 0, 1)
    grid = np.broadcast_to(rows[:, None], (PIXELS, PIXELS)), np.broadcast_to(columns[None], (PIXELS, PIXELS))
    sampled = ndimage.map_coordinates(grey, grid, order=3, mode="constant", cval=0.0)
    pixels = np.clip(sampled * 255 + 0.5, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
