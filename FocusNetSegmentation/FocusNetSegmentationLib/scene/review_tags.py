"""The review's part of a segment's tags, which go with it into every .seg.nrrd and .mrb (see ``review_records``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from focusnet.io.segment_tags import SECONDS_TAG, tag_value

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


def model_text(data: Mapping[str, Any]) -> str:
    """Return name and version (or hash) of a run's model."""
    version = str(data.get("model_version") or "") or str(data.get("bundle_sha256", ""))[:8]
    return f"{data.get('model') or 'a model'} {version}".strip()
