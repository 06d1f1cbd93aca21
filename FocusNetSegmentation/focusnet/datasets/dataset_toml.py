"""Read ``dataset.toml``: local names, splits, what was contoured, and what to leave out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DatasetError
from ..files.toml_file import read_toml
from ..image.organs import find_organ, possible_organs

FILE_NAME = "dataset.toml"
VAL_PART = 0.2
EVERYWHERE = "everywhere"
SPLIT_REMEDY = "Add cases, or write [splits] in dataset.toml (in the OpenKBP layout: under contoured in dataset.json)."
LISTS = {"use", "exclude", "ignore"}
SWITCHES = {"fill_slices"}
KNOWN = LISTS | SWITCHES | {"organs", "splits", "patients", "contoured", "hu_offset"}
SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "testing": "test"}  # fmt: skip


@dataclass(frozen=True)
class DatasetToml:
    """A read ``dataset.toml``; all empty where there is none.

    ``organs``: local name or label value -> organ, "" for one that is left out on purpose. ``use``: the organs to train on, in
    this order; empty for all. ``splits``: split -> patients. ``patients``: case -> patient, where a patient has several cases.
    ``contoured``: case, or "everywhere", -> organs. ``exclude``: cases. ``ignore``: glob patterns of files. ``hu_offset``: case,
    or "everywhere", -> HU to add. ``fill_slices``: interpolate slices that contours skip.
    """

    path: Path | None = None
    organs: dict[str, str] = field(default_factory=dict)
    use: tuple[str, ...] = ()
    splits: dict[str, tuple[str, ...]] = field(default_factory=dict)
    patients: dict[str, str] = field(default_factory=dict)
    contoured: dict[str, tuple[str, ...]] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    hu_offset: dict[str, float] = field(default_factory=dict)
    fill_slices: bool = False

    def organ(self, local: str) -> str | None:
        """Return the organ of a local name: from ``organs``, else by its synonyms; "" if it is left out, None if unknown."""
        if local in self.organs:
            return self.organs[local]
        known = find_organ(local)
        return known.name if known is not None else None


def read_dataset_toml(folder: Path) -> DatasetToml:
    """Return the folder's ``dataset.toml``, checked; an empty DatasetToml if there is none.

    Raises DatasetError with the key that is wrong.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return DatasetToml()
    read = read_toml(path, "docs/datasets.md")
    if set(read) - KNOWN:
        raise DatasetError(
            f"{path} has {', '.join(sorted(set(read) - KNOWN))}; known are {', '.join(sorted(KNOWN))} (docs/datasets.md)."
        )
    for name, table in read.items():
        astray = sorted((LISTS | SWITCHES) & set(table)) if isinstance(table, dict) else []
        if astray:
            raise DatasetError(
                f"{path}: {astray[0]} stands below [{name}] and is taken for one of its entries; move it to the top of the file, above every [table]."
            )
    organs = {str(k): _organ(path, v, f"organs.{k} names ") for k, v in _dict(path, read, "organs").items()}
    return DatasetToml(
        path=path,
        organs=organs,
        use=_organs(path, "use", read.get("use", [])),
        splits=_splits(path, _dict(path, read, "splits")),
        patients={str(k): str(v) for k, v in _dict(path, read, "patients").items()},
        contoured={str(k): _organs(path, f"contoured.{k}", v) for k, v in _dict(path, read, "contoured").items()},
        exclude=_names(path, "exclude", read.get("exclude", [])),
        ignore=_names(path, "ignore", read.get("ignore", [])),
        hu_offset={str(k): _number(path, k, v) for k, v in _dict(path, read, "hu_offset").items()},
        fill_slices=_switch(path, "fill_slices", read.get("fill_slices", False)),
    )


