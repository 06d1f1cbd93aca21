"""The end of a review: how far it is, everything that was looked at approved at once, the reviewer's name, and the RTSTRUCT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from focusnet.errors import FocusNetError

from ..review.rows import Row
from ..scene.review_tags import APPROVED
from .learn import LearnTools
from .widgets import minutes, remember, remembered, set_enabled

if TYPE_CHECKING:
    from .review import ReviewSection

REVIEWER = "Reviewer"  # in Slicer's settings


class FinishTools:
    """``section``: the ReviewSection."""

    def __init__(self, section: ReviewSection) -> None:
        self.section, self.ui = section, section.ui
        self.learn = LearnTools(section)
        self.ui.reviewerLineEdit.text = remembered(REVIEWER)
        self.ui.reviewerLineEdit.connect("editingFinished()", lambda: remember(REVIEWER, self.reviewer))
        self.ui.reviewApproveSeenButton.connect("clicked(bool)", lambda *_: self.approve_seen())
        self.ui.rtstructButton.connect("clicked(bool)", lambda *_: section.panel.result.export_rtstruct())

    @property
    def reviewer(self) -> str:
        """Return the reviewer's name as it stands in the panel, "" for none."""
        return str(self.ui.reviewerLineEdit.text).strip()

    def update(self, rows: Sequence[Row]) -> None:
        """Enable what can be pressed; the button's tool tip names the organs that it would approve."""
        running, ready = self.section.panel.runs.is_running, unremarkable(rows)
        set_enabled(self.ui.reviewApproveSeenButton, bool(ready) and not running, self.ui.reviewTable)
        self.learn.update(rows)
        set_enabled(self.ui.rtstructButton, bool(rows) and not running, self.ui.reviewTable)
        self.ui.reviewApproveSeenButton.toolTip = (
            _("Approve what you have looked at and what has no mark: {organs}.").format(
                organs=", ".join(row.organ for row in ready)
            )
            if ready
            else _("Approves all organs that you have looked at and that have no mark. There is none now.")
        )

    def approve_seen(self) -> None:
        """Approve every organ that was looked at and that has no mark."""
        review = self.section.review
        if review is None or self.section.panel.runs.is_running:
            return
        ready = unremarkable(review.rows())
        try:
            for row in ready:
                review.approve(row.organ, self.reviewer)
        except FocusNetError as problem:
            self.section.say("warning", str(problem))
            return
        rows = review.rows()
        text = _("{count} organs approved: {organs}.").format(
            count=len(ready), organs=", ".join(row.organ for row in ready)
        )
        self.section.say("ok", f"{text} {progress_text(rows)}")


def unremarkable(rows: Sequence[Row]) -> list[Row]:
    """Return the organs that a person has looked at, that have no mark, and that are not approved yet."""
    return [
        row
        for row in rows
        if row.seen and not row.look_at and not row.empty and not row.stale and row.state != APPROVED
    ]


def progress_text(rows: Sequence[Row]) -> str:
    """Return how many organs are approved and how long the work on them took."""
    approved, seconds = sum(row.state == APPROVED for row in rows), sum(row.active_s for row in rows)
    text = _("{approved} of {total} approved").format(approved=approved, total=len(rows))
    return f"{text}, {minutes(seconds)}" if seconds >= 1 else text
