"""The review of a segmentation: which organs to look at first and why, which are approved, and by whom.

Everything is kept in the segments' tags, so that it goes with them into every .seg.nrrd and .mrb. No Qt here, and no torch: scores are
made by ``focusnet qa`` in a process of its own and come as JSON (``review_scores``). A score is no verdict.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import slicer

from focusnet.errors import InputError
from focusnet.io.segment_tags import (
    ORGAN_TAG,
    RESULT_TAG,
    REVIEW_TAG,
    RUN_TAG,
    SCORE_TAG,
    SECONDS_TAG,
    tag_text,
    tagged_voxels,
)

from ..scene.fingerprints import Fingerprint, Fingerprints
from ..scene.labelmaps import get_tag
from ..scene.nodes import organ_segments
from ..scene.review_tags import (
    APPROVED,
    DRAFT,
    EDITED,
    begin_review,
    model_text,
    read_tag,
    seconds_of,
)
from ..scene.types import Segment, SegmentationNode, SegmentList
from .rows import Row, group, reasons_of
from .scores import Score, Scores

ACTIVITY_STEP_S = 2.0  # scrolling touches many times a second; each tag that is written redraws the editor's list


class Review:
    """The review of one segmentation node. What it says always fits the voxels of now; ``check`` makes that last.

    ``on_change()`` is called when a segment was changed, by anyone. Call ``check`` a moment later, not in it: Slicer tells of changes while
    it is still in the middle of them. ``clock``: seconds, for the time that a person spends on each organ.
    """

    def __init__(
        self,
        node: SegmentationNode,
        on_change: Callable[[], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.node, self.clock = node, clock
        self.on_change = on_change or (lambda: None)
        self.fingerprints = Fingerprints()
        self._is_own_change = False
        self._observed: list[tuple[SegmentList, int]] = []
        self._working_on: tuple[str, float] | None = None
        self._observe()
        self.check()

    # The list ----------------------------------------------------------------------------------------------------------------------

    def rows(self) -> list[Row]:
        """Return every segment, worst first: to look at, then what could not be scored, then what is probably fine."""
        rows = [self._row(name, segment_id) for name, segment_id in self.segments().items()]
        return sorted(rows, key=lambda row: (group(row), self._rank(row), row.organ))

    def segments(self) -> dict[str, str]:
        """Return organ name to segment ID, in the node's order; a segment that no model made goes by its own name."""
        segmentation, found = self._segmentation(), organ_segments(self.node)
        known = set(found.values())
        for index in range(segmentation.GetNumberOfSegments()):
            segment_id = segmentation.GetNthSegmentID(index)
            if segment_id not in known:
                name = segmentation.GetNthSegment(index).GetName() or segment_id
                found.setdefault(name if name not in found else f"{name} ({segment_id})", segment_id)
        return found

    def states(self) -> dict[str, str]:
        """Return organ name to draft, edited or approved, as the exports want it."""
        return {name: self._state(segment_id) for name, segment_id in self.segments().items()}

    def next_worst(self) -> str | None:
        """Return the organ to look at now: the worst that is not approved; None when all are."""
        return next((row.organ for row in self.rows() if row.state != APPROVED), None)

    def neighbour(self, organ: str | None, step: int) -> str | None:
        """Return the organ ``step`` places further down the list, from its ends back to the other; None for an empty list."""
        names = [row.organ for row in self.rows()]
        if not names:
            return None
        if organ not in names:
            return names[0] if step > 0 else names[-1]
        return names[(names.index(organ) + step) % len(names)]

    # What a person decides -----------------------------------------------------------------------------------------------------------

    def approve(self, organ: str, by: str = "") -> str | None:
        """Approve an organ as it is now, empty included, and return the next worst. Raises InputError for an organ that is not there."""
        segment = self._segment(organ)
        mark = self.fingerprints.of(segment).to_json()
        record = {"state": APPROVED, "approved": mark, "by": by, "at": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
        self._write(segment, {**read_tag(segment, REVIEW_TAG), **record})
        return self.next_worst()

    def withdraw(self, organ: str) -> None:
        """Take an approval back. Raises InputError for an organ that is not there."""
        self._withdraw_approval(self._segment(organ))

    def check(self) -> list[str]:
        """Bring the tags in line with the voxels, for good: an undo does not bring an approval back. Returns the organs whose approval was
        taken back because they were changed."""
        lost = []
        for name, segment_id in self.segments().items():
            segment = self._segmentation().GetSegment(segment_id)
            record = read_tag(segment, REVIEW_TAG)
            if not record and self.fingerprints.of(segment).voxels == tagged_voxels(get_tag(segment, RESULT_TAG)):
                with self._ignoring_own_changes():  # a file of the engine's that Slicer opened itself
                    begin_review(segment, self.fingerprints.of(segment))
                continue
            if record.get("state") == APPROVED:
                if not self.fingerprints.of(segment).same_as(Fingerprint.from_json(record.get("approved"))):
                    self._withdraw_approval(segment)
                    lost.append(name)
            elif record.get("state", DRAFT) != (state := self._unapproved(segment, record)):
                self._write(segment, {**record, "state": state})
        return lost

    # Scores --------------------------------------------------------------------------------------------------------------------------

    def current_fingerprints(self) -> dict[str, Fingerprint]:
        """Return what every organ looks like now: scores are about these voxels, even if they arrive when the organ has changed."""
        segmentation = self._segmentation()
        return {name: self.fingerprints.of(segmentation.GetSegment(s)) for name, s in self.segments().items()}

    def set_scores(self, scores: Scores, fingerprints: Mapping[str, Fingerprint] | None = None) -> None:
        """Keep what ``focusnet qa`` said of the organs as they looked in ``fingerprints`` (by default: now). Organs that it does not name lose their
        old scores."""
        known = fingerprints if fingerprints is not None else self.current_fingerprints()
        for name, segment_id in self.segments().items():
            segment = self._segmentation().GetSegment(segment_id)
            score = scores.organs.get(name)
            with self._ignoring_own_changes():
                if score is None:
                    segment.RemoveTag(SCORE_TAG)
                    continue
                said = {
                    **score.to_json(),
                    "model": dict(scores.model),
                    "scored": known.get(name, Fingerprint()).to_json(),
                }
                segment.SetTag(SCORE_TAG, tag_text(said))
                self._set_status(segment, self._state(segment_id), score.look_at)

    def notes(self, chosen: Mapping[str, str] | None = None) -> list[str]:
        """Return what a reader of the list must know: contours and scores of different models, or of another than the one ``chosen`` now (``model``,
        ``model_version``, ``bundle_sha256``). The states are kept in any case."""
        drawn: dict[str, Mapping[str, Any]] = {}
        scored: dict[str, Mapping[str, Any]] = {}
        for segment_id in self.segments().values():
            segment = self._segmentation().GetSegment(segment_id)
            for found, data in (
                (drawn, read_tag(segment, RUN_TAG)),
                (scored, read_tag(segment, SCORE_TAG).get("model") or {}),
            ):
                if data.get("bundle_sha256"):
                    found[str(data["bundle_sha256"])] = data
        notes = []
        if len(drawn) > 1:
            notes.append(f"The organs were drawn by different models: {', '.join(map(model_text, drawn.values()))}.")
        others = [data for sha, data in scored.items() if sha not in drawn]
        if others and drawn:
            notes.append(
                f"The scores are by {', '.join(map(model_text, others))}, the contours by {', '.join(map(model_text, drawn.values()))}."
            )
        if chosen and drawn and chosen.get("bundle_sha256") and chosen["bundle_sha256"] not in drawn:
            notes.append(
                f"This case was drawn with {', '.join(map(model_text, drawn.values()))}; the model chosen now is {model_text(chosen)}. "
                "The review states are kept."
            )
        return notes

    # Time ----------------------------------------------------------------------------------------------------------------------------

    def record_activity(self, organ: str | None) -> None:
        """Record that a person did something on ``organ`` (None: on nothing). The time since the last call counts for that call's organ, a long
        pause only in part."""
        now, last = self.clock(), self._working_on
        if last is not None and last[0] == organ and now - last[1] < ACTIVITY_STEP_S:
            return  # its time is counted by the next call
        self._working_on = None if organ is None else (organ, now)
        if last is None:
            return
        from focusnet.qa.audit import active_seconds

        segment_id = self.segments().get(last[0])
        if segment_id is not None and now > last[1]:
            segment = self._segmentation().GetSegment(segment_id)
            with self._ignoring_own_changes():
                segment.SetTag(SECONDS_TAG, f"{seconds_of(segment) + active_seconds([last[1], now]):.1f}")

    def active_s(self) -> dict[str, float]:
        """Return seconds of work by organ, for ``focusnet.qa.audit``; only organs that were worked on."""
        times = {n: seconds_of(self._segmentation().GetSegment(s)) for n, s in self.segments().items()}
        return {name: seconds for name, seconds in times.items() if seconds > 0}

    # Following the segments --------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop following; the tags stay."""
        for observed, tag in self._observed:
            observed.RemoveObserver(tag)
        self._observed = []

    def _observe(self) -> None:
        segmentation = self._segmentation()
        events = (
            segmentation.SourceRepresentationModified,
            segmentation.SegmentModified,  # an undo tells nothing else
            segmentation.SegmentAdded,
            segmentation.SegmentRemoved,
        )
        self._observed = [(segmentation, segmentation.AddObserver(event, self._changed)) for event in events]

    def _changed(self, *_: object) -> None:
        if not self._is_own_change:
            self.on_change()

    @contextlib.contextmanager
    def _ignoring_own_changes(self) -> Iterator[None]:
        """What is written here is no change of a person's."""
        before, self._is_own_change = self._is_own_change, True
        try:
            yield
        finally:
            self._is_own_change = before

    # Tags ----------------------------------------------------------------------------------------------------------------------------

    def _segmentation(self) -> SegmentList:
        return self.node.GetSegmentation()

    def _segment(self, organ: str) -> Segment:
        segment_id = self.segments().get(organ)
        if segment_id is None:
            raise InputError(
                f"{organ} is not in {self.node.GetName()}; it has {', '.join(self.segments()) or 'no organs'}."
            )
        return self._segmentation().GetSegment(segment_id)

    def _state(self, segment_id: str) -> str:
        segment = self._segmentation().GetSegment(segment_id)
        record = read_tag(segment, REVIEW_TAG)
        if record.get("state") == APPROVED:
            same = self.fingerprints.of(segment).same_as(Fingerprint.from_json(record.get("approved")))
            return APPROVED if same else EDITED
        return self._unapproved(segment, record)

    def _unapproved(self, segment: Segment, record: Mapping[str, Any]) -> str:
        """Draft while the voxels are the model's own; without a way to know, what was known last."""
        drawn = Fingerprint.from_json(record.get("drawn"))
        if drawn is not None:
            return DRAFT if self.fingerprints.of(segment).same_as(drawn) else EDITED
        if not _by_model(segment):
            return EDITED
        return str(record.get("state")) if record.get("state") in (DRAFT, EDITED) else DRAFT

    def _withdraw_approval(self, segment: Segment) -> None:
        record = {
            key: value for key, value in read_tag(segment, REVIEW_TAG).items() if key not in ("approved", "by", "at")
        }
        self._write(segment, {**record, "state": self._unapproved(segment, {**record, "state": EDITED})})

    def _write(self, segment: Segment, record: Mapping[str, Any]) -> None:
        with self._ignoring_own_changes():
            segment.SetTag(REVIEW_TAG, tag_text(record))
            self._set_status(
                segment, str(record.get("state", DRAFT)), bool(read_tag(segment, SCORE_TAG).get("look_at"))
            )

    def _set_status(self, segment: Segment, state: str, look_at: bool) -> None:
        """Slicer's own status, which its Segment Editor shows."""
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        status = {APPROVED: logic.Completed, EDITED: logic.InProgress}.get(state)
        if status is None:
            flagged = look_at or logic.GetSegmentStatus(segment) == logic.Flagged
            status = logic.Flagged if flagged else logic.NotStarted
        logic.SetSegmentStatus(segment, status)

    def _row(self, name: str, segment_id: str) -> Row:
        segment = self._segmentation().GetSegment(segment_id)
        mark = self.fingerprints.of(segment)
        said = read_tag(segment, SCORE_TAG)
        score = Score.from_json(name, said) if said else None
        record = read_tag(segment, REVIEW_TAG)
        state = self._state(segment_id)
        reasons = reasons_of(score, empty=not mark.voxels, by_hand=not _by_model(segment))
        return Row(
            organ=name,
            segment_id=segment_id,
            state=state,
            volume_ml=mark.volume_ml,
            score=score.score if score is not None else None,
            look_at=(score is not None and score.look_at) or not mark.voxels,
            reasons=reasons,
            stale=score is not None and not mark.same_as(Fingerprint.from_json(said.get("scored"))),
            approved_by=str(record.get("by") or "") if state == APPROVED else "",
            active_s=seconds_of(segment),
            empty=not mark.voxels,
        )

    def _rank(self, row: Row) -> float:
        return float(read_tag(self._segmentation().GetSegment(row.segment_id), SCORE_TAG).get("rank", 0))


def states_of(node: SegmentationNode) -> dict[str, str]:
    """Return the review states of a segmentation, whether or not anyone has it under review now."""
    review = Review(node)
    review.close()
    return review.states()


def _by_model(segment: Segment) -> bool:
    return bool(get_tag(segment, ORGAN_TAG) or get_tag(segment, RESULT_TAG))
