"""Quality assurance: which organs to look at first and why, and what a person changed. Scores are hints, not verdicts."""

from __future__ import annotations

from .organ_scores import OrganRanking, Ranking, Score, as_dict, text_table, write_ranking
from .ranking import rank_organs
from .shape_model import ShapeModel, load_shape_model

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
