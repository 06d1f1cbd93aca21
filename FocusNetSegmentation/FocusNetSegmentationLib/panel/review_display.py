"""What a person sees of the current organ: the views on it, over its own CT; and whether it was looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from focusnet.errors import FocusNetError

from ..review.usual_place import place_to_look_ras
from ..review.views import Views
from .slice_views import Visibility, next_window, show_volume
from .widgets import timer

if TYPE_CHECKING:
    from ..review.states import Review
    from ..scene.types import VolumeNode
    from .review import ReviewSection

SEEN_MS = 300  # an organ counts as looked at when the views have had the time to draw it


class ReviewDisplay:
    """``section``: the ReviewSection."""

    def __init__(self, section: ReviewSection) -> None:
        self.section = section
        self.views = Views(section.panel.scene)
        self.visibility = Visibility()
        self._seen_timer = timer(SEEN_MS, self._seen)

    @property
    def is_active(self) -> bool:
        return self.views.is_active

    @property
    def is_settling(self) -> bool:
        """Return whether the organ that was chosen last is not counted as looked at yet."""
        return bool(self._seen_timer.active)

    def show(self, review: Review, organ: str, volume: VolumeNode | None) -> str:
        """Show an organ over its own CT, an empty one where it should be. Return what a person must know of it, "" for nothing.

        It counts as looked at when the views have drawn it.
        """
        self._seen_timer.stop()
        if volume is None:
            return _("The CT of this segmentation is not in the scene: load it again. Over another CT its organs are not shown.")
        node, segment_id = review.node, review.segments()[organ]
        try:
            show_volume(self.section.panel.scene, volume)
            empty = not review.current_fingerprints()[organ].voxels
            place = place_to_look_ras(node, segment_id, organ) if empty else None
            shown = self.views.focus(node, segment_id, organ, volume, place)
        except FocusNetError as problem:
            return str(problem)
        self.visibility.follow(node, segment_id)
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

    def toggle_fill(self) -> None:
        row = self.section.row()
        if row is not None:
            self.visibility.toggle_fill(self.section.node, row.segment_id)

    def toggle_others(self) -> None:
        row = self.section.row()
        if row is not None:
            self.visibility.toggle_others(self.section.node, row.segment_id)
            self.section.fill()

    def next_window(self) -> None:
        window = next_window(self.section.volume_node)
        if window is not None:
            text = _("Window {width:.0f}/{level:.0f} HU.")
            self.section.say("", text.format(width=window[0], level=window[1]))

    def restore(self) -> None:
        """Give back what the user had before the review."""
        self._seen_timer.stop()
        self.views.restore()
        self.visibility.restore()

    def forget(self) -> None:
        """Forget what was there before: the scene is going, and nothing can be restored."""
        self._seen_timer.stop()
        self.views.forget()
        self.visibility.forget()
