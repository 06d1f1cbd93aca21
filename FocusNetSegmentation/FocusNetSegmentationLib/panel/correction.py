"""The buttons above the Segment Editor: brush and masking that suit the organ, slices filled in between, smoothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .review import ReviewSection

BUTTONS = ("presetButton", "fillBetweenButton", "smoothButton")


class CorrectionTools:
    """``section``: the ReviewSection."""

    def __init__(self, section: ReviewSection) -> None:
        self.section, self.ui = section, section.ui

    def update(self) -> None:
        """Enable what can be pressed."""
        self.ui.correctionFrame.setVisible(False)

    def set_up(self, organ: str, segment_id: str) -> None:
        """Set the editor up for an organ that was just chosen."""
