"""Progress and warnings on stderr: a bar on a terminal, JSON lines for programs, nothing where stderr is a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from ..progress import Progress, ProgressCallback, json_line, progress_line, silent


@contextmanager
def progress_to(stream: TextIO, as_json: bool) -> Iterator[ProgressCallback]:
    """Yield a progress callback for a command."""
    if as_json:
        yield lambda progress: print(progress_line(progress), file=stream, flush=True)
        return
    if not stream.isatty():
        yield silent
        return
    from tqdm import tqdm

    with tqdm(
        total=100, file=stream, bar_format="{desc:<32} {bar:30} {n:3.0f} % {elapsed}<{remaining}", leave=False
    ) as bar:

        def show(progress: Progress) -> None:
            bar.set_description_str(progress.step, refresh=False)
            bar.n = 100 * progress.fraction
            bar.refresh()

        yield show


def tell_warning(message: str, as_json: bool) -> None:
    """Print a warning on stderr, as JSON for programs."""
    text = json_line("warning", message=message) if as_json else f"focusnet: warning: {message}"
    print(text, file=sys.stderr, flush=True)


def tell_notes(notes: list[str]) -> None:
    """Print notes for people on stderr, one a line."""
    for note in notes:
        print(f"focusnet: {note}", file=sys.stderr, flush=True)


def can_ask() -> bool:
    """Return whether a person sits at a terminal."""
    return bool(sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty())


def ask(question: str) -> str:
    """Return a person's answer to a question; "" for none."""
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()
