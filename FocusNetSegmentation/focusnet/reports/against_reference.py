"""Draw a result beside its reference: three slices, a table of scores, and every small organ close up. Solid: result; dashed: reference.

Radiological view as in ``overview``: the patient's right on the image's left, nose up (axial) or left (sagittal), head up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from scipy import ndimage

from ..files.atomic_write import atomic_path, check_output
from ..image.orientation import to_upright
from ..image.segmentation import Segmentation
from ..image.volume import Geometry, Volume
from .overview import ACCENT, BACKGROUND, DIM, DPI, TEXT, WINDOW_HU, choose_slices, draw_footer, place_text

SMALL_ML = 40.0  # an organ up to this size by the reference is shown close up
MOST_TILES = 14  # close-ups; the smallest organs first
TILES_A_ROW = 7
CLOSE_UP_MM = (36.0, 110.0)  # the least and the most that a close-up shows
MARGIN_MM = 9.0  # around an organ in its close-up
AROUND_MM = 38.0  # around all organs in the overview
WIDTH_IN, SLICES_IN, TABLE_IN, GAP_IN, EDGE_IN, FOOTER_IN, CAPTION_IN = 13.4, 5.6, 3.3, 0.1, 0.16, 0.34, 0.26
LARGEST_TILE_IN, KEY_IN, LEAST_ROW_IN, MOST_ROW_IN = 2.12, 0.65, 0.19, 0.27
LETTERS = (("R", "L", "A", "P"), ("R", "L", "S", "I"), ("A", "P", "S", "I"))  # left, right, top, bottom of each plane
PLANES = ("Axial", "Coronal", "Sagittal")
BONE_WINDOW_HU, BONE_HU = (-500.0, 1700.0), 200.0  # for organs in bone: with a median above BONE_HU about them
BRAIN_WINDOW_HU, BRAIN_HU, MOSTLY = (
    (-30.0, 100.0),
    (-40.0, 100.0),
    0.9,
)  # for organs with little else than BRAIN_HU about them
DASHES = (0, (3.0, 2.0))
SHADE = [withStroke(linewidth=2.2, foreground="black")]


class Score(Protocol):
    """How well an organ was drawn, as ``evaluation.evaluate`` says it; distances in mm."""

    @property
    def organ(self) -> str: ...
    @property
    def dsc(self) -> float: ...
    @property
    def mean_surface_distance_mm(self) -> float: ...
    @property
    def volume_predicted_ml(self) -> float: ...
    @property
    def volume_reference_ml(self) -> float: ...


@dataclass(frozen=True)
class Pair:
    """Scan, result and reference on one upright grid (z, y, x). ``values``: organ -> its label in result and reference."""

    hu: np.ndarray
    geometry: Geometry
    result: np.ndarray
    reference: np.ndarray
    values: dict[str, tuple[int, int]]
    colors: dict[str, tuple[float, float, float]]


@dataclass(frozen=True)
class Cut:
    """Which part of which slice is drawn: the upright ``axis`` (z, y, x) that it cuts at ``index``, the ``box`` that is shown, its grey values."""

    axis: int
    index: int
    box: tuple[slice, ...]
    window_hu: tuple[float, float] = WINDOW_HU

    def of(self, array: np.ndarray) -> np.ndarray:
        """Return this part of an array (z, y, x); rows go up the page: to the nose, or to the head."""
        row_axis, column_axis = (a for a in range(3) if a != self.axis)
        part = np.take(array, self.index, axis=self.axis)[self.box[row_axis], self.box[column_axis]]
        return np.asarray(part[::-1] if self.axis == 0 else part)


def against_reference_picture(
    volume: Volume,
    result: Segmentation,
    reference: Segmentation,
    scores: Sequence[Score],
    path: Path | str,
    overwrite: bool = False,
) -> None:
    """Write a PNG of ``result`` over ``reference`` for the organs of ``scores``. All lie on one grid. Raises OutputError."""
    check_output(path, overwrite, (".png",))
    figure = draw_pair(
        upright_pair(volume, result, reference, [row.organ for row in scores]), scores, result.provenance
    )
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png", metadata={"Title": "FocusNet result against its reference"})


def upright_pair(volume: Volume, result: Segmentation, reference: Segmentation, organs: Sequence[str]) -> Pair:
    """Return scan and both segmentations on upright axes, with the labels of ``organs``, which both must name."""
    hu, geometry, _, _ = to_upright(volume.array, volume.geometry)
    ours, theirs = ({row.organ.name: row for row in s.results} for s in (result, reference))
    labels = [to_upright(s.labels, s.geometry)[0] for s in (result, reference)]
    colors = {name: tuple(part / 255 for part in ours[name].organ.color_rgb) for name in organs}
    return Pair(hu, geometry, labels[0], labels[1], {n: (ours[n].label, theirs[n].label) for n in organs}, colors)  # type: ignore[arg-type]


def draw_pair(pair: Pair, scores: Sequence[Score], provenance: dict[str, object]) -> Figure:
    """Return the picture as a matplotlib Figure."""
    small = sorted((row for row in scores if row.volume_reference_ml <= SMALL_ML), key=lambda r: r.volume_reference_ml)
    shown = {row.organ for row in small[:MOST_TILES]}
    tiles = [row for row in scores if row.organ in shown]
    rows = -(-len(tiles) // TILES_A_ROW)
    columns = max(1, -(-len(tiles) // max(1, rows)))
    side = min(LARGEST_TILE_IN, (WIDTH_IN - 2 * EDGE_IN - (columns - 1) * GAP_IN) / columns)
    box = _box_around_organs(pair)
    sizes_mm = [(part.stop - part.start) * step for part, step in zip(box, pair.geometry.spacing_mm_zyx, strict=True)]
    room = WIDTH_IN - 2 * EDGE_IN - 3 * GAP_IN - TABLE_IN
    scale = min(SLICES_IN / max(sizes_mm[:2]), room / (2 * sizes_mm[2] + sizes_mm[1]))  # inches per mm
    upper = max(sizes_mm[0] * scale, sizes_mm[1] * scale + KEY_IN, (len(scores) + 1) * LEAST_ROW_IN)
    height = EDGE_IN + upper + rows * (side + CAPTION_IN + GAP_IN) + FOOTER_IN
    figure = Figure(figsize=(WIDTH_IN, height), dpi=DPI, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    _slices(figure, pair, box, scale, height - EDGE_IN)
    corner = (WIDTH_IN - EDGE_IN - TABLE_IN, height - EDGE_IN - upper)
    _table(_axes(figure, (*corner, TABLE_IN, upper)), pair, scores, upper)
    for number, row in enumerate(tiles):
        down, across = divmod(number, columns)
        left = EDGE_IN + across * (side + GAP_IN)
        bottom = height - EDGE_IN - upper - (down + 1) * (side + CAPTION_IN + GAP_IN)
        _close_up(_axes(figure, (left, bottom, side, side)), pair, row)
    draw_footer(figure, provenance, (WIDTH_IN, height), False)
    return figure


def _axes(figure: Figure, box_in: tuple[float, float, float, float]) -> Axes:
    wide, high = figure.get_size_inches()
    left, bottom, width, height = box_in
    made: Axes = figure.add_axes((left / wide, bottom / high, width / wide, height / high), facecolor="black")
    made.set_axis_off()
    return made


def _slices(figure: Figure, pair: Pair, box: Sequence[slice], scale: float, top: float) -> None:
    """Draw a coronal, a sagittal and an axial slice of ``box`` side by side at ``scale`` (inches per mm), and what the lines mean."""
    z_in, y_in, x_in = (
        (part.stop - part.start) * step * scale for part, step in zip(box, pair.geometry.spacing_mm_zyx, strict=True)
    )
    inside = choose_slices(pair.reference[tuple(box)], [labels[1] for labels in pair.values.values()])
    at = [part.start + index for part, index in zip(box, inside, strict=True)]
    left = EDGE_IN
    for plane, wide, high in ((1, x_in, z_in), (2, y_in, z_in), (0, x_in, y_in)):
        axes = _axes(figure, (left, top - high, wide, high))
        _draw_plane(axes, pair, Cut(plane, at[plane], tuple(box)), list(pair.values))
        _letters(axes, plane)
        title = f"{PLANES[plane]}\n{place_text(pair.geometry, plane, at[plane])}"
        style: dict[str, Any] = {"va": "top", "fontsize": 8, "color": TEXT, "path_effects": SHADE}
        axes.text(0.02, 0.985, title, transform=axes.transAxes, **style)
        left += wide + GAP_IN
    _line_key(figure, left - GAP_IN - x_in, top - y_in - 0.1, x_in)


def _line_key(figure: Figure, left: float, top: float, wide: float) -> None:
    axes = _axes(figure, (left, top - 0.55, wide, 0.55))
    axes.set_xlim(0, wide)
    axes.set_ylim(0, 0.55)
    for y, style, text in ((0.4, (0, ()), "solid: the result"), (0.17, DASHES, "dashed: the reference")):
        axes.add_line(
            Line2D([0.05, 0.5], [y, y], color="white" if style is DASHES else ACCENT, linewidth=1.5, linestyle=style)
        )
        axes.text(0.6, y, text, color=TEXT, fontsize=8.5, va="center")


def _box_around_organs(pair: Pair) -> tuple[slice, slice, slice]:
    """Return the box around the reference's organs and a margin, within the scan."""
    found = ndimage.find_objects(
        np.isin(pair.reference, [labels[1] for labels in pair.values.values()]).astype(np.uint8)
    )
    organs = found[0] if found else tuple(slice(0, n) for n in pair.reference.shape)
    z, y, x = (
        slice(max(0, part.start - round(AROUND_MM / step)), min(size, part.stop + round(AROUND_MM / step)))
        for part, size, step in zip(organs, pair.reference.shape, pair.geometry.spacing_mm_zyx, strict=True)
    )
    return z, y, x


