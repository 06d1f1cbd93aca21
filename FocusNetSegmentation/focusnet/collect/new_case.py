"""A case that is to be collected, in memory: checked, cropped, and without anything that names the patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import InputError
from ..image.body import body_box
from ..image.drawn_by import MODELS, TAKEN, is_merged, models_of
from ..image.label_boxes import labelled_box
from ..image.organs import ORGANS, find_organ
from ..image.orientation import to_upright
from ..image.segmentation import OrganResult, Segmentation
from ..image.volume import Geometry, Volume
from ..io.ct_checks import SMALL_FIELD_MM
from ..io.review_tags import OrganReview
from ..qa.audit import Audit, as_dict, audit

Box = tuple[slice, slice, slice]
MODEL_KEYS = {"name": "model", "version": "model_version", "bundle_sha256": "bundle_sha256"}


@dataclass(frozen=True)
class NewCase:
    """``hu``: int16 (z, y, x) on ``geometry``, as are ``approved`` and ``drawn`` (the model's own result, None where it is not known).

    ``patient``: the patient's number, "" where it is not known; it goes no further than its hash. ``facts``: what case.json gets of the review.
    """

    hu: np.ndarray
    geometry: Geometry
    approved: Segmentation
    drawn: Segmentation | None
    patient: str
    facts: Mapping[str, Any]
    notes: tuple[str, ...] = field(default=())


def new_case(
    volume: Volume,
    approved: Segmentation,
    reviews: Mapping[str, OrganReview],
    drawn: Segmentation | None = None,
    patient: str = "",
) -> NewCase:
    """Return the case. ``volume``, ``approved`` (approved organs alone, all of them known) and ``drawn`` lie on one grid.

    ``reviews``: of the approved organs. ``patient``: the number of the patient; by default the one in the CT's DICOM files.
    Raises InputError if there is no body in the CT.
    """
    hu, upright, _, _ = to_upright(volume.array, volume.geometry)
    labels = [_upright_labels(s, [r for r in s.results if find_organ(r.organ.name)]) for s in (approved, drawn) if s]
    box = _around(body_box(hu, upright), [labelled_box(part) for part, _ in labels], upright)
    geometry = replace(
        upright,
        shape_zyx=tuple(s.stop - s.start for s in box),
        origin_mm_xyz=tuple(upright.index_to_mm(np.array([s.start for s in box]))),
    )
    model = (_model(drawn) if drawn is not None else None) or _model(approved)
    made = (drawn if drawn is not None and drawn.provenance.get("model") else approved).provenance
    several = [dict(m) for m in models_of(made)] if is_merged(made) else []
    about = {MODEL_KEYS[key]: value for key, value in (model or {}).items() if value is not None}
    about |= {MODELS: several} if several else {}
    kept, *others = [
        Segmentation(np.ascontiguousarray(part[box]), geometry, results, provenance)
        for (part, results), provenance in zip(labels, ({}, about), strict=False)
    ]
    frozen = others[0] if others else None
    found = patient or str((volume.dicom_uids.get("patient") or {}).get("PatientID", ""))  # type: ignore[attr-defined]
    return NewCase(
        hu=_as_int16(hu[box]),
        geometry=geometry,
        approved=kept,
        drawn=frozen,
        patient=found.strip(),
        facts={"model": model, **_models(several), **_facts(kept, frozen, reviews)},
    )


def _facts(approved: Segmentation, drawn: Segmentation | None, reviews: Mapping[str, OrganReview]) -> dict[str, Any]:
    names = [r.organ.name for r in approved.results]
    made = {} if drawn is None else {r.organ.name: r.label for r in drawn.results}
    compared = _audit(approved, drawn, reviews) if drawn is not None else None
    changed = {} if compared is None else {o.organ: o.changed for o in compared.organs}
    organs = {}
    for name in names:
        review = reviews[name]
        by_hand = review.by_hand and name not in made
        as_drawn = not changed[name] if name in changed else (False if by_hand else review.as_drawn)
        organs[name] = {"as_drawn": as_drawn, "by_hand": by_hand, "active_s": review.active_s}
    content = None if compared is None else {k: v for k, v in as_dict(compared).items() if k not in ("editor", "model")}
    absent = [r.organ.name for r in approved.results if not r.volume_ml]
    return {"contoured": names, "absent": absent, "organs": organs, "audit": content}


def _audit(approved: Segmentation, drawn: Segmentation, reviews: Mapping[str, OrganReview]) -> Audit | None:
    """Return what was changed in the organs that both have; None if there is none."""
    both = {r.organ.name for r in approved.results} & {r.organ.name for r in drawn.results}
    if not both:
        return None
    before, after = (replace(s, results=tuple(r for r in s.results if r.organ.name in both)) for s in (drawn, approved))
    times = {name: s for name in both if (s := reviews[name].active_s) is not None}
    return audit(before, after, active_s=times)


def _model(segmentation: Segmentation) -> dict[str, Any] | None:
    """Return name, version and hash of the model; None if the contours name none."""
    known = segmentation.provenance
    if not known.get("model"):
        return None
    return {key: None if known.get(source) is None else str(known[source]) for key, source in MODEL_KEYS.items()}


def _models(several: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what case.json says of the models of a merged result: the identity of each, and its organs."""
    told = [
        {name: str(m.get(key) or "") for name, key in MODEL_KEYS.items()} | {"organs": list(m.get(TAKEN) or ())}
        for m in several
    ]
    return {"models": told} if told else {}


def _upright_labels(
    segmentation: Segmentation, results: Sequence[OrganResult]
) -> tuple[np.ndarray, tuple[OrganResult, ...]]:
    """Return the labels on the upright grid (z, y, x) with values in the order of the organ table, and their results."""
    order = {organ.name: place for place, organ in enumerate(ORGANS)}
    ordered = sorted(results, key=lambda r: order[r.organ.name])
    table = np.zeros(256, np.uint8)
    for value, result in enumerate(ordered, start=1):
        table[result.label] = value
    labels, _, _, _ = to_upright(segmentation.labels, segmentation.geometry)
    return table[labels], tuple(replace(r, label=value) for value, r in enumerate(ordered, start=1))


def _around(body: Box, organs: Sequence[Box | None], upright: Geometry) -> Box:
    """Return the box around the body, and around organs that reach out of it.

    An axis with such an organ is kept from its first voxel, so that the coarse grid that the body is found on keeps its voxels (see
    ``image.body``). An axis that would become shorter than a usual field of view is kept whole: readers ask whether it can be a head at all.
    """
    boxes = [box for box in organs if box is not None]
    parts = []
    for axis, spacing_mm in enumerate(upright.spacing_mm_zyx):
        low, high = body[axis].start, max([body[axis].stop, *(box[axis].stop for box in boxes)])
        if (high - low) * spacing_mm < SMALL_FIELD_MM:
            low, high = 0, upright.shape_zyx[axis]
        parts.append(slice(low if all(box[axis].start >= low for box in boxes) else 0, high))
    return parts[0], parts[1], parts[2]


def _as_int16(hu: np.ndarray) -> np.ndarray:
    """Return HU as training reads them: whole numbers; values of a CT that are whole already stay as they are."""
    whole = np.rint(hu) if hu.dtype.kind == "f" else hu
    return np.ascontiguousarray(np.clip(whole, -32768, 32767), dtype=np.int16)


def check_approved(reviews: Mapping[str, OrganReview], organs: Sequence[str] | None, name: str) -> list[str]:
    """Return the approved organs, or those of ``organs``. Raises InputError if there is none, or one of ``organs`` is not approved."""
    approved = [organ for organ, review in reviews.items() if review.state == "approved"]
    if organs is not None:
        missing = [organ for organ in organs if organ not in approved]
        if missing:
            there = f"approved are {', '.join(approved)}" if approved else "no organ is"
            raise InputError(
                f"{name}: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not approved; {there}. "
                "Approve it in the review in 3D Slicer, or leave it out."
            )
        return list(organs)
    if not approved:
        withdrawn = [organ for organ, review in reviews.items() if review.withdrawn]
        changed = f" {', '.join(withdrawn)} changed after the approval." if withdrawn else ""
        raise InputError(
            f"{name} has no approved organ, and only approved ones are collected.{changed} "
            "Approve organs in the review in 3D Slicer and save the segmentation as .seg.nrrd."
        )
    return approved
