"""Review: which organ to look at next and why, the views on it, approvals, the shape prior and seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from focusnet.errors import FocusNetError

from ..messages import marked
from ..review.rows import NOT_SCORED, Row
from ..review.scoring import Scoring, ScoringResult, grid_note
from ..review.seed_points import first_place_ras
from ..review.shape_prior import add_shape_priors
from ..review.states import Review
from ..review.views import Views
from ..scene.nodes import provenance_of
from ..scene.review_tags import APPROVED
from .review_shape import ShapeTools
from .review_table import ReviewTable

if TYPE_CHECKING:
    from ..scene.types import Node, SegmentationNode, VolumeNode, Widget
    from .panel import Panel

FOLLOW_MS = 250  # a brush stroke tells of many changes; they are looked at when it is over


class ReviewSection:
    """The collapsible section Review. ``current``: the organ that is looked at now."""

    def __init__(self, panel: Panel) -> None:
        self.panel, self.ui = panel, panel.ui
        self.review: Review | None = None
        self.current: str | None = None
        self.views = Views(panel.scene)
        self.scoring = Scoring(self._scored)
        self.table = ReviewTable(self.ui.reviewTable, self._selected)
        self.shape = ShapeTools(self)
        self._shortcuts: list[Widget] = []
        self._moves: list[tuple[Node, int]] = []
        self._last_message = ("", "")
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(FOLLOW_MS)
        self._timer.connect("timeout()", self._follow)
        for name, slot in (
            ("reviewPreviousButton", lambda *_: self.step(-1)),
            ("reviewNextButton", lambda *_: self.step(1)),
            ("reviewApproveButton", lambda *_: self.approve()),
            ("reviewWithdrawButton", lambda *_: self.withdraw()),
            ("reviewScoreButton", lambda *_: self.score()),
            ("reviewEndButton", lambda *_: self.end()),
        ):
            getattr(self.ui, name).connect("clicked(bool)", slot)
        self.ui.reviewCollapsibleButton.connect("contentsCollapsed(bool)", self.onCollapsed)

    # What is reviewed --------------------------------------------------------------------------------------------------------------

    @property
    def node(self) -> SegmentationNode | None:
        return self.review.node if self.review is not None else None

    @property
    def volume_node(self) -> VolumeNode | None:
        return self.panel.result.volume_of(self.node) or self.panel.volume_node

    def row(self) -> Row | None:
        """Return the row of the current organ."""
        return next((row for row in self.table.rows if row.organ == self.current), None)

    def update(self) -> None:
        """Follow the panel: another result, a run that has ended, organs that came or went."""
        node = self.panel.result_node
        if node is not self.node:
            self._close_review()
            if node is not None:
                self.review = Review(node, on_change=self._timer.start)
            self._last_message = ("", "")
            self._start_if_open()
        self.fill()

    def fill(self) -> None:
        """Bring table, sentences and buttons in line with the review."""
        rows = self.review.rows() if self.review is not None else []
        if self.current not in [row.organ for row in rows]:
            self.current = None
        self.table.show(rows, self.current)
        row, running = self.row(), self.panel.runs.is_running
        self.ui.reviewReasonLabel.text = _reasons(row)
        self.ui.reviewReasonLabel.setVisible(row is not None)
        self.ui.reviewStatusLabel.text = self._status(rows)
        for name in ("reviewPreviousButton", "reviewNextButton"):
            getattr(self.ui, name).enabled = bool(rows)
        self.ui.reviewApproveButton.enabled = row is not None and not running
        self.ui.reviewWithdrawButton.enabled = row is not None and row.state == APPROVED
        self.ui.reviewScoreButton.enabled = bool(rows) and not running and not self.scoring.is_running
        self.ui.reviewEndButton.enabled = self.views.is_active or self.current is not None
        self.shape.update()

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
        approved = sum(row.state == APPROVED for row in rows)
        parts = [text or _("{approved} of {total} organs approved.").format(approved=approved, total=len(rows))]
        notes = self.review.notes(self._chosen_model())
        return marked(level or ("warning" if notes else ""), " ".join([*parts, *notes]))

    def _chosen_model(self) -> Mapping[str, str]:
        """The model that Apply would use, as far as its bundle.json says who it is."""
        entry = self.panel.models.entry
        if entry is None or provenance_of(self.node).get("model") != entry.name:
            return {}
        return {
            "model": entry.name,
            "model_version": str(entry.manifest.get("version", "")),
            "bundle_sha256": entry.digest,
        }

    # Going through the list ----------------------------------------------------------------------------------------------------------

    def _selected(self, organ: str) -> None:
        """A person chose a row."""
        if organ != self.current:
            self.select(organ)

    def select(self, organ: str) -> None:
        """Put views, window and editor on one organ."""
        if self.review is None:
            return
        self._observe_views()
        self.current = organ
        self.review.record_activity(organ)
        segment_id = self.review.segments()[organ]
        try:
            empty = not self.review.current_fingerprints()[organ].voxels
            place = first_place_ras(self.node, segment_id) if empty else None
            self.views.focus(self.node, segment_id, organ, self.volume_node, place)
        except FocusNetError as problem:
            self.say("warning", str(problem))
        self.ui.editCollapsibleButton.collapsed = False
        if self.panel.result.editor is not None:
            self.panel.result.editor.setCurrentSegmentID(segment_id)
        self._last_message = ("", "")
        self.shape.follow()
        self.fill()

    def step(self, by: int) -> None:
        """Go to the next or previous organ of the list."""
        organ = self.review.neighbour(self.current, by) if self.review is not None else None
        if organ is not None:
            self.select(organ)

    def approve(self) -> None:
        """Approve the current organ and go on to the worst that is left."""
        if self.review is None or self.current is None or self.panel.runs.is_running:
            return
        organ, self.current = self.current, None
        following = self.review.approve(organ, self.ui.reviewerLineEdit.text.strip())
        if following is None:
            self.end()
            self.say("ok", _("All organs are approved."))
        else:
            self.select(following)
            self.ui.reviewTable.setFocus()

    def withdraw(self) -> None:
        if self.review is not None and self.current is not None:
            self.review.withdraw(self.current)
            self.fill()

    def end(self) -> None:
        """End the review: give the user's own window back and hide what the review showed. The states stay."""
        if self.review is not None:
            self.review.record_activity(None)
        self._timer.stop()
        self._unobserve_views()
        self.views.restore()
        self.shape.hide()
        self.current = None
        self.fill()

    # Changes -------------------------------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """The segments were changed, by anyone."""
        if self.review is None:
            return
        self.review.record_activity(self.current)
        lost = self.review.check()
        if lost:
            self._last_message = (
                "warning",
                _("{organs} changed after approval: approve again.").format(organs=", ".join(lost)),
            )
        self.fill()

    def _observe_views(self) -> None:
        """Scrolling through an organ is work on it too."""
        if self._moves:
            return
        scene = self.panel.scene
        for index in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceNode")):
            node = scene.GetNthNodeByClass(index, "vtkMRMLSliceNode")
            self._moves.append((node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._moved)))

    def _unobserve_views(self) -> None:
        for node, tag in self._moves:
            node.RemoveObserver(tag)
        self._moves = []

    def _moved(self, *_args: object) -> None:
        if self.review is not None and self.current is not None:
            self.review.record_activity(self.current)

    # Scores --------------------------------------------------------------------------------------------------------------------------

    def onCollapsed(self, collapsed: bool) -> None:
        if collapsed:
            self.end()
        else:
            self._start_if_open()

    def _start_if_open(self) -> None:
        """Opening the section is asking for the list: organs that were never scored are scored."""
        if self.review is None or self.ui.reviewCollapsibleButton.collapsed or self.panel.runs.is_running:
            return
        rows = self.review.rows()
        if rows and all(row.score is None and NOT_SCORED in row.reasons for row in rows if not row.empty):
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

    def _scored(self, ended: ScoringResult) -> None:
        if self.review is None:
            return
        if ended.scores is None:
            self.say("error", ended.message)
            return
        self.review.set_scores(ended.scores, ended.fingerprints)
        if ended.shape_priors is not None:
            add_shape_priors(self.panel.scene, self.node, ended.shape_priors, ended.fingerprints)
        looked = sum(row.look_at for row in self.review.rows())
        text = _("{count} organs to look at first. A score is a hint, not a verdict.").format(count=looked)
        notes = [note for note in (grid_note(self.node, self.volume_node), ended.message) if note]
        self.say("warning" if notes else "ok", " ".join([text, *notes]))
        self.shape.follow()

    # Lifecycle -----------------------------------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Install the keys: Enter in the list; elsewhere with Ctrl, because the editor's effects use Enter themselves."""
        window, table = slicer.util.mainWindow() or self.ui.reviewTable, self.ui.reviewTable
        inside = qt.Qt.WidgetWithChildrenShortcut
        keys: list[tuple[str, Widget, int, Callable[[], None]]] = [
            ("Return", table, inside, self.approve),
            ("Enter", table, inside, self.approve),
            ("Ctrl+Return", window, qt.Qt.WindowShortcut, self.approve),
            ("Ctrl+Down", window, qt.Qt.WindowShortcut, lambda: self.step(1)),
            ("Ctrl+Up", window, qt.Qt.WindowShortcut, lambda: self.step(-1)),
        ]
        for key, parent, context, slot in keys if not self._shortcuts else ():
            shortcut = qt.QShortcut(qt.QKeySequence(key), parent)
            shortcut.setContext(context)
            shortcut.connect("activated()", slot)
            self._shortcuts.append(shortcut)

    def exit(self) -> None:
        for shortcut in self._shortcuts:
            shortcut.setEnabled(False)
            shortcut.deleteLater()
        self._shortcuts = []
        self.end()

    def scene_closing(self) -> None:
        self.views.forget()
        self._close_review()
        self.fill()

    def close(self) -> None:
        """Leave nothing behind: no process, no timer, no shortcut, no observer."""
        self.exit()
        self._close_review()

    def _close_review(self) -> None:
        self.scoring.stop()
        self._timer.stop()
        if self.review is not None:
            self.end()
            self.review.close()
            self.review = None
        self.current = None


def _reasons(row: Row | None) -> str:
    """Everything that is known of the current organ, for a person."""
    if row is None:
        return ""
    parts = [f"<b>{row.organ}</b>: " + " ".join(row.reasons or (_("Nothing odd was found."),))]
    if row.stale:
        parts.append(_("It was changed since it was scored."))
    if row.state == APPROVED and row.approved_by:
        parts.append(_("Approved by {name}.").format(name=row.approved_by))
    return " ".join(parts)
