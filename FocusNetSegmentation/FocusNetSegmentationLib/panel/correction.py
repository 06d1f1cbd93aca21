"""The buttons above the Segment Editor: brush and masking that suit the organ, slices filled in between, smoothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from focusnet.errors import FocusNetError

from ..review.correction import fill_between_slices, set_up_editor, smooth
from .widgets import set_enabled

if TYPE_CHECKING:
    from ..scene.types import SegmentationNode
    from .review import ReviewSection

BUTTONS = ("presetButton", "fillBetweenButton", "smoothButton")


class CorrectionTools:
    """``section``: the ReviewSection."""

    def __init__(self, section: ReviewSection) -> None:
        self.section, self.ui = section, section.ui
        self.ui.presetButton.connect("clicked(bool)", lambda *_: self.set_up(says=True))
        self.ui.fillBetweenButton.connect("clicked(bool)", lambda *_: self._change(fill_between_slices))
        self.ui.smoothButton.connect("clicked(bool)", lambda *_: self._change(smooth))

    def update(self) -> None:
        """Enable what can be pressed: there must be an organ, and no run that draws it."""
        can = self.section.current is not None and not self.section.panel.runs.is_running
        for name in BUTTONS:
            set_enabled(getattr(self.ui, name), can, self.ui.reviewTable)
        self.ui.correctionFrame.setVisible(self.section.review is not None)

    def set_up(self, says: bool = False) -> None:
        """Set brush and masking for the current organ; with ``says`` tell what was set."""
        editing, row = self.section.panel.result.editing, self.section.row()
        if editing.node is None or self.section.review is None or self.section.current is None:
            return
        if row is None or row.organ != self.section.current:
            row = next((r for r in self.section.review.rows() if r.organ == self.section.current), None)
        if row is None:
            return
        brush = set_up_editor(editing.node, None, row.organ, row.volume_ml)
        if says:
            text = _("Brush for {organ}: a ball of {brush:g} mm; neighbours keep their voxels.")
            self.section.say("", text.format(organ=row.organ, brush=brush))

    def _change(self, act: Callable[[SegmentationNode, str, Callable[[], object] | None], int]) -> None:
        organ, node, editor = self.section.current, self.section.node, self.section.panel.result.editor
        if organ is None or node is None or self.section.panel.runs.is_running:
            return
        try:
            changed = act(node, organ, editor.saveStateForUndo if editor is not None else None)
        except FocusNetError as problem:
            self.section.say("warning", str(problem))
            return
        text = _("{count} voxels of {organ} were changed; Undo takes it back.").format(count=changed, organ=organ)
        self.section.say("ok" if changed else "", text if changed else _("Nothing to change here."))
