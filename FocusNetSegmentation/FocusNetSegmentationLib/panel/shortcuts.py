"""The keys of the review: in the list, with Ctrl anywhere, and single ones in the slice views while the module is open."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import qt
import slicer
from slicer.i18n import tr as _

from ..scene.types import Widget

# Key and what it does. Those of the first group act where the focus is in a slice view; the others say where.
VIEW_KEYS = {
    "A": _("approve this organ and go on"),
    "N": _("next organ"),
    "P": _("previous organ"),
    "F": _("fill this organ, or its outline alone"),
    "H": _("other organs off, or on again"),
    "G": _("shape prior on or off"),
    "W": _("next window: soft tissue, brain, bone"),
    "?": _("this sheet"),
}
EDITOR_KEYS = {
    "1 2 3 4": _("paint, erase, draw, scissors"),
    "Z, Y": _("undo, redo"),
    "Esc": _("put the tool away"),
    "Q": _("previous segment"),
}
OTHER_KEYS = {
    "Enter": _("in the list: approve and go on"),
    "Ctrl+Enter": _("anywhere: approve and go on"),
    "Ctrl+Down, Ctrl+Up": _("anywhere: next, previous organ"),
}
SLICER_INSTEAD = _(
    "Slicer's own F and G in a slice view come back with another module; the arrow keys still change the slice."
)


class Keys:
    """``actions``: by key, what it does. While the Draw effect is active A and Enter are its own: they close its outline."""

    def __init__(
        self, table: Widget, actions: Mapping[str, Callable[[], object]], is_drawing: Callable[[], bool]
    ) -> None:
        self.table, self.actions, self.is_drawing = table, actions, is_drawing
        self.shortcuts: list[Widget] = []
        self._in_views: dict[str, list[Widget]] = {}
        self._layout: Widget = None  # Slicer's layout manager, once it was asked to tell of new views

    def install(self) -> None:
        """Install all keys; once more does nothing."""
        if self.shortcuts:
            return
        window = slicer.util.mainWindow() or self.table
        inside, everywhere = qt.Qt.WidgetWithChildrenShortcut, qt.Qt.WindowShortcut
        for key, parent, context, action in (
            ("Return", self.table, inside, "approve"),
            ("Enter", self.table, inside, "approve"),
            ("Ctrl+Return", window, everywhere, "approve"),
            ("Ctrl+Enter", window, everywhere, "approve"),
            ("Ctrl+Down", window, everywhere, "next"),
            ("Ctrl+Up", window, everywhere, "previous"),
        ):
            self.shortcuts.append(shortcut(key, parent, context, self.actions[action]))
        self.install_in_views()
        manager = slicer.app.layoutManager()
        if manager is not None and self._layout is None:
            self._layout = manager
            manager.connect("layoutChanged(int)", self._layout_changed)

    def install_in_views(self, *_args: object) -> None:
        """Give every slice view that has none its single keys: a layout makes its views when it is chosen first."""
        manager = slicer.app.layoutManager()
        for name in manager.sliceViewNames() if manager is not None else ():
            if name not in self._in_views:
                view = manager.sliceWidget(name)
                self._in_views[name] = [
                    shortcut(key, view, qt.Qt.WidgetWithChildrenShortcut, self.actions[key]) for key in VIEW_KEYS
                ]
                self.shortcuts += self._in_views[name]
        self.update()

    def update(self) -> None:
        """Leave A to the Draw effect while it is active: there it closes the outline, and must not approve the organ."""
        place = list(VIEW_KEYS).index("A")
        for shortcuts in self._in_views.values():
            shortcuts[place].enabled = not self.is_drawing()

    def remove(self) -> None:
        """Take all keys away: another module is open."""
        for one in self.shortcuts:
            one.enabled = False
            one.deleteLater()
        self.shortcuts, self._in_views = [], {}
        if self._layout is not None:
            self._layout.disconnect("layoutChanged(int)", self._layout_changed)
            self._layout = None

    def _layout_changed(self, *_args: object) -> None:
        if self.shortcuts:
            self.install_in_views()


def shortcut(key: str, parent: Widget, context: int, action: Callable[[], object]) -> Widget:
    """Return a key that acts once however long it is held: a held Enter must not approve organ after organ."""
    made = qt.QShortcut(qt.QKeySequence(key), parent)
    made.setContext(context)
    made.autoRepeat = False
    made.connect("activated()", action)
    return made


def sheet() -> str:
    """Return all keys and what they do, for people, as rich text."""
    groups = ((_("In a slice view"), VIEW_KEYS), (_("Segment Editor"), EDITOR_KEYS), (_("Review"), OTHER_KEYS))
    lines = []
    for title, keys in groups:
        rows = "".join(f"<tr><td><b>{key}</b>&nbsp;&nbsp;</td><td>{text}</td></tr>" for key, text in keys.items())
        lines.append(f"<p><b>{title}</b></p><table>{rows}</table>")
    return "".join([*lines, f"<p>{SLICER_INSTEAD}</p>"])
