"""One line of the review list, and what its reasons are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from focusnet.image.segmentation import FOUND
from focusnet.io.segment_tags import ABSENT

from ..scene.review_tags import APPROVED
from .scores import Score

NOT_SCORED = "Not scored yet."
NO_STATISTICS = "No statistics for this organ: it was not scored."
EMPTY = "Empty: nothing is drawn."
BY_HAND = "Drawn by hand."


@dataclass(frozen=True)
class Row:
    """One organ of the list. ``score``: None where it does not apply. ``stale``: the organ was changed after it was scored.

    ``found``: what the model says of the organ as it is now, "found", "uncertain" or "not found" (``OrganResult.status``), and ``warnings`` its
    own sentences. ``seen``: it was shown to a person since the model drew it. ``caution``: what must stand beside the organ because of the model
    that drew it; ``origin``: which of several models that was, and why.
    """

    organ: str
    segment_id: str
    state: str
    volume_ml: float
    score: float | None = None
    look_at: bool = False
    reasons: tuple[str, ...] = ()
    stale: bool = False
    approved_by: str = ""
    active_s: float = 0.0
    empty: bool = False
    found: str = FOUND
    warnings: tuple[str, ...] = ()
    seen: bool = False
    caution: str = ""
    origin: str = ""

    @property
    def absent(self) -> bool:
        """A person has confirmed that nothing of it is to be drawn."""
        return self.empty and self.state == APPROVED

    @property
    def state_text(self) -> str:
        """The state for people: an empty organ that was approved is absent."""
        return ABSENT if self.absent else self.state

    @property
    def reason(self) -> str:
        """Return the first reason, for the table."""
        text = self.reasons[0] if self.reasons else ""
        return f"Changed since it was scored. {text}".strip() if self.stale else text


def group(row: Row) -> int:
    """Return where a row stands: 0 to look at, 1 could not be scored, 2 no sign of a mistake."""
    if row.look_at:
        return 0
    return 1 if row.score is None else 2


def reasons_of(score: Score | None, empty: bool, by_hand: bool) -> tuple[str, ...]:
    reasons: Sequence[str] = score.reasons if score is not None else ()
    if score is None:
        reasons = (BY_HAND if by_hand else NOT_SCORED,)
    elif score.score is None and not reasons:
        reasons = (NO_STATISTICS,)
    if empty and not any(r.startswith("Empty") for r in reasons):
        return (EMPTY, *(r for r in reasons if r != NOT_SCORED))
    return tuple(reasons)
