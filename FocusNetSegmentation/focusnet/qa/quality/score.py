"""Give every organ that the quality model knows its predicted DSC, as one Score with its reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...image.segmentation import Segmentation
from ...image.volume import Geometry
from ..organ_scores import HIGHEST, PredictedDsc, Score
from .coarse_scan import coarse_scan
from .features import certainty_measures, is_where_it_was_drawn, organ_features
from .measures import measure_organs
from .model import Prediction, QualityModel
from .words import reasons

ID, TITLE = "predicted_dsc", "Predicted DSC"
# beside a predicted DSC the single scores are shown and do not count: on real mistakes they list more good organs than bad ones. These do:
ALWAYS_COUNT = frozenset({"sides", "slice_gaps", "chiasm", "empty"})
GROSS = 3.0  # times its limit: such an error was hardly among those that the prediction was fitted on
UNLIKE = (
    0.9  # median "oddness" of a scan's organs: 0.6 in OpenKBP, above 0.8 in one scan of ten; 1.0 and more on a phantom
)
EDITED = "Not looked at: the network's own certainty (the organ was edited, or comes from elsewhere)."


def quality_scores(
    labels: np.ndarray,
    hu: np.ndarray,
    upright: Geometry,
    segmentation: Segmentation,
    model: QualityModel,
    made_by: str | None = None,
) -> dict[str, Score]:
    """Return the score of each organ that has voxels and that ``model`` knows. ``labels``, ``hu`` (z, y, x): upright, on one grid.

    Nothing is returned for contours of another model than those that ``model`` was fitted on, nor for contours of unknown origin
    (``made_by`` and provenance empty) in a scan that as a whole is unlike the scans that it was fitted on.
    """
    made_by = made_by or segmentation.provenance.get("model")
    if made_by and made_by not in model.models:
        return {}
    names = {r.label: r.organ.name for r in segmentation.results}
    scan = coarse_scan(labels, hu, upright)
    organs = measure_organs(scan, names)
    certainties = {
        r.organ.name: sure
        for r in segmentation.results
        if is_where_it_was_drawn(r, scan) and (sure := certainty_measures(r))
    }
    known = {n: organ_features(n, organs, model.usual, certainties) for n in organs if model.knows(n)}
    if not made_by and (not known or np.median([f["oddness"] for f in known.values()]) > UNLIKE):
        return {}
    out = {}
    for name, features in known.items():
        prediction = model.predict(name, features)
        why = reasons(name, organs, model.usual, features, prediction.moved)
        out[name] = _score(prediction, why, "" if name in certainties else EDITED, model.look_at)
    return out


def _score(p: Prediction, why: tuple[str, ...], not_looked_at: str, look_at: float) -> Score:
    severity = severity_of(p.dsc, look_at)
    interval = f"{p.low:.2f} to {p.high:.2f}"
    text = f"Likely poor ({interval})." if severity >= 1 else f"No sign of a mistake (predicted DSC {interval})."
    predicted = PredictedDsc(p.dsc, p.low, p.high, p.bad, why, not_looked_at)
    return Score(ID, TITLE, text, severity, p.dsc, "DSC", prediction=predicted)


def severity_of(dsc: float, look_at: float) -> float:
    """Return 1 at the limit ``look_at``, 0 at a DSC of 1 and HIGHEST at 0."""
    if dsc >= look_at:
        return float((1 - dsc) / (1 - look_at))
    return float(1 + (HIGHEST - 1) * (look_at - dsc) / look_at)


def beside_prediction(scores: Sequence[Score]) -> list[Score]:
    """Return the single scores of an organ with a predicted DSC: those that are neither ALWAYS_COUNT nor GROSS are shown only."""
    return [s if s.id in ALWAYS_COUNT or (s.severity or 0.0) >= GROSS else replace(s, counts=False) for s in scores]
