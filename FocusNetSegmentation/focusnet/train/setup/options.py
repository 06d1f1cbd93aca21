"""The configuration of a run: a TOML file on top of a preset, and the command line on top of both. Unknown keys are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...datasets.case import Case
from ...errors import ConfigError
from ...files.toml_file import read_toml
from ...image.organs import find_organ
from ...nets.config import NetworkConfig
from ..settings import STAGE_ORDER, Settings, refuse_unknown_stages
from ..stages.augment import Augmentation
from .type_check import check_table

TABLES = ("network", "settings", "augmentation", "model", "stages", "run")
# Where a data set has none of the paper's small organs, these low-contrast ones are looked for by SOL- and SOS-Net
OTHER_SMALL_ORGANS = ("Brainstem", "Larynx", "Esophagus")


def read_options(path: Path | None) -> dict[str, dict[str, Any]]:
    """Return the tables [network], [settings], [augmentation], [model], [run] and [stages.NAME] of a TOML file.

    Raises ConfigError for unknown tables and keys and for values of another type.
    """
    options: dict[str, dict[str, Any]] = {key: {} for key in TABLES}
    if path is None:
        return options
    read = read_toml(path, "docs/configs/quick.toml")
    unknown = set(read) - set(options)
    if unknown:
        raise ConfigError(f"{path} has the tables {', '.join(sorted(unknown))}; known are {', '.join(options)}.")
    options.update(read)
    check_table(path, "network", options["network"], NetworkConfig)
    check_table(path, "settings", options["settings"], Settings)
    check_table(path, "augmentation", options["augmentation"], Augmentation)
    check_table(path, "run", options["run"], RunTable)
    for name in ("model", "stages"):
        if not isinstance(options[name], dict):
            raise ConfigError(f"{path}: {name} is {options[name]!r}; a table [{name}] is expected.")
    refuse_unknown_stages(list(options["stages"]) or None)
    refuse_unknown_stages(options["run"].get("stages"))
    for name, table in options["stages"].items():
        check_table(path, f"stages.{name}", table, Settings)
    if "scale" in options["augmentation"]:
        options["augmentation"]["scale"] = tuple(options["augmentation"]["scale"])
    return options


@dataclass(frozen=True)
class RunTable:
    """The keys of [run]."""

    stages: tuple[str, ...] = ()


def choose_stages(wanted: Sequence[str] | None, small_organs: Sequence[str], aae_mode: str) -> tuple[str, ...]:
    """Return the stages of a run in their order: those that were asked for, else all that the configuration has a use for."""
    refuse_unknown_stages(wanted)
    useful = [name for name in STAGE_ORDER if name == "snet" or small_organs]
    if aae_mode == "none" and "aae" in useful:
        useful.remove("aae")
    chosen = tuple(name for name in useful if wanted is None or name in wanted)
    if not chosen:
        raise ConfigError(f"Nothing is left to train: {', '.join(wanted or ())} needs small_organs or an aae_mode.")
    return chosen


def stage_settings(options: dict[str, dict[str, Any]], stage: str, changes: Mapping[str, Any]) -> Settings:
    """Return the settings of a stage: [settings], then [stages.NAME], then ``changes`` (the command line). Raises ConfigError."""
    values = {**options["settings"], **options["stages"].get(stage, {}), **changes}
    try:
        return replace(Settings(), **values)
    except TypeError as problem:
        raise ConfigError(f"A setting of stage {stage} has a wrong kind of value: {problem}.") from problem


def default_small_organs(organs: Sequence[str], cases: Sequence[Case]) -> tuple[str, ...]:
    """Return the paper's small organs among ``organs``; where there are none, brainstem, larynx and oesophagus. Only what was contoured."""
    present = {organ for case in cases for organ in case.centroids_mm_xyz}
    known = [organ for organ in organs if organ in present]
    small = tuple(organ for organ in known if (entry := find_organ(organ)) is not None and entry.small)
    return small or tuple(organ for organ in known if organ in OTHER_SMALL_ORGANS)
