"""The table of the review list."""

from __future__ import annotations

from collections.abc import Callable

import qt
from slicer.i18n import tr as _

from ..review.rows import Row
from ..scene.review_tags import APPROVED
from ..scene.types import Widget

ORGAN, STATE, SCORE, REASON, VOLUME = range(5)
ROW_PIXELS = 22
ATTENTION = "\u25b2"  # read without colours


class ReviewTable:
    """``on_selected(organ)``: a person chose a row. ``rows``: what is shown."""

    def __init__(self, widget: Widget, on_selected: Callable[[str], object]) -> None:
        self.widget, self.on_selected = widget, on_selected
        self.rows: list[Row] = []
        self._shown: list[tuple[str, ...]] = []
        widget.setColumnCount(5)
        widget.setHorizontalHeaderLabels([_("Organ"), _("State"), _("Score"), _("Reason"), _("ml")])
        header = widget.horizontalHeader()
        for column in (ORGAN, STATE, SCORE, VOLUME):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(REASON, qt.QHeaderView.Stretch)
        header.setHighlightSections(False)
        widget.verticalHeader().setVisible(False)
        widget.verticalHeader().setDefaultSectionSize(ROW_PIXELS)
        widget.connect("itemSelectionChanged()", self._changed)

    def show(self, rows: list[Row], current: str | None) -> None:
        """Show ``rows`` and select ``current`` without calling ``on_selected``. Cheap where nothing changed."""
        self.rows = rows
        texts = [cells(row) for row in rows]
        self.widget.blockSignals(True)
        try:
            if texts != self._shown:
                self._shown = texts
                self.widget.setRowCount(len(rows))
                for number, (row, text) in enumerate(zip(rows, texts, strict=True)):
                    for column, value in enumerate(text):
                        item = qt.QTableWidgetItem(value)
                        item.setToolTip(tool_tip(row))
                        if column in (SCORE, VOLUME):
                            item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                        self.widget.setItem(number, column, item)
            names = [row.organ for row in rows]
            if current in names:
                self.widget.selectRow(names.index(current))
            else:
                self.widget.clearSelection()
        finally:
            self.widget.blockSignals(False)

    def _changed(self, *_args: object) -> None:
        number = self.widget.currentRow()
        if 0 <= number < len(self.rows):
            self.on_selected(self.rows[number].organ)


def cells(row: Row) -> tuple[str, ...]:
    """Return the five cells of one row."""
    score = _("n/a") if row.score is None else f"{row.score:.1f}"
    if row.look_at:
        score = f"{ATTENTION} {score}"
    state = {"draft": _("draft"), "edited": _("edited"), APPROVED: _("\u2713 approved")}[row.state]
    return row.organ, state, score, row.reason, f"{row.volume_ml:.2f}"


def tool_tip(row: Row) -> str:
    """Return all reasons, and who approved the organ."""
    lines = [row.organ, *row.reasons]
    if row.state == APPROVED and row.approved_by:
        lines.append(_("Approved by {name}.").format(name=row.approved_by))
    if row.active_s:
        lines.append(_("{seconds:.0f} s of work.").format(seconds=row.active_s))
    return "\n".join(lines)
