"""Which volume an organ cannot have, whatever the model: rather a limit of the human body than of what is usual."""

from __future__ import annotations

from collections.abc import Mapping

from .organs import without_side

# Millilitres. One and a half (brain) to nine times the 99th percentile of the real contours in qa/statistics.json (OpenKBP, tcia-oars) for the
# organs that they have; two to three times the size that anatomy books give for the others.
MOST_ML: dict[str, float] = {
    "Brainstem": 90, "SpinalCord": 120, "OpticChiasm": 3, "Pituitary": 4, "Bone_Mandible": 200, "Esophagus": 100, "Larynx": 150,
    "Brain": 2600, "SpinalCanal": 250, "Eye": 25, "Lens": 1.5, "OpticNrv": 4, "Lobe_Temporal": 250, "Parotid": 130, "Ear_Internal": 6,
    "Ear_Middle": 20, "Joint_TM": 15, "Glnd_Submand": 40, "Cochlea": 1, "Glnd_Lacrimal": 4, "Lung": 5000,
}  # fmt: skip
MOST_OF_SCAN = 0.1  # of the scan's box, for an organ that the table lacks
FAR = (1 / 3, 2.0)  # times the 1st, times the 99th percentile of the contours that a model learned from
FEWEST = 10  # contours: fewer say nothing of what is usual
ENDS_OUTSIDE = frozenset({"SpinalCord", "SpinalCanal", "Esophagus", "Lung"})  # leave nearly every head-and-neck scan


def absurd_volume(organ: str, volume_ml: float, usual_ml: Mapping[str, float], scan_ml: float, cut: bool) -> str:
    """Return a sentence about a volume that the organ cannot have, "" for one that it can.

    ``usual_ml``: percentiles of the contours that the model learned from ("n", "p1_ml", "p99_ml"), {} where not known; then the limit is MOST_ML, and
    for an organ that this table lacks a part of the scan, ``scan_ml``. ``cut``: the organ reaches an end of the scan, so that it may be small.
    """
    known = usual_ml.get("n", 0) >= FEWEST
    least = FAR[0] * usual_ml["p1_ml"] if known and not cut else 0.0
    most = FAR[1] * usual_ml["p99_ml"] if known else MOST_ML.get(without_side(organ), MOST_OF_SCAN * scan_ml)
    if least <= volume_ml <= most:
        return ""
    size = "small" if volume_ml < least else "large"
    against = (
        f"99 of 100 contours that the model learned from have {usual_ml['p1_ml']:.3g} ml or more"
        if size == "small"
        else f"99 of 100 contours that the model learned from have {usual_ml['p99_ml']:.3g} ml or less"
        if known
        else f"more than {most:.3g} ml is not expected of anyone"
    )
    return f"Far too {size} for this organ: {number(volume_ml)} ml; {against}."


def number(volume_ml: float) -> str:
    """Return a volume with as many digits as it deserves: 21000, 31.2, 0.042."""
    return f"{volume_ml:.0f}" if volume_ml >= 100 else f"{volume_ml:.3g}"
