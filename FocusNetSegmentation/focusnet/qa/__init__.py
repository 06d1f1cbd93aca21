"""Quality assurance: which organs to look at first and why, and what a person changed. Nothing here is a verdict."""

from __future__ import annotations

from .organ_scores import OrganReview, Review, Score, as_dict, text_table, write_review
from .ranking import review
from .shape_model import ShapeModel, load_shape_model

__all__ = [
    "OrganReview",
    "Review",
    "Score",
    "ShapeModel",
    "as_dict",
    "load_shape_model",
    "review",
    "text_table",
    "write_review",
]
