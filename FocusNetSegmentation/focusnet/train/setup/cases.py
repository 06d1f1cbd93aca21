"""The cases of a run, read before its first step and kept in memory: what changes in the folder afterwards cannot spoil it."""

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
from ..loop.training_log import Log

MOST_WARNINGS = 10


def read_cases(source: Dataset, log: Log) -> tuple[list[Case], list[Case]]:
    """Everything to train on and to select on. Raises DatasetError that names the case; what was odd about a case is logged."""
    for split, what in (("train", "train"), ("val", "select")):
        if split not in source.splits() or not source.patients(split):
            raise DatasetError(f"{source.folder}: there is no case to {what} on (split {split}). {SPLIT_REMEDY}")
    all_of_them = f"focusnet datasets check {shlex.quote(str(source.folder))}"
    try:
        training, validating = list(source.cases("train")), list(source.cases("val"))
        for case in (*training, *validating):
            _refuse_turned(case)
    except FocusNetError as problem:
        raise DatasetError(f"{problem} Every problem of the data set: {all_of_them}") from problem
    _refuse_shared_scans(training, validating)
    said = [f"warning: {case.name}: {warning}" for case in (*training, *validating) for warning in case.warnings]
    for line in said[:MOST_WARNINGS]:
        log(line)
    if len(said) > MOST_WARNINGS:
        log(f"warning: {len(said) - MOST_WARNINGS} more such warnings: {all_of_them}")
    return training, validating


def _refuse_turned(case: Case) -> None:
    """One such case teaches that left is right; the network cannot tell that it is the exception."""
    said = orientation_problem(case.centroids_mm_xyz)
    if said:
        raise DatasetError(f"Case {case.name}: {said}")


def _refuse_shared_scans(training: Sequence[Case], validating: Sequence[Case]) -> None:
    """One scan under two names is one patient in two splits."""
    seen: dict[tuple[tuple[int, ...], int], Case] = {_sample(case): case for case in training}
    for case in validating:
        twin = seen.get(_sample(case))
        if twin is not None and np.array_equal(twin.hu, case.hu):
            raise DatasetError(
                f"Case {case.name}: its CT is the same, voxel by voxel, as that of {twin.name}, in the split train and not val. "
                "Exclude one of them in dataset.toml."
            )


def _sample(case: Case) -> tuple[tuple[int, ...], int]:
    """Equal for equal scans; one slice tells most others apart."""
    return case.hu.shape, zlib.crc32(case.hu[case.hu.shape[0] // 2].tobytes())
