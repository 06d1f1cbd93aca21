"""Give every organ that the quality model knows its predicted DSC, as one Score with its reasons."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...image.segmentation import Segmentation
from ...image.volume import Geometry
from ..organ_scores import HIGHEST, Score
from .coarse_scan import coarse_scan
from .features import certainty_measures, organ_features
from .measures import measure_organs
from .model import Prediction, QualityModel
from .words import reasons

ID = "predicted_dsc"
TITLE = "Predicted DSC"
LIKELY_POOR, NO_SIGN = "Likely poor", "No sign of a mistake"


def quality_scores(
    labels: np.ndarray, hu: np.ndarray, upright: Geometry, segmentation: Segmentation, model: QualityModel
) -> dict[str, Score]:
    """Return the score of each organ that has voxels and that ``model`` knows. ``labels``, ``hu`` (z, y, x): upright, on one grid."""
    names = {r.label: r.organ.name for r in segmentation.results}
    organs = measure_organs(coarse_scan(labels, hu, upright), names)
    certainties = {r.organ.name: sure for r in segmentation.results if (sure := certainty_measures(r))}
    out = {}
    for name in organs:
        if model.knows(name):
            features = organ_features(name, organs, model.usual, certainties)
            prediction = model.predict(name, features)
            why = reasons(name, organs, model.usual, features, prediction.moved)
            out[name] = _score(prediction, why, model)
    return out


def _score(prediction: Prediction, why: tuple[str, ...], model: QualityModel) -> Score:
    severity = severity_of(prediction.dsc, model.look_at)
    head = LIKELY_POOR if severity >= 1 else NO_SIGN
    text = f"{head}: DSC {prediction.low:.2f} to {prediction.high:.2f} predicted."
    return Score(
        ID, TITLE, " ".join((text, *why)) if severity >= 1 else text, severity, prediction.dsc, "DSC",
        interval=(prediction.low, prediction.high), bad=prediction.bad, because=why,
    )  # fmt: skip


def severity_of(dsc: float, look_at: float) -> float:
    """Return 1 at the limit ``look_at``, 0 at a DSC of 1 and HIGHEST at 0."""
    if dsc >= look_at:
        return float((1 - dsc) / (1 - look_at))
    return float(1 + (HIGHEST - 1) * (look_at - dsc) / look_at)


def predicted_of(scores: Mapping[str, Score], name: str) -> Score | None:
    """Return the organ's score, None where nothing was predicted."""
    return scores.get(name)
