"""``.seg.nrrd``: the file that 3D Slicer's segmentation storage node reads and writes, through slicerio and pynrrd.

Slicer keeps segment tags when it saves a file again and drops header keys that it does not know. So what belongs to
one organ stands in its tags, and only the run's provenance in the header. docs/outputs.md describes both.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ..errors import InputError
from ..files.atomic_write import atomic_path, check_output
from ..image.drawn_by import CHOSEN, run_of
from ..image.label_boxes import label_counts, labelled_box
from ..image.organs import Organ, find_organ
from ..image.segmentation import OrganResult, Segmentation
from ..image.volume import Geometry
from .label_map import unknown_organ
from .segment_tags import (
    ALGORITHM_NAME_TAG,
    ALGORITHM_TYPE_TAG,
    ID_PREFIX,
    RESULT_TAG,
    RUN_KEYS,
    RUN_TAG,
    escape_for_nrrd,
    from_tag,
    tag_text,
    tag_value,
    to_tag,
    unescape_from_nrrd,
)
from .suffixes import SEG_NRRD
from .terminology import terminology_entry

LABELMAP = "Binary labelmap"
REFERENCE_GEOMETRY = "Reference image geometry"
PROVENANCE_KEY = "FocusNet provenance"
GZIP_LEVEL = 3  # label maps are mostly runs of zeros: level 9 takes three times as long for a few per cent
GRID_TOLERANCE = 1e-3  # of a voxel, between a cropped file's grid and its reference grid


def write_seg_nrrd(
    segmentation: Segmentation,
    path: Path | str,
    overwrite: bool = False,
    tags: Mapping[str, Mapping[str, str]] | None = None,
    crop: bool = False,
) -> None:
    """Write labels, TG-263 names, SNOMED terminology, colours, the reference grid and provenance. Raises OutputError.

    ``tags``: organ name to further tags of its segment (ASCII, without a bar), over those that are written anyway. ``crop``: store only
    the box around the organs, as Slicer can; readers put it back into the reference grid.

    All segments share one layer. An organ that was looked for and not found is an empty segment: in Slicer's Segment
    Editor its name, colour and code are there to be filled in. Organs with warnings carry Slicer's status "flagged".
    """
    import slicerio

    check_output(path, overwrite, SEG_NRRD)
    runs = {r.organ.name: run_of(segmentation.provenance, r.organ.name) for r in segmentation.results}
    box = (labelled_box(segmentation.labels) if crop else None) or tuple(slice(0, n) for n in segmentation.labels.shape)
    affine = segmentation.geometry.affine_xyz.copy()
    affine[:3, 3] = segmentation.geometry.index_to_mm(np.array([s.start for s in box]))
    counts = label_counts(segmentation.labels)
    content: dict[str, Any] = {
        "voxels": np.transpose(segmentation.labels[box], (2, 1, 0)),  # slicerio's order is x, y, z
        "ijkToLPS": affine,
        "encoding": "gzip",
        "containedRepresentationNames": [LABELMAP],
        "masterRepresentation": LABELMAP,
        # not slicerio's "conversionParameters": it leaves out the last "&", without which Slicer takes no parameter
        "Segmentation_ConversionParameters": f"{REFERENCE_GEOMETRY}|{_slicer_geometry(segmentation.geometry)}|&",
        PROVENANCE_KEY: escape_for_nrrd(tag_text(segmentation.provenance)),
        "segments": [
            _segment(r, int(counts[r.label]), runs[r.organ.name], (tags or {}).get(r.organ.name, {}))
            for r in segmentation.results
        ],
    }
    with atomic_path(path) as partial:
        slicerio.write_segmentation(str(partial), content, compression_level=GZIP_LEVEL)


def read_seg_nrrd(path: Path | str, organs: Sequence[str] | None = None) -> Segmentation:
    """Read what this module, Slicer or another program wrote, on the reference grid where the file was cropped to its
    segments.

    A segment is told by its name (TG-263 name or synonym), which is what a person sees and edits; by its ID only if
    it has no name. A name that the organ table does not know becomes an organ of its own. ``organs`` reads only
    these, as far as they are there. Segments may lie in several layers but must not overlap, because a label map
    would drop voxels of one of them. The result of an organ is taken from its tags if the organ still has
    as many voxels as then; otherwise it was edited. Raises InputError.
    """
    return segmentation_from(_read(Path(path)), path, organs)


def segmentation_from(content: dict[str, Any], path: Path | str, organs: Sequence[str] | None = None) -> Segmentation:
    """Return what ``read_seg_nrrd`` does, from what slicerio reads. ``path``: for messages. Raises InputError."""
    segments = _named_segments(content, path, organs)
    voxels = np.asarray(content["voxels"])
    layers = voxels[None] if voxels.ndim == 3 else voxels  # (layer, x, y, z)
    labels = _merge_layers(layers, segments, path)  # (x, y, z)
    affine, labels = _uncrop(np.asarray(content["ijkToLPS"], dtype=float), labels, content)
    geometry = _geometry(affine, labels.shape)
    voxel_ml = geometry.voxel_ml
    labels = np.ascontiguousarray(labels.T)  # (z, y, x)
    counts = label_counts(labels).tolist()
    return Segmentation(
        labels=labels,
        geometry=geometry,
        results=tuple(
            from_tag(unescape_from_nrrd(s.tags.get(RESULT_TAG)), s.organ, s.label, counts[s.label], voxel_ml)
            for s in segments
        ),
        provenance=tag_value(unescape_from_nrrd(content.get(PROVENANCE_KEY))),
    )


def _segment(result: OrganResult, voxels: int, run: Mapping[str, Any], further: Mapping[str, str]) -> dict[str, Any]:
    organ = result.organ
    tags = {RESULT_TAG: escape_for_nrrd(to_tag(result, voxels))}
    if run.get(
        "model"
    ):  # a reference drawn by people must not be exported to DICOM as made by a program, nor the other way round
        tags[ALGORITHM_TYPE_TAG] = "AUTOMATIC"
        tags[ALGORITHM_NAME_TAG] = _ascii(f"FocusNetv2 {run['model']}")
    if CHOSEN in run or run.get(
        "caution"
    ):  # Slicer drops the file's provenance, but keeps what a segment says of its own
        tags[RUN_TAG] = escape_for_nrrd(tag_text({key: run[key] for key in RUN_KEYS if key in run}))
    tags.update({name: escape_for_nrrd(value) for name, value in further.items()})
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
    check_voxels(content["voxels"], path)
    return content


def check_voxels(voxels: np.ndarray, path: Path | str) -> None:
    """Raise InputError for voxels that are no label map."""
    unsigned = voxels.dtype.kind == "u"
    if (
        voxels.ndim not in (3, 4)
        or voxels.dtype.kind not in "iu"
        or voxels.size == 0
        or (not unsigned and voxels.min() < 0)
    ):
        raise InputError(f"{path} is not a label map of whole numbers in 3D or in layers; it may be damaged.")


@dataclass(frozen=True)
class _Segment:
    """One segment of a file: which organ, its label here, and where it is stored (``value`` in ``layer``)."""

    organ: Organ
    label: int
    layer: int
    value: int
    name: str
    tags: dict[str, str]


def _named_segments(content: dict[str, Any], path: Path | str, organs: Sequence[str] | None) -> list[_Segment]:
    """Those that were asked for, in the file's order. Stored values stay the labels where they can: in one layer, 1
    to 255."""
    wanted = None if organs is None else {(find_organ(name) or unknown_organ(name)).name for name in organs}
    fields = [(organ_of_segment(entry), entry) for entry in content["segments"]]
    chosen = [(organ, entry) for organ, entry in fields if wanted is None or organ.name in wanted]
    if not 0 < len(chosen) < 256:
        raise InputError(
            f"{path} holds {len(chosen)} of the wanted segments; 1 to 255 are expected. "
            f"It has {', '.join(organ.name for organ, _ in fields[:30])}."
        )
    stored = [(int(entry.get("layer", 0)), int(entry.get("labelValue", 1))) for _, entry in chosen]
    keep = len({layer for layer, _ in stored}) == 1 and len(set(stored)) == len(stored)
    keep = keep and all(0 < value < 256 for _, value in stored)
    segments: dict[str, _Segment] = {}
    for number, ((organ, entry), (layer, value)) in enumerate(zip(chosen, stored, strict=True), start=1):
        name = str(entry.get("name", ""))
        if organ.name in segments:
            first = segments[organ.name].name
            raise InputError(f"{path}: segments {first!r} and {name!r} are both {organ.name}; rename or delete one.")
        label = value if keep else number
        segments[organ.name] = _Segment(organ, label, layer, value, name, dict(entry.get("tags") or {}))
    return list(segments.values())


def organ_of_segment(segment: dict[str, Any]) -> Organ:
    """Return which organ a segment of a file is, by its name, or by its ID if it has none."""
    name = str(segment.get("name") or str(segment.get("id", "")).removeprefix(ID_PREFIX))
    known = find_organ(name)
    if known is not None:
        return known
    red, green, blue = (round(255 * float(c)) for c in segment.get("color") or (0.5, 0.5, 0.5))
    scheme, code, meaning = (*(segment.get("terminology") or {}).get("type", ()), "", "", "")[:3]
    return unknown_organ(name, (red, green, blue), *((code, meaning) if scheme == "SCT" else ("", "")))


def _merge_layers(layers: np.ndarray, segments: Sequence[_Segment], path: Path | str) -> np.ndarray:
    """uint8 labels (x, y, z) by one table look-up per layer. Raises InputError where two segments claim a voxel."""
    tables: dict[int, np.ndarray] = {}  # layer -> label of each stored value
    names = {segment.label: segment.organ.name for segment in segments}
    for segment in segments:
        if not 0 <= segment.layer < len(layers):
            raise InputError(
                f"{path}: {segment.organ.name} lies in layer {segment.layer} of {len(layers)}; the file is damaged."
            )
        if segment.layer not in tables:
            tables[segment.layer] = np.zeros(int(layers[segment.layer].max()) + 1, np.uint8)
        table = tables[segment.layer]
        if not 0 < segment.value < table.size:
            continue  # an empty segment
        if table[segment.value]:
            voxels = int((layers[segment.layer] == segment.value).sum())
            _refuse_overlap(path, names[int(table[segment.value])], segment.organ.name, voxels)
        table[segment.value] = segment.label
    labels = np.zeros(layers.shape[:0:-1], np.uint8)  # (z, y, x): the order in memory
    for layer, table in tables.items():
        stored = layers[layer].T
        box = labelled_box(stored)
        if box is None:
            continue
        added, there = table[stored[box]], labels[box]
        both = (there > 0) & (added > 0)
        if both.any():
            pairs, counts = np.unique(np.stack([there[both], added[both]]), axis=1, return_counts=True)
            first, second = pairs[:, counts.argmax()]
            _refuse_overlap(path, names[int(first)], names[int(second)], int(counts.max()))
        there |= added
    return labels.T


def _refuse_overlap(path: Path | str, first: str, second: str, voxels: int) -> NoReturn:
    raise InputError(
        f"{path}: segments {first} and {second} overlap in {voxels} voxels; segments that do not overlap are expected. "
        "Name the organs to read, or remove the overlap in Slicer's Segment Editor."
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


def _ascii(text: str) -> str:
    """pynrrd writes ASCII only, and a bar, a tilde or a line end would break Slicer's tags. Every name of the organ
    table passes through unchanged; other names lose their accents."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return " ".join(plain.replace("|", "/").replace("~", "-").split()) or "unnamed"


