"""Read an RTSTRUCT onto the CT that it was drawn on: a reference to compare with, and the check of what we write."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from ..errors import InputError
from ..image.organs import find_organ, guess, has_vendor_word
from ..image.segmentation import OrganResult, Segmentation
from ..image.skipped_slices import skipped_sentence
from ..image.volume import Volume
from ..wording import counted
from .contour_lines import centres_on, crosses_itself, fill_contours
from .label_map import unknown_organ

OFF_PLANE_VOXELS = 0.25  # a contour farther than this from every slice was drawn on another scan
CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
BORDER_VOXELS = 0.5 + 1e-3  # a voxel ends half a voxel beyond its centre
NOTHING_INSIDE = "No voxel centre lies inside its contours."


@dataclass(frozen=True)
class Structure:
    """One structure as the file has it. ``voxels``: flat indices into the CT's (z, y, x) array, sorted; structures may share voxels.

    ``slice_uids``: array z -> SOP instance UIDs that its contours name. ``warnings``: sentences about contours that could not be used.
    """

    name: str
    color_rgb: tuple[int, int, int]
    voxels: np.ndarray
    slice_uids: dict[int, set[str]]
    warnings: tuple[str, ...] = ()
    skipped: str = ""  # a sentence about slices without a contour between the first and the last


def read_rtstruct(
    path: Path | str, volume: Volume, organs: Sequence[str] | None = None, names: Mapping[str, str] | None = None
) -> Segmentation:
    """Read contours as labels on ``volume``'s grid: a voxel belongs to a structure if its centre lies inside.

    Names are looked up in ``names`` ({name in the file: organ, or "" to leave it out}), then by ``find_organ``. Structures that neither
    knows (BODY, PTV ...) are left out and listed in ``provenance["unknown_names"]``; those without contours in ``["empty_names"]``, sentences
    about the file in ``["notes"]``. ``organs`` asks for names instead, known or not. Where structures share voxels the smaller one keeps
    them and the other gets a warning. Raises InputError for a file that is no RTSTRUCT, belongs to another frame of reference (unless it names
    slices of this CT and lies on them), has contours that lie on no slice, names an organ twice, or holds nothing that was asked for.
    """
    path = Path(path)
    data = _open(path)
    notes = check_frame_of_reference(path, volume, data)
    chosen, unknown, twice = _choose(path, list(_names(path, data).values()), organs, names or {})
    structures = [s for s in _structures(path, data, volume, set(chosen)) if s.name in chosen]
    if not structures:
        raise InputError(
            f"{path} holds no contours of an organ that is known here; it has {', '.join(n + guess(n) for n in unknown) or 'no structure'}."
        )
    if not any(len(structure.voxels) for structure in structures):
        raise InputError(f"{path}: no contour encloses a voxel of {volume.source}; load the CT that it was drawn on.")
    labels, results = _painted(structures, chosen, volume)
    provenance = {
        "source": path.name,
        "all_names": list(_names(path, data).values()),
        "unknown_names": unknown,
        "empty_names": _empty_names(data),
        "notes": [*notes, *twice],
        "approval": str(data.get("ApprovalStatus", "")),
    }
    return Segmentation(labels, volume.geometry, results, provenance)


def read_structures(path: Path | str, volume: Volume) -> list[Structure]:
    """Read every structure of an RTSTRUCT that has contours, as it is: names as written, shared voxels in both. Raises InputError."""
    path = Path(path)
    data = _open(path)
    return _structures(path, data, volume, set(_names(path, data).values()))


def structure_names(path: Path | str) -> list[str]:
    """Return the names of the structures that have contours, as written. Raises InputError."""
    path = Path(path)
    return list(_names(path, _open(path)).values())


def empty_structures(path: Path | str) -> list[str]:
    """Return the names of the structures that have no contour, as written. Raises InputError."""
    return _empty_names(_open(Path(path)))


def check_frame_of_reference(path: Path | str, volume: Volume, data: pydicom.Dataset | None = None) -> list[str]:
    """Return sentences about the structure set's frame of reference: none where it is that of ``volume``.

    Another frame of reference whose contours name slices of this very series, each contour on the slice that it names, is a copy that was
    anonymised or moved in part: it is read, with a sentence. Raises InputError for any other. ``data``: the file, if it is open.
    """
    path = Path(path)
    data = data if data is not None else _open(path)
    frames = {str(roi.get("ReferencedFrameOfReferenceUID", "")) for roi in data.get("StructureSetROISequence", [])}
    expected = str(volume.dicom_uids.get("frame_of_reference", ""))
    if not expected or not frames - {expected, ""}:
        return []
    if not _lies_on_its_slices(path, data, volume):
        raise InputError(
            f"{path} was drawn in another frame of reference than {volume.source}; load the CT that it belongs to."
        )
    return [
        f"{path.name} names another frame of reference than {volume.source}, but its contours name slices of this series and lie on them; "
        "it was read. Look whether the contours are where they belong."
    ]


def _lies_on_its_slices(path: Path, data: pydicom.Dataset, volume: Volume) -> bool:
    """Whether every contour names slices, all of this series, and lies on one that it names."""
    uids: dict[str, Any] = dict(volume.dicom_uids)
    instances = {str(uid): z for z, uid in enumerate(uids.get("instances", ()))}
    any_contour = False
    for item in data.get("ROIContourSequence", []):
        for contour in item.get("ContourSequence") or []:
            named = [str(i.get("ReferencedSOPInstanceUID", "")) for i in contour.get("ContourImageSequence", [])]
            points_mm = _points(path, "a structure", contour)
            if not named or not set(named) <= set(instances) or not len(points_mm):
                return False
            at = float(volume.geometry.mm_to_index(points_mm)[:, 0].mean())
            if min(abs(at - instances[uid]) for uid in named) > OFF_PLANE_VOXELS:
                return False
            any_contour = True
    return any_contour


def _open(path: Path) -> pydicom.Dataset:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a user sees one line of ours, not pydicom's
            data = pydicom.dcmread(path)
            for (
                _
            ) in data.iterall():  # a value is converted when it is first looked at: damage shows here and nowhere else
                pass
    except Exception as problem:
        raise InputError(
            f"{path} cannot be read as DICOM ({problem}); it is damaged, cut short, or not an RTSTRUCT file."
        ) from problem
    if data.get("Modality") != "RTSTRUCT":
        raise InputError(f"{path} is {data.get('Modality', 'of unknown kind')}, not an RTSTRUCT.")
    if data.get("ROIContourSequence") and "RTROIObservationsSequence" not in data:
        # it follows the contours and is mandatory; pydicom reads a file that ends early as if that were all
        raise InputError(
            f"{path} ends after its contours, without RT ROI observations; it seems cut short, copy it again."
        )
    return data


def _names(path: Path, data: pydicom.Dataset) -> dict[int, str]:
    """ROI number -> name, of the structures that have contours: an empty one was not contoured."""
    drawn = {
        int(i.get("ReferencedROINumber", -1)) for i in data.get("ROIContourSequence", []) if i.get("ContourSequence")
    }
    rois = data.get("StructureSetROISequence", [])
    numbers = [int(r.get("ROINumber", -1)) for r in rois]
    if len(set(numbers)) != len(numbers):
        raise InputError(f"{path}: structures share one ROI number, so contours cannot be told apart; export it again.")
    named = {number: str(roi.get("ROIName", "")) for number, roi in zip(numbers, rois, strict=True)}
    return {number: named.get(number) or f"ROI {number}" for number in sorted(drawn)}


def _empty_names(data: pydicom.Dataset) -> list[str]:
    """Names of the structures that are listed but have no contour."""
    drawn = {
        int(i.get("ReferencedROINumber", -1)) for i in data.get("ROIContourSequence", []) if i.get("ContourSequence")
    }
    rois = data.get("StructureSetROISequence", [])
    return [str(r.get("ROIName", "") or "?") for r in rois if int(r.get("ROINumber", -1)) not in drawn]


def _choose(
    path: Path, structures: list[str], organs: Sequence[str] | None, names: Mapping[str, str]
) -> tuple[dict[str, str], list[str], list[str]]:
    """({name in the file: organ name}, names that are not known, sentences about contours that were left out)."""
    wanted = None if organs is None else {_organ_name(organ) or organ for organ in organs}
    chosen: dict[str, str] = {}
    notes = []
    for name in sorted(structures, key=lambda n: n not in names and has_vendor_word(n)):  # plain names first
        organ = names[name] if name in names else _organ_name(name) or (name if wanted is not None else None)
        if not organ or (wanted is not None and organ not in wanted):
            continue
        if organ in chosen.values():
            other = next(known for known, taken in chosen.items() if taken == organ)
            if name in names or not has_vendor_word(name) or has_vendor_word(other):
                raise InputError(f"{path}: {other!r} and {name!r} are both {organ}; rename or remove one of them.")
            notes.append(f"{path.name}: {name!r} and {other!r} are both {organ}; {other!r} was read.")
            continue
        chosen[name] = organ
    missing = sorted((wanted or set()) - set(chosen.values()))
    if missing:
        raise InputError(f"{path} has no {', '.join(missing)}; it has {', '.join(structures) or 'no structure'}.")
    chosen = {name: chosen[name] for name in structures if name in chosen}  # in the file's order
    unknown = [n for n in structures if n not in names and n not in chosen and _organ_name(n) is None]
    return chosen, unknown, notes


def _organ_name(name: str) -> str | None:
    organ = find_organ(name)
    return organ.name if organ is not None else None


def _structures(path: Path, data: pydicom.Dataset, volume: Volume, wanted: set[str]) -> list[Structure]:
    names = _names(path, data)
    found = []
    for item in data.get("ROIContourSequence", []):
        name = names.get(int(item.get("ReferencedROINumber", -1)), "")
        if name in wanted and item.get("ContourSequence"):
            found.append(_structure(path, name, item, volume))
    return found


def _structure(path: Path, name: str, item: Any, volume: Volume) -> Structure:
    planes: dict[tuple[int, float], dict[bytes, np.ndarray]] = {}
    slice_uids: dict[int, set[str]] = {}
    counts = {"open": 0, "outside": 0, "border": 0, "crossing": 0}
    depth, height, width = volume.array.shape
    for contour in item.ContourSequence:
        points_mm = _points(path, name, contour)
        index_zyx = volume.geometry.mm_to_index(points_mm)
        closed = contour.get("ContourGeometricType") in CLOSED and len(points_mm) > 0
        # one or two points enclose nothing, but some programs draw a single voxel as its centre
        if not closed or (len(points_mm) < 3 and not len(centres_on(index_zyx[:, [2, 1]]))):
            counts["open"] += 1
            continue
        z = int(np.round(index_zyx[:, 0].mean()))
        if np.abs(index_zyx[:, 0] - z).max() > OFF_PLANE_VOXELS:
            raise InputError(
                f"{path}: a contour of {name} does not lie on a slice of {volume.source}; load the CT that it was drawn on."
            )
        if not 0 <= z < depth:
            counts["outside"] += 1
            continue
        last = (height - 1 + BORDER_VOXELS, width - 1 + BORDER_VOXELS)
        counts["border"] += bool((index_zyx[:, 1:] < -BORDER_VOXELS).any() or (index_zyx[:, 1:] > last).any())
        counts["crossing"] += crosses_itself(index_zyx[:, [2, 1]])
        # a contour that is there twice must not cancel itself out, nor one that lies a little above the slice
        plane = planes.setdefault((z, round(float(index_zyx[:, 0].mean()), 3)), {})
        plane[points_mm.tobytes()] = index_zyx[:, [2, 1]]
        images = contour.get("ContourImageSequence", [])
        slice_uids.setdefault(z, set()).update(str(i.get("ReferencedSOPInstanceUID", "")) for i in images)
    mask: dict[int, np.ndarray] = {}
    for (z, _), contours in planes.items():
        filled = fill_contours(list(contours.values()), (height, width))
        mask[z] = mask[z] | filled if z in mask else filled
    voxels = [np.flatnonzero(mask[z]) + z * height * width for z in sorted(mask)]
    color = [int(c) for c in item.get("ROIDisplayColor") or ()]
    color = color if len(color) == 3 else [128, 128, 128]
    flat = np.concatenate(voxels) if voxels else np.zeros(0, np.int64)
    skipped = skipped_sentence(np.array(sorted(mask)), volume.geometry.spacing_mm_zyx[0])
    warnings = _contour_warnings(counts, len(flat))
    return Structure(name, (color[0], color[1], color[2]), flat, slice_uids, warnings, skipped)


def _points(path: Path, name: str, contour: Any) -> np.ndarray:
    """(n, 3) LPS millimetres."""
    try:
        points = np.array([float(v) for v in contour.get("ContourData") or []]).reshape(-1, 3)
    except (TypeError, ValueError) as problem:
        raise InputError(
            f"{path}: a contour of {name} is damaged ({problem}); triplets of numbers are expected, export it again."
        ) from problem
    if not np.all(np.isfinite(points)):
        raise InputError(f"{path}: a contour of {name} has a point that is no number; export the structure set again.")
    return points


def _contour_warnings(counts: dict[str, int], voxels: int) -> tuple[str, ...]:
    sentences = []
    if counts["open"]:
        one = "contour is a point or an open line and encloses nothing; close it where it was drawn."
        many = "contours are points or open lines and enclose nothing; close them where they were drawn."
        sentences.append(counted(counts["open"], one, many))
    if counts["outside"]:
        one = "contour lies above or below the scan and was left out; is it the CT that it was drawn on?"
        many = "contours lie above or below the scan and were left out; is it the CT that they were drawn on?"
        sentences.append(counted(counts["outside"], one, many))
    if counts["border"]:
        one = "contour leaves the image and was cut at its border."
        sentences.append(counted(counts["border"], one, "contours leave the image and were cut at its border."))
    if counts["crossing"]:
        one = "contour crosses itself; a loop that it draws twice is left out."
        many = "contours cross themselves; a loop that they draw twice is left out."
        sentences.append(counted(counts["crossing"], one, many))
    if not voxels:
        sentences.append(NOTHING_INSIDE)
    return tuple(sentences)


def _painted(
    structures: list[Structure], chosen: dict[str, str], volume: Volume
) -> tuple[np.ndarray, tuple[OrganResult, ...]]:
    """Labels in the file's order; the smallest structure is painted last."""
    labels = np.zeros(volume.array.shape, np.uint8)
    flat = labels.reshape(-1)
    if len(structures) > 255:
        raise InputError(
            f"{len(structures)} structures were asked for; at most 255 fit a label map. Name fewer organs."
        )
    numbered = list(enumerate(structures, start=1))
    for label, structure in sorted(numbered, key=lambda entry: -len(entry[1].voxels)):
        flat[structure.voxels] = label
    voxel_ml = volume.geometry.voxel_ml
    results = []
    for label, structure in numbered:
        name = chosen[structure.name]
        kept = int(np.count_nonzero(flat[structure.voxels] == label))
        warnings = structure.warnings + ((structure.skipped,) if structure.skipped else ())
        if kept < len(structure.voxels):
            warnings += (
                f"{len(structure.voxels) - kept} of its {len(structure.voxels)} voxels went to smaller structures.",
            )
        organ = find_organ(name) or unknown_organ(name, structure.color_rgb)
        results.append(
            OrganResult(organ=organ, label=label, found=kept > 0, volume_ml=kept * voxel_ml, warnings=warnings)
        )
    return labels, tuple(results)
