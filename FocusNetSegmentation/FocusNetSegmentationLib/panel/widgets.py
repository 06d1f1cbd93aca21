"""Small helpers for Qt widgets: disabling without moving the panel, questions with named answers, settings that outlive Slicer."""

from __future__ import annotations

from collections.abc import Callable

import qt
import slicer
from slicer.i18n import tr as _

from ..scene.types import Widget

SETTINGS = "FocusNetSegmentation"


def set_enabled(widget: Widget, enabled: bool, shelter: Widget) -> None:
    """Enable or disable a widget that may have the keyboard's focus. Disabled, it hands the focus to ``shelter``: left to itself Qt gives it to
    the next widget of the tab order, and the scroll area follows it there."""
    if not enabled and widget.focus:
        shelter.setFocus()
    widget.enabled = enabled


def timer(interval_ms: int, act: Callable[[], object]) -> Widget:
    """Return a timer that acts once, ``interval_ms`` after each start."""
    made = qt.QTimer()
    made.setSingleShot(True)
    made.setInterval(interval_ms)
    made.connect("timeout()", act)
    return made


def choose(title: str, text: str, answers: list[str]) -> int | None:
    """Ask a question with the buttons ``answers``, the first of them by default, and Cancel. Return the answer's place, None for Cancel."""
    if slicer.app.testingEnabled():
        return 0
    box = qt.QMessageBox(slicer.util.mainWindow())
    box.windowTitle, box.text = title, text
    buttons = [box.addButton(answer, qt.QMessageBox.AcceptRole) for answer in answers]
    box.addButton(qt.QMessageBox.Cancel)
    box.setDefaultButton(buttons[0])
    box.exec()
    clicked = box.clickedButton()
    box.deleteLater()
    return next((place for place, button in enumerate(buttons) if button == clicked), None)


def remembered(key: str) -> str:
    """Return what ``remember`` kept under ``key`` in Slicer's settings, "" for nothing."""
    return str(qt.QSettings().value(f"{SETTINGS}/{key}", "") or "")


def remember(key: str, value: str) -> None:
    """Keep ``value`` for the next start of Slicer too."""
    qt.QSettings().setValue(f"{SETTINGS}/{key}", value)


def minutes(seconds: float) -> str:
    """Return a duration as "3:40 min"."""
    whole = round(seconds)
    return _("{minutes}:{seconds:02d} min").format(minutes=whole // 60, seconds=whole % 60)
