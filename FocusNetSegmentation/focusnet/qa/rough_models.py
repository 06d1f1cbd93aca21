"""Hold the organs of a model that carries a caution (one that has seen no patient) to wider limits: nearly all of its outlines are rougher than a person's.

At the limits of real contours 43 of 49 bad and 121 of 140 good small organs of ``head22-synthetic`` on simulated heads were listed, which orders
nothing; from twice the limit on 28 and 35 (``benchmarks/qa_small.py``).
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
