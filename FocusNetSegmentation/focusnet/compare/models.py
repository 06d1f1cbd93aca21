"""Contour the same cases with two models and score both against what people approved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import ndimage

from ..datasets.collected import is_collected, read_collection
from ..datasets.file_dataset import Dataset
from ..datasets.raw_contours import Contours
from ..errors import DatasetError
from ..image.segmentation import Segmentation
from ..image.volume import Volume
from ..inference.options import SegmentOptions
from ..inference.segment import segment_scan
from ..metrics import dice, surface_distances
from ..nets.bundle import ModelBundle
from ..progress import Progress, ProgressCallback, silent
from ..qa.audit import added_path_mm

TOLERANCE_MM = 2.0
FEWEST_EDITS = 5  # timed corrections from which a pace of drawing is taken


@dataclass(frozen=True)
class Scores:
    """One model's contour of one organ against the approved one. ``added_path_mm``: length of contour that a person still has to draw.

    An organ that is rightly not drawn scores 1 and leaves nothing to draw.
    """

    dsc: float
    surface_dsc: float
    added_path_mm: float


@dataclass(frozen=True)
class Row:
    """One organ of one case. ``old`` or ``new`` is None where that model does not know the organ."""

    case: str
    patient: str
    organ: str
    old: Scores | None
    new: Scores | None


@dataclass(frozen=True)
class CaseContours:
    """What was approved in a case and what both models drew there, for pictures. ``labels`` by organ: bool masks (z, y, x)."""

    volume: Volume
    approved: Contours
    old: Segmentation
    new: Segmentation


@dataclass
class Comparison:
    """``rows``: every approved organ of every case that one of the models knows. ``seconds_per_mm``: of drawing, as it was timed in the data
    set's audits; None where too few were. ``notes``: sentences for the reader."""

    old: ModelBundle
    new: ModelBundle
    rows: list[Row] = field(default_factory=list)
    seconds_per_mm: float | None = None
    notes: list[str] = field(default_factory=list)


Look = Callable[[Sequence[Row], CaseContours], object]  # is shown each case once it is scored


def compare_models(
    comparison: Comparison,
    data: Dataset,
    cases: Sequence[tuple[str, str]],
    device: str = "auto",
    progress: ProgressCallback = silent,
    look: Look | None = None,
) -> Comparison:
    """Score both models on ``cases``, (split, name) each, and return ``comparison`` with its rows.

    Raises DatasetError where no case has an approved organ that one of the models knows.
    """
    old, new = (SegmentOptions(bundle, device=device) for bundle in (comparison.old, comparison.new))
    for number, (split, name) in enumerate(cases):
        progress(Progress("Contouring with both models", number / len(cases), f"case {number + 1} of {len(cases)}"))
        approved = data.read(split, name)
        if approved.hu is None:
            raise DatasetError(f"Case {name} has contours but no CT; both models need it to contour.")
        volume = Volume(approved.hu, approved.geometry, name)
        drawn = CaseContours(volume, approved, segment_scan(volume, old), segment_scan(volume, new))
        rows = list(_rows(drawn, comparison))
        comparison.rows.extend(rows)
        if look is not None and rows:
            look(rows, drawn)
    if not comparison.rows:
        known = ", ".join(comparison.new.config.organs)
        raise DatasetError(
            f"{data.folder}: no held-out case has an approved organ that {comparison.new.name} knows ({known})."
        )
    comparison.seconds_per_mm = seconds_per_mm(data.folder)
    progress(Progress("Done", 1.0))
    return comparison


def _rows(drawn: CaseContours, comparison: Comparison) -> Iterator[Row]:
    approved = drawn.approved
    for organ in comparison.new.config.organs:
        if organ in approved.contoured:
            old = organ_scores(drawn.old, approved, organ) if organ in comparison.old.config.organs else None
            yield Row(
                approved.name, approved.patient or approved.name, organ, old, organ_scores(drawn.new, approved, organ)
            )


def organ_scores(drawn: Segmentation, approved: Contours, organ: str) -> Scores:
    """Return the scores of one organ, whose mask is compared in a box around both contours."""
    found, truth = drawn.mask(organ), approved.mask(organ)
    boxes = ndimage.find_objects((found | truth).astype(np.uint8))
    if not boxes:
        return Scores(1.0, 1.0, 0.0)
    found, truth = np.ascontiguousarray(found[boxes[0]]), np.ascontiguousarray(truth[boxes[0]])
    surface = surface_distances(found, truth, approved.geometry.spacing_mm_zyx).surface_dice(TOLERANCE_MM)
    return Scores(dice(found, truth), surface, added_path_mm(found, truth, approved.geometry)[0])


def seconds_per_mm(folder: Path) -> float | None:
    """Return how long people took for a millimetre of added path in a collected folder's audits; None where fewer than FEWEST_EDITS were timed."""
    if not is_collected(folder):
        return None
    organs = [organ for case in read_collection(folder).cases for organ in (case.audit or {}).get("organs", [])]
    timed = [o for o in organs if o.get("changed") and o.get("active_s") and o.get("added_path_mm")]
    if len(timed) < FEWEST_EDITS:
        return None
    return float(sum(o["active_s"] for o in timed) / sum(o["added_path_mm"] for o in timed))
