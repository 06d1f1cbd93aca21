"""Notice files that change while a data set is in use, so that a run does not mix old and new cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import DatasetError


class Snapshot:
    """Sizes and times of every case's files when the data set was opened. ``paths``: case -> files or folders of slices."""

    def __init__(self, paths: Mapping[str, Iterable[Path]]) -> None:
        self._states = {name: {path: _state(path) for path in files} for name, files in paths.items()}

    def check(self, name: str) -> None:
        """Raise DatasetError that names the case if one of its files was removed or changed since."""
        for path, before in self._states[name].items():
            if before is None:
                continue  # was missing from the start: the reader says so with its remedy
            now = _state(path)
            if now != before:
                what = "was removed" if now is None else "has changed"
                raise DatasetError(
                    f"Case {name}: {path} {what} since the data set was opened. Put the file back, or start again with the data as it is now; "
                    "nothing already trained is lost."
                )


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns)
