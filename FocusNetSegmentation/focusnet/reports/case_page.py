"""Make one case's page: which organs to look at and why, pictures of them, a table, and how the contours were made."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..image.drawn_by import (
    caution_of,
    cautions,
    chosen_because,
    failures,
    is_merged,
    model_of,
    models_of,
    origins,
    same_model,
)
from ..image.orientation_doubt import doubt_text
from ..image.segmentation import OrganResult, Segmentation
from ..image.volume import Geometry, Volume
from ..io.json_report import DISCLAIMER
from ..io.review_tags import OrganReview
from ..qa.audit import Audit, OrganEdit
from ..version import __version__
from .cohort import models_differ
from .render import write_page
from .slice_pictures import css_color, organ_pictures, overview_pictures, upright_case

LOOK_AT = "look at"
SCAN_ID_LENGTH = 12
SAME_SCAN_NOTE = "the scan and the segmentation lie on different grids"
PROVENANCE = (
    ("Model", "model"), ("Version", "model_version"), ("SHA-256 of the model", "bundle_sha256"), ("FocusNet", "focusnet_version"),
    ("PyTorch", "torch_version"), ("Device", "device"), ("Precision", "precision"), ("Engine", "backend"),
    ("Created", "created"), ("Seconds", "seconds"),
)  # fmt: skip


@dataclass(frozen=True)
class CaseReport:
    """Everything that one case's page shows.

    ``qa``: the plain values of ``focusnet qa``. ``model_copy``: the result before editing. ``shape_prior``: the shape
    autoencoder's reconstruction. Both are on the same grid. ``notes``: sentences for the page.
    """

    volume: Volume
    segmentation: Segmentation
    qa: Mapping[str, Any] | None = None
    model_copy: Segmentation | None = None
    shape_prior: Segmentation | None = None
    audit: Audit | None = None
    reviews: Mapping[str, OrganReview] = field(default_factory=dict)
    title: str = ""
    notes: tuple[str, ...] = ()


def write_case_page(report: CaseReport, path: Path | str, overwrite: bool = False) -> None:
    """Write the page. Raises InputError where scan and contours lie on different grids, OutputError."""
    write_page("case.html.j2", case_content(report), path, overwrite)


def case_content(report: CaseReport) -> dict[str, Any]:
    """Return what the template shows, as plain values. Raises InputError where scan and contours lie on different grids."""
    for other in (report.segmentation, report.model_copy, report.shape_prior):
        if other is not None and not other.geometry.same_grid_as(report.volume.geometry):
            raise InputError(
                f"A report needs one grid, but {SAME_SCAN_NOTE}; the segmentation of this very scan is expected."
            )
    case = upright_case(report.volume, report.segmentation, report.model_copy, report.shape_prior)
    known = report.segmentation.provenance
    organs = [_organ(result, report) for result in report.segmentation.results]
    scan = scan_id(report.volume)
    ranked = _ranked(organs, report)
    for organ in ranked:
        organ["panels"] = organ_pictures(case, organ["name"], organ["mark"]) if organ["shown"] else ()
    synthetic = (
        "synthetic" in " ".join([str(known.get("source", "")), report.volume.source, *report.volume.notes]).lower()
    )
    return {
        "title": report.title or f"Case report {scan}",
        "disclaimer": DISCLAIMER,
        "version": __version__,
        "warnings": [
            *filter(None, [doubt_text(known)]),
            *(["Synthetic phantom, not a patient."] if synthetic else []),
            *cautions(known),
            *failures(known),
            *model_notes(report),
        ],
        "scan_id": scan,
        "grid": grid_text(report.volume.geometry),
        "model": f"{known.get('model') or ''} {known.get('model_version') or ''}".strip(),
        "review": _review_text(organs, report),
        "list_title": "Where to look first",
        "list_note": _list_note(report),
        "ranked": ranked,
        "flagged": any(organ["shown"] for organ in ranked),
        "organs": organs,
        "present": [o for o in organs if o["volume_ml"]],
        "overview": overview_pictures(case),
        "merged": is_merged(known),
        "origins": origins(known),
        "has_model": report.model_copy is not None,
        "has_shape_prior": report.shape_prior is not None,
        "has_qa": report.qa is not None,
        "editor": report.audit.editor if report.audit else "",
        "provenance": _provenance(known),
        "notes": list(dict.fromkeys([*map(str, known.get("notes") or ()), *report.volume.notes, *report.notes,
                                     *map(str, (report.qa or {}).get("notes") or ())])),
    }  # fmt: skip


def _provenance(known: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return name and value of each line of "How it was made"; of a merged result the identity of each model."""
    merged = is_merged(known)
    shown = [(name, str(known[key])) for name, key in PROVENANCE if known.get(key) not in (None, "", [])]
    if not merged:
        return shown
    models = [
        (f"Model {model['model']}", f"version {model.get('model_version')}, SHA-256 {model.get('bundle_sha256')}")
        for model in models_of(known)
    ]
    return [
        *models,
        *((name, value) for name, value in shown if name not in ("Model", "Version", "SHA-256 of the model")),
    ]


def scan_id(volume: Volume) -> str:
    """Return a number that tells scans apart and reveals nothing about the patient: from a SHA-256 of size, spacing and HU."""
    digest = hashlib.sha256(repr((volume.array.shape, np.round(volume.geometry.spacing_mm_xyz, 4).tolist())).encode())
    for part in volume.array:
        digest.update(np.ascontiguousarray(part, np.float32).tobytes())
    return digest.hexdigest()[:SCAN_ID_LENGTH]


