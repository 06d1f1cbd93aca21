"""The JSON report of one result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..segmentation import Segmentation
from .output import atomic_path, check_output

SCHEMA_VERSION = 1


def report(segmentation: Segmentation) -> dict[str, Any]:
    """Provenance, and per organ: volume (ml), found or not, localization peak and place (LPS mm), warnings."""
    geometry = segmentation.geometry
    return {
        "schema_version": SCHEMA_VERSION,
        "disclaimer": "Research software, not a medical device. Every contour must be checked by a qualified person.",
        "provenance": dict(segmentation.provenance),
        "grid": {"shape_zyx": list(geometry.shape_zyx), "spacing_mm_xyz": list(geometry.spacing_mm_xyz)},
        "organs": [
            {
                "name": r.organ.name,
                "title": r.organ.title,
                "label": r.label,
                "found": r.found,
                "volume_ml": round(r.volume_ml, 4),
                "localization_peak": None if r.peak is None else round(r.peak, 4),
                "localization_mm_lps": None if r.peak_mm_xyz is None else [round(v, 2) for v in r.peak_mm_xyz],
                "warnings": list(r.warnings),
            }
            for r in segmentation.results
        ],
    }


def write_report(segmentation: Segmentation, path: Path | str, overwrite: bool = False) -> None:
    """Write ``report`` as JSON. Raises OutputError."""
    path = Path(path)
    check_output(path, overwrite)
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(report(segmentation), indent=1) + "\n", encoding="utf-8")
