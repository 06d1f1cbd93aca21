"""The review records of each segment, kept where undo does not reach.

Slicer's undo of the Segment Editor restores whole segments, their tags included: what stood in tags alone would change with it, for organs
too that the undone step did not touch. So the truth of a session is one attribute of the node, JSON by segment ID. Tags have a copy,
because they go into every .seg.nrrd; ``copy_to_tags`` puts it right after an undo. A node without the attribute (a file that was just
opened, a scene of an older version) is read from its tags.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from focusnet.files.atomic_write import json_text
from focusnet.io.segment_tags import REVIEW_TAG, SCORE_TAG, SECONDS_TAG, tag_text

from .fingerprints import Fingerprint
from .review_tags import DRAFT, read_tag, seconds_of
from .types import Segment, SegmentationNode

REVIEW_ATTRIBUTE = "FocusNet.Review"
FIRST = 1e6  # priority of an observer: before all others
REVIEW, SCORE, SECONDS = "review", "score", "seconds"


@contextlib.contextmanager
def keeping_redo(node: SegmentationNode) -> Iterator[None]:
    """Write tags without a word to those who follow the segments.

    Slicer's undo takes every modified segment for a new step, and forgets what could be redone. The command of the first observer may tell
    VTK to call no other.
    """
    segmentation = node.GetSegmentation()

    def stop(*_: object) -> None:
        command = segmentation.GetCommand(observed)
        if command is not None:
            command.SetAbortFlag(1)

    observed = segmentation.AddObserver(segmentation.SegmentModified, stop, FIRST)
    try:
        yield
    finally:
        segmentation.RemoveObserver(observed)


class ReviewRecords:
    """The records of one segmentation node, by segment ID. ``review``: state, fingerprints, who and when; ``score``: what was said of the
    organ; ``seconds``: the time spent on it."""

    def __init__(self, node: SegmentationNode) -> None:
        self.node = node
        self._text, self._records = "", dict[str, dict[str, Any]]()

    def review(self, segment_id: str) -> dict[str, Any]:
        return self._part(segment_id, REVIEW)

    def score(self, segment_id: str) -> dict[str, Any]:
        return self._part(segment_id, SCORE)

    def seconds(self, segment_id: str) -> float:
        value = self._of(segment_id).get(SECONDS)
        return max(0.0, float(value)) if isinstance(value, (int, float)) else 0.0

    def set_review(self, segment_id: str, review: Mapping[str, Any]) -> None:
        self._change(segment_id, REVIEW, dict(review))

    def set_score(self, segment_id: str, score: Mapping[str, Any] | None) -> None:
        """None: forget it."""
        self._change(segment_id, SCORE, dict(score) if score is not None else {})

    def set_seconds(self, segment_id: str, seconds: float) -> None:
        self._change(segment_id, SECONDS, round(seconds, 1))

    def begin(self, drawn: Mapping[str, Fingerprint]) -> None:
        """A model drew these segments: they are drafts, and older reviews and scores are about voxels that are gone. The time spent on
        each stays."""
        records = dict(self._read())
        for segment_id, fingerprint in drawn.items():
            review = {"state": DRAFT, "drawn": fingerprint.to_json()}
            records[segment_id] = _plain({**self._of(segment_id), REVIEW: review, SCORE: {}})
        self._write(records)
        for segment_id in drawn:
            self.copy_to_tags(segment_id)

    def copy_to_tags(self, segment_id: str) -> bool:
        """Write the segment's tags again where they say something else; returns whether they did."""
        record, segment = self._read().get(segment_id), self._segment(segment_id)
        if record is None or segment is None:
            return False
        texts: dict[str, str] = {}
        for part, tag in ((REVIEW, REVIEW_TAG), (SCORE, SCORE_TAG)):
            value = record.get(part) or {}
            if value != read_tag(segment, tag):
                texts[tag] = tag_text(value) if value else ""
        seconds = self.seconds(segment_id)
        if abs(seconds - seconds_of(segment)) > 0.01:
            texts[SECONDS_TAG] = f"{seconds:.1f}" if seconds else ""
        with keeping_redo(self.node):
            for tag, text in texts.items():
                segment.SetTag(tag, text) if text else segment.RemoveTag(tag)
        return bool(texts)

    def keep(self, segment_id: str) -> None:
        """Take over what only the segment's tags say, before an undo can change them."""
        if segment_id not in self._read() and self._segment(segment_id) is not None:
            record = self._of(segment_id)
            if any(record.values()):
                self._write({**self._read(), segment_id: record})

    def _segment(self, segment_id: str) -> Segment | None:
        return self.node.GetSegmentation().GetSegment(segment_id)

    def _part(self, segment_id: str, part: str) -> dict[str, Any]:
        value = self._of(segment_id).get(part)
        return dict(value) if isinstance(value, dict) else {}

    def _of(self, segment_id: str) -> dict[str, Any]:
        known = self._read().get(segment_id)
        if known is not None:
            return known
        segment = self._segment(segment_id)
        if segment is None:
            return {}
        return {
            REVIEW: read_tag(segment, REVIEW_TAG),
            SCORE: read_tag(segment, SCORE_TAG),
            SECONDS: seconds_of(segment),
        }

    def _change(self, segment_id: str, part: str, value: Any) -> None:
        record = _plain({**self._of(segment_id), part: value})
        self._write({**self._read(), segment_id: record})
        self.copy_to_tags(segment_id)
        if part != SECONDS:
            self.node.StorableModified()  # worth saving, though no voxel was changed

    def _read(self) -> dict[str, dict[str, Any]]:
        text = str(self.node.GetAttribute(REVIEW_ATTRIBUTE) or "")
        if text != self._text:
            self._text, self._records = text, _records(text)
        return self._records

    def _write(self, records: Mapping[str, Mapping[str, Any]]) -> None:
        text = json_text(records)
        self._text, self._records = text, {s: dict(record) for s, record in records.items()}
        self.node.SetAttribute(REVIEW_ATTRIBUTE, text)


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """As it will be read again: lists for tuples."""
    return dict(json.loads(json_text(record)))


def _records(text: str) -> dict[str, dict[str, Any]]:
    """An attribute that is damaged says nothing: the tags are read then."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return {str(k): v for k, v in value.items() if isinstance(v, dict)} if isinstance(value, dict) else {}
