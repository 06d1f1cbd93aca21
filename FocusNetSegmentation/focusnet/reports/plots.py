"""Plots of many cases as SVG text in the page's own colours, light or dark. matplotlib draws them; no window is opened."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..image.organs import ORGANS, find_organ
from .cohort import Cohort, CohortCase
from .slice_pictures import css_color

INK, RULE, WARN, ACCENT = "#010203", "#010204", "#010205", "#010206"  # stand-ins, replaced by the page's colours
COLORS = {INK: "var(--ink)", RULE: "var(--rule)", WARN: "var(--warn-rule)", ACCENT: "var(--accent)"}
ROW_IN, WIDTH_IN = 0.27, 9.2
UNKNOWN = "#808080"
MOST_DOTS = (
    400  # of an organ: more cannot be told apart, and ten thousand cases would make a page of a hundred megabytes
)
ORDER = {organ.name: n for n, organ in enumerate(ORGANS)}


def by_table_order(names: Sequence[str] | Mapping[str, object]) -> list[str]:
    """Return organs in the organ table's order, unknown names last."""
    return sorted(dict.fromkeys(names), key=lambda n: (ORDER.get(n, len(ORDER)), n))


def color_of(name: str) -> str:
    """Return an organ's CSS colour; grey for an unknown name."""
    organ = find_organ(name)
    return css_color(organ.color_rgb) if organ is not None else UNKNOWN


def rows_plot(
    cohort: Cohort,
    values: Callable[[CohortCase], Mapping[str, float]],
    label: str,
    log: bool = False,
    limit: float | None = None,
) -> str:
    """Return a plot with one row per organ, one dot per case and a bar at the median; "" without values.

    A hollow diamond is a case of another model.
    """
    organs = by_table_order([name for case in cohort.cases for name in values(case)])
    if not organs:
        return ""
    figure, axes = _figure((WIDTH_IN, 0.75 + ROW_IN * len(organs)), 1)
    ax = axes[0]
    for row, organ in enumerate(organs):
        found = [(case, values(case)[organ]) for case in cohort.cases if organ in values(case)]
        for n, (case, value) in enumerate(spread_out(found)):
            odd = cohort.odd_model(case)
            offset = 0.22 * ((n * 0.618) % 1 - 0.5)  # so that equal values stay apart, the same way each time
            ax.plot(value, row + offset, "D" if odd else "o", ms=5.5, mew=1.2, mfc="none" if odd else color_of(organ),
                    mec=color_of(organ) if odd else INK, alpha=0.9)  # fmt: skip
        ax.plot([float(np.median([v for _, v in found]))] * 2, [row - 0.36, row + 0.36], color=INK, lw=2)
    ax.set_yticks(range(len(organs)), [_plain(o) for o in organs])
    ax.set_ylim(len(organs) - 0.4, -0.6)
    if log:
        from matplotlib.ticker import FuncFormatter, LogLocator

        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        ax.xaxis.set_minor_formatter(FuncFormatter(lambda v, _: ""))
    if limit is not None:
        ax.axvline(limit, color=WARN, lw=1.5, ls=(0, (4, 2)))
    ax.grid(axis="x", color=RULE, lw=0.7)
    ax.set_xlabel(label)
    return _svg(figure, label)


def spread_out(found: list[tuple[CohortCase, float]]) -> list[tuple[CohortCase, float]]:
    """Return all dots, or MOST_DOTS of them at equal steps from the lowest value to the highest, so that both ends are shown."""
    if len(found) <= MOST_DOTS:
        return found
    by_value = sorted(found, key=lambda entry: entry[1])
    return [by_value[round(n)] for n in np.linspace(0, len(by_value) - 1, MOST_DOTS)]


