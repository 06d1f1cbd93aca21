"""Hold the organs of a model that carries a caution (one that has seen no patient) to wider limits: nearly all of its outlines are rougher than a person's.

At the limits of real contours 81 of 96 bad and 152 of 282 good small organs of ``head22-synthetic`` on simulated heads are listed, which orders
little; at limits half as wide again 55 and 69 (``benchmarks/qa_small.py``, docs/qa.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .organ_scores import Score

WIDER = 1.5
GRADED = frozenset(
    {"volume", "extent", "asymmetry", "parts", "holes", "hu", "shape_dsc", "shape_surface", "shape_latent", "position"}
)
NOTE = (
    "Organs of a model that carries a caution are held to limits half as wide again as those of real contours, because nearly all of them "
    "are rough. Look at each."
)


def at_wider_limits(scores: Sequence[Score]) -> list[Score]:
    """Return the scores with the severity of graded ones against a limit WIDER times as far."""
    return [replace(s, severity=s.severity / WIDER) if s.id in GRADED and s.severity is not None else s for s in scores]
