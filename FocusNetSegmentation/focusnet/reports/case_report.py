"""Make a case's page from files (``focusnet report SEG --ct CT``)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files.atomic_write import check_output
from ..image.regrid import put_on_grid
from ..io import read_volume
from ..io.read import read_segmentation
from ..io.review_tags import active_s, read_reviews, with_run
from ..io.suffixes import PAGES
from ..qa.audit import audit
from .case_page import CaseReport, model_notes, write_case_page
from .case_scores import scored


@dataclass(frozen=True)
class CaseInputs:
    """Files and settings beside the segmentation and its CT.

    ``qa``: scores that were made before; without them they are made now, with the shape priors of small organs. ``model_copy``: the result
    before editing. ``shape_prior``: the shapes that the autoencoder expects. ``series``, ``hu_offset``: how the CT is read.
    """

    qa: Path | None = None
    model_copy: Path | None = None
    shape_prior: Path | None = None
    series: str | None = None
    hu_offset: float | None = None


NO_INPUTS = CaseInputs()


def report_file(
    segmentation: Path, ct: Path, out: Path, inputs: CaseInputs = NO_INPUTS, title: str = "", overwrite: bool = False
) -> list[str]:
    """Write the page; return sentences for the user, which stand on the page too. Raises InputError, OutputError."""
    check_output(out, overwrite, PAGES)
    scores = read_qa(inputs.qa) if inputs.qa is not None else None
    volume = read_volume(ct, series=inputs.series, hu_offset=inputs.hu_offset)
    result = read_segmentation(segmentation, None, volume)
    reviews = read_reviews(segmentation, result)
    result, notes = put_on_grid(with_run(result, reviews), volume.geometry, volume.source or str(ct))
    notes += [f"{n} was approved, but changed since; it counts as edited." for n, r in reviews.items() if r.withdrawn]
    copies = []
    for path in (inputs.model_copy, inputs.shape_prior):
        copy = (
            None if path is None else put_on_grid(read_segmentation(path, None, volume), volume.geometry, volume.source)
        )
        copies.append(copy[0] if copy else None)
    edits = None
    if copies[0] is not None:
        known = {r.organ.name for s in (copies[0], result) for r in s.results}
        times = {name: seconds for name, seconds in active_s(reviews).items() if name in known}
        who = ", ".join(dict.fromkeys(r.approved_by for r in reviews.values() if r.approved_by))
        edits = audit(copies[0], result, active_s=times, editor=who)
    prior = copies[1]
    if scores is None:
        scores, made = scored(result, volume)
        prior = prior or made
    report = CaseReport(volume, result, scores, copies[0], prior, edits, reviews, title, tuple(notes))
    write_case_page(report, out, overwrite)
    return [*notes, *model_notes(report)]


def read_qa(path: Path) -> dict[str, Any]:
    """Return the JSON of ``focusnet qa``. Raises InputError for anything else."""
    content = read_json(path)
    organs = content.get("organs") if isinstance(content, dict) else None
    if (
        not isinstance(organs, list)
        or not organs
        or not all(isinstance(o, Mapping) and "state_hint" in o for o in organs)
    ):
        raise InputError(f"{path} holds no scores; the JSON that 'focusnet qa -o' writes is expected.")
    if not all(isinstance(o.get("organ"), str) for o in organs):
        raise InputError(f"{path} has an organ without a name; write it again with 'focusnet qa'.")
    return dict(content)


def read_json(path: Path) -> Any:
    """Return the content of a JSON file. Raises InputError."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise InputError(
            f"{path} cannot be read as JSON ({problem}); it may be damaged or something else."
        ) from problem
