"""The first line of the panel while something is missing: what it is, what getting it costs, and the button that does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import qt
from slicer.i18n import tr as _

from ..messages import marked

if TYPE_CHECKING:
    from ..install.plan import Step
    from ..install.preflight import Preflight
    from ..scene.types import Widget


class InstallBanner:
    """Made in Python, above everything else in the form that ``beside`` lies in. Hidden while nothing is missing."""

    def __init__(self, beside: Widget, on_install: Callable[[], object], on_cancel: Callable[[], object]) -> None:
        self.widget = qt.QFrame()
        layout = qt.QVBoxLayout(self.widget)
        layout.setContentsMargins(6, 6, 6, 6)
        self.label = qt.QLabel()
        self.label.wordWrap = True
        self.installButton = qt.QPushButton(_("Install..."))
        self.installButton.toolTip = _("Install what is missing. You are asked before anything is changed.")
        self.cancelButton = qt.QPushButton(_("Cancel the installation"))
        self.cancelButton.toolTip = _("End the installation now. What is installed already stays.")
        self.progressBar = qt.QProgressBar()
        self.progressBar.setRange(0, 100)
        self.statusLabel = qt.QLabel()
        self.statusLabel.wordWrap = True
        for widget in (self.label, self.installButton, self.progressBar, self.statusLabel, self.cancelButton):
            layout.addWidget(widget)
        self.installButton.connect("clicked(bool)", lambda *_: on_install())
        self.cancelButton.connect("clicked(bool)", lambda *_: on_cancel())
        self.widget.hide()
        beside.parentWidget().layout().insertWidget(0, self.widget)

    def show(self, found: Preflight | None, steps: Sequence[Step], installing: bool, may_install: bool) -> None:
        """Follow the state: ``steps`` is what Install would do."""
        text = missing_line(found, steps) if found is not None else ""
        self.label.text = marked("missing", text) if text else ""
        self.widget.setVisible(bool(text) or installing)
        self.installButton.setVisible(bool(steps) and not installing)
        self.installButton.enabled = may_install
        for widget in (self.cancelButton, self.progressBar, self.statusLabel):
            widget.setVisible(installing)

    def progress(self, fraction: float, text: str) -> None:
        self.progressBar.setValue(round(100 * fraction))
        self.statusLabel.text = text

    def close(self) -> None:
        """Take it out of the form: the panel is made anew after a reload."""
        self.widget.hide()
        self.widget.deleteLater()


def missing_line(found: Preflight, steps: Sequence[Step]) -> str:
    """Return what is missing and what it costs, in one or two sentences; "" if nothing is."""
    from ..install.preflight import torch_item

    if found.ready:
        return ""
    count = len(found.missing_packages)
    packages = _("1 small package") if count == 1 else _("{count} small packages").format(count=count)
    torch = torch_item(found.torch).level == "missing"
    names = [*([_("PyTorch")] if torch else []), *([packages] if count else [])]
    parts = []
    if names:
        parts.append(_("Not installed yet: {names}.").format(names=_(" and ").join(names)))
    costs = [step.cost for step in steps if step.cost is not None]
    if costs:
        megabytes = sum(cost.download_mb for cost in costs)
        size = f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes} MB"
        first, last = (sum(cost.minutes[i] for cost in costs) for i in (0, 1))
        parts.append(
            _("About {size} to download, {first} to {last} minutes.").format(size=size, first=first, last=last)
        )
    named = {"torch", *(requirement.partition(">=")[0] for requirement in found.missing_packages)}
    parts += [item.text for item in found.items if item.level == "missing" and item.key not in named]
    return " ".join(parts)
