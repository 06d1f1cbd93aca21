"""Draw one picture of a result: axial, coronal and sagittal slice with contours, legend and scale, in radiological view.

The patient's right is on the image's left, the nose points up (axial) or left (sagittal), the head is up, whatever the axis order
of the file was. Drawn with matplotlib's Agg canvas alone: no window, no pyplot state, so a server or a thread can call it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from scipy import ndimage

from ..errors import InputError
from ..files.atomic_write import atomic_path, check_output
from ..image.body import BODY_GRID_MM, BODY_HU
from ..image.drawn_by import caution_of, is_merged, models_of
from ..image.orientation import is_oblique, to_upright
from ..image.orientation_doubt import doubt_text
from ..image.segmentation import OrganResult, Segmentation
from ..image.volume import Geometry, Volume
from ..wording import DISCLAIMER, RESEARCH_ONLY

WINDOW_HU = (-160.0, 240.0)  # the usual soft-tissue window: width 400, level 40
SYNTHETIC_FOOTER = f"Synthetic phantom, not a patient. {RESEARCH_ONLY}"
SIMULATED_FOOTER = f"Simulated CT, not a patient's scan. {RESEARCH_ONLY}"
MADE_UP_FOOTERS = {"synthetic": SYNTHETIC_FOOTER, "simulated": SIMULATED_FOOTER}
FOOTER = DISCLAIMER
ORGAN_MARGIN_MM = 45.0  # of anatomy around the organs, for orientation
BODY_MARGIN_MM = 8.0
SMALLEST_SIDE_MM = 60.0  # a smaller picture does not show which part of the body it is
SHOWN_WEIGHT = 0.85  # how much less an organ counts for the next slice once a slice shows it at its widest
BACKGROUND, TEXT, DIM, ACCENT, ALARM = "#101214", "#e8eaed", "#8b9096", "#ffd866", "#ff7b72"

DPI = 150
LARGEST_IN = (8.6, 9.0)  # width and height of the three slices together, inches
GAP_IN, EDGE_IN, FOOTER_IN = 0.08, 0.14, 0.3
WARNING_IN = 0.42  # two lines about the scan's orientation, above the footer
WARNING_WIDTH_IN = 15.0  # letters of them on an inch
NARROW_IN = 2.5  # a slice narrower than this has its title in two lines, clear of the letter at its top
CAUTION_MARK = "*"  # behind the organs of a model that asks for caution, where others drew the rest
LEGEND_NOTE_LETTERS = 19.0  # of the legend's notes on an inch
NOTE_LINE_IN = 0.13
LONGEST_NAME = 18  # characters that fit beside a volume; TG-263 names have 16 at most
LEGEND_WIDTH_IN, ROW_IN = 2.45, 0.205  # one legend column; one legend row


@dataclass(frozen=True)
class Panel:
    """One slice to draw. ``axis``: the upright array axis (z, y, x) that it cuts at ``index``. ``letters``: left,
    right, top, bottom."""

    title: str
    axis: int
    index: int
    letters: tuple[str, str, str, str]


@dataclass(frozen=True)
class ShownScan:
    """The scan and its labels on the upright grid, cut to the part that is worth showing."""

    hu: np.ndarray
    labels: np.ndarray
    geometry: Geometry
    results: tuple[OrganResult, ...]


def overview(
    volume: Volume, segmentation: Segmentation, path: Path | str, overwrite: bool = False, report: str = ""
) -> None:
    """Write a PNG of the slices that show most organs, with contours in the organs' colours.

    The legend gives every organ that was asked for, its volume in ml, and which were not found or carry a warning; ``report``: the name of the
    file in which these can be read, "" if there is none.
    ``volume`` and ``segmentation`` must share their grid (InputError). Raises OutputError.
    """
    check_output(path, overwrite, (".png",))
    figure = draw(volume, segmentation, report)
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png", metadata={"Title": "FocusNet overview", "Description": FOOTER})


def draw(volume: Volume, segmentation: Segmentation, report: str = "") -> Figure:
    """Return the picture of ``overview`` as a matplotlib Figure, to show in a notebook or to save in another format.

    Raises InputError if the two lie on different grids.
    """
    if not volume.geometry.same_grid_as(segmentation.geometry):
        raise InputError(
            "The scan and the segmentation lie on different grids; the segmentation of this very scan is expected."
        )
    return _figure(_shown_scan(volume, segmentation), segmentation.provenance, report)


def choose_slices(labels: np.ndarray, values: Sequence[int]) -> tuple[int, int, int]:
    """Return indices (z, y, x) of an axial, a coronal and a sagittal slice that together show most organs, each near its widest.

    ``labels`` (z, y, x). The middle of the array where there is no organ.
    """
    chosen = [n // 2 for n in labels.shape]
    weight = np.ones(len(values))
    for axis in range(3):
        areas = _areas(labels, axis)[:, list(values)].astype(float)  # (slices, organs)
        widest = areas.max(axis=0, initial=0.0)
        visible = np.sqrt(areas / np.where(widest > 0, widest, 1.0))
        score = visible @ weight
        if score.size and score.max() > 0:
            best = np.flatnonzero(score >= score.max() - 1e-9)
            chosen[axis] = int(best[len(best) // 2])
            weight = weight * (1.0 - SHOWN_WEIGHT * visible[chosen[axis]])
    return chosen[0], chosen[1], chosen[2]


def _areas(labels: np.ndarray, axis: int) -> np.ndarray:
    """Return the voxels of each label (columns 0 to 255) in each slice along ``axis`` (rows)."""
    slices = np.moveaxis(labels, axis, 0)
    return np.stack([np.bincount(part.ravel(), minlength=256) for part in slices])


def _shown_scan(volume: Volume, segmentation: Segmentation) -> ShownScan:
    hu, geometry, _, _ = to_upright(volume.array, volume.geometry)
    labels, _, _, _ = to_upright(segmentation.labels, segmentation.geometry)
    box = _box_to_show(hu, labels, geometry)
    origin = geometry.index_to_mm(np.array([part.start for part in box]))
    shown = hu[box]
    cut = Geometry(shown.shape, geometry.spacing_mm_xyz, tuple(origin), geometry.direction_xyz)
    return ShownScan(shown, labels[box], cut, segmentation.results)


def _box_to_show(hu: np.ndarray, labels: np.ndarray, geometry: Geometry) -> tuple[slice, slice, slice]:
    """Return the box around the organs and a margin, no wider than the body: shoulders and air would make the organs small."""
    spacing_zyx = geometry.spacing_mm_zyx
    boxes = ndimage.find_objects((labels > 0).astype(np.uint8))
    organs = boxes[0] if boxes else tuple(slice(0, n) for n in labels.shape)
    margin_mm = ORGAN_MARGIN_MM if boxes else 0.0
    around = [_widen(organs[axis], margin_mm, hu.shape[axis], spacing_zyx[axis]) for axis in range(3)]
    body = _body_box(hu[around[0]], spacing_zyx)
    for axis in (1, 2):
        skin = _widen(body[axis], BODY_MARGIN_MM, hu.shape[axis], spacing_zyx[axis])
        first, last = max(around[axis].start, skin.start), min(around[axis].stop, skin.stop)
        wanted = slice(min(first, organs[axis].start), max(last, organs[axis].stop))
        around[axis] = _widen(wanted, 0.0, hu.shape[axis], spacing_zyx[axis])
    return around[0], around[1], around[2]


def _body_box(hu: np.ndarray, spacing_zyx: Sequence[float]) -> tuple[slice, ...]:
    """Return the box around the largest thing denser than fat, found on a coarse grid; everything where there is none."""
    steps = [max(1, int(BODY_GRID_MM / s)) for s in spacing_zyx]
    coarse = hu[:: steps[0], :: steps[1], :: steps[2]]
    parts, _ = ndimage.label(ndimage.binary_opening(coarse > BODY_HU, structure=np.ones((1, 3, 3), bool)))
    sizes = np.bincount(parts.ravel())[1:]
    if sizes.size == 0:
        return tuple(slice(0, n) for n in hu.shape)
    box = ndimage.find_objects(parts)[int(sizes.argmax())]
    return tuple(slice(part.start * step, part.stop * step) for part, step in zip(box, steps, strict=True))


def _widen(part: slice, margin_mm: float, size: int, spacing_mm: float) -> slice:
    """Return ``part`` and ``margin_mm`` more on each side, at least SMALLEST_SIDE_MM in all, within the scan."""
    short_mm = (SMALLEST_SIDE_MM - (part.stop - part.start) * spacing_mm) / 2
    margin = int(np.ceil(max(margin_mm, short_mm, 0.0) / spacing_mm))
    return slice(max(0, part.start - margin), min(size, part.stop + margin))


def _figure(scene: ShownScan, provenance: dict[str, object], report: str) -> Figure:
    """Lay out the slices at one scale: axial top left, coronal below it, sagittal beside that; the legend in the free corner."""
    present = [r for r in scene.results if r.label in np.unique(scene.labels)]
    at = choose_slices(scene.labels, [r.label for r in present])
    z_mm, y_mm, x_mm = (n * s for n, s in zip(scene.labels.shape, scene.geometry.spacing_mm_zyx, strict=True))
    scale = min(LARGEST_IN[0] / (x_mm + y_mm), LARGEST_IN[1] / (y_mm + z_mm))  # inches per mm
    width, depth, height = x_mm * scale, y_mm * scale, z_mm * scale
    columns = _legend_columns(len(scene.results), depth)
    right = max(depth, columns * LEGEND_WIDTH_IN)
    marked = {r.organ.name for r in scene.results if is_merged(provenance) and caution_of(provenance, r.organ.name)}
    told = [fill(text, int(LEGEND_NOTE_LETTERS * right)) for text in _merged_cautions(provenance, marked)]
    lines = sum(text.count("\n") + 1 for text in told)
    top = max(depth, (-(-len(scene.results) // columns) + 2) * ROW_IN + lines * NOTE_LINE_IN)
    warning = doubt_text(provenance)
    below = FOOTER_IN + (WARNING_IN if warning else 0.0)
    size = (2 * EDGE_IN + width + GAP_IN + right, EDGE_IN + top + GAP_IN + height + below)
    figure = Figure(figsize=size, dpi=DPI, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)

    def axes(left: float, bottom: float, wide: float, high: float) -> Axes:
        box = (left / size[0], bottom / size[1], wide / size[0], high / size[1])
        made: Axes = figure.add_axes(box, facecolor="black")
        made.set_axis_off()
        return made

    upper = below + height + GAP_IN
    across = EDGE_IN + width + GAP_IN
    _draw(axes(EDGE_IN, upper + top - depth, width, depth), scene, Panel("Axial", 0, at[0], ("R", "L", "A", "P")), at)
    _draw(axes(EDGE_IN, below, width, height), scene, Panel("Coronal", 1, at[1], ("R", "L", "S", "I")), at)
    _draw(axes(across, below, depth, height), scene, Panel("Sagittal", 2, at[2], ("A", "P", "S", "I")), at)
    drawn = {int(v) for axis in range(3) for v in np.unique(np.take(scene.labels, at[axis], axis=axis))}
    legend = axes(across, upper, right, top)
    _legend(legend, scene.results, drawn, columns, (right, top), marked)
    note = _legend_note(scene.results, drawn, report)
    rows = -(-len(scene.results) // columns)
    legend.text(0.1, (rows + 0.9) * ROW_IN, note, color=DIM, fontsize=7, va="center")
    if told:
        legend.text(0.1, (rows + 1.4) * ROW_IN, "\n".join(told), color=ACCENT, fontsize=7, va="top")
    draw_footer(figure, provenance, size, is_oblique(scene.geometry))
    if warning:
        place = (EDGE_IN / size[0], (FOOTER_IN + 0.45 * WARNING_IN) / size[1])
        letters = WARNING_WIDTH_IN * (size[0] - 2 * EDGE_IN)
        figure.text(*place, fill(warning, int(letters)), color=ALARM, fontsize=8.5, fontweight="bold", va="center")
    return figure


def _draw(axes: Axes, scene: ShownScan, panel: Panel, at: tuple[int, int, int]) -> None:
    """Draw one slice: CT, contours, where the other two slices cut it, letters, title, scale bar. Coordinates are mm on the page."""
    image = np.take(scene.hu, panel.index, axis=panel.axis)
    labels = np.take(scene.labels, panel.index, axis=panel.axis)
    if panel.axis == 0:
        image, labels = image[::-1], labels[::-1]  # the page's second axis points up: to the nose, or to the head
    row_axis, column_axis = (axis for axis in range(3) if axis != panel.axis)
    row_mm, column_mm = scene.geometry.spacing_mm_zyx[row_axis], scene.geometry.spacing_mm_zyx[column_axis]
    high, wide = image.shape[0] * row_mm, image.shape[1] * column_mm
    low_hu, high_hu = WINDOW_HU
    page: dict[str, Any] = {"extent": (0, wide, 0, high), "origin": "lower", "aspect": "auto"}
    axes.imshow(image, cmap="gray", vmin=low_hu, vmax=high_hu, interpolation="bicubic", **page)
    row = at[row_axis] if panel.axis != 0 else image.shape[0] - 1 - at[row_axis]
    line: dict[str, Any] = {"color": "white", "alpha": 0.3, "linewidth": 0.6, "linestyle": (0, (2, 4))}
    axes.plot([0, wide], [(row + 0.5) * row_mm] * 2, **line)
    axes.plot([(at[column_axis] + 0.5) * column_mm] * 2, [0, high], **line)
    for result in scene.results:
        _contour(axes, labels == result.label, result, row_mm, column_mm)
    _annotate(axes, panel, scene.geometry, wide, high)
    axes.set_xlim(0, wide)
    axes.set_ylim(0, high)


def _contour(axes: Axes, mask: np.ndarray, result: OrganResult, row_mm: float, column_mm: float) -> None:
    if not mask.any():
        return
    padded = np.pad(mask, 1).astype(float)  # so that contours close at the picture's edge
    y = (np.arange(padded.shape[0]) - 0.5) * row_mm
    x = (np.arange(padded.shape[1]) - 0.5) * column_mm
    color = _rgb(result)
    axes.contourf(x, y, padded, levels=[0.5, 2.0], colors=[color], alpha=0.22)
    axes.contour(
        x, y, padded, levels=[0.5], colors=["black"], alpha=0.55, linewidths=2.4
    )  # light organs lie on bone too
    axes.contour(x, y, padded, levels=[0.5], colors=[color], linewidths=1.3)


def _annotate(axes: Axes, panel: Panel, geometry: Geometry, wide: float, high: float) -> None:
    place = place_text(geometry, panel.axis, panel.index)
    # the same bar in all three slices, as they share one scale
    shortest_mm = min(n * s for n, s in zip(geometry.shape_zyx[1:], geometry.spacing_mm_zyx[1:], strict=True))
    shade = [withStroke(linewidth=2.0, foreground="black")]
    common: dict[str, Any] = {"path_effects": shade, "transform": axes.transAxes}
    letter: dict[str, Any] = {"color": ACCENT, "fontsize": 10, "weight": "bold", **common}
    left, right, top, bottom = panel.letters
    for text, x, y, horizontal, vertical in (
        (left, 0.012, 0.5, "left", "center"),
        (right, 0.988, 0.5, "right", "center"),
        (top, 0.5, 0.985, "center", "top"),
        (bottom, 0.5, 0.015, "center", "bottom"),
    ):
        axes.text(x, y, text, ha=horizontal, va=vertical, **letter)
    note: dict[str, Any] = {"color": TEXT, "fontsize": 8, **common}
    narrow = axes.bbox.width / DPI < NARROW_IN
    axes.text(0.012, 0.985, f"{panel.title}{chr(10) if narrow else '  '}{place}", ha="left", va="top", **note)
    bar = next((length for length in (100, 50, 20, 10) if length <= 0.35 * shortest_mm), 5)
    x0, y0 = 0.03 * wide, 0.03 * high
    edge = [withStroke(linewidth=3.2, foreground="black")]
    axes.plot([x0, x0 + bar], [y0, y0], color=TEXT, linewidth=2.0, solid_capstyle="butt", path_effects=edge)
    style: dict[str, Any] = {"color": TEXT, "fontsize": 7.5, "path_effects": shade}
    axes.text(x0 + bar / 2, y0 + 0.012 * high, f"{bar} mm", ha="center", va="bottom", **style)


def place_text(geometry: Geometry, axis: int, slice_index: int) -> str:
    """Return where a slice across ``axis`` of the upright grid lies, as Slicer's slice views say it: S 12.5 mm, P 40.0 mm, L 3.2 mm."""
    index = [(n - 1) / 2 for n in geometry.shape_zyx]
    index[axis] = slice_index
    mm = float(geometry.index_to_mm(np.array(index))[2 - axis])
    positive, negative = (("S", "I"), ("P", "A"), ("L", "R"))[axis]
    return f"{positive if mm >= 0 else negative} {abs(mm):.1f} mm"