def _dict(path: Path, read: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = read.get(key, {})
    if not isinstance(value, dict):
        raise DatasetError(f"{path}: {key} is {value!r}; a table [{key}] is expected (docs/datasets.md).")
    return value


def _names(path: Path, key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(v, (str, int)) for v in value):
        raise DatasetError(f'{path}: {key} is {value!r}; a list of names such as ["a", "b"] is expected.')
    return tuple(str(v) for v in value)


def _organs(path: Path, key: str, value: Any) -> tuple[str, ...]:
    return tuple(_organ(path, name, f"{key} names ") for name in _names(path, key, value))


def _organ(path: Path, name: Any, where: str) -> str:
    if name == "":
        return ""
    known = find_organ(str(name))
    if known is None:
        near = possible_organs(str(name))
        hint = f" Is {' or '.join(organ.name for organ in near)} meant?" if near else ""
        raise DatasetError(
            f"{path}: {where}{name!r}, which is no organ that is known here.{hint} Use its TG-263 name with its side, such as Parotid_L "
            '(docs/datasets.md lists them), or "" to leave a structure out.'
        )
    return known.name


def _switch(path: Path, key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise DatasetError(f"{path}: {key} is {value!r}; true or false is expected.")
    return value


def _number(path: Path, key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DatasetError(f"{path}: hu_offset.{key} is {value!r}; a number such as -1024 is expected.")
    return float(value)


def _splits(path: Path, read: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    splits: dict[str, tuple[str, ...]] = {}
    for name, patients in read.items():
        if name not in SPLIT_NAMES:
            raise DatasetError(f"{path}: the split {name!r} is unknown; train, val and test are expected.")
        if SPLIT_NAMES[name] in splits:
            alike = [other for other in read if SPLIT_NAMES.get(other) == SPLIT_NAMES[name]]
            raise DatasetError(f"{path}: {' and '.join(alike)} are one split; write one list of all its patients.")
        splits[SPLIT_NAMES[name]] = _names(path, f"splits.{name}", patients)
    refuse_shared({split: set(names) for split, names in splits.items()}, str(path), "patient")
    return splits


def refuse_shared(
    splits: Mapping[str, Iterable[str]], where: str, what: str, cases: Mapping[str, Sequence[str]] | None = None
) -> None:
    """Raise DatasetError if one patient is in two splits: a model would be judged on what it has seen.

    ``cases``: the cases of each patient, for the message.
    """
    seen: dict[str, str] = {}
    for split, names in splits.items():
        for name in names:
            if seen.setdefault(name, split) != split:
                several = (cases or {}).get(name, ())
                whose = f" (cases {', '.join(several)})" if len(several) > 1 else ""
                raise DatasetError(
                    f"{where}: {what} {name}{whose} is in the splits {seen[name]} and {split}; keep every patient in one."
                )


def default_splits(patients: Iterable[str]) -> dict[str, list[str]]:
    """Return a split of the patients into train and val, about one in five in val.

    A hash of the name decides, so that patients who are added later do not move the others.
    """
    drawn = {p: int(hashlib.sha256(p.encode()).hexdigest()[:8], 16) / 16**8 for p in sorted(set(patients))}
    val = [p for p in drawn if drawn[p] < VAL_PART]
    if not val and len(drawn) > 1:
        val = [min(drawn, key=lambda p: drawn[p])]
    if len(val) == len(drawn) and len(drawn) > 1:
        val.remove(max(drawn, key=lambda p: drawn[p]))
    return {"train": [p for p in drawn if p not in val], "val": val}


def never_contoured(unseen: Sequence[str], organs: Iterable[str], because: str = "") -> str:
    """Return the sentence about organs that no training case shows, with the ``use`` list to write."""
    rest = ", ".join(f'"{organ}"' for organ in organs if organ not in unseen)
    verb, them = ("is", "it") if len(unseen) == 1 else ("are", "them")
    return (
        f"{', '.join(unseen)} {verb} contoured in no case of train{because}. "
        f"Leave {them} out with use = [{rest or '...'}] in {FILE_NAME}, or move a patient who has {them} to train."
    )


def for_datasets(message: str, name: str) -> str:
    """Return a reader's message with its remedy for data sets: ``hu_offset`` in dataset.toml instead of ``--hu-offset``."""
    for offset in ("-1024", "1024"):
        message = message.replace(
            f"read it with --hu-offset {offset}", f'write hu_offset = {{ "{name}" = {offset} }} in {FILE_NAME}'
        )
    return message
