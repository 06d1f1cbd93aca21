"""Differences between two models on the same patients: mean, interval, test, and what they say in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..wording import counted

# Below this no difference can be shown: of six patients who all go one way the signed-rank test gives p = 2 / 2^6 = 0.03, of five 0.06
FEWEST_PATIENTS = 6
LEVEL = 0.05
RESAMPLES = 10_000

Verdict = Literal["better", "worse", "not to tell"]


@dataclass(frozen=True)
class Difference:
    """New minus old of one measure over ``patients``. ``low`` to ``high``: 95 % interval of the mean; ``p``: of Wilcoxon's signed-rank test.

    Interval and p are nan below FEWEST_PATIENTS.
    """

    patients: int
    old: float
    new: float
    mean: float
    low: float
    high: float
    p: float

    def verdict(self, higher_is_better: bool = True) -> Verdict:
        """Return "better" or "worse" where interval and test agree that there is a difference, else "not to tell"."""
        if not self.p < LEVEL or self.low <= 0 <= self.high:
            return "not to tell"
        return "better" if (self.mean > 0) == higher_is_better else "worse"

    def why(self, digits: int = 3) -> str:
        """Return what the verdict rests on, in words."""
        if self.patients < FEWEST_PATIENTS:
            return f"{counted(self.patients, 'patient')}; fewer than {FEWEST_PATIENTS} can prove nothing"
        return f"between {signed(self.low, digits)} and {signed(self.high, digits)}, {self.patients} patients"


def signed(value: float, digits: int) -> str:
    """Return a change with its sign; what rounds to nothing is +0."""
    return f"{round(value, digits) + 0.0:+.{digits}f}"


def difference(old: Sequence[float], new: Sequence[float], patients: Sequence[str]) -> Difference:
    """Return new minus old of paired values, one pair a case; cases of one patient count as one, at their mean.

    The interval is a percentile bootstrap over patients with a fixed seed (Efron 1979). Raises ValueError for no values.
    """
    names = sorted(set(patients))
    if not names:
        raise ValueError("no pair to compare")
    pairs = np.array([old, new], float).T  # (cases, 2)
    by_patient = np.array([pairs[[p == name for p in patients]].mean(axis=0) for name in names])  # (patients, 2)
    deltas = by_patient[:, 1] - by_patient[:, 0]
    low = high = p = float("nan")
    if len(names) >= FEWEST_PATIENTS:
        drawn = np.random.default_rng(0).integers(len(deltas), size=(RESAMPLES, len(deltas)))
        low, high = (float(v) for v in np.percentile(deltas[drawn].mean(axis=1), [2.5, 97.5]))
        p = _signed_rank(deltas)
    means = by_patient.mean(axis=0)
    return Difference(len(names), float(means[0]), float(means[1]), float(deltas.mean()), low, high, p)


def _signed_rank(deltas: np.ndarray) -> float:
    """Return the two-sided p of Wilcoxon's test; 1 where nothing differs."""
    from scipy.stats import wilcoxon

    if not np.any(np.abs(deltas) > 1e-12):
        return 1.0
    return float(wilcoxon(np.round(deltas, 12)).pvalue)
