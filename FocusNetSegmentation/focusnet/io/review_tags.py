"""Read what a review in 3D Slicer left in the segments' tags of a ``.seg.nrrd``: state, who approved, time spent, and who drew the organ.

The panel writes these tags (docs/export.md names them). They count only as long as the voxels are the same: the file may have been edited
since by a program that knows nothing of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from ..errors import InputError
from ..image.drawn_by import by_several_models, merged_from_runs
from ..image.orientation_doubt import DOUBT
from ..image.segmentation import Segmentation
from .seg_nrrd import organ_of_segment
from .segment_tags import (
    ABSENT,
    ALGORITHM_TYPE_TAG,
    RESULT_TAG,
    REVIEW_TAG,
    RUN_TAG,
    SECONDS_TAG,
    tag_value,
    tagged_voxels,
    unescape_from_nrrd,
)
from .suffixes import SEG_NRRD, has_suffix

PLACE_MM = 0.01  # a file keeps a grid's place to a few digits


@dataclass(frozen=True)
class OrganReview:
    """Review of one organ by a person.

    ``state``: draft, edited or approved, for the voxels of now. ``approved_by``: who approved, if it is approved.
    ``by_hand``: no model drew it. ``withdrawn``: it was approved, but its voxels have changed since.
    ``active_s``: seconds of work on it, None where no time was taken.
    ``run``: model, model_version, bundle_sha256 ... of the run that drew it, as far as the file says.
    ``absent``: approved with no voxel, which says that it is right that nothing is drawn.
    ``as_drawn``: its voxels are those that the model drew; None where the file does not say what these were.
    """

    state: str
    approved_by: str = ""
    by_hand: bool = False
    withdrawn: bool = False
    active_s: float | None = None
    run: Mapping[str, Any] = field(default_factory=dict)
    absent: bool = False
    as_drawn: bool | None = None

    @property
    def state_text(self) -> str:
        """The state for people."""
        return ABSENT if self.absent else self.state


def read_reviews(path: Path | str, segmentation: Segmentation) -> dict[str, OrganReview]:
    """Return organ name -> review for every segment of ``segmentation``, which was read from ``path``; empty for other kinds of files.

    Call it before the segmentation is put on another grid: the tags speak of the voxels as they were stored. Raises InputError.
    """
    labels = {result.organ.name: result.label for result in segmentation.results}
    reviews = {}
    for entry in _segments(Path(path)):
        name = organ_of_segment(entry).name
        if name in labels:
            tags = dict(entry.get("tags") or {})
            review = _review(tags, segmentation, labels[name])
            kept = _value(tags.get(REVIEW_TAG))
            as_drawn = (
                _is_same(kept["drawn"], segmentation.labels == labels[name], segmentation) if "drawn" in kept else None
            )
            reviews[name] = replace(review, active_s=_seconds(tags), run=_value(tags.get(RUN_TAG)), as_drawn=as_drawn)
    return reviews


def said_to_be_approved(path: Path | str) -> list[str]:
    """Return the organs that a ``.seg.nrrd``'s tags call approved, whatever became of their voxels since; empty for other kinds of files.

    Raises InputError.
    """
    return [
        organ_of_segment(entry).name
        for entry in _segments(Path(path))
        if _value((entry.get("tags") or {}).get(REVIEW_TAG)).get("state") == "approved"
    ]


def with_run(segmentation: Segmentation, reviews: Mapping[str, OrganReview]) -> Segmentation:
    """Return the segmentation with the run of its organs' tags as provenance where the file itself names none: Slicer drops the file's own.

    A doubt about the scan's orientation holds whichever run had it: a later run of a few organs may not have looked.
    """
    runs = [review.run for review in reviews.values() if review.run.get("model")]
    doubt = next((run[DOUBT] for run in runs if run.get(DOUBT)), None)
    doubts = {} if doubt is None else {DOUBT: doubt}
    first: Mapping[str, Any] = {} if segmentation.provenance.get("model") or not runs else runs[0]
    if first and by_several_models(runs):  # each organ says of which
        first = merged_from_runs({name: review.run for name, review in reviews.items() if review.run.get("model")})
    return replace(segmentation, provenance={**first, **doubts, **segmentation.provenance})


def active_s(reviews: Mapping[str, OrganReview]) -> dict[str, float]:
    """Return the seconds of work by organ, for organs where time was taken."""
    return {name: review.active_s for name, review in reviews.items() if review.active_s is not None}


def _segments(path: Path) -> list[dict[str, Any]]:
    """Return the segments of a ``.seg.nrrd`` without voxels; empty for other kinds of files. Raises InputError."""
    import slicerio

    if not has_suffix(path, SEG_NRRD):
        return []
    try:
        content: dict[str, Any] = slicerio.read_segmentation(str(path), skip_voxels=True)
    except Exception as problem:
        raise InputError(f"{path} cannot be read as a segmentation ({problem}); it may be damaged.") from problem
    return list(content.get("segments", ()))


def _review(tags: dict[str, str], segmentation: Segmentation, label: int) -> OrganReview:
    record = _value(tags.get(REVIEW_TAG))
    by_hand = RUN_TAG not in tags and tags.get(ALGORITHM_TYPE_TAG, "") not in ("AUTOMATIC", "SEMIAUTOMATIC")
    mask = segmentation.labels == label
    state = str(record.get("state", ""))
    if state == "approved":
        if _is_same(record.get("approved"), mask, segmentation):
            return OrganReview("approved", str(record.get("by") or ""), by_hand, absent=not mask.any())
        return OrganReview("edited", "", by_hand, True)
    if "drawn" in record:
        state = "draft" if _is_same(record["drawn"], mask, segmentation) else "edited"
    elif state not in ("draft", "edited"):
        unchanged = tagged_voxels(unescape_from_nrrd(tags.get(RESULT_TAG))) == int(np.count_nonzero(mask))
        state = "draft" if unchanged and not by_hand else "edited"
    return OrganReview(state, "", by_hand)


def fingerprint(mask: np.ndarray, segmentation: Segmentation) -> dict[str, Any]:
    """Return the number of voxels of a bool mask (z, y, x), a digest of the box around them, and the box's first voxel in RAS mm.

    The panel keeps the same three in its tags.
    """
    boxes = ndimage.find_objects(mask.astype(np.uint8))
    if not boxes or boxes[0] is None:
        return {"voxels": 0, "digest": "", "corner_mm": []}
    part = np.ascontiguousarray(mask[boxes[0]])
    digest = hashlib.sha256(repr(part.shape).encode())
    digest.update(np.packbits(part).tobytes())
    corner = segmentation.geometry.index_to_mm(np.array([s.start for s in boxes[0]])) * (-1.0, -1.0, 1.0)
    return {
        "voxels": int(np.count_nonzero(part)),
        "digest": digest.hexdigest()[:32],
        "corner_mm": [round(float(v), 4) for v in corner],
    }


def _is_same(kept: Any, mask: np.ndarray, segmentation: Segmentation) -> bool:
    if not isinstance(kept, dict):
        return False
    now = fingerprint(mask, segmentation)
    if kept.get("voxels") != now["voxels"] or kept.get("digest") != now["digest"]:
        return False
    corner = kept.get("corner_mm") or []
    return not now["voxels"] or (
        len(corner) == 3 and bool(np.allclose(corner, now["corner_mm"], rtol=0, atol=PLACE_MM))
    )


def _seconds(tags: Mapping[str, str]) -> float | None:
    try:
        seconds = float(tags.get(SECONDS_TAG) or "nan")
    except ValueError:
        return None
    return seconds if np.isfinite(seconds) and seconds >= 0 else None


def _value(text: str | None) -> dict[str, Any]:
    """Return a tag's JSON object, whether or not its backslashes are doubled as NRRD wants them."""
    return tag_value(unescape_from_nrrd(text)) or tag_value(text)
