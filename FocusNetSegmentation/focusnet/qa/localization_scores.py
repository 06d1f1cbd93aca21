"""Score the network's own doubts: a second likely place, a wide spread, two networks that disagree. Shown only; none changes the rank."""

from __future__ import annotations

import numpy as np

from ..image.ball import ball_radius_mm
from ..image.segmentation import BOTH_NETWORKS, OrganResult
from ..nets.bundle import ModelBundle
from .organ_scores import HIGHEST, Score

SECOND = 0.8  # of the peak: a second place that looks almost as likely; set by hand
APART = 0.5  # DSC of what S-Net and SOS-Net drew: below it they do not mean the same; set by hand
SPREAD = 2.0  # times the radius of the Gaussian that SOL-Net learns; set by hand
NOT_KNOWN = "Does not apply: the model does not look for it on its own, a person placed it, or it was edited since."


def second_peak_score(result: OrganResult) -> Score:
    """Score the height of the second peak as a fraction of the first: is there another place that looks almost as likely?"""
    title = "Second place"
    if not result.peak or result.second_peak is None or result.peak_mm_xyz is None or result.second_mm_xyz is None:
        return Score("second_peak", title, NOT_KNOWN, counts=False)
    ratio = result.second_peak / result.peak
    apart = float(np.linalg.norm(np.subtract(result.second_mm_xyz, result.peak_mm_xyz)))
    reason = f"The next likely place, {apart:.0f} mm away, has a certainty of {result.second_peak:.2f} (this one {result.peak:.2f})."
    severity = min(HIGHEST, ratio / SECOND)
    return Score("second_peak", title, reason, severity, ratio, "of the peak", None, result.second_mm_xyz, counts=False)


def spread_score(result: OrganResult, bundle: ModelBundle | None) -> Score:
    """Score the radius of the heat map above half its peak against the Gaussian that SOL-Net was taught."""
    title = "Spread of the localization"
    if result.spread_mm is None or bundle is None:
        return Score("spread", title, NOT_KNOWN, counts=False)
    sigma = bundle.config.heatmap_sigma_voxels
    taught = ball_radius_mm(round(4 / 3 * np.pi * (sigma * np.sqrt(2 * np.log(2))) ** 3), bundle.config.spacing_mm_zyx)
    reason = f"The model places it to within {result.spread_mm:.0f} mm; {taught:.0f} mm are usual."
    return Score(
        "spread", title, reason, min(HIGHEST, result.spread_mm / taught / SPREAD), result.spread_mm, "mm", counts=False
    )


def both_networks_score(result: OrganResult) -> Score | None:
    """Score how far the network of all organs and that of the small organ agree; None for an organ that only one of them draws."""
    both = (result.certainty or {}).get(BOTH_NETWORKS)
    if both is None:
        return None
    says = "does not find it there" if both == 0 else f"draws it otherwise (DSC of both {both:.2f})"
    reason = (
        f"The network of all organs {says}." if both < APART else f"Both networks agree on it (DSC of both {both:.2f})."
    )
    severity = min(HIGHEST, (1 - both) / (1 - APART))
    return Score("both_networks", "Both networks", reason, severity, both, "DSC", counts=False)
