"""The review of a segmentation: which organs to look at first and why, which are approved, and by whom.

Everything is kept in the node's records (``scene.review_records``), which undo does not reach, with a copy in the segments' tags that goes with them
into every .seg.nrrd and .mrb. No Qt here, and no torch: scores are made by ``focusnet qa`` in a process of its own and come as JSON
(``review_scores``). A score is no verdict.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import slicer

from focusnet.errors import InputError
from focusnet.image.drawn_by import CHOSEN, merged_identity
from focusnet.io.segment_tags import ORGAN_TAG, RESULT_TAG, RUN_TAG, tagged_alarms, tagged_status, tagged_voxels

from ..scene.fingerprints import Fingerprint, Fingerprints
from ..scene.labelmaps import get_tag
from ..scene.nodes import organ_segments
from ..scene.review_records import ReviewRecords, keeping_redo
from ..scene.review_tags import APPROVED, DRAFT, EDITED, model_text, read_tag
from ..scene.run_tags import origin_text
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
        self.fingerprints, self.records = Fingerprints(), ReviewRecords(node)
        self._is_own_change = False
        self._observed: list[tuple[SegmentList, int]] = []
        self._working_on: tuple[str, float] | None = None
        self._observe()
        self.check()

    # The list ----------------------------------------------------------------------------------------------------------------------

    def rows(self) -> list[Row]:
        """Return every segment, worst first: to look at, then what could not be scored, then where there is no sign of a mistake."""
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

    def seen(self, organ: str) -> None:
        """An organ was shown to a person: from now on it can be approved. Raises InputError for an organ that is not there."""
        segment_id = self._id(organ)
        record = self.records.review(segment_id)
        if not record.get("seen"):
            self._write(segment_id, {**record, "seen": True})

    def is_seen(self, organ: str) -> bool:
        """Was the organ shown since the model drew it? Whoever approved it has seen it."""
        return _is_seen(self.records.review(self._id(organ)))

    def approve(self, organ: str, by: str = "") -> str | None:
        """Approve an organ as it is now and return the next worst. Raises InputError for an organ that is not there, that is empty or that was
        not shown yet."""
        if not self._fingerprint(self._id(organ)).voxels:
            raise InputError(f"{organ} is empty: confirm that it is absent, or draw it first.")
        return self._approve(organ, by)

    def approve_absent(self, organ: str, by: str = "") -> str | None:
        """Confirm that it is right that nothing of an organ is drawn, and return the next worst. Raises InputError for an organ that is not
        there, that has voxels or that was not shown yet."""
        if self._fingerprint(self._id(organ)).voxels:
            raise InputError(f"{organ} has voxels, so it is not absent: approve it, or erase it first.")
        return self._approve(organ, by)

    def _approve(self, organ: str, by: str) -> str | None:
        segment_id = self._id(organ)
        if not self.is_seen(organ):
            raise InputError(f"{organ} was not shown yet: look at it first.")
        mark = self._fingerprint(segment_id).to_json()
        record = {
            "state": APPROVED,
            "approved": mark,
            "by": by,
            "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "seen": True,
        }
        self._write(segment_id, {**self.records.review(segment_id), **record})
        return self.next_worst()

    def withdraw(self, organ: str) -> None:
        """Take an approval back. Raises InputError for an organ that is not there."""
        self._withdraw_approval(self._id(organ))

    def check(self) -> list[str]:
        """Bring the records in line with the voxels, for good: an undo does not bring an approval back. Bring the tags in line with the
        records, because an undo does change tags. Returns the organs whose approval was taken back because they were changed."""
        lost = []
        for name, segment_id in self.segments().items():
            with self._ignoring_own_changes():
                self.records.keep(segment_id)
                if self.records.copy_to_tags(segment_id):
                    self._set_status(segment_id)
            record, drawn = self.records.review(segment_id), self._fingerprint(segment_id)
            if not record and drawn.voxels == tagged_voxels(get_tag(self._segment(segment_id), RESULT_TAG)):
                with self._ignoring_own_changes():  # a file of the engine's that Slicer opened itself
                    self.records.begin({segment_id: drawn})
                continue
            if record.get("state") == APPROVED:
                if not drawn.same_as(Fingerprint.from_json(record.get("approved"))):
                    self._withdraw_approval(segment_id)
                    lost.append(name)
            elif record.get("state", DRAFT) != (state := self._unapproved(segment_id, record)):
                self._write(segment_id, {**record, "state": state})
        return lost

    # Scores --------------------------------------------------------------------------------------------------------------------------

    def current_fingerprints(self) -> dict[str, Fingerprint]:
        """Return what every organ looks like now: scores are about these voxels, even if they arrive when the organ has changed."""
        return {name: self._fingerprint(segment_id) for name, segment_id in self.segments().items()}

    def set_scores(self, scores: Scores, fingerprints: Mapping[str, Fingerprint] | None = None) -> None:
        """Keep what ``focusnet qa`` said of the organs as they looked in ``fingerprints`` (by default: now). Organs that it does not name lose their
        old scores."""
        known = fingerprints if fingerprints is not None else self.current_fingerprints()
        for name, segment_id in self.segments().items():
            if name not in scores.organs:
                with self._ignoring_own_changes():
                    self.records.set_score(segment_id, None)
        self.add_scores(scores, known)

    def add_scores(self, scores: Scores, known: Mapping[str, Fingerprint]) -> None:
        """Keep the scores of these organs as they looked in ``known``; the others keep theirs."""
        for name, segment_id in self.segments().items():
            score = scores.organs.get(name)
            if score is None:
                continue
            with self._ignoring_own_changes():
                said = {
                    **score.to_json(),
                    "model": dict(scores.model),
                    "scored": known.get(name, Fingerprint()).to_json(),
                }
                self.records.set_score(segment_id, said)
                self._set_status(segment_id)

    def notes(self, chosen: Mapping[str, str] | None = None) -> list[str]:
        """Return what a reader of the list must know: contours and scores of different models, or of another than the one ``chosen`` now (``model``,
        ``model_version``, ``bundle_sha256``). The states are kept in any case."""
        drawn: dict[str, Mapping[str, Any]] = {}
        scored: dict[str, Mapping[str, Any]] = {}
        for segment_id in self.segments().values():
            for found, data in (
                (drawn, read_tag(self._segment(segment_id), RUN_TAG)),
                (scored, self.records.score(segment_id).get("model") or {}),
            ):
                if data.get("bundle_sha256"):
                    found[str(data["bundle_sha256"])] = data
        notes = []
        if any(run.get(CHOSEN) for run in drawn.values()):  # one run of several models, not several runs
            merged = merged_identity(list(drawn.values()))
            drawn = {merged["bundle_sha256"]: merged}
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
            spent = self.records.seconds(segment_id) + active_seconds([last[1], now])
            with self._ignoring_own_changes():
                self.records.set_seconds(segment_id, spent)

    def active_s(self) -> dict[str, float]:
        """Return seconds of work by organ, for ``focusnet.qa.audit``; only organs that were worked on."""
        times = {name: self.records.seconds(segment_id) for name, segment_id in self.segments().items()}
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
        """Mark what is written here as no change of a person's."""
        before, self._is_own_change = self._is_own_change, True
        try:
            yield
        finally:
            self._is_own_change = before

    # Records -------------------------------------------------------------------------------------------------------------------------

    def _segmentation(self) -> SegmentList:
        return self.node.GetSegmentation()

    def _segment(self, segment_id: str) -> Segment:
        return self._segmentation().GetSegment(segment_id)

    def _id(self, organ: str) -> str:
        segment_id = self.segments().get(organ)
        if segment_id is None:
            raise InputError(
                f"{organ} is not in {self.node.GetName()}; it has {', '.join(self.segments()) or 'no organs'}."
            )
        return segment_id

    def _fingerprint(self, segment_id: str) -> Fingerprint:
        return self.fingerprints.of(self._segment(segment_id))

    def _state(self, segment_id: str) -> str:
        record = self.records.review(segment_id)
        if record.get("state") == APPROVED:
            same = self._fingerprint(segment_id).same_as(Fingerprint.from_json(record.get("approved")))
            return APPROVED if same else EDITED
        return self._unapproved(segment_id, record)

    def _unapproved(self, segment_id: str, record: Mapping[str, Any]) -> str:
        """Draft while the voxels are the model's own; without a way to know, what was known last."""
        drawn = Fingerprint.from_json(record.get("drawn"))
        if drawn is not None:
            return DRAFT if self._fingerprint(segment_id).same_as(drawn) else EDITED
        if not _by_model(self._segment(segment_id)):
            return EDITED
        return str(record.get("state")) if record.get("state") in (DRAFT, EDITED) else DRAFT

    def _withdraw_approval(self, segment_id: str) -> None:
        """Who approved it has seen it, so that much stays."""
        old = self.records.review(segment_id)
        record = {key: value for key, value in old.items() if key not in ("approved", "by", "at")}
        seen = {"seen": True} if old.get("state") == APPROVED else {}
        self._write(segment_id, {**record, **seen, "state": self._unapproved(segment_id, {**record, "state": EDITED})})

    def _write(self, segment_id: str, record: Mapping[str, Any]) -> None:
        with self._ignoring_own_changes():
            self.records.set_review(segment_id, record)
            self._set_status(segment_id)

    def _set_status(self, segment_id: str) -> None:
        """Slicer's own status, which its Segment Editor shows."""
        logic, segment = slicer.vtkSlicerSegmentationsModuleLogic, self._segment(segment_id)
        status = {APPROVED: logic.Completed, EDITED: logic.InProgress}.get(self._state(segment_id))
        if status is None:
            _found, warned = tagged_status(get_tag(segment, RESULT_TAG), self._fingerprint(segment_id).voxels)
            flagged = bool(warned) or bool(self.records.score(segment_id).get("look_at"))
            status = logic.Flagged if flagged else logic.NotStarted
        if status != logic.GetSegmentStatus(segment):
            with keeping_redo(self.node):
                logic.SetSegmentStatus(segment, status)

    def _row(self, name: str, segment_id: str) -> Row:
        segment, mark = self._segment(segment_id), self._fingerprint(segment_id)
        said, record = self.records.score(segment_id), self.records.review(segment_id)
        score = Score.from_json(name, said) if said else None
        state = self._state(segment_id)
        text = "" if state == EDITED else get_tag(segment, RESULT_TAG)  # what a person drew is no longer the model's
        found, warnings = tagged_status(text, mark.voxels)
        run = read_tag(segment, RUN_TAG)
        return Row(
            organ=name,
            segment_id=segment_id,
            state=state,
            volume_ml=mark.volume_ml,
            score=score.score if score is not None else None,
            look_at=(score is not None and score.look_at) or not mark.voxels or bool(tagged_alarms(text, mark.voxels)),
            reasons=reasons_of(score, empty=not mark.voxels, by_hand=not _by_model(segment)),
            stale=score is not None and not mark.same_as(Fingerprint.from_json(said.get("scored"))),
            approved_by=str(record.get("by") or "") if state == APPROVED else "",
            active_s=self.records.seconds(segment_id),
            empty=not mark.voxels,
            found=found,
            warnings=warnings,
            seen=_is_seen(record),
            caution=str(run.get("caution") or ""),
            origin=origin_text(run),
        )

    def _rank(self, row: Row) -> float:
        return float(self.records.score(row.segment_id).get("rank", 0))


def states_of(node: SegmentationNode) -> dict[str, str]:
    """Return the review states of a segmentation, whether or not anyone has it under review now."""
    review = Review(node)
    review.close()
    return review.states()


def untouched_organs(node: SegmentationNode) -> list[str]:
    """The model's organs that nobody has edited or approved: what a second run may replace without asking, in the node's order."""
    states, by_model = states_of(node), organ_segments(node)
    return [name for name in by_model if states.get(name) == DRAFT]


def _is_seen(record: Mapping[str, Any]) -> bool:
    return bool(record.get("seen")) or record.get("state") == APPROVED


def _by_model(segment: Segment) -> bool:
    return bool(get_tag(segment, ORGAN_TAG) or get_tag(segment, RESULT_TAG))