def _draw_plane(axes: Axes, pair: Pair, cut: Cut, organs: Sequence[str], line: float = 1.1) -> None:
    """Draw one slice: CT, reference dashed, result solid. Coordinates are mm on the page, its second axis upwards."""
    row_axis, column_axis = (a for a in range(3) if a != cut.axis)
    row_mm, column_mm = pair.geometry.spacing_mm_zyx[row_axis], pair.geometry.spacing_mm_zyx[column_axis]
    image, result, reference = cut.of(pair.hu), cut.of(pair.result), cut.of(pair.reference)
    high, wide = image.shape[0] * row_mm, image.shape[1] * column_mm
    page: dict[str, Any] = {"extent": (0, wide, 0, high), "origin": "lower", "aspect": "auto"}
    low_hu, high_hu = cut.window_hu
    axes.imshow(image, cmap="gray", vmin=low_hu, vmax=high_hu, interpolation="bicubic", **page)
    dashed: dict[str, Any] = {"colors": ["white"], "linewidths": 0.75 * line, "linestyles": [DASHES]}
    for name in organs:
        ours, theirs = pair.values[name]
        _outline(axes, result == ours, row_mm, column_mm, colors=[pair.colors[name]], linewidths=line)
        _outline(axes, reference == theirs, row_mm, column_mm, **dashed)
    axes.set_xlim(0, wide)
    axes.set_ylim(0, high)


