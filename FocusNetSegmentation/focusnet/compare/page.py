"""The comparison as one HTML page, with pictures of where the two models differ most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..image.organs import find_organ
from ..image.segmentation import OrganResult, Segmentation
from ..reports.render import write_page
from ..reports.slice_pictures import PlanePicture, css_color, organ_pictures, upright_case
from ..version import __version__
from ..wording import DISCLAIMER
from .models import CaseContours, Comparison, Row
from .paired import FEWEST_PATIENTS, Difference, signed
from .summary import Summary, label, sentence

MOST_PICTURES = 6
SMALLEST_CHANGE = 0.005  # of the DSC: what is less is not worth a picture


@dataclass(frozen=True)
class Picture:
    """One organ of one case as approved, and as both models drew it."""

    row: Row
    change: float
    panels: tuple[PlanePicture, ...]


@dataclass
class LargestChanges:
    """Collects the pictures of the organs whose DSC changed most, at most one of a case. Give ``look`` to ``compare_models``."""

    pictures: list[Picture] = field(default_factory=list)

    def look(self, rows: Sequence[Row], drawn: CaseContours) -> None:
        """Draw the organ of a case that changed most, if it belongs to the largest changes so far."""
        changes = [(abs(c), c, row) for row in rows if (c := _change(row)) is not None]
        if not changes:
            return
        size, change, row = max(changes, key=lambda entry: entry[0])
        full = len(self.pictures) == MOST_PICTURES
        if size < SMALLEST_CHANGE or (full and size <= abs(self.pictures[-1].change)):
            return
        self.pictures.append(Picture(row, change, _panels(row.organ, drawn)))
        self.pictures.sort(key=lambda picture: -abs(picture.change))
        del self.pictures[MOST_PICTURES:]


def _change(row: Row) -> float | None:
    return row.new.dsc - row.old.dsc if row.old is not None and row.new is not None else None


def _panels(organ: str, drawn: CaseContours) -> tuple[PlanePicture, ...]:
    parts = [
        _alone(organ, mask, drawn)
        for mask in (drawn.approved.mask(organ), drawn.old.mask(organ), drawn.new.mask(organ))
    ]
    return organ_pictures(upright_case(drawn.volume, *parts), organ)


def _alone(name: str, mask: np.ndarray, drawn: CaseContours) -> Segmentation:
    organ = find_organ(name)
    assert organ is not None  # a bundle names no other
    found = OrganResult(
        organ=organ, label=1, found=bool(mask.any()), volume_ml=float(mask.sum()) * drawn.volume.geometry.voxel_ml
    )
    return Segmentation(mask.astype(np.uint8), drawn.volume.geometry, (found,), {})


def write_comparison_page(
    comparison: Comparison, summary: Summary, pictures: Sequence[Picture], path: Path, overwrite: bool = False
) -> None:
    """Write the page. Raises OutputError."""
    write_page("compare.html.j2", content(comparison, summary, pictures), path, overwrite)


def content(comparison: Comparison, summary: Summary, pictures: Sequence[Picture]) -> dict[str, Any]:
    """Return what the template shows."""
    lineage = comparison.new.manifest.get("lineage") or []
    organs = [
        {
            "name": o.organ,
            "color": _color(o.organ),
            "verdict": o.verdict,
            "tag": {"better": "approved", "worse": "look", "not to tell": ""}[o.verdict],
            "patients": o.dsc.patients,
            "measures": [_measure(o.dsc, 3), _measure(o.surface_dsc, 3), _measure(o.added_path_mm, 0)],
        }
        for o in summary.organs
    ]
    shown = [
        {
            "organ": p.row.organ,
            "case": p.row.case,
            "color": _color(p.row.organ),
            "panels": p.panels,
            "old": p.row.old.dsc if p.row.old else None,
            "new": p.row.new.dsc if p.row.new else None,
        }
        for p in pictures
    ]
    return {
        "title": f"{label(comparison.old)} and {label(comparison.new)}",
        "sentence": sentence(summary),
        "old": f"{label(comparison.old)} ({comparison.old.digest[:8]})",
        "new": f"{label(comparison.new)} ({comparison.new.digest[:8]})",
        "learned": f"{lineage[-1]['cases']} corrected cases, {lineage[-1]['date']}" if lineage else "",
        "cases": len({row.case for row in comparison.rows}),
        "patients": summary.everything.patients,
        "fewest": FEWEST_PATIENTS,
        "organs": organs,
        "new_organs": summary.new_organs,
        "pictures": shown,
        "notes": comparison.notes,
        "disclaimer": DISCLAIMER,
        "version": __version__,
    }


def _color(name: str) -> str:
    organ = find_organ(name)
    return css_color(organ.color_rgb) if organ is not None else "#808080"


def _measure(value: Difference, digits: int) -> dict[str, str]:
    interval = "" if value.p != value.p else f"{signed(value.low, digits)} to {signed(value.high, digits)}"
    return {
        "old": f"{value.old:.{digits}f}",
        "new": f"{value.new:.{digits}f}",
        "change": signed(value.mean, digits),
        "interval": interval,
    }
