"""Quality assurance: which organs to look at first and why, and what a person changed. Nothing here is a verdict."""

from __future__ import annotations

from .record import OrganReview, Review, Score, as_dict, text_table, write_review
from .review import review

__all__ = ["OrganReview", "Review", "Score", "as_dict", "review", "text_table", "write_review"]
