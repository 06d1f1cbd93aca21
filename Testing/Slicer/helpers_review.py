"""What the tests of the review share: scores of the five organs, and a clock that stands still."""

from __future__ import annotations

from typing import Any

from ..Core.helpers_outputs import NAMES, PROVENANCE

DRAFTS = dict.fromkeys(NAMES, "draft")
SCORED = {
    "model": {"name": "han7-test", "version": "1.2", "sha256": PROVENANCE["bundle_sha256"]},
    "organs": [
        {"organ": "Parotid_L", "score": 0.97, "state_hint": "look at", "reasons": ["Half the size of the right one.", "b | c"]},
        {"organ": "Brainstem", "score": 0.93, "state_hint": "look at", "reasons": ["Two slices are missing."]},
        {"organ": "Larynx", "score": None, "state_hint": "no statistics", "reasons": []},
        {"organ": "SpinalCord", "score": 0.4, "state_hint": "no sign of a mistake", "reasons": []},
        {"organ": "Parotid_R", "score": 0.1, "state_hint": "no sign of a mistake", "reasons": []},
    ],
}  # fmt: skip


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def approve(review: Any, organ: str, by: str = "") -> str | None:
    """As a person does: look at the organ, then approve it, or confirm that it is absent where nothing is drawn."""
    review.seen(organ)
    row = next(row for row in review.rows() if row.organ == organ)
    following: str | None = (review.approve_absent if row.empty else review.approve)(organ, by)
    return following
