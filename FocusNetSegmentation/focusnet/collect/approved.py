"""Read a reviewed segmentation, its CT and the model's own copy as a case that can be collected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import InputError
from ..evaluation.names import renamed
from ..image.organs import find_organ, guess
from ..image.regrid import put_on_grid
from ..image.segmentation import Segmentation
from ..image.volume import Volume
from ..io.read import read_segmentation, read_volume
from ..io.review_tags import OrganReview, read_reviews, said_to_be_approved, with_run
from ..io.suffixes import SEG_NRRD, has_suffix
from ..qa.audit_files import run_notes
from .new_case import NewCase, check_approved, new_case


@dataclass(frozen=True)
class ReviewedFiles:
    """The files of a case, and how they are read.

    ``segmentation``: .seg.nrrd with the review's states. ``ct``: a DICOM folder or an image file. ``model_copy``: the model's own result
    before it was edited. ``organs``: these alone; None for every approved one. ``names``: name in the file -> organ, "" to leave it out.
    ``patient``: the patient's number where the CT does not name it.
    """

    segmentation: Path
    ct: Path
    model_copy: Path | None = None
    organs: Sequence[str] | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    patient: str = ""
    series: str | None = None
    hu_offset: float | None = None


def read_case(files: ReviewedFiles) -> NewCase:
    """Return the case of the files. Raises InputError in one line for what cannot be collected."""
    path = files.segmentation
    if not path.exists():
        raise InputError(f"{path} does not exist; the reviewed segmentation (.seg.nrrd) is expected.")
    if not has_suffix(path, SEG_NRRD):
        raise InputError(
            f"{path.name} cannot say which organs are approved; a .seg.nrrd that was reviewed in 3D Slicer is expected."
        )
    organs = None if files.organs is None else [_organ(name) for name in files.organs]
    approved, reviews, notes = _approved(files, organs)
    volume = read_volume(files.ct, series=files.series, hu_offset=files.hu_offset)
    approved = _on_ct(approved, volume, path.name)
    drawn = _model_copy(files.model_copy, approved, volume) if files.model_copy is not None else None
    if drawn is None and approved.provenance.get("model"):
        notes.append("Without --model-copy it is not known what was corrected: the report does not count this case.")
    case = new_case(volume, approved, reviews, drawn, files.patient)
    return replace(case, notes=(*notes, *volume.notes))


def _approved(
    files: ReviewedFiles, organs: Sequence[str] | None
) -> tuple[Segmentation, dict[str, OrganReview], list[str]]:
    """Return the approved organs alone, their reviews, and sentences about approved ones that were left out."""
    path = files.segmentation
    said = said_to_be_approved(path)
    if not said:
        check_approved({}, organs, path.name)
    segmentation = read_segmentation(path, said)  # the others may overlap them
    stored = read_reviews(path, segmentation)
    segmentation = renamed(with_run(segmentation, stored), files.names, path)
    new_names = {old: files.names.get(old, old) for old in stored}
    reviews = {new_names[old]: review for old, review in stored.items() if new_names[old]}
    unknown = [name for name in reviews if find_organ(name) is None and reviews[name].state == "approved"]
    known = {name: review for name, review in reviews.items() if name not in unknown}
    listed = ", ".join(f"{name}{guess(name)}" for name in unknown)
    remedy = f"name it with --map '{unknown[0]}=ORGAN', such as --map '{unknown[0]}=Parotid_L'" if unknown else ""
    if unknown and not any(review.state == "approved" for review in known.values()):
        raise InputError(
            f"{path.name}: {listed} is no organ that is known here, and nothing else is approved; {remedy}."
        )
    wanted = check_approved(known, organs, path.name)
    notes = [f"{listed}: no organ that is known here, left out; {remedy}."] if unknown and organs is None else []
    withdrawn = [name for name, review in known.items() if review.withdrawn]
    if withdrawn and organs is None:
        notes.append(f"{', '.join(withdrawn)} changed after the approval and was left out; approve it again to add it.")
    results = tuple(r for r in segmentation.results if r.organ.name in wanted)
    return replace(segmentation, results=results), {name: known[name] for name in wanted}, notes


def _model_copy(path: Path, approved: Segmentation, volume: Volume) -> Segmentation:
    """Return the model's own result. Raises InputError if it is of another run, or of another CT."""
    drawn = read_segmentation(path)
    drawn = with_run(drawn, read_reviews(path, drawn))
    other_run = run_notes(drawn, approved)
    if other_run:
        raise InputError(f"{path.name}: {other_run[0]} Give the copy of the run that was corrected.")
    return _on_ct(drawn, volume, path.name)


def _on_ct(segmentation: Segmentation, volume: Volume, name: str) -> Segmentation:
    """Return the same voxels in the CT's order of axes. Raises InputError where they are not voxels of the CT."""
    try:
        found, outside = put_on_grid(segmentation, volume.geometry)
    except InputError as problem:
        raise InputError(f"{name}: {problem}") from problem
    if outside:
        raise InputError(
            f"{name}: {outside[0].replace(' and were left out', '')} Give the CT that it was drawn on, whole."
        )
    return found


def _organ(name: str) -> str:
    organ = find_organ(name)
    if organ is None:
        raise InputError(
            f"--organs {name!r} is no organ that is known here{guess(name)}; a TG-263 name such as Parotid_L is expected."
        )
    return organ.name
