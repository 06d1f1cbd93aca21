"""The cases of a run, read before its first step and kept in memory: later changes in the folder do not affect it."""

from __future__ import annotations

import shlex
import zlib
from collections.abc import Sequence

import numpy as np

from ...datasets.case import Case
from ...datasets.dataset_toml import SPLIT_REMEDY
from ...datasets.file_dataset import Dataset
from ...datasets.sides import orientation_problem
from ...errors import DatasetError, FocusNetError
from ..heartbeat import tell
from ..logger import LOGGER

MOST_WARNINGS = 10


def read_cases(source: Dataset) -> tuple[list[Case], list[Case]]:
    """Return everything to train on and to select on. Raises DatasetError that names the case; warnings
    about cases are logged."""
    for split, what in (("train", "train"), ("val", "select")):
        if split not in source.splits() or not source.patients(split):
            raise DatasetError(f"{source.folder}: there is no case to {what} on (split {split}). {SPLIT_REMEDY}")
    all_of_them = f"focusnet datasets check {shlex.quote(str(source.folder))}"
    try:
        training, validating = _read(source, "train"), _read(source, "val")
        for case in (*training, *validating):
            _refuse_swapped_sides(case)
    except FocusNetError as problem:
        raise DatasetError(f"{problem} Every problem of the data set: {all_of_them}") from problem
    _refuse_shared_scans(training, validating)
    warnings = [f"{case.name}: {warning}" for case in (*training, *validating) for warning in case.warnings]
    for warning in warnings[:MOST_WARNINGS]:
        LOGGER.warning(warning)
    if len(warnings) > MOST_WARNINGS:
        LOGGER.warning(f"{len(warnings) - MOST_WARNINGS} more such warnings: {all_of_them}")
    return training, validating


def _read(source: Dataset, split: str) -> list[Case]:
    """Read the cases of a split, telling how far it is."""
    count, cases = len(source.patients(split)), []
    for number, case in enumerate(source.cases(split), start=1):
        cases.append(case)
        tell(f"reading the data set, {number} of {count} cases of the split {split}")
    return cases


def _refuse_swapped_sides(case: Case) -> None:
    """Raise DatasetError for a case whose left and right are exchanged: the network would learn it."""
    problem = orientation_problem(case.centroids_mm_xyz)
    if problem:
        raise DatasetError(f"Case {case.name}: {problem}")


def _refuse_shared_scans(training: Sequence[Case], validating: Sequence[Case]) -> None:
    """Raise DatasetError for a scan that is in both splits under two names."""
    seen: dict[tuple[tuple[int, ...], int], Case] = {_sample(case): case for case in training}
    for case in validating:
        twin = seen.get(_sample(case))
        if twin is not None and np.array_equal(twin.hu, case.hu):
            raise DatasetError(
                f"Case {case.name}: its CT is the same, voxel by voxel, as that of {twin.name}, in the split train and not val. "
                "Exclude one of them in dataset.toml."
            )


def _sample(case: Case) -> tuple[tuple[int, ...], int]:
    """Return a key that is the same for equal scans; one slice tells most others apart."""
    return case.hu.shape, zlib.crc32(case.hu[case.hu.shape[0] // 2].tobytes())
