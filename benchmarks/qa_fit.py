"""Fit the predicted DSC (``focusnet/qa/quality/quality.json``) and measure it on scans that it did not see.

    python benchmarks/qa_fit.py --references ROWS --train ROWS[:WEIGHT] ... --val ROWS [--out quality.json] [--images docs/images]

ROWS: folders of ``qa_rows.py``. Needs scikit-learn, which what ships does not.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))

from focusnet.qa.quality.features import organ_features
from focusnet.qa.quality.usual import Usual

BAD_DSC = 0.6


@dataclass
class Row:
    scan: str
    organ: str
    what: str  # "result", or what was planted
    dsc: float
    features: dict[str, float]
    weight: float = 1.0


def read_folder(folder: Path) -> list[dict]:
    return [json.loads(p.read_text()) for p in sorted(folder.glob("*.json"))]


def rows_of(scan: dict, usual: Usual, weight: float = 1.0, planted: bool = True) -> Iterator[Row]:
    """Yield the rows of one scan: results with and without their doubt, planted errors without and with that of the unchanged result."""
    found = scan["result"]
    measures = {name: row["measures"] for name, row in found.items() if row["measures"]}
    doubts = {name: row["doubt"] for name, row in found.items() if row["doubt"]}
    for name, row in found.items():
        if row["dsc"] is None or name not in measures or not usual.knows(name):
            continue
        yield Row(scan["scan"], name, "result", row["dsc"], organ_features(name, measures, usual, doubts), weight)
        if planted:
            yield Row(scan["scan"], name, "no doubt", row["dsc"], organ_features(name, measures, usual, {}), weight)
    if planted:
        for row in scan["planted"]:
            name = row["organ"]
            changed = {**measures, name: row["measures"]}
            yield Row(scan["scan"], name, row["what"], row["dsc"], organ_features(name, changed, usual, {}), weight)
