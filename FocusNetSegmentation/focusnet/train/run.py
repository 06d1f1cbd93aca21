"""From a data set's folder to a bundle: reads settings, runs the stages in order, writes the bundle."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..bundle import ModelBundle, load_bundle, save_bundle
from ..config import NetworkConfig, preset, with_changes
from ..datasets.case import Case
from ..datasets.openkbp import OpenKBPDataset
from ..devices import Device, choose_device
from ..errors import DatasetError
from ..nets.focusnet import FocusNet
from ..organs import find_organ
from ..version import __version__
from .arch import apply_arch, with_own_rois
from .augment import Augmentation
from .checkpoint import load_checkpoint
from .journal import Log, to_stderr
from .loop import train_stage
from .model import AAE_PREFIX, TrainingNet
from .options import choose_stages, default_small_organs, read_options, stage_settings
from .record import check_same_run, code_version, data_digest, write_record
from .settings import Settings
from .small import fitting_roi, small_extents
from .stages import STAGES
from .start import covered_stages, inherited_network, start_from
from .statistics import volume_statistics
from .validation import make_validator


@dataclass(frozen=True)
class Plan:
    """Everything that is decided before the first step."""

    preset: str
    config: NetworkConfig
    settings: dict[str, Settings]  # by stage, in order
    augmentation: Augmentation
    model: dict[str, Any]  # what the bundle says about itself

    @property
    def stages(self) -> tuple[str, ...]:
        return tuple(self.settings)

    @property
    def with_aae(self) -> bool:
        return any(s.aae_mode != "none" for name, s in self.settings.items() if name in ("aae", "sos", "joint"))


def train_bundle(
    dataset: Path,
    out: Path,
    preset_name: str = "paper",
    config_file: Path | None = None,
    stages: Sequence[str] | None = None,
    resume: bool = False,
    network: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    device: str = "auto",
    init: str | Path | None = None,
    log: Log = to_stderr,
) -> ModelBundle:
    """Train on the split ``train``, select on ``val``, write ``out/bundle``. Raises DatasetError for what does not fit.

    ``stages``: None for all that the configuration has a use for. ``network`` and ``settings`` override the configuration file, for every
    stage. ``init``: a bundle to start from.
    """
    source = OpenKBPDataset(dataset)
    training, validating = list(source.cases("train")), list(source.cases("val"))
    bundle = load_bundle(init) if init is not None else None
    chosen_device = choose_device(device)
    plan = make_plan(
        source.organs,
        training,
        preset_name,
        read_options(config_file),
        stages,
        network or {},
        settings or {},
        bundle,
        log,
    )
    plan = replace(plan, settings={name: _resolved(s, chosen_device) for name, s in plan.settings.items()})
    record = {
        "preset": preset_name,
        "network": {k: v for k, v in plan.config.to_json().items() if k != "has_sos"},
        "settings": {name: asdict(s) for name, s in plan.settings.items()},
        "augmentation": asdict(plan.augmentation),
        "init": bundle.digest if bundle is not None else "",
        "data": data_digest(training),
        "code": code_version(__version__),
        "dataset": str(dataset),
        "device": device,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    _begin(out, plan, record, resume, log)
    seed = next(iter(plan.settings.values())).seed
    torch.manual_seed(seed)
    model = TrainingNet(plan.config, plan.with_aae)
    if bundle is not None:
        for line in start_from(model, bundle):
            log(f"Starting from {bundle.name}: {line}.")
    model = model.to(device=chosen_device.torch_device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    history: dict[str, Any] = {}
    for name, chosen in plan.settings.items():
        for needed in STAGES[name].needs:
            if needed == "aae" and chosen.aae_mode == "none":
                continue
            _load_stage(model, out, needed, name, bundle)
        validator = make_validator(STAGES[name].validates, validating, plan.config, chosen)
        train_stage(model, STAGES[name], training, plan.config, chosen, plan.augmentation, out, validator, resume, log)
        state = _load_stage(model, out, name, name, None)
        history[name] = {"steps": chosen.steps, "best_step": state["step"], "validation": state["scores"]}
    metadata = {
        **plan.model,
        "training": {
            "date": time.strftime("%Y-%m-%d"),
            "focusnet_version": __version__,
            "preset": preset_name,
            "seed": seed,
            "started_from": f"{bundle.name} {bundle.digest}" if bundle is not None else "random weights",
            "cases": {"train": len(training), "val": len(validating)},
            "stages": history,
        },
        "volume_statistics": volume_statistics(training, plan.config),
    }
    name = str(metadata.pop("name", out.name))
    network_only, autoencoder = _to_ship(model)
    return save_bundle(out / "bundle", name, network_only, metadata, overwrite=True, autoencoder=autoencoder)


def _resolved(settings: Settings, device: Device) -> Settings:
    """``precision`` auto as what this device does best; fp16 would need its losses scaled and is not offered."""
    if settings.precision != "auto":
        return settings
    return replace(settings, precision="bf16" if device.precision == "bf16" else "fp32")


def make_plan(
    organs: tuple[str, ...],
    training: Sequence[Case],
    preset_name: str,
    options: dict[str, dict[str, Any]],
    stages: Sequence[str] | None,
    network: dict[str, Any],
    settings: dict[str, Any],
    bundle: ModelBundle | None,
    log: Log,
) -> Plan:
    """Configuration, stages and settings of a run; what was chosen without being asked for is said."""
    given = {**(inherited_network(bundle) if bundle is not None else {}), **options["network"], **network}
    if tuple(given.get("organs", organs)) != organs:
        raise DatasetError(
            f"Configuration organs are {given['organs']}; the data set's labels are {organs}, in this order."
        )
    given["organs"] = organs
    given, settings = apply_arch(given, options, settings, log)
    if "small_organs" in given:
        given["small_organs"] = tuple(_organ_name(name) for name in given["small_organs"])
    else:
        given["small_organs"] = default_small_organs(organs, training)
        if bundle is not None and bundle.small_organs:
            given["small_organs"] = tuple(o for o in bundle.small_organs if o in organs)
        log(f"Small organs (SOL- and SOS-Net): {', '.join(given['small_organs']) or 'none'}.")
    if "width" in network and "aae_width" not in given:
        given["aae_width"] = network["width"]
    config = preset(preset_name, **given)
    base = stage_settings(options, "", settings)
    wanted = stages if stages is not None else options["run"].get("stages")
    names = choose_stages(wanted, config.small_organs, base.aae_mode)
    if {"aae", "sos", "joint"} & set(names):
        config = with_changes(config, has_sos=bool({"sos", "joint"} & set(names)))
        if config.arch == "focusnetv1":
            config = config if config.roi_sizes_zyx else with_own_rois(config, training, log)
        else:
            config = _fit_roi(config, training, "roi_size_zyx" in given, log)
    chosen = {name: stage_settings(options, name, settings) for name in names}
    return Plan(preset_name, config, chosen, Augmentation(**options["augmentation"]), options["model"])


def _fit_roi(config: NetworkConfig, training: Sequence[Case], given: bool, log: Log) -> NetworkConfig:
    """An ROI that holds the small organs, unless the configuration names one; then say where it cuts them."""
    sizes = [e.high_mm_xyz - e.low_mm_xyz for case in training for e in small_extents(case, config).values()]
    if not sizes:
        raise DatasetError(
            f"No training case has a contour of {', '.join(config.small_organs)}; a small organ needs some."
        )
    fitting = fitting_roi(np.array(sizes), config)
    if not given:
        if fitting != config.roi_size_zyx:
            log(f"ROI of the small organs: {_times(fitting)} voxels (z, y, x), made to hold them.")
        return with_changes(config, roi_size_zyx=fitting)
    if any(need > have for need, have in zip(fitting, config.roi_size_zyx, strict=True)):
        log(
            f"roi_size_zyx {_times(config.roi_size_zyx)} is smaller than the paper's ROI or than some small organs; "
            f"{_times(fitting)} would hold 95 % of them. What sticks out is cut off."
        )
    return config


def _organ_name(name: str) -> str:
    organ = find_organ(name)
    return organ.name if organ is not None else name  # the configuration refuses what the data set does not have


def _times(sides: tuple[int, int, int]) -> str:
    return " x ".join(str(n) for n in sides)


def _begin(out: Path, plan: Plan, record: dict[str, Any], resume: bool, log: Log) -> None:
    """Refuse to mix two runs in one folder."""
    if resume:
        for warning in check_same_run(out, record):
            log(f"focusnet: warning: {warning}")
    elif any((out / f"{name}.last.safetensors").exists() for name in plan.stages):
        raise DatasetError(f"{out} holds a run already; pass --resume to go on with it or choose another --out.")
    write_record(out, record)


def _load_stage(model: TrainingNet, out: Path, needed: str, stage: str, bundle: ModelBundle | None) -> dict[str, Any]:
    """The parts that stage ``needed`` trained, at their best. ``bundle`` has brought them where that stage did not run."""
    path = out / f"{needed}.best.safetensors"
    if not path.is_file():
        if bundle is not None and needed in covered_stages(bundle):
            return {}
        raise DatasetError(f"Stage {stage} needs {path.name}, which is not in {path.parent}; run that stage first.")
    tensors, state = load_checkpoint(path)
    parts = tuple(f"model.{part}." for part in STAGES[needed].trained)
    found = {k[len("model.") :]: v for k, v in tensors.items() if k.startswith(parts)}
    _, unexpected = model.load_state_dict(found, strict=False)
    if unexpected:
        raise DatasetError(
            f"{path} was trained with another configuration ({unexpected[0]}); train into another folder."
        )
    return state


def _to_ship(model: TrainingNet) -> tuple[FocusNet, dict[str, torch.Tensor] | None]:
    """The network of the bundle, and the autoencoder's tensors beside it."""
    network = FocusNet(model.config)
    tensors = {k: v for k, v in model.state_dict().items() if not k.startswith(AAE_PREFIX)}
    network.load_state_dict(tensors)
    return network, model.aae.state_dict() if model.aae is not None else None
