"""summary.csv: one row a scan, on the disk as soon as the scan is done, in the scans' order when the batch is."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..files.atomic_write import atomic_path
from ..files.disk import append_whole, reason

COLUMNS = (
    "scan",
    "status",
    "message",
    "seconds",
    "organs_found",
    "uncertain",
    "not_found",
    "warnings",
    "caution",
    "output",
)
SORTED_AT_MOST = 100_000  # rows: beyond it the rows stay in the order in which scans were done


class Summary:
    """Rows are appended, so that ten thousand scans do not write ten thousand tables; counts are all that stays in memory."""

    def __init__(self, path: Path, organs: Sequence[str]) -> None:
        self.path = path
        self.columns = [*COLUMNS, *(f"{organ}_ml" for organ in organs)]
        self.counts: dict[str, int] = {}
        with atomic_path(path) as partial:
            partial.write_text(
                self._text([dict(zip(self.columns, self.columns, strict=True))]), encoding="utf-8", newline=""
            )

    @property
    def rows(self) -> int:
        return sum(self.counts.values())

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Raises OutputError."""
        try:
            append_whole(self.path, self._text(rows).encode())
        except OSError as problem:
            raise OutputError(f"{self.path} cannot be written ({reason(problem, self.path)}).") from problem
        for row in rows:
            self.counts[row["status"]] = self.counts.get(row["status"], 0) + 1

    def finish(self) -> None:
        """Put the rows in the order of their names."""
        if self.rows > SORTED_AT_MOST:
            return
        with self.path.open(newline="", encoding="utf-8") as handle:
            rows = sorted(csv.DictReader(handle), key=lambda row: row["scan"])
        with atomic_path(self.path) as partial:
            header = dict(zip(self.columns, self.columns, strict=True))
            partial.write_text(self._text([header, *rows]), encoding="utf-8", newline="")

    def _text(self, rows: Sequence[dict[str, Any]]) -> str:
        text = io.StringIO(newline="")
        csv.DictWriter(text, self.columns, extrasaction="ignore").writerows(rows)
        return text.getvalue()
