"""What the review keeps in a segment's tags, which go with it into every .seg.nrrd and .mrb."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .fingerprints import Fingerprint
from .labelmaps import get_tag
from .types import Segment

DRAFT, EDITED, APPROVED = "draft", "edited", "approved"  # as focusnet.io.dicom_verify.STATES
# JSON: state; fingerprints of what the model drew and of what was approved; who approved it and when
REVIEW_TAG = "FocusNet.Review"
SCORE_TAG = "FocusNet.Score"  # JSON: what ``focusnet qa`` said, by which model, and the fingerprint of what it saw
SECONDS_TAG = "FocusNet.ActiveSeconds"


def read_tag(segment: Segment, tag: str) -> dict[str, Any]:
    """A tag's JSON object; empty for anything else: a strange file must not stop a review."""
    try:
        value = json.loads(get_tag(segment, tag) or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def tag_text(value: Mapping[str, Any]) -> str:
    return json.dumps(value).replace("|", "\\u007c")  # a bar would end a Slicer tag


def seconds_of(segment: Segment) -> float:
    try:
        return max(0.0, float(get_tag(segment, SECONDS_TAG) or 0.0))
    except ValueError:
        return 0.0


def begin_review(segment: Segment, drawn: Fingerprint) -> None:
    """A model drew the organ: it is a draft, and an older review and score are about voxels that are gone. The time spent on it stays."""
    segment.SetTag(REVIEW_TAG, tag_text({"state": DRAFT, "drawn": drawn.to_json()}))
    segment.RemoveTag(SCORE_TAG)


def model_text(data: Mapping[str, Any]) -> str:
    """Name and version (or hash) of a run's model."""
    version = str(data.get("model_version") or "") or str(data.get("bundle_sha256", ""))[:8]
    return f"{data.get('model') or 'a model'} {version}".strip()
