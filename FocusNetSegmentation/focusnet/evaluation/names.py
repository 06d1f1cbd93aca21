"""Bring the names of two segmentations together: the user's own names, and a mandible in one part or in two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..image.organs import find_organ
from ..image.segmentation import OrganResult, Segmentation

WHOLE, HALVES = "Bone_Mandible", ("Bone_Mandible_L", "Bone_Mandible_R")


def renamed(segmentation: Segmentation, names: Mapping[str, str], path: Path) -> Segmentation:
    """Return the segmentation with its organs named as ``names`` says ({name: organ, or "" to leave it out}). Raises InputError."""
    results: list[OrganResult] = []
    for result in segmentation.results:
        name = names.get(result.organ.name)
        if name == "":
            continue
        organ = find_organ(name) if name else result.organ
        results.append(replace(result, organ=organ or result.organ))
    taken = [r.organ.name for r in results]
    twice = sorted({name for name in taken if taken.count(name) > 1})
    if twice:
        raise InputError(f"{path}: two of its organs are {twice[0]} now; leave one out with --map 'NAME='.")
    return replace(segmentation, results=tuple(results))


def match_mandible(predicted: Segmentation, reference: Segmentation) -> tuple[Segmentation, Segmentation, str]:
    """Return both with a mandible of the same kind, and the sentence that says what was joined; "" if nothing was.

    Where one has the whole mandible and the other its halves, the halves are joined: the whole cannot be split without a guess.
    """
    ours, theirs = ({r.organ.name for r in s.results} for s in (predicted, reference))
    if WHOLE in theirs and WHOLE not in ours and ours & set(HALVES):
        return (
            _joined(predicted),
            reference,
            f"{_halves(ours, 'prediction')} joined into {WHOLE}, as in the reference.",
        )
    if WHOLE in ours and WHOLE not in theirs and theirs & set(HALVES):
        return (
            predicted,
            _joined(reference),
            f"{_halves(theirs, 'reference')} joined into {WHOLE}, as in the prediction.",
        )
    return predicted, reference, ""


def _halves(names: set[str], where: str) -> str:
    there = [half for half in HALVES if half in names]
    return f"{' and '.join(there)} of the {where} {'were' if len(there) > 1 else 'was'}"


def _joined(segmentation: Segmentation) -> Segmentation:
    halves = [r for r in segmentation.results if r.organ.name in HALVES]
    whole = find_organ(WHOLE)
    assert whole is not None
    labels = np.where(
        np.isin(segmentation.labels, [r.label for r in halves]), np.uint8(halves[0].label), segmentation.labels
    )
    joined = replace(
        halves[0], organ=whole, found=any(r.found for r in halves), volume_ml=sum(r.volume_ml for r in halves)
    )
    rest = [r for r in segmentation.results if r.organ.name not in HALVES]
    return replace(segmentation, labels=labels, results=(*rest, joined))
