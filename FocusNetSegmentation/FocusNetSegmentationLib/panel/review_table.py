"""The panel's one list of organs: eye, colour, name, state, score and volume."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import qt
from slicer.i18n import tr as _

from ..review.rows import Row
from ..scene.review_tags import APPROVED
from ..scene.types import Widget

EYE, COLOR, ORGAN, STATE, SCORE, VOLUME = range(6)
COLUMNS = 6
ATTENTION = "\u25b2"  # read without colours
VISIBLE, HIDDEN = "\u25c9", "\u25cb"
STATE_MARKS = {"draft": "", "edited": "\u270e", "absent": "\u2713\u2205", APPROVED: "\u2713"}
LONGEST = 22  # rows that are shown without a scroll bar, where the window is high enough
SHORTEST = 3
SWATCH_PIXELS = 12

Look = Mapping[str, tuple[bool, tuple[float, float, float]]]  # by organ: is it drawn, and in which colour


class ReviewTable:
    """``on_selected(organ)``: a person chose a row; ``on_eye(organ)``: clicked its eye. ``rows``: what is shown."""

    def __init__(self, widget: Widget, on_selected: Callable[[str], object], on_eye: Callable[[str], object]) -> None:
        self.widget, self.on_selected, self.on_eye = widget, on_selected, on_eye
        self.rows: list[Row] = []
        self._shown: list[tuple[Any, ...]] = []  # by row: texts of its cells, colour, tool tip
        self._measured: tuple[object, ...] | None = None
        self._compact = False
        widget.setColumnCount(COLUMNS)
        self._label()
        header = widget.horizontalHeader()
        for column in (EYE, COLOR, STATE, SCORE, VOLUME):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(ORGAN, qt.QHeaderView.Stretch)
        header.setMinimumSectionSize(1)
        header.setHighlightSections(False)
        widget.verticalHeader().setVisible(False)
        widget.verticalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)  # as high as the font asks for
        widget.connect("itemSelectionChanged()", self._changed)
        widget.connect("cellClicked(int,int)", self._clicked)

    def show(self, rows: list[Row], current: str | None, look: Look) -> None:
        """Show ``rows`` and select ``current`` without calling ``on_selected``. Cheap where little changed."""
        self.rows = rows
        self.widget.blockSignals(True)
        try:
            self._write(look)
            names = [row.organ for row in rows]
            if current not in names:
                self.widget.clearSelection()
            elif self.widget.currentRow() != names.index(current) or not self.widget.selectedItems():
                self.widget.selectRow(names.index(current))
        finally:
            self.widget.blockSignals(False)

    def fit(self, room: int, look: Look) -> None:
        """Make the list as high as its rows, at most ``LONGEST`` of them and at most ``room`` pixels. Where it is too narrow for its letters, marks
        take the place of words, so that the names are not cut."""
        self._choose_words(look)
        row = self.widget.rowHeight(0) if self.rows else self.widget.horizontalHeader().sizeHint.height()
        header = self.widget.horizontalHeader().sizeHint.height() + 4
        wanted = header + row * min(max(len(self.rows), 1), LONGEST)
        least = header + row * min(max(len(self.rows), 1), SHORTEST)
        height = max(least, min(wanted, room))
        if height != self.widget.height or height != self.widget.minimumHeight:
            self.widget.setFixedHeight(height)

    def _label(self) -> None:
        state, score = ("", "") if self._compact else (_("State"), _("Score"))
        self.widget.setHorizontalHeaderLabels(["", "", _("Organ"), state, score, _("ml")])

    def _choose_words(self, look: Look) -> None:
        if not self.widget.visible or not self.rows:
            return
        words = frozenset((row.organ, _state(row)) for row in self.rows)
        wide = int(self.widget.viewport().width)
        measured = (wide, self.widget.rowHeight(0), words)  # the second changes with the letters
        if measured == self._measured:
            return
        header = self.widget.horizontalHeader()
        self.widget.blockSignals(True)
        try:
            for compact in (False, True):
                self._compact = compact
                self._label()
                self._write(look)
                header.setSectionResizeMode(ORGAN, qt.QHeaderView.ResizeToContents)
                needed = header.length()
                header.setSectionResizeMode(ORGAN, qt.QHeaderView.Stretch)
                if needed <= wide:
                    break
        finally:
            self.widget.blockSignals(False)
        self._measured = measured

    def _write(self, look: Look) -> None:
        """Write the cells that are not what they should be."""
        if len(self._shown) != len(self.rows):
            self.widget.setRowCount(len(self.rows))
            del self._shown[len(self.rows) :]
        for number, row in enumerate(self.rows):
            is_visible, color = look.get(row.organ, (True, None))
            texts = (VISIBLE if is_visible else HIDDEN, "", *self._cells(row))
            wanted = (*texts, color, tool_tip(row))
            if number == len(self._shown):
                self._add_row(number)
            before = self._shown[number]
            self._shown[number] = wanted
            for column, text in enumerate(texts):
                item = self.widget.item(number, column) if wanted != before else None
                if item is None:
                    continue
                if text != before[column]:
                    item.setText(text)
                if column == COLOR and color is not None and color != before[-2]:
                    item.setIcon(swatch(color))
                if wanted[-1] != before[-1]:
                    item.setToolTip(_("Click to hide it, or to show it again.") if column == EYE else wanted[-1])

    def _add_row(self, number: int) -> None:
        for column in range(COLUMNS):
            item = qt.QTableWidgetItem("")
            if column in (SCORE, VOLUME):
                item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            self.widget.setItem(number, column, item)
        self._shown.append(("",) * COLUMNS + (None, ""))

    def _cells(self, row: Row) -> tuple[str, str, str, str]:
        organ, state, score, volume = cells(row)
        if self._compact:
            state, score = STATE_MARKS[_state(row)], ATTENTION if row.look_at else ""
        return organ, state, score, volume

    def _changed(self, *_args: object) -> None:
        number = self.widget.currentRow()
        if 0 <= number < len(self.rows):
            self.on_selected(self.rows[number].organ)

    def _clicked(self, number: int, column: int) -> None:
        if column == EYE and 0 <= number < len(self.rows):
            self.on_eye(self.rows[number].organ)


def swatch(color: tuple[float, float, float]) -> Widget:
    """Return an icon of one colour (each part from 0 to 1), the same in a selected row."""
    pixmap = qt.QPixmap(SWATCH_PIXELS, SWATCH_PIXELS)
    pixmap.fill(qt.QColor(*(round(255 * part) for part in color)))
    icon = qt.QIcon(pixmap)
    icon.addPixmap(pixmap, qt.QIcon.Selected)
    return icon


def cells(row: Row) -> tuple[str, str, str, str]:
    """Return organ, state, score and volume of one row as they are read."""
    score = _("n/a") if row.score is None else f"{row.score:.1f}"
    if row.look_at:
        score = f"{ATTENTION} {score}"
    return row.organ, state_text(row), score, f"{row.volume_ml:.2f}"


def state_text(row: Row) -> str:
    """Return the state for people: an empty organ that was approved is absent."""
    words = {"draft": _("draft"), "edited": _("edited"), "absent": _("\u2713 absent"), APPROVED: _("\u2713 approved")}
    return words[_state(row)]


def _state(row: Row) -> str:
    return "absent" if row.state == APPROVED and row.empty else row.state


def tool_tip(row: Row) -> str:
    """Return all reasons, and who approved the organ."""
    lines = [f"{row.organ}: {state_text(row)}", *row.reasons, *row.warnings, *filter(None, [row.origin, row.caution])]
    if row.state == APPROVED and row.approved_by:
        lines.append(_("Approved by {name}.").format(name=row.approved_by))
    return "\n".join(lines)