def grid_text(geometry: Geometry) -> str:
    """Return a grid's size and spacing in words, x by y by z."""
    x, y, z = geometry.shape_zyx[::-1]
    spacing = " \N{MULTIPLICATION SIGN} ".join(f"{s:.4g}" for s in geometry.spacing_mm_xyz)
    return f"{x} \N{MULTIPLICATION SIGN} {y} \N{MULTIPLICATION SIGN} {z} voxels of {spacing} mm"


def model_notes(report: CaseReport) -> list[str]:
    """Return a sentence for each of scores and model's copy that belongs to another model than the contours."""
    own = _model(report.segmentation.provenance)
    notes = []
    if (
        report.qa is not None
        and (scored := _model(_renamed(report.qa.get("model") or {})))
        and models_differ(own, scored)
    ):
        notes.append(
            f"Scored for contours of {_name(scored)}, but these contours are by {_name(own)}: score them again."
        )
    if report.model_copy is not None and not _same_models(report.segmentation, report.model_copy):
        copy = _model(report.model_copy.provenance)
        notes.append(
            f"The model's copy is by {_name(copy)}, the contours by {_name(own)}: their differences are not edits alone."
        )
    return notes


def _same_models(one: Segmentation, other: Segmentation) -> bool:
    both = {r.organ.name for r in one.results} & {r.organ.name for r in other.results}
    return same_model(one.provenance, other.provenance, both)


def _model(known: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(known[key]) for key in ("model", "model_version", "bundle_sha256") if known.get(key)}


def _renamed(model: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": model.get("name"), "model_version": model.get("version"), "bundle_sha256": model.get("sha256")}


def _name(model: Mapping[str, str]) -> str:
    return f"{model.get('model', 'a model')} {model.get('model_version', '')} ({model.get('bundle_sha256', 'no hash')[:8]})".replace(
        "  ", " "
    )


def _organ(result: OrganResult, report: CaseReport) -> dict[str, Any]:
    name, known = result.organ.name, report.segmentation.provenance
    scored = _scored(report.qa).get(name, {})
    edit = next((o for o in report.audit.organs if o.organ == name), None) if report.audit else None
    review = report.reviews.get(name)
    return {
        "name": name,
        "title": result.organ.title,
        "color": css_color(result.organ.color_rgb),
        "volume_ml": result.volume_ml,
        "peak": result.place_certainty,
        "mark": result.peak_mm_xyz,
        "status": result.status,
        "state": _state(review, edit),
        "state_text": review.state_text if review is not None and review.absent else _state(review, edit),
        "remarks": list(result.warnings),
        "small_remarks": list(result.notes),
        "alarm": bool(result.alarms),
        "model": model_of(known, name),
        "why": chosen_because(known, name),
        "caution": caution_of(known, name),
        "score": _finite(scored.get("score")),
        "group": str(scored.get("state_hint") or ("see remarks" if result.warnings else "no remark")),
        "reasons": [str(r) for r in scored.get("reasons") or ()] or list(result.warnings) or ["Nothing was remarked."],
        "edit": _edit(edit),
        "changed": bool(edit and edit.changed),
        "panels": (),
    }


def _state(review: OrganReview | None, edit: OrganEdit | None) -> str:
    """Return the review's state; for contours that no model drew only what the model's copy tells."""
    if review is not None and review.state == "approved":
        return review.state
    if edit is not None:
        return "edited" if edit.changed else "draft"
    return "" if review is None or review.by_hand else review.state


def _edit(edit: OrganEdit | None) -> dict[str, Any]:
    names = ("dsc", "hd95_mm", "added_path_mm", "volume_change_ml", "active_s")
    return {name: getattr(edit, name, None) for name in names}


def _ranked(organs: list[dict[str, Any]], report: CaseReport) -> list[dict[str, Any]]:
    """Return the organs in the order of the ranking; without one, organs with remarks first.

    Organs that the ranking does not name come last.
    """
    order = {name: n for n, name in enumerate(_scored(report.qa))}
    if report.qa is None:
        listed = sorted(organs, key=lambda o: (not o["remarks"], not o["changed"]))
    else:
        listed = sorted(organs, key=lambda o: order.get(o["name"], len(order)))
    for rank, organ in enumerate(listed, start=1):
        organ["look"] = organ["group"] == LOOK_AT or organ["alarm"] or (report.qa is None and bool(organ["remarks"]))
        organ["shown"] = organ["look"] or organ["changed"]
        organ["rank"] = _scored(report.qa).get(organ["name"], {}).get("rank", rank)
        if organ["changed"]:
            plain = not organ["look"] and report.qa is None
            organ["group"] = "edited" if plain else organ["group"]
            organ["reasons"] = [*([] if plain else organ["reasons"]), "Edited by a person."]
    return listed


def _scored(qa: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
    return {str(entry["organ"]): entry for entry in (qa or {}).get("organs") or ()}


def _list_note(report: CaseReport) -> str:
    if report.qa is None:
        return "No scores were given: organs with remarks of the model come first."
    return str(report.qa.get("disclaimer") or "Scores are hints where to look, not verdicts.")


def _review_text(organs: list[dict[str, Any]], report: CaseReport) -> str:
    approved = [o for o in organs if o["state"] == "approved"]
    edited = [o for o in organs if o["state"] == "edited"]
    if not approved and not edited:
        return "no organ was edited or approved yet"
    who = ", ".join(dict.fromkeys(r.approved_by for r in report.reviews.values() if r.approved_by))
    return f"{len(approved)} of {len(organs)} organs approved{f' by {who}' if who else ''}, {len(edited)} edited"


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


__all__ = ["CaseReport", "case_content", "grid_text", "model_notes", "scan_id", "write_case_page"]
