"""From a segmentation on disk, corrected or not, to another format: what ``focusnet export`` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .errors import InputError
from .files.atomic_write import check_output
from .image.regrid import put_on_grid
from .image.segmentation import Segmentation
from .image.volume import Volume
from .io.read import read_ct, read_segmentation
from .io.review_tags import OrganReview, read_reviews, with_run
from .io.suffixes import has_suffix
from .io.write import write_image
from .qa.audit import audit

DICOM_KINDS = {"rtstruct": "RTSTRUCT", "seg": "DICOM SEG"}


def export_file(
    source: Path,
    ct: Path | None,
    out: Path,
    dicom: str | None = None,
    series: str | None = None,
    model_copy: Path | None = None,
    reviewer: str = "",
    organs: Sequence[str] | None = None,
    overwrite: bool = False,
) -> list[str]:
    """Write ``source`` (any segmentation, RTSTRUCT included) as ``out`` on the CT's grid; return sentences for the user.

    ``dicom``: rtstruct or seg, for an output named .dcm; review states and approvals come from the segments' tags. ``model_copy``: the
    model's own result; organs that differ from it are marked SEMIAUTOMATIC. Raises InputError, OutputError.
    """
    check_output(out, overwrite)
    if (dicom is not None or has_suffix(source, (".dcm",))) and ct is None:
        raise InputError(f"{out.name}: DICOM needs the CT that was contoured; give its folder with --ct.")
    volume = read_ct(ct, series) if ct is not None else None
    if dicom is not None and volume is not None:
        from .io.dicom_verify import check_scan

        check_scan(volume, DICOM_KINDS[dicom])
    segmentation = read_segmentation(source, organs, volume)
    reviews = read_reviews(source, segmentation)
    segmentation = with_run(segmentation, reviews)
    notes = [f"{n} was approved, but changed since; it goes out as edited." for n, r in reviews.items() if r.withdrawn]
    if volume is not None:
        segmentation, lost = put_on_grid(segmentation, volume.geometry, volume.source or str(ct))
        notes += lost
    if dicom is None or volume is None:
        write_image(segmentation, out, overwrite)
        return notes
    changed = _changed(segmentation, model_copy, volume)
    return [*notes, *_write_dicom(segmentation, volume, out, dicom, reviews, changed, reviewer, overwrite)]


def _changed(segmentation: Segmentation, model_copy: Path | None, volume: Volume) -> set[str] | None:
    """Organs that differ from the model's copy; None without one."""
    if model_copy is None:
        return None
    frozen, _ = put_on_grid(read_segmentation(model_copy), volume.geometry, volume.source)
    return {organ.organ for organ in audit(frozen, segmentation).organs if organ.changed}


def _write_dicom(
    segmentation: Segmentation,
    volume: Volume,
    out: Path,
    dicom: str,
    reviews: dict[str, OrganReview],
    changed: set[str] | None,
    reviewer: str,
    overwrite: bool,
) -> list[str]:
    notes = []
    names = {r.organ.name for r in segmentation.results}
    if not reviews and changed is None:  # a label map does not say who drew it, and AUTOMATIC would be a guess
        changed = names
        notes.append("The file does not say who drew the contours; they are marked SEMIAUTOMATIC.")
    elif changed is None:
        changed = {name for name, review in reviews.items() if review.state != "draft"}
    states = {name: review.state for name, review in reviews.items()} or dict.fromkeys(changed & names, "edited")
    by_hand = {name for name, review in reviews.items() if review.by_hand}
    if dicom == "rtstruct":
        from .io.rtstruct_write import write_rtstruct

        who = reviewer or ", ".join(dict.fromkeys(r.approved_by for r in reviews.values() if r.approved_by))
        left_out = write_rtstruct(
            segmentation, volume, out, overwrite, states=states, edited=changed, reviewer=who, by_hand=by_hand
        )
    else:
        from .io.dicom_seg import write_dicom_seg

        left_out = write_dicom_seg(segmentation, volume, out, overwrite, states, changed, by_hand)
    approved = sorted(name for name, state in states.items() if state == "approved")
    if approved:
        notes.append(f"Approved: {', '.join(approved)} ({len(approved)} of {len(names)}).")
    return [*notes, *([f"Left out, because empty: {', '.join(left_out)}."] if left_out else [])]
