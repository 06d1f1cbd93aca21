"""The JSON report of one result. docs/outputs.md describes every field."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files.atomic_write import atomic_path, check_output, json_text
from ..image.drawn_by import MODELS, TAKEN, caution_of, cautions, chosen_because, model_of, models_of
from ..image.segmentation import OrganResult, Segmentation
from ..wording import DISCLAIMER

SCHEMA_VERSION = 1
MODEL = {"name": "model", "version": "model_version", "sha256": "bundle_sha256"}
VERSIONS = {"focusnet": "focusnet_version", "torch": "torch_version", "python": "python_version"}
TOP_FIELDS = ("source", "created", "notes")
OUTSIDE_RUN = {*VERSIONS.values(), *MODEL.values(), *TOP_FIELDS, "disclaimer", MODELS}


def report(segmentation: Segmentation) -> dict[str, Any]:
    """Return what was done, by what, and what came out, as plain JSON values.

    Per organ: the model that drew it and why that one, volume (ml), found or not, localization peak (0 to 1) and its place (LPS mm), the next
    likely place, the spread, warnings. What the provenance does not hold is null; what it holds beyond the known fields stands under ``run``.
    """
    known = segmentation.provenance
    geometry = segmentation.geometry
    return {
        "schema_version": SCHEMA_VERSION,
        "disclaimer": DISCLAIMER,
        **{key: known.get(key) for key in TOP_FIELDS},
        "model": {name: known.get(key) for name, key in MODEL.items()},
        "models": [_model(model) for model in models_of(known)],
        "cautions": cautions(known),
        "versions": {name: known.get(key) for name, key in VERSIONS.items()},
        "run": {key: value for key, value in known.items() if key not in OUTSIDE_RUN},
        "grid": {
            "shape_zyx": list(geometry.shape_zyx),
            "spacing_mm_xyz": list(geometry.spacing_mm_xyz),
            "origin_mm_lps": list(geometry.origin_mm_xyz),
            "direction_lps": [list(row) for row in geometry.direction_xyz],
        },
        "organs": [_organ(result, known) for result in segmentation.results],
    }


def write_report(segmentation: Segmentation, path: Path | str, overwrite: bool = False) -> None:
    """Write ``report`` as JSON. Raises OutputError."""
    check_output(path, overwrite)
    text = json_text(report(segmentation), indent=1) + "\n"
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _model(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return one model's identity and caution, and of a merged result how it ran."""
    run = ("device", "precision", "backend", "seconds") if TAKEN in model else ()
    return {
        **{name: model.get(key) for name, key in MODEL.items()},
        "caution": model.get("caution"),
        **{key: model.get(key) for key in run},
    }


def _organ(result: OrganResult, provenance: Mapping[str, Any]) -> dict[str, Any]:
    name = result.organ.name
    return {
        "name": name,
        "title": result.organ.title,
        "snomed_code": result.organ.snomed_code or None,
        "side": result.organ.side or None,
        "label": result.label,
        "model": model_of(provenance, name) or None,
        "model_reason": chosen_because(provenance, name) or None,
        "caution": caution_of(provenance, name) or None,
        "found": result.found,
        "status": result.status,
        "volume_ml": round(float(result.volume_ml), 4),
        "localization_peak": None if result.peak is None else round(float(result.peak), 4),
        "localization_mm_lps": _place(result.peak_mm_xyz),
        "localization_from": result.place_from or None,
        "localization_certainty": None if result.place_certainty is None else round(float(result.place_certainty), 4),
        "localization_second_peak": None if result.second_peak is None else round(float(result.second_peak), 4),
        "localization_second_mm_lps": _place(result.second_mm_xyz),
        "localization_spread_mm": None if result.spread_mm is None else round(float(result.spread_mm), 1),
        "grade": result.grade or None,
        "warnings": list(result.warnings),
        "alarms": list(result.alarms),
        "notes": list(result.notes),
    }


def _place(values: tuple[float, float, float] | None) -> list[float] | None:
    return None if values is None else [round(float(v), 2) for v in values]
