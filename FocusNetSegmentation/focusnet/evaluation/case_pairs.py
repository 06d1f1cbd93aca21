"""Find the prediction and the reference of each case on disk, and score them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from ..image.regrid import put_on_grid
from ..image.volume import Volume
from ..io.read import read_segmentation
from ..io.suffixes import SEGMENTATIONS, has_suffix, stem
from .evaluate import OrganScores, evaluate


def evaluate_files(
    predicted: Path,
    reference: Path,
    organs: Sequence[str] | None = None,
    tolerance_mm: float = 2.0,
    ct: Volume | None = None,
) -> list[OrganScores]:
    """Compare two files, or every file of ``predicted`` with the one of the same name in ``reference``; return the scores of each case.

    ``organs``: score only these. ``tolerance_mm``: of the surface DSC. ``ct``: the scan that RTSTRUCTs belong to; both are compared on its
    grid. Raises InputError.
    """
    if not tolerance_mm > 0:
        raise InputError(f"The tolerance is {tolerance_mm} mm; a number above 0 is expected.")
    rows: list[OrganScores] = []
    for case, ours, theirs in pairs(Path(predicted), Path(reference)):
        found, truth = read_segmentation(ours, None, ct), read_segmentation(theirs, organs, ct)
        if ct is not None:
            (found, _), (truth, _) = (put_on_grid(s, ct.geometry, ct.source) for s in (found, truth))
        rows.extend(evaluate(found, truth, organs, tolerance_mm, case))
    return rows


def pairs(predicted: Path, reference: Path) -> list[tuple[str, Path, Path]]:
    """Return (case, predicted file, reference file) of two files, or of the files of two folders that have the same name. Raises InputError."""
    if predicted.is_dir() != reference.is_dir():
        raise InputError(f"{predicted} and {reference}: two files or two folders are expected, not one of each.")
    if not predicted.is_dir():
        return [(stem(predicted), predicted, reference)]
    ours, theirs = (
        {stem(p): p for p in sorted(folder.iterdir()) if has_suffix(p, SEGMENTATIONS)}
        for folder in (predicted, reference)
    )
    common = sorted(set(ours) & set(theirs))
    if not common:
        raise InputError(
            f"{predicted} and {reference} have no file name in common; a prediction is compared with the reference of the same name."
        )
    missing = sorted(set(ours) - set(theirs))
    if missing:
        raise InputError(
            f"{reference} has no reference for {', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}; add it or remove the prediction."
        )
    return [(name, ours[name], theirs[name]) for name in common]