def _legend_columns(rows: int, depth_in: float) -> int:
    return 1 if (rows + 2) * ROW_IN <= depth_in else 2


def _legend(
    axes: Axes,
    results: Sequence[OrganResult],
    drawn: set[int],
    columns: int,
    size_in: tuple[float, float],
    marked: Collection[str] = (),
) -> None:
    """Draw names and volumes, CAUTION_MARK behind the names of ``marked``. Filled box: contoured in these slices; open box: only elsewhere; dash: not found."""
    axes.set_xlim(0, size_in[0])
    axes.set_ylim(size_in[1], 0)
    rows = -(-len(results) // columns)
    wide = size_in[0] / columns
    for number, result in enumerate(results):
        column, row = divmod(number, rows)
        x, y = column * wide + 0.1, (row + 0.6) * ROW_IN
        empty = result.volume_ml <= 0
        if empty:
            axes.plot([x, x + 0.15], [y, y], color=DIM, linewidth=1.2)
        else:
            face = _rgb(result) if result.label in drawn else "none"
            axes.add_patch(Rectangle((x, y - 0.055), 0.15, 0.11, facecolor=face, edgecolor=_rgb(result), linewidth=1.2))
        color = DIM if empty else TEXT
        name = result.organ.name
        name = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "\N{HORIZONTAL ELLIPSIS}"
        name += CAUTION_MARK if result.organ.name in marked else ""
        axes.text(x + 0.25, y, name, color=color, fontsize=8.5, va="center")
        edge = column * wide + min(wide, 1.06 * LEGEND_WIDTH_IN) - 0.22
        size = "not found" if empty else f"{result.volume_ml:.{1 if result.volume_ml >= 1 else 2}f} ml"
        axes.text(edge, y, size, color=color, fontsize=8.5, va="center", ha="right")
        if result.warnings and not empty:
            grave = ALARM if result.alarms else ACCENT
            axes.text(edge + 0.06, y, "!", color=grave, fontsize=9, fontweight="bold", va="center")


def _legend_note(results: Sequence[OrganResult], drawn: set[int], report: str) -> str:
    if not any(r.volume_ml > 0 for r in results):
        return "No organ was found in this scan."
    notes = []
    if any(r.volume_ml > 0 and r.label not in drawn for r in results):
        notes.append("open box: not in these slices")
    there = [r for r in results if r.volume_ml > 0]
    if any(r.warnings for r in there):
        grave = " (red: look at it first)" if any(r.alarms for r in there) else ""
        notes.append(f"!: has a warning{grave}" + (f", see {report}" if report else ""))
    return "; ".join(notes)


def _merged_cautions(provenance: Mapping[str, Any], marked: Collection[str]) -> list[str]:
    """Return one sentence for each model of a merged result that asks for caution with the ``marked`` organs."""
    models = models_of(provenance) if marked else []
    return [f"{CAUTION_MARK} by {m['model']}: {m['caution']}" for m in models if m.get("caution")]


def draw_footer(figure: Figure, provenance: dict[str, object], size_in: tuple[float, float], oblique: bool) -> None:
    """Write whose scan it is and which model drew it below a picture of ``size_in`` inches."""
    y = 0.5 * FOOTER_IN / size_in[1]
    origin = (
        f"{provenance.get('source', '')} {provenance.get('notes', '')}".lower()
    )  # the notes come from the image's header
    text = next((line for word, line in MADE_UP_FOOTERS.items() if word in origin), FOOTER)
    figure.text(EDGE_IN / size_in[0], y, text, color=DIM, fontsize=7.5, va="center")
    model = provenance.get("model")
    notes = [f"Model {model} {provenance.get('model_version') or ''}".strip() if model else "No model named"]
    if provenance.get("caution"):
        notes.append(str(provenance["caution"]).rstrip("."))
    if oblique:
        notes.insert(0, "Oblique scan: slices follow the scanner's axes")
    figure.text(1 - EDGE_IN / size_in[0], y, ". ".join(notes), color=DIM, fontsize=7.5, va="center", ha="right")


def _rgb(result: OrganResult) -> tuple[float, float, float]:
    red, green, blue = result.organ.color_rgb
    return red / 255, green / 255, blue / 255
