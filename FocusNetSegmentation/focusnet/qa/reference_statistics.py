"""Statistics of real contours: sizes, extents, places relative to each other, HU.

Read from ``statistics.json``, which ``benchmarks/qa_statistics.py`` makes from training patients of OpenKBP and tcia-oars.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelError

FORMAT_VERSION = 1
SHIPPED = Path(__file__).with_name("statistics.json")
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
# SD of a normal distribution at which a limit lies. At the 1st percentile (2.326) the dozen scores together, some with two sides or three axes,
# flagged 8 to 11 of 100 real contours of patients who are not in the statistics, at the 1000th 3 to 6 (docs/qa.md).
LIMIT_SD, FIRST_PERCENTILE_SD = 3.09, 2.326
TAIL = LIMIT_SD / 1.645  # 20 patients show no such percentile: it is taken to lie this many times as far out as the 5th
LEAVES_SCAN = 0.4  # of real contours that touch the scan's edge
MINIMUM = 10  # patients: fewer say nothing about what is usual


@dataclass(frozen=True)
class Spread:
    """Percentiles of a positive quantity among real contours; ``percentiles``: {1: value, 5: ...}."""

    n: int
    percentiles: Mapping[int, float]

    def severity(self, value: float, least: float = 0.0) -> float:
        """Return the distance from the median in logarithms, 1 at LIMIT_SD on that side.

        ``least``: the limit lies at least this far from the median, in the value's own unit.
        """
        middle = math.log(self.percentiles[50])
        deviation = math.log(max(value, 1e-6)) - middle
        far = math.log(self.percentiles[95 if deviation > 0 else 5]) - middle
        floor = math.log1p(least / self.percentiles[50]) if least > 0 else 0.05
        return abs(deviation) / max(abs(far) * TAIL, floor)

    def percentile(self, value: float) -> float:
        """Return the percentile of ``value``, 0.5 to 99.5, interpolated between the known percentiles."""
        known = sorted(self.percentiles)
        values = np.log([self.percentiles[p] for p in known])
        return float(np.interp(math.log(max(value, 1e-6)), values, known, left=0.5, right=99.5))

    @classmethod
    def of(cls, values: Any) -> dict[str, float]:
        """Return the JSON of a Spread of ``values``."""
        return {"n": len(values), **{f"p{p}": round(float(np.percentile(values, p)), 5) for p in PERCENTILES}}

    @classmethod
    def read(cls, data: Mapping[str, float], suffix: str = "") -> Spread:
        """Return the Spread of a JSON entry. ``suffix``: of the percentiles' keys, such as ``_ml``."""
        return cls(int(data["n"]), {p: float(data[f"p{p}{suffix}"]) for p in PERCENTILES})


@dataclass(frozen=True)
class Offset:
    """The vector from organ a's centre to organ b's, LPS mm: mean and covariance over patients."""

    n: int
    mean_mm_xyz: np.ndarray
    covariance: np.ndarray

    @property
    def spread_mm(self) -> float:
        """Return the geometric mean of the standard deviations along the three main axes, in mm."""
        return float(np.linalg.det(self.covariance) ** (1 / 6))

    def distance(self, offset_mm_xyz: np.ndarray) -> float:
        """Return the Mahalanobis distance of an offset (x, y, z), divided by sqrt(3), so that about 1 is ordinary."""
        d = offset_mm_xyz - self.mean_mm_xyz
        return float(np.sqrt(d @ np.linalg.solve(self.covariance, d) / 3.0))


@dataclass(frozen=True)
class ReferenceStatistics:
    """Usual values among real contours.

    ``organs``: raw entries by organ. ``offsets``: by (a, b). ``asymmetry``: limit of |log(left / right)| by the name without its
    side. ``touch``: largest usual gap in mm by (organ, other).
    """

    organs: dict[str, dict[str, Any]]
    offsets: dict[tuple[str, str], Offset]
    asymmetry: dict[str, float]
    touch: dict[tuple[str, str], float]
    volumes: dict[str, Spread] = field(default_factory=dict)

    def knows(self, organ: str) -> bool:
        """Return whether there are statistics of this organ."""
        return organ in self.organs or organ in self.volumes

    def leaves_scan(self, organ: str) -> bool:
        """Return whether this organ usually reaches the scan's edge, as lungs and cord do, so that its length is the scan's."""
        return float(self.organs.get(organ, {}).get("edge_fraction", 0.0)) > LEAVES_SCAN

    def limit(self, organ: str, key: str) -> float | None:
        """Return the value of a one-sided measure that about 1 of 100 real contours passes; None without statistics."""
        value = self.organs.get(organ, {}).get(key)
        return None if value is None else float(value)

    def offset(self, a: str, b: str) -> Offset | None:
        """Return the offset from a to b, in whichever direction it is stored."""
        if (a, b) in self.offsets:
            return self.offsets[a, b]
        back = self.offsets.get((b, a))
        return None if back is None else Offset(back.n, -back.mean_mm_xyz, back.covariance)

    def with_volumes(self, table: Mapping[str, Mapping[str, float]]) -> ReferenceStatistics:
        """Return these statistics with a model's own ``volume_statistics`` in place of the shipped volumes."""
        own = {name: Spread.read(row, "_ml") for name, row in table.items() if row.get("n", 0) >= MINIMUM}
        return ReferenceStatistics(self.organs, self.offsets, self.asymmetry, self.touch, {**self.volumes, **own})


@lru_cache(maxsize=4)
def load_reference_statistics(path: Path = SHIPPED) -> ReferenceStatistics:
    """Return statistics of real contours. Raises ModelError for a file that is missing, damaged or of another format."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT_VERSION:
            raise ValueError(f"format {data['format']} found, {FORMAT_VERSION} expected")
        organs = data["organs"]
        return ReferenceStatistics(
            organs=organs,
            offsets={_pair(key): _offset(row) for key, row in data["offsets"].items()},
            asymmetry={name: float(v) for name, v in data["asymmetry"].items()},
            touch={_pair(key): float(v) for key, v in data["touch"].items()},
            volumes={name: Spread.read(row["volume_ml"]) for name, row in organs.items()},
        )
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise ModelError(f"{path} cannot be read as statistics ({problem}); install focusnet again.") from problem


def _pair(key: str) -> tuple[str, str]:
    a, b = key.split("|")
    return a, b


def _offset(row: Mapping[str, Any]) -> Offset:
    xx, xy, xz, yy, yz, zz = row["cov"]
    covariance = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    return Offset(int(row["n"]), np.array(row["mean"]), covariance)
