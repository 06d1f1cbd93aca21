"""From a data set's folder to a bundle: reads settings, runs the stages in order, writes the bundle."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ..datasets.open_dataset import open_dataset
from ..errors import DatasetError, OutputError
from ..files.atomic_write import check_folder
from ..inference.devices import Device, choose_device
from ..nets.bundle import ModelBundle, load_bundle, save_bundle
from ..nets.focusnet import FocusNet
from ..version import __version__
from .loop.checkpoint import load_checkpoint
from .loop.loop import train_stage
from .loop.process_group import ProcessGroup, join_process_group, leave_process_group
from .loop.training_log import Log, silent, to_stderr
from .settings import Settings
from .setup.cases import read_cases
from .setup.fine_tune import copy_weights, covered_stages
from .setup.options import read_options, refuse_unknown_stages
from .setup.plan import Plan, make_plan, resolve_precision, warn_if_slow
from .setup.run_manifest import MANIFEST, case_digests, check_same_run, code_version, data_digest, write_manifest
from .stages.model import AAE_PREFIX, TrainingNet
from .stages.organ_volumes import volume_statistics
from .stages.table import STAGES
from .validation import make_validator


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
    chosen_device = choose_device(device)
    group, torch_device = join_process_group(chosen_device.torch_device)
    if not group.first:
        log = silent
    try:
        return _train(
            dataset, out, preset_name, config_file, stages, resume, network or {}, settings or {}, init, log,
            group, replace(chosen_device, torch_device=torch_device),
        )  # fmt: skip
    finally:
        leave_process_group(group)


def _train(
    dataset: Path,
    out: Path,
    preset_name: str,
    config_file: Path | None,
    stages: Sequence[str] | None,
    resume: bool,
    network: dict[str, Any],
    settings: dict[str, Any],
    init: str | Path | None,
    log: Log,
    group: ProcessGroup,
    device: Device,
) -> ModelBundle:
    options = read_options(config_file)  # what can be refused at once is refused before minutes of reading
    refuse_unknown_stages(stages)
    check_folder(out)
    bundle = load_bundle(init) if init is not None else None
    source = open_dataset(dataset)
    for note in source.notes:
        log(note)
    training, validating = read_cases(source, log)
    plan = make_plan(
        source.organs,
        training,
        preset_name,
        options,
        stages,
        network,
        settings,
        bundle,
        log,
    )
    plan = replace(plan, settings={name: resolve_precision(s, device) for name, s in plan.settings.items()})
    warn_if_slow(plan.settings.values(), device, log)
    manifest = {
        "preset": preset_name,
        "network": {k: v for k, v in plan.config.to_json().items() if k != "has_sos"},
        "settings": {name: asdict(s) for name, s in plan.settings.items()},
        "augmentation": asdict(plan.augmentation),
        "init": bundle.digest if bundle is not None else "",
        "data": data_digest(training),
        "cases": case_digests(training),
        "val_cases": case_digests(validating),
        "code": code_version(__version__),
        "dataset": str(dataset),
        "processes": group.size,
        "device": str(device),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    _check_needed(plan, out, bundle)
    resume = _begin(out, plan, manifest, resume, group, log)
    seed = next(iter(plan.settings.values())).seed
    torch.manual_seed(seed)
    model = TrainingNet(plan.config, plan.with_aae)
    if bundle is not None:
        for line in copy_weights(model, bundle):
            log(f"Starting from {bundle.name}: {line}.")
    model = model.to(device=device.torch_device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    history: dict[str, Any] = {}
    for name, chosen in plan.settings.items():
        for needed in _needs(name, chosen):
            _load_stage(model, out, needed, bundle)
        validator = make_validator(STAGES[name].validates, validating, plan.config, chosen) if group.first else unused
        train_stage(
            model, STAGES[name], training, plan.config, chosen, plan.augmentation, out, validator, resume, log, group
        )
        state = _load_stage(model, out, name, None)
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
    network_only, autoencoder = _shipped_parts(model)
    if group.first:
        try:
            save_bundle(out / "bundle", name, network_only, metadata, overwrite=True, autoencoder=autoencoder)
        except OutputError as problem:
            raise OutputError(f"{problem} Every stage is done and kept: --resume writes the bundle alone.") from problem
    group.wait()
    return load_bundle(out / "bundle")


def unused(_: Any) -> dict[str, float]:
    """Stands where only the first process of a group validates."""
    raise AssertionError("only the first process validates")


def _begin(out: Path, plan: Plan, manifest: dict[str, Any], resume: bool, group: ProcessGroup, log: Log) -> bool:
    """Refuse to mix two runs in one folder; write what this one is made of. Returns whether there is something to resume."""
    started = any((out / f"{name}.last.safetensors").exists() for name in plan.stages)
    if started and not resume:
        raise DatasetError(f"{out} holds a run already; pass --resume to go on with it or choose another --out.")
    if resume and not started and not (out / MANIFEST).is_file():
        log(f"{out} holds no checkpoint yet: starting from the beginning.")
    elif resume:
        for warning in check_same_run(out, manifest):
            log(f"warning: {warning}")
    group.wait()  # nobody writes before everybody has looked
    if group.first:
        write_manifest(out, manifest)
    return resume and started


def _needs(stage: str, settings: Settings) -> list[str]:
    """The stages whose weights a stage builds on."""
    return [needed for needed in STAGES[stage].needs if needed != "aae" or settings.aae_mode != "none"]


def _check_needed(plan: Plan, out: Path, bundle: ModelBundle | None) -> None:
    """Refuse before the first step what would end a run between two stages."""
    for number, (name, chosen) in enumerate(plan.settings.items()):
        for needed in _needs(name, chosen):
            here = needed in plan.stages[:number] or (out / f"{needed}.best.safetensors").is_file()
            if not here and (bundle is None or needed not in covered_stages(bundle)):
                raise DatasetError(
                    f"Stage {name} needs {needed}.best.safetensors, which is not in {out}: add the stage {needed} to --stages, "
                    "or start from a bundle that has it (--init)."
                )


def _load_stage(model: TrainingNet, out: Path, needed: str, bundle: ModelBundle | None) -> dict[str, Any]:
    """The parts that stage ``needed`` trained, at their best. ``bundle`` has brought them where that stage did not run."""
    path = out / f"{needed}.best.safetensors"
    if not path.is_file() and bundle is not None and needed in covered_stages(bundle):
        return {}
    tensors, state = load_checkpoint(path)
    parts = tuple(f"model.{part}." for part in STAGES[needed].trained)
    found = {k[len("model.") :]: v for k, v in tensors.items() if k.startswith(parts)}
    _, unexpected = model.load_state_dict(found, strict=False)
    if unexpected:
        raise DatasetError(
            f"{path} was trained with another configuration ({unexpected[0]}); train into another folder."
        )
    return state


def _shipped_parts(model: TrainingNet) -> tuple[FocusNet, dict[str, torch.Tensor] | None]:
    """The network of the bundle, and the autoencoder's tensors beside it."""
    network = FocusNet(model.config)
    tensors = {k: v for k, v in model.state_dict().items() if not k.startswith(AAE_PREFIX)}
    network.load_state_dict(tensors)
    return network, model.aae.state_dict() if model.aae is not None else None
