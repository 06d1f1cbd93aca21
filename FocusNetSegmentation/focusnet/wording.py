"""Numbers with their noun: "1 contour", "2 contours"."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """``one`` is said of 1; of every other number ``many``, by default ``one`` with an s. A verb may follow the noun in both."""
    return f"{number} {one if number == 1 else many or one + 's'}"
