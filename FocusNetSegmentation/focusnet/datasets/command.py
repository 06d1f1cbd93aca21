"""``focusnet datasets``: check a folder, or write a first ``dataset.toml`` for it."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from ..errors import DatasetError, FocusNetError, OutputError
from ..files.atomic_write import atomic_path, json_text
from ..image.organs import find_organ
from ..terminal import progress_to
from ..wording import counted
from .check import as_json, as_text, check_dataset
from .dataset_toml import FILE_NAME, Table, default_splits
from .dicom_pairs import find_dicom_cases
from .layouts import find_cases
from .open_dataset import open_dataset


def datasets(options: argparse.Namespace) -> int:
    """Exit status 0 if the data set can be trained on, 2 if not."""
    return init(options) if options.action == "init" else check(options)


def check(options: argparse.Namespace) -> int:
    dataset = open_dataset(options.folder, options.cache)
    with progress_to(sys.stderr, options.json_progress) as progress:
        report = check_dataset(dataset, progress)
    print(json_text(as_json(report), indent=1) if options.json else as_text(report))
    return 0 if report.usable else 2


def init(options: argparse.Namespace) -> int:
    """Write what is known and leave gaps where only the user knows; an existing file is never touched."""
    folder: Path = options.folder
    path = folder / FILE_NAME
    if path.exists():
        raise OutputError(f"{path} exists and is left as it is; edit it, or move it away for a new one.")
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder; the folder of a data set is expected.")
    text = first_table(folder)
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")
    print(
        f"Wrote {path}. Fill in the lines that start with '#', then run: focusnet datasets check {shlex.quote(str(folder))}"
    )
    return 0


def first_table(folder: Path) -> str:
    """The text of a ``dataset.toml`` that says what is done without one: names as they are recognised, the default split by patient."""
    found = find_cases(folder, Table())
    if not found.cases:
        found = find_dicom_cases(folder, Table())
    layout, cases = found.layout, found.cases
    if not cases:
        raise DatasetError(f"{folder} holds no case that is recognised (docs/datasets.md shows the layouts).")
    names: dict[str, int] = {}
    for case in cases:
        for structure in case.structures() or _values(case):
            names[structure] = names.get(structure, 0) + 1
    lines = [f"# {layout}; {counted(len(cases), 'case')}. Reference: docs/datasets.md", "", "[organs]"]
    for name in sorted(names):
        known = find_organ(name)
        shown = json_text(name)
        if known is not None:
            lines.append(f'{shown} = "{known.name}"  # in {counted(names[name], "case")}')
        else:
            lines.append(
                f'# {shown} = "?"  # in {counted(names[name], "case")}: an organ\'s TG-263 name, or "" to leave it out'
            )
    lines += [
        "",
        "# [contoured]",
        '# everywhere = ["Brainstem"]  # organs without a voxel in a case are absent, not unknown',
    ]
    by_split: dict[str, set[str]] = {}
    for case in cases:
        by_split.setdefault(case.split, set()).add(case.patient)
    splits = default_splits(case.patient for case in cases) if "" in by_split else by_split
    lines += ["", "[splits]"]
    lines += [f"{split} = {json_text(sorted(patients))}" for split, patients in splits.items()]
    return "\n".join(lines) + "\n"


def _values(case: object) -> list[str]:
    """A label map without names: the values that it holds."""
    try:
        return list(case.read().voxels)  # type: ignore[attr-defined]
    except FocusNetError:
        return []
