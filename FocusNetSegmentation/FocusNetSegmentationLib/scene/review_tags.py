"""What the review keeps in a segment's tags, which go with it into every .seg.nrrd and .mrb."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from focusnet.io.segment_tags import REVIEW_TAG, SCORE_TAG, SECONDS_TAG, tag_text, tag_value

from .fingerprints import Fingerprint
from .labelmaps import get_tag
from .types import Segment

DRAFT, EDITED, APPROVED = "draft", "edited", "approved"  # as focusnet.io.dicom_verify.STATES


def read_tag(segment: Segment, tag: str) -> dict[str, Any]:
    """Return a tag's JSON object; an empty one for anything else: a strange file must not stop a review."""
    return tag_value(get_tag(segment, tag))


def seconds_of(segment: Segment) -> float:
    try:
        return max(0.0, float(get_tag(segment, SECONDS_TAG) or 0.0))
    except ValueError:
        return 0.0


def begin_review(segment: Segment, drawn: Fingerprint) -> None:
    """Begin the review of an organ that a model has just drawn: it is a draft, and an older review and score are about voxels
    that are gone. The time spent on it stays."""
    segment.SetTag(REVIEW_TAG, tag_text({"state": DRAFT, "drawn": drawn.to_json()}))
    segment.RemoveTag(SCORE_TAG)


def model_text(data: Mapping[str, Any]) -> str:
    """Return name and version (or hash) of a run's model."""
    version = str(data.get("model_version") or "") or str(data.get("bundle_sha256", ""))[:8]
    return f"{data.get('model') or 'a model'} {version}".strip()
