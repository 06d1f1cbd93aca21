"""Render templates to one HTML file. Every text is escaped; a name that a template does not get is an error."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..files.atomic_write import atomic_path, check_output
from ..io.suffixes import PAGES

TEMPLATES = Path(__file__).parent / "templates"


def write_page(template: str, content: dict[str, Any], path: Path | str, overwrite: bool = False) -> None:
    """Render ``template`` to ``path``. Raises OutputError."""
    check_output(path, overwrite, PAGES)
    text = render(template, content)
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def render(template: str, content: dict[str, Any]) -> str:
    """Return the page as text."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, anchor=anchor)
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(style=style, **content)


def number(value: object, digits: int = 2) -> str:
    """Return a number for a table; an en dash for what does not exist."""
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or value != value
        or value in (float("inf"), float("-inf"))
    ):
        return "\N{EN DASH}"
    return f"{value:.{digits}f}"


def anchor(name: str) -> str:
    """Return a name as an HTML id."""
    return "o-" + re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()
