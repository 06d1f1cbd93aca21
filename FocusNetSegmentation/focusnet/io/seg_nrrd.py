"""``.seg.nrrd``: the file that 3D Slicer's segmentation storage node reads and writes, through slicerio and pynrrd.

Slicer keeps segment tags when it saves a file again and drops header keys that it does not know. So what belongs to
one organ stands in its tags, and only the run's provenance in the header. docs/outputs.md describes both.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ..errors import InputError
from ..organs import Organ, find_organ
from ..segmentation import OrganResult, Segmentation
from ..volume import Geometry
from .nifti_out import unknown_organ
from .output import atomic_path, check_output, json_text
from .terminology import terminology_entry

SUFFIXES = (".seg.nrrd",)
LABELMAP = "Binary labelmap"
REFERENCE_GEOMETRY = "Reference image geometry"
PROVENANCE_KEY = "FocusNet provenance"
RESULT_TAG = "FocusNet.Result"
ID_PREFIX = "FocusNet_"
GZIP_LEVEL = 3  # label maps are mostly runs of zeros: level 9 takes three times as long for a few per cent
GRID_TOLERANCE = 1e-3  # of a voxel, between a cropped file's grid and its reference grid


def write_seg_nrrd(segmentation: Segmentation, path: Path | str, overwrite: bool = False) -> None:
    """Write labels, TG-263 names, SNOMED terminology, colours, the reference grid and provenance. Raises OutputError.

    All segments share one layer. An organ that was looked for and not found is an empty segment: in Slicer's Segment
    Editor its name, colour and code are there to be filled in. Organs with warnings carry Slicer's status "flagged".
    """
    import slicerio

    check_output(path, overwrite, SUFFIXES)
    model = segmentation.provenance.get("model")
    counts = np.bincount(segmentation.labels.ravel(), minlength=256)
    content: dict[str, Any] = {
        "voxels": np.transpose(segmentation.labels, (2, 1, 0)),  # slicerio's order is x, y, z
        "ijkToLPS": segmentation.geometry.affine_xyz,
        "encoding": "gzip",
        "containedRepresentationNames": [LABELMAP],
        "masterRepresentation": LABELMAP,
        # not slicerio's "conversionParameters": it leaves out the last "&", without which Slicer takes no parameter
        "Segmentation_ConversionParameters": f"{REFERENCE_GEOMETRY}|{_slicer_geometry(segmentation.geometry)}|&",
        PROVENANCE_KEY: _to_header(segmentation.provenance),
        "segments": [_segment(r, int(counts[r.label]), model) for r in segmentation.results],
    }
    with atomic_path(path) as partial:
        slicerio.write_segmentation(str(partial), content, compression_level=GZIP_LEVEL)


def read_seg_nrrd(path: Path | str, organs: Sequence[str] | None = None) -> Segmentation:
    """Read what this module, Slicer or another program wrote, on the reference grid where the file was cropped to its
    segments.

    A segment is told by its name (TG-263 name or synonym), which is what a person sees and edits; by its ID only if
    it has no name. A name that the organ table does not know becomes an organ of its own. ``organs`` reads only
    these. Segments may lie in several layers but must not overlap, because a label map would drop voxels of one of
    them. What the engine said of an organ is taken from its tags if the organ still has as many voxels as then;
    otherwise it was edited. Raises InputError.
    """
    content = _read(Path(path))
    segments = _named_segments(content, path, organs)
    voxels = np.asarray(content["voxels"])
    layers = voxels[None] if voxels.ndim == 3 else voxels  # (layer, x, y, z)
    labels = _merge_layers(layers, segments, path)  # (x, y, z)
    affine, labels = _uncrop(np.asarray(content["ijkToLPS"], dtype=float), labels, content)
    geometry = _geometry(affine, labels.shape)
    voxel_ml = float(np.prod(geometry.spacing_mm_xyz)) / 1000.0
    labels = np.ascontiguousarray(labels.T)  # (z, y, x)
    counts = np.bincount(labels.ravel(), minlength=len(segments) + 1)
    return Segmentation(
        labels=labels,
        geometry=geometry,
        results=tuple(
            _result(organ, label, int(counts[label]), voxel_ml, segment)
            for label, (organ, segment) in enumerate(segments, start=1)
        ),
        provenance=_from_header(content.get(PROVENANCE_KEY)),
    )


def _segment(result: OrganResult, voxels: int, model: object) -> dict[str, Any]:
    organ = result.organ
    said = {
        "found": result.found,
        "voxels": voxels,
        "peak": result.peak,
        "peak_mm_lps": result.peak_mm_xyz,
        "warnings": result.warnings,
    }
    tags = {RESULT_TAG: _to_header(said)}
    if model:  # a reference drawn by people must not be exported to DICOM as made by a program, nor the other way round
        tags["DICOM.SegmentAlgorithmType"] = "AUTOMATIC"
        tags["DICOM.SegmentAlgorithmName"] = _ascii(f"FocusNetv2 {model}")
    segment: dict[str, Any] = {
        "id": ID_PREFIX + _ascii(organ.name),
        "name": _ascii(organ.name),
        "labelValue": result.label,
        "layer": 0,
        "color": [round(c / 255, 6) for c in organ.color_rgb],
        "nameAutoGenerated": False,
        "colorAutoGenerated": False,
        "tags": tags,
    }
    if organ.snomed_code:
        segment["terminology"] = terminology_entry(organ)
    if result.warnings:
        segment["status"] = "flagged"
    return segment


def _read(path: Path) -> dict[str, Any]:
    import slicerio

    if not path.is_file():
        raise InputError(f"{path} does not exist; a .seg.nrrd file is expected.")
    try:
        content: dict[str, Any] = slicerio.read_segmentation(str(path))
    except Exception as problem:  # pynrrd, zlib and slicerio raise a dozen kinds for a damaged file
        raise InputError(
            f"{path} cannot be read as a segmentation ({problem}); it may be damaged or of another format."
        ) from problem
    if not content.get("segments"):
        raise InputError(f"{path} holds no segments; a .seg.nrrd file as 3D Slicer writes it is expected.")
    voxels = content["voxels"]
    if voxels.ndim not in (3, 4) or voxels.dtype.kind not in "iu" or voxels.size == 0 or voxels.min() < 0:
        raise InputError(f"{path} is not a label map of whole numbers in 3D or in layers; it may be damaged.")
    return content


def _named_segments(
    content: dict[str, Any], path: Path | str, organs: Sequence[str] | None
) -> list[tuple[Organ, dict[str, Any]]]:
    """(organ, slicerio's segment) of those that were asked for, in the file's order."""
    named: dict[str, tuple[Organ, dict[str, Any]]] = {}
    wanted = None if organs is None else {(find_organ(name) or unknown_organ(name)).name for name in organs}
    for segment in content["segments"]:
        organ = _organ(segment)
        if wanted is not None and organ.name not in wanted:
            continue
        if organ.name in named:
            first = named[organ.name][1].get("name")
            raise InputError(
                f"{path}: segments {first!r} and {segment.get('name')!r} are both {organ.name}; rename or delete one."
            )
        named[organ.name] = (organ, segment)
    if wanted is not None and wanted - set(named):
        raise InputError(
            f"{path} has no segment {', '.join(sorted(wanted - set(named)))}; "
            f"it has {', '.join(_organ(s).name for s in content['segments'])}."
        )
    if len(named) > 255:
        raise InputError(f"{path} holds {len(named)} segments; at most 255 are expected. Name those to read.")
    return list(named.values())


def _organ(segment: dict[str, Any]) -> Organ:
    name = str(segment.get("name") or str(segment.get("id", "")).removeprefix(ID_PREFIX))
    known = find_organ(name)
    if known is not None:
        return known
    red, green, blue = (round(255 * float(c)) for c in segment.get("color") or (0.5, 0.5, 0.5))
    scheme, code, meaning = (*(segment.get("terminology") or {}).get("type", ()), "", "", "")[:3]
    return unknown_organ(name, (red, green, blue), *((code, meaning) if scheme == "SCT" else ("", "")))


def _merge_layers(
    layers: np.ndarray, segments: Sequence[tuple[Organ, dict[str, Any]]], path: Path | str
) -> np.ndarray:
    """uint8 labels (x, y, z), 1 for the first segment. Raises InputError where two segments claim a voxel."""
    tables: dict[int, np.ndarray] = {}  # layer -> new label of each stored value
    labels = np.zeros(layers.shape[:0:-1], np.uint8)  # (z, y, x): the order in memory
    for label, (organ, segment) in enumerate(segments, start=1):
        layer, value = int(segment.get("layer", 0)), int(segment.get("labelValue", 1))
        if not 0 <= layer < len(layers):
            raise InputError(f"{path}: {organ.name} lies in layer {layer} of {len(layers)}; the file is damaged.")
        if layer not in tables:
            tables[layer] = np.zeros(int(layers[layer].max()) + 1, np.uint8)
        if not 0 < value < tables[layer].size:
            continue  # an empty segment
        if tables[layer][value]:
            _refuse_overlap(path, segments, int(tables[layer][value]), label, int((layers[layer] == value).sum()))
        tables[layer][value] = label
    for layer, table in tables.items():
        added = table[layers[layer].T]
        both = (labels > 0) & (added > 0) if labels.any() else np.zeros(0, bool)
        if both.any():
            pairs, counts = np.unique(np.stack([labels[both], added[both]]), axis=1, return_counts=True)
            first, second = pairs[:, counts.argmax()]
            _refuse_overlap(path, segments, int(first), int(second), int(counts.max()))
        labels |= added
    return labels.T


def _refuse_overlap(
    path: Path | str, segments: Sequence[tuple[Organ, dict[str, Any]]], first: int, second: int, voxels: int
) -> NoReturn:
    raise InputError(
        f"{path}: segments {segments[first - 1][0].name} and {segments[second - 1][0].name} overlap in {voxels} "
        "voxels; segments that do not overlap are expected. Name the organs to read, or remove the overlap in Slicer."
    )


def _result(organ: Organ, label: int, voxels: int, voxel_ml: float, segment: dict[str, Any]) -> OrganResult:
    said = _from_header((segment.get("tags") or {}).get(RESULT_TAG))
    if said.get("voxels") != voxels:
        return OrganResult(organ, label, voxels > 0, voxels * voxel_ml)
    place = said.get("peak_mm_lps")
    return OrganResult(
        organ=organ,
        label=label,
        found=bool(said.get("found", voxels > 0)),
        volume_ml=voxels * voxel_ml,
        peak=said.get("peak"),
        peak_mm_xyz=None if place is None else (float(place[0]), float(place[1]), float(place[2])),
        warnings=tuple(str(w) for w in said.get("warnings") or ()),
    )


def _slicer_geometry(geometry: Geometry) -> str:
    """The grid as Slicer's conversion parameter writes it: 16 numbers of the index-to-RAS matrix, then the extent."""
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ geometry.affine_xyz
    extent = [edge for size in geometry.shape_zyx[::-1] for edge in (0, size - 1)]
    return "".join(f"{float(value):.17g};" for value in ras.ravel()) + "".join(f"{edge};" for edge in extent)


def _uncrop(affine: np.ndarray, labels: np.ndarray, content: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Slicer can save only the box around the segments. Put that box (x, y, z) back into the reference grid if the
    file names one of the same directions, spacing and voxel centres that holds it; else leave it as it is."""
    parameters = {p["name"]: p["value"] for p in content.get("conversionParameters", ())}
    numbers = [float(n) for n in parameters.get(REFERENCE_GEOMETRY, "").split(";") if n.strip()]
    if len(numbers) != 22:
        return affine, labels
    reference = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.reshape(numbers[:16], (4, 4))
    low, high = np.array(numbers[16::2], int), np.array(numbers[17::2], int)
    if np.abs(np.linalg.solve(reference[:3, :3], affine[:3, :3]) - np.eye(3)).max() > GRID_TOLERANCE:
        return affine, labels
    offset = np.linalg.solve(reference[:3, :3], affine[:3, 3] - reference[:3, 3]) - low
    start = np.round(offset).astype(int)
    shape = high - low + 1
    if np.abs(offset - start).max() > GRID_TOLERANCE or (start < 0).any() or (start + labels.shape > shape).any():
        return affine, labels
    whole = np.zeros(shape, np.uint8, order="F")
    whole[tuple(slice(a, a + n) for a, n in zip(start, labels.shape, strict=True))] = labels
    corner = np.array(reference)
    corner[:3, 3] += reference[:3, :3] @ low
    return corner, whole


def _geometry(affine: np.ndarray, shape_xyz: tuple[int, ...]) -> Geometry:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    direction = affine[:3, :3] / spacing
    return Geometry(
        (shape_xyz[2], shape_xyz[1], shape_xyz[0]),
        (float(spacing[0]), float(spacing[1]), float(spacing[2])),
        (float(affine[0, 3]), float(affine[1, 3]), float(affine[2, 3])),
        tuple((float(r[0]), float(r[1]), float(r[2])) for r in direction),
    )


def _to_header(value: Any) -> str:
    """JSON as a NRRD key's value: backslashes doubled, as the NRRD format wants them; no bar, which would end a
    Slicer tag."""
    return json_text(value).replace("|", "\\u007c").replace("\\", "\\\\")


def _from_header(text: object) -> dict[str, Any]:
    """What ``_to_header`` wrote; empty for anything else, because a foreign header must not stop the reading of
    contours."""
    try:
        value = json.loads(str(text).replace("\\\\", "\\"))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _ascii(text: str) -> str:
    """pynrrd writes ASCII only, and a bar, a tilde or a line end would break Slicer's tags. Every name of the organ
    table passes through unchanged; other names lose their accents."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return " ".join(plain.replace("|", "/").replace("~", "-").split()) or "unnamed"
