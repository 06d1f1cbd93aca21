"""From a data set's folder to a bundle: reads settings, runs the stages in order, writes the bundle."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from ..bundle import ModelBundle, save_bundle
from ..config import NetworkConfig, preset
from ..datasets.case import Case
from ..datasets.openkbp import OpenKBPDataset
from ..errors import DatasetError
from ..nets.focusnet import FocusNet
from ..version import __version__
from .augment import Augmentation
from .checkpoint import load_checkpoint
from .loop import train_stage
from .settings import Settings
from .stages import STAGES
from .statistics import volume_statistics
from .validation import Validator

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def train_bundle(
    dataset: Path,
    out: Path,
    preset_name: str = "paper",
    config_file: Path | None = None,
    stages: tuple[str, ...] = ("snet", "sol"),
    resume: bool = False,
) -> ModelBundle:
    """Train ``stages`` on the split ``train``, select on ``val``, write ``out/bundle``. Raises DatasetError for what does not fit."""
    source = OpenKBPDataset(dataset)
    options = read_options(config_file)
    config = preset(preset_name, **{"organs": source.organs, **options["network"]})
    if config.organs != source.organs:
        raise DatasetError(
            f"Configuration organs are {config.organs}; the data set's labels are {source.organs}, in this order."
        )
    unknown = [name for name in stages if name not in STAGES]
    if unknown:
        raise DatasetError(f"Stage {', '.join(unknown)} is unknown; choose from {', '.join(STAGES)}.")
    if not resume and any((out / f"{name}.last.safetensors").exists() for name in stages):
        raise DatasetError(f"{out} holds a run already; pass --resume to go on with it or choose another --out.")
    if not config.small_organs:
        stages = tuple(name for name in stages if name != "sol")
    augmentation = Augmentation(**options["augmentation"])
    training, validating = list(source.cases("train")), list(source.cases("val"))
    seed = int(options["settings"].get("seed", 0))
    torch.manual_seed(seed)
    model = FocusNet(config).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    history: dict[str, Any] = {}
    for name in stages:
        for needed in STAGES[name].needs:
            _load_best(model, out / f"{needed}.best.safetensors", name)
        settings = _settings({**options["settings"], **options["stages"].get(name, {})})
        validator = Validator(_subset(validating, settings), config, settings.precision, STAGES[name].validates)
        best = train_stage(model, STAGES[name], training, config, settings, augmentation, out, validator, resume)
        state = _load_best(model, best, name)
        history[name] = {"steps": settings.steps, "best_step": state["step"], "validation": state["scores"]}
    metadata = {
        **options["model"],
        "training": {
            "date": time.strftime("%Y-%m-%d"),
            "focusnet_version": __version__,
            "preset": preset_name,
            "seed": seed,
            "cases": {"train": len(training), "val": len(validating)},
            "stages": history,
        },
        "volume_statistics": volume_statistics(training, config),
    }
    name = str(metadata.pop("name", out.name))
    return save_bundle(out / "bundle", name, model, metadata, overwrite=True)


def read_options(path: Path | None) -> dict[str, dict[str, Any]]:
    """Tables [network], [settings], [augmentation], [model] and [stages.NAME] of a TOML file; unknown keys are refused."""
    options: dict[str, dict[str, Any]] = {key: {} for key in ("network", "settings", "augmentation", "model", "stages")}
    if path is None:
        return options
    try:
        read = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise DatasetError(f"{path} cannot be read: {problem.strerror}.") from problem
    except tomllib.TOMLDecodeError as problem:
        raise DatasetError(f"{path} is not valid TOML: {problem}.") from problem
    unknown = set(read) - set(options)
    if unknown:
        raise DatasetError(f"{path} has the tables {', '.join(sorted(unknown))}; known are {', '.join(options)}.")
    options.update(read)
    _only_fields(path, "network", options["network"], NetworkConfig)
    _only_fields(path, "settings", options["settings"], Settings)
    _only_fields(path, "augmentation", options["augmentation"], Augmentation)
    for name, table in options["stages"].items():
        _only_fields(path, f"stages.{name}", table, Settings)
    if "scale" in options["augmentation"]:
        options["augmentation"]["scale"] = tuple(options["augmentation"]["scale"])
    return options


def _only_fields(path: Path, table: str, values: dict[str, Any], record: type) -> None:
    known = {f.name for f in fields(record)}
    unknown = set(values) - known
    if unknown:
        raise DatasetError(f"{path}: [{table}] has {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}.")


def _settings(values: dict[str, Any]) -> Settings:
    return replace(Settings(), **values)


def _subset(cases: Sequence[Case], settings: Settings) -> Sequence[Case]:
    return cases[: settings.validate_cases] if settings.validate_cases else cases


def _load_best(model: FocusNet, path: Path, stage: str) -> dict[str, Any]:
    if not path.is_file():
        raise DatasetError(f"Stage {stage} needs {path.name}, which is not in {path.parent}; run that stage first.")
    tensors, state = load_checkpoint(path)
    model.load_state_dict({k[len("model.") :]: v for k, v in tensors.items() if k.startswith("model.")})
    return state
