"""Sentences with a mark for their level, as rich text."""

from __future__ import annotations

import html

MARKS = {  # level: mark and colour, readable on light and dark backgrounds
    "ok": ("✓", "#2e9e5b"),
    "warning": ("⚠", "#c98500"),
    "refused": ("✗", "#d9534f"),
    "missing": ("✗", "#d9534f"),
    "error": ("✗", "#d9534f"),
}


def marked(level: str, text: str) -> str:
    """Return rich text with the level's mark before it; the text itself is shown as it is. Any other level has no mark."""
    mark, color = MARKS.get(level, ("", ""))
    safe = html.escape(text, quote=False).replace("\n", "<br>")
    return f'<span style="color:{color}"><b>{mark}</b></span> {safe}' if mark else safe
