"""Give every organ that the quality model knows its predicted DSC, as one Score with its reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...image.drawn_by import is_merged, model_of
from ...image.segmentation import Segmentation
from ...image.volume import Geometry
from ..organ_scores import HIGHEST, PredictedDsc, Score
from .coarse_scan import coarse_scan
from .features import certainty_measures, is_where_it_was_drawn, organ_features
from .measures import Measures, measure_organs
from .model import Prediction, QualityModel
from .words import reasons

ID, TITLE = "predicted_dsc", "Predicted DSC"
# Beside a predicted DSC these single scores count from so many times their limit on: below it they list more good organs than bad ones
# (docs/qa.md). The others list next to no good organ and find what costs little DSC, such as a distant part.
GROSS = {"volume": 1.5, "extent": 1.5, "touch": 2.0, "localization": 2.0}
CORD_END_MM = 20.0  # of the shipped model's cords on OpenKBP val nine in ten end within 9 mm of the scan's end
UNLIKE = 0.9  # median "oddness" of a scan's organs: 0.6 in OpenKBP, above 0.8 in one scan of ten; more where tissues are no patient's
EDITED = "Not looked at: the network's own certainty (the organ was edited, or comes from elsewhere)."


def quality_scores(
    labels: np.ndarray,
    hu: np.ndarray,
    upright: Geometry,
    segmentation: Segmentation,
    model: QualityModel,
    made_by: str | None = None,
) -> dict[str, tuple[Score, ...]]:
    """Return the scores of each organ that has voxels and that ``model`` knows: its predicted DSC, then that of the cord's lower end.

    ``labels``, ``hu`` (z, y, x): upright, on one grid. Nothing is returned for contours of another model than those that ``model`` was
    fitted on, nor for contours of unknown origin (``made_by`` and provenance empty) in a scan that as a whole is unlike its scans.
    """
    if is_merged(segmentation.provenance):  # the organs of the models that it knows, as if they alone had been drawn
        drawn_by = {r.organ.name: model_of(segmentation.provenance, r.organ.name) for r in segmentation.results}
        results = [r for r in segmentation.results if drawn_by[r.organ.name] in model.models]
        labels = np.where(np.isin(labels, [r.label for r in results]), labels, 0).astype(labels.dtype)
        segmentation = replace(segmentation, results=tuple(results))
        made_by = drawn_by[results[0].organ.name] if results else None
    else:
        made_by = made_by or segmentation.provenance.get("model")
    if (made_by and made_by not in model.models) or not segmentation.results:
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
    limit = model.look_at if made_by else model.look_at_unknown
    out = {}
    for name, features in known.items():
        prediction = model.predict(name, features)
        told = {**features, "usual_dsc": model.usual_dsc[name]}
        why = reasons(name, organs, model.usual, told, prediction.moved)
        predicted = _score(prediction, why, "" if name in certainties else EDITED, limit)
        out[name] = (predicted, *([cord_end_score(organs[name])] if made_by and name == "SpinalCord" else []))
    return out


def cord_end_score(cord: Measures) -> Score:
    """Score how far above the scan's lower end the cord ends: it leaves every scan of the head and neck. An end that is missing costs
    little overlap, so the predicted DSC hardly sees it."""
    mm = cord["above_scan_bottom_mm"]
    early = mm >= CORD_END_MM
    reason = (
        f"Ends {mm:.0f} mm above the scan's lower end; the cord goes on to it."
        if early
        else "Reaches the scan's lower end."
    )
    return Score("lower_end", "Lower end", reason, min(HIGHEST, mm / CORD_END_MM), mm, "mm")


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
    """Return the single scores of an organ with a predicted DSC: those of GROSS that are not are shown only."""
    return [s if (s.severity or 0.0) >= GROSS.get(s.id, 0.0) else replace(s, counts=False) for s in scores]