def segment_names(path: Path | str) -> list[str]:
    """Return the names of a file's segments, from its header alone. Raises InputError."""
    import nrrd

    try:
        header = nrrd.read_header(str(path))
    except Exception as problem:
        raise InputError(f"{path} cannot be read as a segmentation ({problem}); it may be damaged.") from problem
    return [str(v) for k, v in sorted(header.items()) if k.startswith("Segment") and k.endswith("_Name")]


def read_segments(path: Path | str) -> tuple[Geometry, dict[str, np.ndarray]]:
    """Read every segment as it is: (grid, name -> sorted flat indices into its (z, y, x) array). Segments may share voxels. Raises InputError."""
    content = _read(Path(path))
    voxels = np.asarray(content["voxels"])
    layers = voxels[None] if voxels.ndim == 3 else voxels  # (layer, x, y, z)
    affine = np.asarray(content["ijkToLPS"], dtype=float)
    found: dict[str, np.ndarray] = {}
    whole, labels = _uncrop(affine, layers[0], content)
    geometry = _geometry(whole, labels.shape)
    for entry in content["segments"]:
        name = str(entry.get("name") or str(entry.get("id", "")).removeprefix(ID_PREFIX))
        layer = int(entry.get("layer", 0))
        if name in found or layer >= len(layers):
            why = "is there twice" if name in found else f"lies in layer {layer} of {len(layers)}"
            raise InputError(f"{path}: segment {name!r} {why}; rename or delete it.")
        _, mask = _uncrop(affine, layers[layer] == int(entry.get("labelValue", 1)), content)
        found[name] = np.flatnonzero(np.ascontiguousarray(mask.T))
    return geometry, found
