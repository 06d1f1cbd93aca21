"""Show the current organ: the views on it, over its own CT; and whether it was looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import vtk
from slicer.i18n import tr as _

from focusnet.errors import FocusNetError

from ..review.display import Display
from ..review.surfaces import Surfaces
from ..review.views import Views
from .widgets import timer

if TYPE_CHECKING:
    from ..review.states import Review
    from ..scene.types import Node, VolumeNode
    from .review import ReviewSection

SURFACE_MS = 20  # between two surfaces: the window answers in between
SEEN_MS = 300  # an organ counts as looked at when the views have had the time to draw it


class ReviewDisplay:
    """``section``: the ReviewSection."""

    def __init__(self, section: ReviewSection) -> None:
        self.section = section
        self.views = Views(section.panel.scene)
        self.look = Display(section.panel.scene)
        self._moves: list[tuple[Node, int]] = []
        self.surfaces = Surfaces(section.panel.scene)
        self._seen_timer = timer(SEEN_MS, self._seen)
        self._surface_timer = timer(SURFACE_MS, self._next_surface)

    @property
    def is_active(self) -> bool:
        return self.views.is_active or self.look.is_active

    @property
    def is_settling(self) -> bool:
        """Return whether the organ that was chosen last is not counted as looked at yet."""
        return bool(self._seen_timer.active)

    def show(self, review: Review, organ: str, volume: VolumeNode | None) -> str:
        """Show an organ over its own CT, an empty one where it should be. Return what a person must know of it, "" for nothing.

        It counts as looked at when the views have drawn it.
        """
        self._seen_timer.stop()
        self._observe_views()
        if volume is None:
            return _(
                "The CT of this segmentation is not in the scene: load it again. Over another CT its organs are not shown."
            )
        node, segment_id = review.node, review.segments()[organ]
        try:
            shown = self.views.show_organ(node, segment_id, organ, volume)
            self.look.highlight(node, segment_id)
            self.surfaces.show(node, segment_id)
        except FocusNetError as problem:
            return str(problem)
        self._surface_timer.start()
        self._seen_timer.start()
        if shown:
            return ""
        text = _("Nothing is drawn of {organ}, and its usual place is not known: scroll to where it should be.")
        return text.format(organ=organ)

    def _seen(self) -> None:
        review, organ = self.section.review, self.section.current
        if review is not None and organ is not None:
            review.seen(organ)
            self.section.fill()

    def changed(self) -> None:
        """The voxels of some organ were changed: the surfaces follow, one at a time."""
        if self.surfaces.is_active:
            self.surfaces.changed()
            self._surface_timer.start()

    def _next_surface(self) -> None:
        if self.surfaces.is_active and self.surfaces.step():
            self._surface_timer.start()

    def toggle_fill(self) -> None:
        """Fill the current organ, or show its outline alone."""
        if self.look.is_active:
            self.look.toggle_fill()

    def toggle_others(self) -> None:
        """Show the current organ alone, or all again."""
        if self.look.is_active:
            self.look.toggle_others()
            self.section.fill()

    def next_window(self) -> None:
        """Go on to the next window: soft tissue, brain, bone, one's own."""
        name = self.views.windows.cycle(self.section.volume_node, self.section.current)
        if name:
            self.section.say("", _("Window: {name}.").format(name=name))

    def toggle_visible(self, segment_id: str) -> None:
        """Hide an organ or show it again."""
        if self.section.node is not None:
            self.look.toggle_visible(self.section.node, segment_id)

    def restore(self) -> None:
        """Give back what the user had before the review."""
        self._stop()
        self.views.restore()
        self.look.restore()
        self.surfaces.restore()

    def forget(self) -> None:
        """Forget what was there before: the scene is going, and nothing can be restored."""
        self._stop()
        self.views.forget()
        self.look.forget()
        self.surfaces.forget()

    def close(self) -> None:
        """Let go of the timers."""
        self._stop()
        self._seen_timer.deleteLater()
        self._surface_timer.deleteLater()

    def _stop(self) -> None:
        self._seen_timer.stop()
        self._surface_timer.stop()
        for node, tag in self._moves:
            node.RemoveObserver(tag)
        self._moves = []

    def _observe_views(self) -> None:
        """Scrolling through an organ is work on it too."""
        scene = self.section.panel.scene
        for index in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceNode") if not self._moves else 0):
            node = scene.GetNthNodeByClass(index, "vtkMRMLSliceNode")
            self._moves.append((node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._moved)))

    def _moved(self, *_args: object) -> None:
        if self.section.review is not None and self.section.current is not None:
            self.section.review.record_activity(self.section.current)
