"""Quality assurance: which organs to look at first and why, and what a person changed. Scores are hints, not verdicts.

Names are looked up on first use: 3D Slicer reads the statistics before SciPy is there.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .organ_scores import OrganRanking, Ranking, Score, as_dict, text_table, write_ranking
    from .ranking import rank_organs
    from .shape_model import ShapeModel, load_shape_model

_PLACES = {
    "OrganRanking": ".organ_scores",
    "Ranking": ".organ_scores",
    "Score": ".organ_scores",
    "ShapeModel": ".shape_model",
    "as_dict": ".organ_scores",
    "load_shape_model": ".shape_model",
    "rank_organs": ".ranking",
    "text_table": ".organ_scores",
    "write_ranking": ".organ_scores",
}

__all__ = [
    "OrganRanking",
    "Ranking",
    "Score",
    "ShapeModel",
    "as_dict",
    "load_shape_model",
    "rank_organs",
    "text_table",
    "write_ranking",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(_PLACES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
