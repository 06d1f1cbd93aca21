"""The tags of a segment: what FocusNet keeps about one organ in every .seg.nrrd file and in Slicer's scenes.

Slicer keeps a segment's tags when it saves a file or a scene again. The engine's files, the panel's nodes and the export all use this
module, so that the same fields come back from each of them. It needs neither torch, Slicer nor a reader of files.
"""

from __future__ import annotations

import json
from typing import Any

from ..files.atomic_write import json_text
from ..image.drawn_by import CHOSEN, IDENTITY
from ..image.organs import Organ
from ..image.orientation_doubt import DOUBT
from ..image.segmentation import OrganResult, status_of

ORGAN_TAG = "FocusNet.Organ"  # the organ's TG-263 name, whatever the user calls the segment
RUN_TAG = "FocusNet.Run"  # JSON: model, version, hash, date and device of the run that drew it
RUN_KEYS = (
    *IDENTITY,
    "focusnet_version",
    "created",
    "device",
    "precision",
    "caution",
    CHOSEN,
    DOUBT,
)  # of a provenance, in RUN_TAG
RESULT_TAG = "FocusNet.Result"  # JSON: see to_tag
REVIEW_TAG = (
    "FocusNet.Review"  # JSON: state; fingerprints of what the model drew and of what was approved; by whom, when
)
SCORE_TAG = "FocusNet.Score"  # JSON: what ``focusnet qa`` found, by which model, and the fingerprint of what it saw
SECONDS_TAG = "FocusNet.ActiveSeconds"
ALGORITHM_TYPE_TAG = "DICOM.SegmentAlgorithmType"
ALGORITHM_NAME_TAG = "DICOM.SegmentAlgorithmName"
SPECKS = "removed as too small to belong to the organ."  # how the sentence about removed specks ends, in every version
ABSENT = "absent, confirmed"  # the state of an organ that was approved with no voxel, for people
ID_PREFIX = "FocusNet_"  # of a segment's ID, before the organ's name


def to_tag(result: OrganResult, voxels: int) -> str:
    """Return the text of RESULT_TAG: everything that ``result`` says of its organ, and how many voxels the organ had then.

    Places are in LPS mm, in the order x, y, z.
    """
    return tag_text(
        {
            "found": result.found,
            "voxels": voxels,
            "peak": result.peak,
            "peak_mm_lps": result.peak_mm_xyz,
            "second_peak": result.second_peak,
            "second_mm_lps": result.second_mm_xyz,
            "spread_mm": result.spread_mm,
            "place_from": result.place_from,
            "place_likelihood": result.place_likelihood,
            "warnings": result.warnings,
            "certainty": result.certainty and {key: round(value, 4) for key, value in result.certainty.items()},
            "notes": result.notes,
            "alarms": result.alarms,
        }
    )


def from_tag(text: str, organ: Organ, label: int, voxels: int, voxel_ml: float) -> OrganResult:
    """Return the result that ``to_tag`` wrote, for an organ that now has ``voxels`` voxels of ``voxel_ml`` each.

    If the organ had another number of voxels then, it was edited since, and only its present volume is returned. The same holds for an empty
    or foreign ``text``. Keys that older versions did not write stay None.
    """
    kept = tag_value(text)
    found, volume_ml = voxels > 0, voxels * voxel_ml
    if kept.get("voxels") != voxels:
        return OrganResult(organ=organ, label=label, found=found, volume_ml=volume_ml)
    return OrganResult(
        organ=organ,
        label=label,
        found=bool(kept.get("found", found)),
        volume_ml=volume_ml,
        peak=kept.get("peak"),
        peak_mm_xyz=_point_mm(kept.get("peak_mm_lps")),
        second_peak=kept.get("second_peak"),
        second_mm_xyz=_point_mm(kept.get("second_mm_lps")),
        spread_mm=kept.get("spread_mm"),
        place_from=str(kept.get("place_from") or ""),
        place_likelihood=kept.get("place_likelihood"),
        certainty=_numbers(kept.get("certainty")),
        **_sentences(kept),
    )


def _sentences(kept: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the sentences of OrganResult by their gravity. Earlier versions knew warnings only, and counted removed specks among them."""
    found = {key: tuple(str(text) for text in kept.get(key) or ()) for key in ("warnings", "notes", "alarms")}
    if "notes" in kept:
        return found
    specks = tuple(text for text in found["warnings"] if text.endswith(SPECKS))
    return {"warnings": tuple(text for text in found["warnings"] if text not in specks), "notes": specks}


def tagged_alarms(text: str, voxels: int) -> tuple[str, ...]:
    """Return the model's alarms from RESULT_TAG's ``text``, for an organ that now has ``voxels`` voxels; () once it was edited."""
    kept = tag_value(text)
    return _sentences(kept).get("alarms", ()) if kept.get("voxels") == voxels else ()


def tagged_status(text: str, voxels: int) -> tuple[str, tuple[str, ...]]:
    """Return ``OrganResult.status`` of an organ that now has ``voxels`` voxels, and the model's warnings, from RESULT_TAG's ``text``.

    As for ``from_tag``, the text is believed only of an organ that has as many voxels as then.
    """
    kept = tag_value(text)
    if kept.get("voxels") != voxels:
        return status_of(True, voxels), ()
    return status_of(bool(kept.get("found", True)), voxels), _sentences(kept)["warnings"]


def tagged_voxels(text: str) -> int | None:
    """Return how many voxels the organ had when RESULT_TAG's ``text`` was written; None if the text does not say."""
    voxels = tag_value(text).get("voxels")
    return voxels if isinstance(voxels, int) else None


def tagged_peak_mm_xyz(text: str) -> tuple[float, float, float] | None:
    """Return where the model located the organ, in LPS mm, from RESULT_TAG's ``text``; None if it does not say."""
    return _point_mm(tag_value(text).get("peak_mm_lps"))


def tag_text(value: Any) -> str:
    """Return ``value`` as JSON for a tag: ASCII, without the bar at which Slicer would end the tag."""
    return json_text(value).replace("|", "\\u007c")


def tag_value(text: str | None) -> dict[str, Any]:
    """Return a tag's JSON object; an empty one for anything else, because a foreign tag must not stop the reading of contours."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def escape_for_nrrd(text: str) -> str:
    """Return ``text`` as the value of a NRRD key, where backslashes are doubled; the library that writes the file leaves this to us."""
    return text.replace("\\", "\\\\")


def unescape_from_nrrd(text: str | None) -> str:
    """Return a NRRD key's value as it was before ``escape_for_nrrd``."""
    return (text or "").replace("\\\\", "\\")


def _numbers(value: Any) -> dict[str, float] | None:
    if not isinstance(value, dict):
        return None
    return {str(key): float(v) for key, v in value.items() if isinstance(v, (int, float))}


def _point_mm(value: Any) -> tuple[float, float, float] | None:
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        return None
    return (float(value[0]), float(value[1]), float(value[2]))
