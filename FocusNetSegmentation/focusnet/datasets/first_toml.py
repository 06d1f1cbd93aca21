"""Write a first ``dataset.toml`` for a folder of cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import DatasetError, FocusNetError
from ..files.atomic_write import json_text
from ..image.organs import find_organ, possible_organs
from ..wording import counted
from .dataset_toml import DatasetToml, default_splits
from .dicom_pairs import find_dicom_cases
from .layouts import find_cases


def first_toml(folder: Path) -> str:
    """Return the text of a ``dataset.toml`` that states the defaults: names as they are recognised, the default split by patient.

    Raises DatasetError if no case is recognised.
    """
    found = find_cases(folder, DatasetToml())
    if not found.cases:
        found = find_dicom_cases(folder, DatasetToml())
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
            likely = possible_organs(name)
            meant = f" (is it {' or '.join(organ.name for organ in likely)}?)" if likely else ""
            lines.append(
                f'# {shown} = "?"  # in {counted(names[name], "case")}: an organ\'s TG-263 name, or "" to leave it out{meant}'
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
    lines += _split_lines(splits)
    return "\n".join(lines) + "\n"


def _split_lines(splits: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the table of splits; as a comment where one would be empty, because nothing can be trained on or selected by it."""
    entries = [f"{split} = {json_text(sorted(patients))}" for split, patients in splits.items()]
    if all(splits.values()):
        return ["", "[splits]", *entries]
    return [
        "",
        "# [splits]  # one patient: add at least one more, so that train and val both have one",
        *[f"# {e}" for e in entries if not e.endswith("[]")],
    ]


def _values(case: object) -> list[str]:
    """Return the values of a label map without names."""
    try:
        return list(case.read().voxels)  # type: ignore[attr-defined]
    except FocusNetError:
        return []
