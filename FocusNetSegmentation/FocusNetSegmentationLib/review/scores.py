"""Scores as ``focusnet qa`` wrote them: scores and reasons per organ, as JSON. Nothing is computed here."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from focusnet.errors import InputError

LOOK_AT = "look at"


@dataclass(frozen=True)
class Score:
    """``score``: None where it does not apply. ``rank``: place in the list, 0 is the worst. ``reasons``: in words, the weightiest first."""

    organ: str
    score: float | None
    look_at: bool
    reasons: tuple[str, ...] = ()
    rank: int = 0

    def to_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if key != "organ"}

    @classmethod
    def from_json(cls, organ: str, data: Mapping[str, Any]) -> Score:
        """Return the score that a segment's tag holds."""
        reasons = data.get("reasons")
        return cls(
            organ,
            _number(data.get("score")),
            bool(data.get("look_at")),
            tuple(map(str, reasons)) if isinstance(reasons, (list, tuple)) else (),
            int(_number(data.get("rank")) or 0),
        )


@dataclass(frozen=True)
class Scores:
    """``model``: name, version and hash of the bundle that scored, under the names that a run's tag has."""

    organs: dict[str, Score]
    model: dict[str, str] = field(default_factory=dict)


def read_scores(path: Path | str) -> Scores:
    """Read the JSON of ``focusnet qa``. Raises InputError for a file that is something else."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise InputError(f"{path} cannot be read as scores ({problem}); score the segmentation again.") from problem
    return scores_from(data, str(path))


def scores_from(data: Any, source: str = "The report") -> Scores:
    """Return the scores of the parsed JSON, worst first as they come. Raises InputError."""
    entries = data.get("organs") if isinstance(data, dict) else None
    if not isinstance(entries, list) or not all(isinstance(e, dict) and e.get("organ") for e in entries):
        raise InputError(f"{source} holds no list of organs with scores; the JSON of 'focusnet qa' is expected.")
    model = data.get("model") or {}
    named = {"model": "name", "model_version": "version", "bundle_sha256": "sha256"}
    return Scores(
        {str(e["organ"]): _score(e, rank) for rank, e in enumerate(entries)},
        {key: str(model[name]) for key, name in named.items() if isinstance(model, dict) and model.get(name)},
    )


def _score(entry: Mapping[str, Any], rank: int) -> Score:
    return Score.from_json(str(entry["organ"]), {**entry, "rank": rank, "look_at": entry.get("state_hint") == LOOK_AT})


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
