"""Work on the scene that is written as steps, done in one go."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

Result = TypeVar("Result")


def finished(steps: Generator[None, None, Result]) -> Result:
    """Do all steps, and return what the last one returns."""
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            value: Result = ended.value
            return value
