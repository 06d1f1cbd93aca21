"""The predicted DSC of an organ: small regression trees on named features, read from JSON and evaluated with numpy alone.

``quality.json`` is written by ``benchmarks/qa_fit.py``. It names the organs that it belongs to; other organs get no prediction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ModelError
from .usual import Usual

FORMAT_VERSION = 1
SHIPPED = Path(__file__).with_name("quality.json")
LEAF = -1


@dataclass(frozen=True)
class Tree:
    """One regression tree as arrays over its nodes: ``feature`` (LEAF in a leaf), ``limit`` (at most: left), ``left``, ``right``,
    ``missing_left`` (where a missing feature goes) and ``value`` (in a leaf its output, elsewhere the mean of those below)."""

    feature: tuple[int, ...]
    limit: tuple[float, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    missing_left: tuple[int, ...]
    value: tuple[float, ...]

    def path(self, x: np.ndarray) -> list[int]:
        """Return the nodes that ``x`` (features, NaN where missing) passes, root and leaf included."""
        nodes = [0]
        while (feature := self.feature[nodes[-1]]) != LEAF:
            node, value = nodes[-1], x[feature]
            to_left = bool(self.missing_left[node]) if np.isnan(value) else value <= self.limit[node]
            nodes.append(self.left[node] if to_left else self.right[node])
        return nodes


@dataclass(frozen=True)
class Prediction:
    """``dsc``: predicted, with the interval ``low`` to ``high`` that held four fifths of the calibration's organs with such a
    prediction; ``bad``: the part of them with a DSC below 0.6. ``moved``: feature -> how much it moved the prediction, the lowest first.
    """

    dsc: float
    low: float
    high: float
    bad: float
    moved: Mapping[str, float]


@dataclass(frozen=True)
class QualityModel:
    """``calibration``: rows (prediction, part below 0.6, 10th and 90th percentile of true less predicted DSC), predictions rising.

    ``models``: the bundles whose contours it was fitted on. ``look_at``: the predicted DSC below which an organ is listed;
    ``look_at_unknown``: of contours of unknown origin, which may be a person's and differ from a model's.
    ``usual_dsc``: mean DSC by organ, itself a feature.
    """

    name: str
    version: str
    models: tuple[str, ...]
    organs: tuple[str, ...]
    features: tuple[str, ...]
    usual: Usual
    usual_dsc: Mapping[str, float]
    base: float
    trees: tuple[Tree, ...]
    calibration: np.ndarray
    look_at: float
    look_at_unknown: float

    def knows(self, organ: str) -> bool:
        """Return whether the model predicts this organ's DSC."""
        return organ in self.organs and self.usual.knows(organ)

    def predict(self, organ: str, features: Mapping[str, float]) -> Prediction:
        """Return the prediction for ``features`` (see ``organ_features``); missing ones are allowed for."""
        given = {**features, "usual_dsc": self.usual_dsc[organ]}
        x = np.array([given.get(name, np.nan) for name in self.features])
        total, moved = self.base, dict.fromkeys(self.features, 0.0)
        for tree in self.trees:
            nodes = tree.path(x)
            total += tree.value[nodes[-1]]
            for above, below in pairwise(nodes):
                moved[self.features[tree.feature[above]]] += tree.value[below] - tree.value[above]
        at, bad, low, high = self.calibration.T
        low_dsc, high_dsc = (float(np.clip(total + np.interp(total, at, by), 0.0, 1.0)) for by in (low, high))
        return Prediction(
            dsc=float(np.clip(total, 0.0, 1.0)),
            low=low_dsc,
            high=high_dsc,
            bad=float(np.interp(total, at, bad)),
            moved=dict(sorted(moved.items(), key=lambda pair: pair[1])),
        )


def quality_model_from(data: Mapping[str, Any]) -> QualityModel:
    """Return the model of a parsed ``quality.json``. Raises KeyError, TypeError or ValueError for anything else."""
    if data["format"] != FORMAT_VERSION:
        raise ValueError(f"format {data['format']} found, {FORMAT_VERSION} expected")
    return QualityModel(
        name=str(data["name"]),
        version=str(data["version"]),
        models=tuple(data["models"]),
        organs=tuple(data["organs"]),
        features=tuple(data["features"]),
        usual=Usual.from_json(data["usual"]),
        usual_dsc={str(k): float(v) for k, v in data["usual_dsc"].items()},
        base=float(data["base"]),
        trees=tuple(Tree(*(tuple(column) for column in tree)) for tree in data["trees"]),
        calibration=np.array(data["calibration"], float),
        look_at=float(data["look_at"]),
        look_at_unknown=float(data["look_at_unknown"]),
    )


@lru_cache(maxsize=4)
def load_quality_model(path: Path = SHIPPED) -> QualityModel:
    """Return the model that predicts the DSC. Raises ModelError for a file that is missing, damaged or of another format."""
    try:
        return quality_model_from(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise ModelError(f"{path} cannot be read as a quality model ({problem}); install focusnet again.") from problem
