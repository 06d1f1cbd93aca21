"""Review: which organ to look at next and why, the views on it, approvals, the shape prior and seeds."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from focusnet.errors import FocusNetError

from ..messages import marked
from ..review.display import restore_display
from ..review.rows import NOT_SCORED, Row
from ..review.scoring import Scoring, ScoringResult, grid_note
from ..review.shape_prior import add_shape_priors
from ..review.states import Review
from ..scene.nodes import provenance_of
from ..scene.review_tags import APPROVED
from .correction import CorrectionTools
from .editor import DRAW
from .review_display import ReviewDisplay
from .review_finish import FinishTools, progress_text
from .review_shape import ShapeTools
from .review_table import ReviewTable
from .shortcuts import Keys, sheet
from .slice_views import color_of, visible
from .widgets import set_enabled, timer

if TYPE_CHECKING:
    from ..scene.types import SegmentationNode, VolumeNode
    from .panel import Panel

FOLLOW_MS = 250  # a brush stroke tells of many changes; they are looked at when it is over
MARGIN_PIXELS = 14  # below the list and below its reasons


class ReviewSection:
    """The collapsible section Review. ``current``: the organ that is looked at now."""

    def __init__(self, panel: Panel) -> None:
        self.panel, self.ui = panel, panel.ui
        self.review: Review | None = None
        self.current: str | None = None
        self.display = ReviewDisplay(self)
        self.scoring = Scoring(self._scored, on_some=self._some_scored)
        self.table = ReviewTable(self.ui.reviewTable, self._selected, self._eye)
        self.shape = ShapeTools(self)
        self.correction = CorrectionTools(self)
        self.finish = FinishTools(self)
        actions = {
            "approve": self.approve,
            "next": lambda: self.step(1),
            "previous": lambda: self.step(-1),
            "A": self.approve,
            "N": lambda: self.step(1),
            "P": lambda: self.step(-1),
            "F": self.display.toggle_fill,
            "H": self.display.toggle_others,
            "G": self.shape_prior_on_or_off,
            "W": self.display.next_window,
            "?": self.show_keys,
        }
        self.keys = Keys(self.ui.reviewTable, actions, lambda: panel.result.editing.effect == DRAW)
        self._last_message = ("", "")
        self._goes_to_worst = False
        self._timer = timer(FOLLOW_MS, self._follow)
        for name, slot in (
            ("reviewPreviousButton", lambda *_: self.step(-1)),
            ("reviewNextButton", lambda *_: self.step(1)),
            ("reviewApproveButton", lambda *_: self.approve()),
            ("reviewWithdrawButton", lambda *_: self.withdraw()),
            ("reviewScoreButton", lambda *_: self.score()),
            ("reviewEndButton", lambda *_: self.end()),
            ("keysButton", lambda *_: self.show_keys()),
        ):
            getattr(self.ui, name).connect("clicked(bool)", slot)
        self.ui.reviewCollapsibleButton.connect("contentsCollapsed(bool)", self.onCollapsed)

    # What is reviewed --------------------------------------------------------------------------------------------------------------

    @property
    def node(self) -> SegmentationNode | None:
        return self.review.node if self.review is not None else None

    @property
    def volume_node(self) -> VolumeNode | None:
        """Return the CT under the organs: their own, never another patient's."""
        return self.panel.result.ct_of(self.node)

    def row(self) -> Row | None:
        """Return the row of the current organ."""
        return next((row for row in self.table.rows if row.organ == self.current), None)

    def update(self) -> None:
        """Follow the panel: another result, a run that has ended, organs that came or went."""
        node = self.panel.result_node
        if node is not self.node:
            self._close_review()
            if node is not None:
                restore_display(node)  # of a scene that was saved in the middle of a review
                self.review = Review(node, on_change=self._timer.start)
            self._last_message = ("", "")
            self._start_if_open()
        self.fill()

    def fill(self) -> None:
        """Bring table, sentences and buttons in line with the review."""
        rows = self.review.rows() if self.review is not None else []
        if self.current not in [row.organ for row in rows]:
            self.current = None
        node = self.node
        look = {row.organ: (visible(node, row.segment_id), color_of(node, row.segment_id)) for row in rows}
        self.table.show(rows, self.current, look)
        self.table.fit(self._room(), look)
        row, running = self.row(), self.panel.runs.is_running
        self.ui.reviewReasonLabel.text = _reasons(row)
        self.ui.reviewReasonLabel.setVisible(row is not None)
        self.ui.reviewStatusLabel.text = self._status(rows)
        self.ui.reviewBarFrame.setVisible(bool(rows))
        empty = row is not None and row.empty
        self.ui.reviewApproveButton.text = _("Absent...") if empty else _("Approve")
        shelter = self.ui.reviewTable
        for name, enabled in (
            ("reviewPreviousButton", bool(rows)),
            ("reviewNextButton", bool(rows)),
            ("reviewApproveButton", row is not None and not running),
            ("reviewWithdrawButton", row is not None and row.state == APPROVED),
            ("reviewScoreButton", bool(rows) and not running and not self.scoring.is_running),
            ("reviewEndButton", self.display.is_active or self.current is not None),
        ):
            set_enabled(getattr(self.ui, name), enabled, shelter)
        self.shape.update()
        self.ui.shapeFrame.setVisible(self.ui.shapePriorButton.enabled)
        self.ui.seedFrame.setVisible(self.ui.seedButton.enabled)
        self.correction.update()
        self.finish.update(rows)

    def _room(self) -> int:
        """Return the height in pixels that the list may take, so that it is in sight with the reasons below it."""
        above = int(self.ui.reviewTable.y)
        if self.ui.inputsCollapsibleButton.collapsed and self.ui.outputsCollapsibleButton.collapsed:
            above += int(self.ui.reviewCollapsibleButton.y)
        reasons = int(self.ui.reviewReasonLabel.heightForWidth(self.ui.reviewTable.width))
        return int(self.ui.panelScrollArea.height) - above - max(reasons, 0) - MARGIN_PIXELS

    def open_on_worst(self) -> None:
        """Open the section on the organ to look at first, as soon as the organs are scored."""
        if self.review is None:
            return
        self._goes_to_worst, self.current = True, None
        self.ui.reviewCollapsibleButton.collapsed = False
        self._start_if_open()
        if not self.scoring.is_running:
            self._go_to_worst()

    def _go_to_worst(self) -> None:
        """Unless a person has chosen an organ meanwhile."""
        goes, self._goes_to_worst = self._goes_to_worst, False
        organ = self.review.next_worst() if self.review is not None else None
        if goes and organ is not None and self.current is None and not self.ui.reviewCollapsibleButton.collapsed:
            self.select(organ)

    def say(self, level: str, text: str) -> None:
        """Set the line at the top of the section."""
        self._last_message = (level, text)
        self.fill()

    def _status(self, rows: list[Row]) -> str:
        if self.review is None:
            return _(
                "Apply first, or choose a segmentation: its organs are then listed here, those to look at first on top."
            )
        if self.scoring.is_running:
            return _("Scoring the organs...")
        level, text = self._last_message
        parts = [text or progress_text(rows)]
        notes = self.review.notes(self._chosen_model())
        return marked(level or ("warning" if notes else ""), " ".join([*parts, *notes]))

    def _chosen_model(self) -> Mapping[str, str]:
        """The model that Apply would use, as far as its bundle.json says who it is."""
        entry = self.panel.models.entry
        if entry is None or provenance_of(self.node).get("model") != entry.drawn_as:
            return {}
        return {
            "model": entry.drawn_as,
            "model_version": str(entry.manifest.get("version", "")),
            "bundle_sha256": entry.digest,
        }

    # Going through the list ----------------------------------------------------------------------------------------------------------

    def _selected(self, organ: str) -> None:
        """A person chose a row."""
        if organ != self.current:
            self.select(organ)

    def chosen_in_editor(self, segment_id: str) -> None:
        """A person chose another segment in the Segment Editor, by Q too: it is the current organ from now on."""
        if self.review is None or self.ui.reviewCollapsibleButton.collapsed or self.panel.scene.IsBatchProcessing():
            return
        organ = next((name for name, known in self.review.segments().items() if known == segment_id), None)
        if organ is not None and organ != self.current:
            self.select(organ)

    def select(self, organ: str) -> None:
        """Put views, window and editor on one organ."""
        if self.review is None:
            return
        self.ui.reviewCollapsibleButton.collapsed = False
        self.current = organ
        self._last_message = ("", "")
        self.review.record_activity(organ)
        segment_id = self.review.segments()[organ]
        problem = self.display.show(self.review, organ, self.volume_node)
        if problem:
            self._last_message = ("warning", problem)
        self.ui.editCollapsibleButton.collapsed = False
        self.panel.result.editing.choose(segment_id)
        self.correction.set_up()
        self.shape.follow()  # fills the list, too

    def step(self, by: int) -> None:
        """Go to the next or previous organ of the list."""
        organ = self.review.neighbour(self.current, by) if self.review is not None else None
        if organ is not None:
            self.select(organ)

    def approve(self) -> None:
        """Approve the organ that is on screen and go on to the worst that is left. An empty one is approved as absent, which is asked."""
        if self.review is None or self.panel.runs.is_running:
            return
        self.chosen_in_editor(self.panel.result.editing.chosen() if self.current is not None else "")
        row = self.row()
        if row is None:
            return
        question = _("Nothing is drawn of {organ}. Do you confirm that it is absent?").format(organ=row.organ)
        if row.empty and row.seen and not slicer.util.confirmOkCancelDisplay(question, _("Absent, confirmed?")):
            return
        try:
            approve = self.review.approve_absent if row.empty else self.review.approve
            following = approve(row.organ, self.finish.reviewer)
        except FocusNetError as problem:
            self.say("warning", str(problem))
            return
        if following is None:
            self.end()
            self.say("ok", _("All organs are approved."))
        else:
            self.select(following)

    def withdraw(self) -> None:
        if self.review is not None and self.current is not None:
            self.review.withdraw(self.current)
            self.fill()

    def end(self) -> None:
        """End the review: give the user's own window back and hide what the review showed. The states stay."""
        if self.review is not None:
            self.review.record_activity(None)
        self._timer.stop()
        self.display.restore()
        self.shape.hide()
        self.current = None
        self.fill()

    def _eye(self, organ: str) -> None:
        if self.review is not None:
            self.display.toggle_visible(self.review.segments()[organ])
            self.fill()

    def shape_prior_on_or_off(self) -> None:
        if self.ui.shapePriorButton.enabled:
            self.ui.shapePriorButton.click()

    def show_keys(self) -> None:
        slicer.util.infoDisplay(sheet(), windowTitle=_("Keys"))

    # Changes -------------------------------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """The segments were changed, by anyone."""
        if self.review is None:
            return
        self.review.record_activity(self.current)
        self.correction.stroke_ended()
        self.display.changed()
        lost = self.review.check()
        if lost:
            self._last_message = (
                "warning",
                _("{organs} changed after approval: approve again.").format(organs=", ".join(lost)),
            )
        self.fill()

    # Scores --------------------------------------------------------------------------------------------------------------------------

    def onCollapsed(self, collapsed: bool) -> None:
        if collapsed:
            self.end()
        else:
            self._start_if_open()

    def _start_if_open(self) -> None:
        """Opening the section is asking for the list: organs that were never scored, or were drawn anew, are scored."""
        if self.review is None or self.ui.reviewCollapsibleButton.collapsed or self.panel.runs.is_running:
            return
        rows = self.review.rows()
        if any(NOT_SCORED in row.reasons and not row.empty for row in rows):
            self.score()

    def score(self) -> None:
        """Start scoring all organs as they are now."""
        if self.review is None or self.scoring.is_running:
            return
        self._last_message = ("", "")
        try:
            self.scoring.start(self.node, self.volume_node, self.review.current_fingerprints())
        except (FocusNetError, ImportError, OSError) as problem:
            self.say("error", str(problem))
        self.fill()

    def _some_scored(self, so_far: ScoringResult) -> None:
        """Organs are listed with their scores as these come."""
        if self.review is not None and so_far.scores is not None:
            self.review.add_scores(so_far.scores, so_far.fingerprints)
            self.fill()

    def _scored(self, ended: ScoringResult) -> None:
        if self.review is None:
            return
        if ended.scores is None:
            self._go_to_worst()
            self.say("error", ended.message)
            return
        self.review.set_scores(ended.scores, ended.fingerprints)
        if ended.shape_priors is not None:
            add_shape_priors(self.panel.scene, self.node, ended.shape_priors, ended.fingerprints)
        self._go_to_worst()
        looked = sum(row.look_at for row in self.review.rows())
        text = _("{count} organs to look at first. A score is a hint, not a verdict.").format(count=looked)
        notes = [note for note in (grid_note(self.node, self.volume_node), ended.message) if note]
        self.say("warning" if notes else "ok", " ".join([text, *notes]))
        self.shape.follow()

    # Lifecycle -----------------------------------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Install the keys: Enter in the list, single keys in the slice views, elsewhere with Ctrl."""
        self.keys.install()

    def exit(self) -> None:
        self.keys.remove()
        self.end()

    def scene_closing(self) -> None:
        self.display.forget()
        self._close_review()
        self.fill()

    def close(self) -> None:
        """Leave nothing behind: no process, no timer, no shortcut, no observer."""
        self.exit()
        self._close_review()
        self._timer.deleteLater()
        self.finish.learn.close()
        self.display.close()

    def _close_review(self) -> None:
        self.scoring.stop()
        self._timer.stop()
        if self.review is not None:
            self.end()
            self.review.close()
            self.review = None
        self.current = None


def _reasons(row: Row | None) -> str:
    """Everything that is known of the current organ, for a person: why it stands where it does, and what the model itself said."""
    if row is None:
        return ""
    reasons = " ".join(html.escape(reason, quote=False) for reason in row.reasons or (_("Nothing odd was found."),))
    found = {"uncertain": _(" (uncertain)"), "not found": _(" (not found by the model)")}.get(row.found, "")
    parts = [f"<b>{html.escape(row.organ)}</b>{found}: {reasons}"]
    said = [warning for warning in row.warnings if warning not in row.reasons]
    if said:
        text = _("The model says: {warnings}").format(warnings=" ".join(said))
        parts.append(marked("warning", text))
    parts += [html.escape(text, quote=False) for text in (row.origin, row.caution) if text]
    if row.stale:
        parts.append(_("It was changed since it was scored."))
    if row.state == APPROVED and row.approved_by:
        parts.append(html.escape(_("Approved by {name}.").format(name=row.approved_by), quote=False))
    return " ".join(parts)