def drift_plot(cohort: Cohort) -> str:
    """Return a plot over the cases in the order in which they were made; "" if there are fewer than three.

    It shows volumes against each organ's median, organs to look at, and added path.
    """
    cases = cohort.cases
    if len(cases) < 3:
        return ""
    size = -(-len(cases) // MOST_DOTS)  # cases that share a dot: one until there are more than fit
    groups = [cases[start : start + size] for start in range(0, len(cases), size)]
    x = np.array([1 + size * n + (len(group) - 1) / 2 for n, group in enumerate(groups)])
    panels: list[tuple[str, Callable[[Any], None]]] = []
    if any(case.volumes_ml for case in cases):
        panels.append(("volume / organ's median", lambda ax: _relative_volumes(ax, groups, x)))
    if any("qa" in case.kinds for case in cases):
        flagged = [_mean(len(case.look_at) for case in group if "qa" in case.kinds) for group in groups]
        panels.append(("organs to look at", lambda ax: _bars(ax, x, flagged, WARN, size)))
    if any(case.edits for case in cases):
        path = [_mean(c.added_path_mm for c in group if c.added_path_mm is not None) for group in groups]
        panels.append(("added path, mm", lambda ax: _bars(ax, x, path, ACCENT, size)))
    if not panels:
        return ""
    figure, axes = _figure((WIDTH_IN, 0.6 + 1.75 * len(panels)), len(panels))
    for ax, (label, draw) in zip(axes, panels, strict=True):
        draw(ax)
        ax.set_ylabel(label, fontsize=8.5)
        ax.grid(axis="y", color=RULE, lw=0.7)
        for n, (before, after) in enumerate(pairwise(cases), start=1):
            if before.model and after.model and before.model != after.model:
                ax.axvline(n + 0.5, color=WARN, lw=1.5)
        ax.set_xlim(0.4, len(cases) + 0.6)
    numbers = range(1, len(cases) + 1, max(1, len(cases) // 20))
    axes[-1].set_xticks(list(numbers), [str(n) for n in numbers])
    means = f"; means of {size} cases each" if size > 1 else ""
    axes[-1].set_xlabel(f"case, by the number in the table, in the order in which they were made{means}")
    return _svg(figure, "drift")


def _relative_volumes(ax: Any, groups: Sequence[Sequence[CohortCase]], x: np.ndarray) -> None:
    """Draw each organ's volume over its median in all cases, as the mean of each group, and the median of a group's organs."""
    volumes: dict[str, list[float]] = {}
    for group in groups:
        for case in group:
            for name, volume in case.volumes_ml.items():
                volumes.setdefault(name, []).append(volume)
    medians = {name: float(np.median(values)) for name, values in volumes.items()}
    middle = []
    for number, group in zip(x, groups, strict=True):
        ratios = {
            name: _mean(c.volumes_ml[name] / medians[name] for c in group if name in c.volumes_ml)
            for name in by_table_order([name for case in group for name in case.volumes_ml])
        }
        for name, ratio in ratios.items():
            ax.plot(number, ratio, "o", ms=4.5, mfc=color_of(name), mec="none", alpha=0.8)
        middle.append(float(np.median(list(ratios.values()))) if ratios else np.nan)
    ax.plot(x, middle, color=INK, lw=1.4)
    ax.axhline(1.0, color=RULE, lw=1.2)


def _mean(values: Iterable[float]) -> float:
    given = list(values)
    return sum(given) / len(given) if given else float("nan")


def _bars(ax: Any, x: np.ndarray, values: Sequence[float], color: str, size: int) -> None:
    ax.bar(x, values, width=0.6 * size, color=color)
    ax.set_ylim(bottom=0)


def _figure(size_in: tuple[float, float], panels: int) -> tuple[Any, list[Any]]:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=size_in, layout="constrained", facecolor="none")
    FigureCanvasSVG(figure)
    axes = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
    for ax in axes:
        ax.set_facecolor("none")
        ax.tick_params(which="both", colors=INK, labelsize=9)
        ax.xaxis.label.set_color(INK)
        ax.yaxis.label.set_color(INK)
        for side, spine in ax.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(RULE)
        ax.set_axisbelow(True)
    return figure, list(axes)


def _svg(figure: Any, salt: str) -> str:
    """Return the figure as an svg element: text stays text, no metadata, colours that follow the page."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = re.sub(r"<metadata>.*?</metadata>", "", buffer.getvalue(), flags=re.DOTALL)
    text = text[text.index("<svg") :]
    for stand_in, color in COLORS.items():
        text = text.replace(stand_in, color)
    return text.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


def _plain(name: str) -> str:
    """Escape the dollar sign, which matplotlib takes for mathematics."""
    return name.replace("$", r"\$")