def _outline(axes: Axes, mask: np.ndarray, row_mm: float, column_mm: float, **style: Any) -> None:
    if mask.any():
        padded = np.pad(mask, 1).astype(float)  # so that outlines close at the picture's edge
        y, x = (np.arange(padded.shape[0]) - 0.5) * row_mm, (np.arange(padded.shape[1]) - 0.5) * column_mm
        axes.contour(x, y, padded, levels=[0.5], **style)


def _letters(axes: Axes, plane: int) -> None:
    places = (
        (0.015, 0.5, "left", "center"),
        (0.985, 0.5, "right", "center"),
        (0.5, 0.985, "center", "top"),
        (0.5, 0.015, "center", "bottom"),
    )
    for letter, (x, y, horizontal, vertical) in zip(LETTERS[plane], places, strict=True):
        axes.text(
            x,
            y,
            letter,
            transform=axes.transAxes,
            ha=horizontal,
            va=vertical,
            color=ACCENT,
            fontsize=9,
            weight="bold",
            path_effects=SHADE,
        )


def _close_up(axes: Axes, pair: Pair, row: Score) -> None:
    """Draw the plane in which an organ is largest, around the organ, and its name and scores above."""
    mask = pair.reference == pair.values[row.organ][1]
    axes.set_title(row.organ, fontsize=8.5, color=TEXT, loc="left", pad=3, x=0.0)
    score = f"DSC {row.dsc:.2f}" if row.volume_predicted_ml > 0 else "not found"
    axes.set_title(score, fontsize=8.5, color=score_color(row.dsc), loc="right", pad=3, x=1.0)
    found = ndimage.find_objects(mask.astype(np.uint8))
    if not found:
        return
    cut, side = _close_up_cut(pair, mask, found[0])
    _draw_plane(axes, pair, cut, [name for name in pair.values if name != row.organ] + [row.organ], line=1.4)
    axes.set_aspect("equal")
    bar: dict[str, Any] = {"color": TEXT, "path_effects": SHADE}
    axes.plot([0.06 * side, 0.06 * side + 10], [0.06 * side] * 2, linewidth=2, solid_capstyle="butt", **bar)
    axes.text(0.06 * side + 5, 0.08 * side, "10 mm", ha="center", va="bottom", fontsize=6.5, **bar)


