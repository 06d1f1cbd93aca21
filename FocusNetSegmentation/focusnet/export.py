"""Export a segmentation on disk, corrected or not, to another format: what ``focusnet export`` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError
from .files.atomic_write import check_output
from .image.organs import guess
from .image.orientation_doubt import doubt_text, refuse_doubtful
from .image.regrid import put_on_grid
from .image.segmentation import Segmentation
from .image.skipped_slices import fill_skipped, find_skipped
from .image.volume import Volume
from .io.export_details import LEAVE_OUT, ExportDetails
from .io.read import read_ct, read_segmentation
from .io.review_tags import OrganReview, read_reviews, with_run
from .io.suffixes import has_suffix
from .io.write import write_segmentation
from .qa.audit import audit

DICOM_KINDS = {"rtstruct": "RTSTRUCT", "seg": "DICOM SEG"}


@dataclass(frozen=True)
class ExportOptions:
    """How a segmentation is exported.

    ``ct``: the CT that was contoured, a DICOM folder or an image file; the output is on its grid. ``series`` picks one of a folder's series.
    ``dicom``: "rtstruct" or "seg", for an output named .dcm; review states and approvals come from the segments' tags.
    ``model_copy``: the model's own result; organs that differ from it are marked SEMIAUTOMATIC.
    ``reviewer``: who approved; by default as the review noted it. ``organs``: export only these.
    ``not_localized``: "leave-out" or "mark", what becomes in DICOM of drafts that the model drew without being sure where they are.
    ``fill_slices``: interpolate slices that contours skip. ``orientation_override``: export even where the scan's header seems to have
    directions wrong.
    """

    ct: Path | None = None
    series: str | None = None
    dicom: str | None = None
    model_copy: Path | None = None
    reviewer: str = ""
    organs: Sequence[str] | None = None
    overwrite: bool = False
    not_localized: str = LEAVE_OUT
    fill_slices: bool = False
    orientation_override: bool = False


def export_file(source: Path, out: Path, options: ExportOptions) -> list[str]:
    """Write ``source`` (any segmentation, RTSTRUCT included) as ``out``; return sentences for the user.

    Raises InputError, OutputError.
    """
    check_output(out, options.overwrite)
    if (options.dicom is not None or has_suffix(source, (".dcm",))) and options.ct is None:
        raise InputError(f"{out.name}: DICOM needs the CT that was contoured; give its folder with --ct.")
    volume = read_ct(options.ct, options.series) if options.ct is not None else None
    if options.dicom is not None and volume is not None:
        from .io.dicom_verify import check_scan

        check_scan(volume, DICOM_KINDS[options.dicom])
    segmentation = read_segmentation(source, options.organs, volume)
    told = _told(segmentation)
    if options.fill_slices:
        segmentation, filled = fill_skipped(segmentation)
        told += filled
    else:
        told += [f"{organ}: {s} --fill-slices interpolates." for organ, s in find_skipped(segmentation).items()]
    reviews = read_reviews(source, segmentation)
    segmentation = with_run(segmentation, reviews)
    if not options.orientation_override:
        refuse_doubtful(segmentation.provenance)
    notes = [f"{n} was approved, but changed since; it goes out as edited." for n, r in reviews.items() if r.withdrawn]
    notes = [*filter(None, [doubt_text(segmentation.provenance)]), *told, *notes]
    if volume is not None:
        segmentation, lost = put_on_grid(segmentation, volume.geometry, volume.source or str(options.ct))
        notes += lost
    states = {name: review.state for name, review in reviews.items()}
    details = ExportDetails(states, not_localized=options.not_localized)
    if options.dicom is not None and volume is not None:
        changed = _changed(segmentation, options.model_copy, volume)
        details, about = _details(segmentation, reviews, changed, options)
        notes += about
    left_out = write_segmentation(
        segmentation, volume, out, options.dicom, options.overwrite, details, options.orientation_override
    )
    return [*notes, *details.sentences(segmentation, left_out)]


def _told(segmentation: Segmentation) -> list[str]:
    """Return what reading an RTSTRUCT left out, in sentences."""
    provenance = segmentation.provenance
    notes = list(provenance.get("notes", ())) if "unknown_names" in provenance else []
    if provenance.get("empty_names"):
        notes.append(f"Named, but empty (no contour), so left out: {', '.join(provenance['empty_names'])}.")
    if provenance.get("unknown_names"):
        listed = ", ".join(name + guess(name) for name in provenance["unknown_names"])
        notes.append(f"Names that were not recognised, so left out: {listed}. --organs NAME exports one as it is.")
    return notes


def _changed(segmentation: Segmentation, model_copy: Path | None, volume: Volume) -> set[str] | None:
    """Return the organs that differ from the model's copy; None without one."""
    if model_copy is None:
        return None
    frozen, _ = put_on_grid(read_segmentation(model_copy), volume.geometry, volume.source)
    return {organ.organ for organ in audit(frozen, segmentation).organs if organ.changed}


def _details(
    segmentation: Segmentation, reviews: Mapping[str, OrganReview], changed: set[str] | None, options: ExportOptions
) -> tuple[ExportDetails, list[str]]:
    """Return what DICOM is told of the review, and sentences for the user about it."""
    notes = []
    names = {r.organ.name for r in segmentation.results}
    if not reviews and changed is None:  # a label map does not say who drew it, and AUTOMATIC would be a guess
        changed = names
        notes.append("The file does not say who drew the contours; they are marked SEMIAUTOMATIC.")
    elif changed is None:
        changed = {name for name, review in reviews.items() if review.state != "draft"}
    states = {name: review.state for name, review in reviews.items()} or dict.fromkeys(changed & names, "edited")
    approved = sorted(name for name, state in states.items() if state == "approved")
    if approved:
        notes.append(f"Approved: {', '.join(approved)} ({len(approved)} of {len(names)}).")
    by_hand = {name for name, review in reviews.items() if review.by_hand}
    who = options.reviewer or ", ".join(dict.fromkeys(r.approved_by for r in reviews.values() if r.approved_by))
    return ExportDetails(states, changed, by_hand, who, not_localized=options.not_localized), notes
