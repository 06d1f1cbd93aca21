"""Words that several messages share."""

from __future__ import annotations

RESEARCH_ONLY = "Research software, not a medical device."
DISCLAIMER = f"{RESEARCH_ONLY} Every contour must be checked by a qualified person."
CHECK_CONTOURS = f"{RESEARCH_ONLY[:-1]}: check every contour."


def counted(number: int, one: str, many: str = "") -> str:
    """Return the number with its noun: ``one`` for 1, else ``many``, by default ``one`` with an s. A verb may follow the noun in both."""
    return f"{number} {one if number == 1 else many or one + 's'}"
