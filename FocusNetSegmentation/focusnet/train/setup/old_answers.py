"""The old model's answers as labels where a case was not corrected, so that organs that nobody touched do not decay.

A collected case brings the answer of the model that drew it. Each other answer is computed once and kept in the run's folder: a resumed
run reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...datasets.case import Case, organ_centroids_mm
from ...datasets.collected import is_collected, read_collection
from ...errors import DatasetError
from ...files.atomic_write import atomic_path, ensure_folder
from ...files.disk import plain_errors
from ...image.volume import Volume
from ...inference.options import SegmentOptions
from ...inference.segment import segment_scan
from ...io.seg_nrrd import read_segments
from ...nets.bundle import ModelBundle
from ..logger import LOGGER
from .request import TrainRequest
from .tune_options import OLD_ANSWERS


def joined_organs(bundle: ModelBundle, organs: tuple[str, ...]) -> tuple[str, ...]:
    """Return the old model's organs in its order, then those that only the cases have. Raises DatasetError where they have none in common."""
    if not set(organs) & set(bundle.config.organs):
        raise DatasetError(
            f"The cases have {', '.join(organs)}, the model {bundle.name} has {', '.join(bundle.config.organs)}: no organ in common. "
            "Name local structures under [organs] in dataset.toml, or train a model of its own (focusnet train)."
        )
    return (*bundle.config.organs, *(organ for organ in organs if organ not in bundle.config.organs))


def relabelled(cases: Sequence[Case], before: tuple[str, ...], after: tuple[str, ...]) -> list[Case]:
    """Return the cases with label values in the order of ``after``, which holds every organ of ``before``."""
    if before == after:
        return list(cases)
    table = np.array([0, *(after.index(organ) + 1 for organ in before)], np.uint8)
    return [replace(case, labels=table[case.labels]) for case in cases]


def with_old_answers(
    cases: Sequence[Case], bundle: ModelBundle, organs: tuple[str, ...], request: TrainRequest
) -> list[Case]:
    """Return the cases with the old model's voxels of every organ that was not contoured in them, where no other organ was drawn.

    ``organs``: what label values mean, the old model's first. Without ``mix_old_answers`` they stay as they are.

    Raises OutputError if an answer cannot be kept.
    """
    if request.tune is None or not request.tune.mix_old_answers:
        return list(cases)
    options = SegmentOptions(bundle, device=request.device)
    collected = _collected(request.dataset, bundle)
    filled = []
    for number, case in enumerate(cases, start=1):
        wanted = [organ for organ in bundle.config.organs if organ not in case.contoured]
        if wanted:
            answer = _kept_in_case(case, collected.get(case.name), organs)
            if answer is None:
                answer = _answer(case, options, request.out)
            LOGGER.info(f"The old model's answers: case {number} of {len(cases)}, for {', '.join(wanted)}.")
            case = filled_case(case, answer, wanted, organs)
        filled.append(case)
    return filled


def filled_case(case: Case, answer: np.ndarray, wanted: Sequence[str], organs: tuple[str, ...]) -> Case:
    """Return ``case`` with the ``wanted`` organs of ``answer`` (uint8, as the case's labels) where the case has no organ."""
    values = [organs.index(organ) + 1 for organ in wanted]
    labels = np.where((case.labels == 0) & np.isin(answer, values), answer, case.labels)
    contoured = case.contoured | set(wanted)
    centers = organ_centroids_mm(labels, case.geometry, organs, frozenset(contoured))
    return replace(
        case, labels=labels, contoured=frozenset(contoured), centroids_mm_xyz=centers, answered=frozenset(wanted)
    )


def _collected(folder: Path, bundle: ModelBundle) -> dict[str, Path]:
    """Return case -> file of the model's own result, of those cases of a collected folder that this very model drew."""
    if not is_collected(folder):
        return {}
    cases = read_collection(folder).cases
    mine = [case for case in cases if case.model and case.model.get("bundle_sha256") == bundle.digest]
    return {case.name: case.model_labels for case in mine if case.model_labels is not None}


def _kept_in_case(case: Case, path: Path | None, organs: tuple[str, ...]) -> np.ndarray | None:
    """Return the labels (uint8, z, y, x) that the model drew before the case was corrected; None where they are not there."""
    if path is None:
        return None
    geometry, voxels = read_segments(path)
    if not geometry.same_grid_as(case.geometry):
        return None
    labels = np.zeros(case.labels.shape, np.uint8)
    for organ in sorted(set(voxels) & set(organs), key=lambda organ: -len(voxels[organ])):
        labels.reshape(-1)[voxels[organ]] = organs.index(organ) + 1
    return labels


def _answer(case: Case, options: SegmentOptions, out: Path) -> np.ndarray:
    """Return the old model's labels (uint8, z, y, x) of a case, kept in ``out``."""
    import SimpleITK as sitk

    path = out / OLD_ANSWERS / f"{case.name.replace('/', '_')}-{options.bundle.digest[:12]}.nrrd"
    if path.is_file():
        try:
            kept = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
            if kept.shape == case.labels.shape:
                return np.asarray(kept, np.uint8)
        except RuntimeError:  # damaged: it is made again
            pass
    labels = segment_scan(Volume(case.hu, case.geometry, case.name), options).labels.astype(np.uint8)
    ensure_folder(path.parent)
    with atomic_path(path) as partial, plain_errors():
        sitk.WriteImage(sitk.GetImageFromArray(labels), str(partial), useCompression=True)
    return labels
