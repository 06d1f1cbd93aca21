"""Audit files: a model's own results against what a person made of them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..evaluation.case_pairs import pairs
from ..files.atomic_write import atomic_path, check_output, json_text
from ..image.drawn_by import same_model
from ..image.segmentation import Segmentation
from ..image.volume import Volume
from ..io.read import read_segmentation
from ..io.review_tags import active_s, read_reviews, with_run
from ..io.suffixes import AUDITS
from .audit import FORMAT_VERSION, Audit, as_dict, audit, text_table


@dataclass(frozen=True)
class AuditOptions:
    """How files are audited.

    ``tolerance_mm``: of the surface DSC. ``editor``: who edited, before the names in the files. ``ct``: the scan that an RTSTRUCT was
    drawn on.
    """

    tolerance_mm: float = 2.0
    editor: str = ""
    ct: Volume | None = None


DEFAULT = AuditOptions()


@dataclass(frozen=True)
class FileAudit:
    """The audit of one case.

    ``notes``: what a reader must know about the two files. ``states``: review states of the edited file, where it has them.
    """

    case: str
    audit: Audit
    notes: tuple[str, ...] = ()
    states: Mapping[str, str] | None = None


def audit_files(
    model: Path,
    edited: Path,
    options: AuditOptions = DEFAULT,
    out: Path | None = None,
    overwrite: bool = False,
) -> tuple[str, list[str]]:
    """Audit two files, or every file of ``model`` with the one of the same name in ``edited``; return (text, notes) for a terminal.

    Seconds of work and the editor's name come from the segments' tags where the panel kept them. ``out``: JSON or
    CSV. Raises InputError, OutputError.
    """
    if out is not None:
        check_output(out, overwrite, AUDITS)
    found = [audit_file(case, ours, theirs, options) for case, ours, theirs in pairs(model, edited)]
    if out is not None:
        _write(found, out)
    several = len(found) > 1
    text = "\n\n".join((f"{f.case}\n" if several else "") + text_table(f.audit) for f in found)
    return text, [f"{f.case}: {note}" if several else note for f in found for note in f.notes]


def audit_file(case: str, model: Path, edited: Path, options: AuditOptions = DEFAULT) -> FileAudit:
    """Audit one case. Raises InputError, also where the two files are of different runs of a model and so no edit of each other."""
    frozen = read_segmentation(model, None, options.ct)
    frozen = with_run(frozen, read_reviews(model, frozen))
    after = read_segmentation(edited, None, options.ct)
    reviews = read_reviews(edited, after)
    after = with_run(after, reviews)
    known = {r.organ.name for s in (frozen, after) for r in s.results}
    who = options.editor or ", ".join(dict.fromkeys(r.approved_by for r in reviews.values() if r.approved_by))
    times = {name: seconds for name, seconds in active_s(reviews).items() if name in known}
    states = {name: review.state for name, review in reviews.items()}
    return FileAudit(
        case, audit(frozen, after, options.tolerance_mm, times, who), tuple(run_notes(frozen, after)), states or None
    )


def run_notes(frozen: Segmentation, edited: Segmentation) -> list[str]:
    """Return a sentence if the two are not of the same run of a model: differences are then no edits."""
    before, after = frozen.provenance, edited.provenance
    if after.get("model") and not before.get("model"):
        return [
            "The first file names no model and the second does: the model's copy comes first, the edited one second."
        ]
    both = {r.organ.name for r in frozen.results} & {r.organ.name for r in edited.results}
    if not same_model(before, after, both):
        named = [f"{p.get('model')} {p.get('model_version') or ''}".strip() for p in (before, after)]
        return [f"The copy is of model {named[0]}, the edited file of {named[1]}: differences are not edits alone."]
    return []


def _write(found: Sequence[FileAudit], out: Path) -> None:
    if out.name.lower().endswith(".csv"):
        rows = [{"case": f.case, **_head(f), **organ} for f in found for organ in as_dict(f.audit)["organs"]]
        if not rows:
            raise InputError("Neither file has an organ; there is nothing to audit.")
        with atomic_path(out) as partial, partial.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows({k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()} for row in rows)
        return
    content: dict[str, Any] = case_dict(found[0])
    if len(found) > 1:
        content = {"format": FORMAT_VERSION, "cases": [case_dict(f) for f in found]}
    with atomic_path(out) as partial:
        partial.write_text(json_text(content, indent=1) + "\n", encoding="utf-8")


def _head(found: FileAudit) -> dict[str, Any]:
    return {"model": found.audit.model, "editor": found.audit.editor, "tolerance_mm": found.audit.tolerance_mm}


def case_dict(found: FileAudit) -> dict[str, Any]:
    """Return one case as plain values: the audit, its notes, and the organs' review states."""
    content = {**as_dict(found.audit), "case": found.case, "notes": list(found.notes)}
    for organ in content["organs"]:
        organ["state"] = (found.states or {}).get(organ["organ"])
    return content