def _close_up_cut(pair: Pair, mask: np.ndarray, around: Sequence[slice]) -> tuple[Cut, float]:
    """Return the square cut through an organ's largest slice, and its side in mm. ``around``: the box of ``mask``, bool (z, y, x)."""
    spacing = pair.geometry.spacing_mm_zyx
    extent = [(part.stop - part.start) * step for part, step in zip(around, spacing, strict=True)]
    upright = extent[0] > 2.0 * max(extent[1:])  # such an organ is seen from the side
    axis = int(np.argmin(extent)) if upright else 0
    index = int(mask.sum(axis=tuple(a for a in range(3) if a != axis)).argmax())
    widest = max(size for a, size in enumerate(extent) if a != axis)
    side = float(np.clip(widest + 2 * MARGIN_MM, *CLOSE_UP_MM))
    box = []
    for part, step, size in zip(around, spacing, mask.shape, strict=True):
        wanted = max(2, round(side / step))
        first = int(np.clip(round((part.start + part.stop - wanted) / 2), 0, max(0, size - wanted)))
        box.append(slice(first, min(size, first + wanted)))
    near = pair.hu[tuple(slice(max(0, part.start - 2), part.stop + 2) for part in around)]
    return Cut(axis, index, tuple(box), window_for(near)), side


def window_for(hu: np.ndarray) -> tuple[float, float]:
    """Return the grey values (HU) in which an organ is seen among what lies about it: those of bone, of the brain, or of soft tissue."""
    if np.median(hu) > BONE_HU:
        return BONE_WINDOW_HU
    low, high = BRAIN_HU
    return BRAIN_WINDOW_HU if np.mean((hu > low) & (hu < high)) > MOSTLY else WINDOW_HU


def score_color(dsc: float) -> str:
    """Return a colour for a DSC: a quiet green, yellow, red."""
    return "#7ee787" if dsc >= 0.7 else ACCENT if dsc >= 0.4 else "#ff7b72"


def _table(axes: Axes, pair: Pair, scores: Sequence[Score], high: float) -> None:
    """Draw one row an organ: name, DSC as a bar and a number, mean distance of the surfaces."""
    step = min(MOST_ROW_IN, high / (len(scores) + 1))
    axes.set_xlim(0, TABLE_IN)
    axes.set_ylim(high, 0)
    size = 8.5 if step > 0.2 else 7.5
    for x, text, align in ((0.22, "organ", "left"), (2.25, "DSC", "center"), (TABLE_IN - 0.02, "surface mm", "right")):
        axes.text(x, 0.5 * step, text, color=DIM, fontsize=size - 1, ha=align, va="center")
    for number, row in enumerate(scores, start=1):
        y = (number + 0.5) * step
        axes.add_patch(Rectangle((0.02, y - 0.055), 0.13, 0.11, facecolor=pair.colors[row.organ]))
        axes.text(0.22, y, row.organ, color=TEXT, fontsize=size, va="center")
        axes.add_patch(Rectangle((1.55, y - 0.04), 0.7, 0.08, facecolor="#2a2e33"))
        axes.add_patch(Rectangle((1.55, y - 0.04), 0.7 * row.dsc, 0.08, facecolor=score_color(row.dsc)))
        axes.text(2.62, y, f"{row.dsc:.2f}", color=TEXT, fontsize=size, va="center", ha="right")
        distance = f"{row.mean_surface_distance_mm:.1f}" if np.isfinite(row.mean_surface_distance_mm) else "-"
        axes.text(TABLE_IN - 0.02, y, distance, color=TEXT, fontsize=size, va="center", ha="right")
