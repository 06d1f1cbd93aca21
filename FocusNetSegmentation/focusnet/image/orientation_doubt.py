"""A scan whose header seems to name the wrong directions: how its result says so, and why its contours do not leave without a word.

``inference/orientation_check.py`` finds it out; reports, pictures, the panel and every writer of contours read it here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InputError

DOUBT = "orientation_doubt"  # in a result's provenance: {"seems", "fit", "fit_turned"}; not there if nothing is doubted
OVERRIDE_OPTION = "--orientation-override"
SIDES_UNSEEN = "Whether left and right are exchanged cannot be seen this way."


def doubt(seems: str, fit: float, fit_turned: float) -> dict[str, Any]:
    """Return what stands under DOUBT. ``seems``: what the header has wrong, such as "front and back reversed"; ``fit``: how well the model's
    organs fit the scan as it is, ``fit_turned``: turned, both 0 to 1."""
    return {"seems": seems, "fit": round(fit, 3), "fit_turned": round(fit_turned, 3)}


def doubt_text(provenance: Mapping[str, Any]) -> str:
    """Return what a reader must know of the scan's orientation, in one line; "" if nothing is doubted."""
    known = provenance.get(DOUBT)
    if not isinstance(known, Mapping) or not known.get("seems"):
        return ""
    fit, fit_turned = (float(known.get(key) or 0.0) for key in ("fit", "fit_turned"))
    return (
        f"The header seems to have {known['seems']}: turned, the scan fits the model's organs to {100 * fit_turned:.0f} %, "
        f"as it is to {100 * fit:.0f} %. {SIDES_UNSEEN}"
    )


def refuse_doubtful(provenance: Mapping[str, Any], remedy: str = OVERRIDE_OPTION) -> None:
    """Raise InputError where the scan's orientation is doubted. ``remedy``: what writes the contours all the same."""
    text = doubt_text(provenance)
    if text:
        raise InputError(
            f"{text} Correct the header and contour the scan again; if you are sure that the header is right, {remedy} writes the contours."
        )
