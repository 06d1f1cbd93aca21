"""From a data set's folder to a bundle: read settings, run the stages in order, write the bundle."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from ..datasets.case import Case
from ..datasets.open_dataset import open_dataset
from ..errors import ConfigError, OutputError
from ..files.atomic_write import check_folder
from ..inference.devices import Device, choose_device
from ..nets.bundle import ModelBundle, load_bundle, save_bundle
from ..nets.focusnet import FocusNet
from ..version import __version__
from .clock import stage_seconds
from .heartbeat import heartbeat, tell
from .logger import LOGGER, silent_unless
from .loop.checkpoint import load_checkpoint
from .loop.loop import StageOptions, train_stage
from .loop.process_group import ProcessGroup, join_process_group, leave_process_group
from .settings import Settings
from .setup.cases import read_cases
from .setup.fine_tune import copy_weights, covered_stages, shape_autoencoder
from .setup.old_answers import joined_organs, relabelled, with_old_answers
from .setup.options import read_options
from .setup.plan import Plan, make_plan, resolve_precision, warn_if_slow
from .setup.request import TrainRequest
from .setup.run_manifest import (
    MANIFEST,
    case_digests,
    check_same_run,
    code_version,
    data_digest,
    network_of_the_run,
    write_manifest,
)
from .setup.tune import tune_plan, tuned_metadata
from .stages.model import AAE_PREFIX, TrainingNet
from .stages.organ_volumes import volume_statistics
from .stages.table import STAGES
from .validation import PlannedValidator

END_SHARE = 0.03  # of a run by the clock, kept for writing the bundle


@dataclass(frozen=True)
class Corrected:
    """Of a fine-tuning: the cases as people contoured them, without the old model's answers."""

    training: list[Case]
    validating: list[Case]


@dataclass(frozen=True)
class _Run:
    """A request with all that was read and decided before the first step. ``bundle``: what the run starts from."""

    request: TrainRequest
    plan: Plan
    training: Sequence[Case]
    validating: Sequence[Case]
    bundle: ModelBundle | None
    device: Device
    group: ProcessGroup
    began: float  # of time.monotonic, before anything was read
    corrected: Corrected | None = None

    @property
    def seed(self) -> int:
        """The seed of the first stage, which also draws the weights."""
        return next(iter(self.plan.settings.values())).seed


def train_bundle(request: TrainRequest) -> ModelBundle:
    """Train what ``request`` asks for and return the bundle that was written to ``request.out / "bundle"``.

    Messages go to the logger ``focusnet.train``. Raises DatasetError for the data set, ConfigError for the configuration and
    checkpoints, OutputError for what cannot be written.
    """
    device = choose_device(request.device)
    group, torch_device = join_process_group(device.torch_device)
    try:
        with silent_unless(group.first):
            return _train(request, replace(device, torch_device=torch_device), group)
    finally:
        leave_process_group(group)


def _train(request: TrainRequest, device: Device, group: ProcessGroup) -> ModelBundle:
    if request.time_budget_s is not None and group.size > 1:
        raise ConfigError(
            "A time budget is for one process: several would disagree on when it is over; leave --time-budget out."
        )
    with heartbeat(request.out, active=group.first):
        run = _prepare(request, device, group)
        _check_needed(run)
        resume = _begin(run)
        model = _initial_model(run)
        history = {name: _train_one(run, name, model, resume) for name in run.plan.stages}
        if group.first:
            tell("writing the bundle", "", 0, 0)
            _write_bundle(run, model, history)
        group.wait()
    return load_bundle(request.out / "bundle")


def _prepare(request: TrainRequest, device: Device, group: ProcessGroup) -> _Run:
    """Read everything and decide everything; what can be refused at once is refused before minutes of reading."""
    began = time.monotonic()
    options = read_options(request.config_file)
    if request.resume:
        options["network"] = {**network_of_the_run(request.out), **options["network"]}
    check_folder(request.out)
    bundle = load_bundle(request.init) if request.init is not None else None
    tell("reading the data set")
    source = open_dataset(request.dataset)
    for note in source.notes:
        LOGGER.info(note)
    training, validating = read_cases(source)
    corrected = None
    if request.tune is not None and bundle is not None:
        organs = joined_organs(bundle, source.organs)
        corrected = Corrected(*(relabelled(cases, source.organs, organs) for cases in (training, validating)))
        plan = tune_plan(bundle, organs, corrected.training, request.settings, request.preset)
        _refuse_started(request, plan)
        training = with_old_answers(corrected.training, bundle, organs, request)
        validating = with_old_answers(corrected.validating, bundle, organs, request)
    else:
        plan = make_plan(request, options, source.organs, training, bundle)
    plan = replace(plan, settings={name: resolve_precision(s, device) for name, s in plan.settings.items()})
    warn_if_slow(plan.settings.values(), device)
    return _Run(request, plan, training, validating, bundle, device, group, began, corrected)


def _manifest(run: _Run) -> dict[str, Any]:
    """Return what ``training.json`` says about the run."""
    plan = run.plan
    return {
        "preset": run.request.preset,
        "network": {k: v for k, v in plan.config.to_json().items() if k != "has_sos"},
        "settings": {name: asdict(s) for name, s in plan.settings.items()},
        "augmentation": asdict(plan.augmentation),
        "init": run.bundle.digest if run.bundle is not None else "",
        "data": data_digest(run.training),
        "cases": case_digests(run.training),
        "val_cases": case_digests(run.validating),
        "code": code_version(__version__),
        "dataset": str(run.request.dataset),
        "processes": run.group.size,
        "device": str(run.device),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _begin(run: _Run) -> bool:
    """Refuse to mix two runs in one folder and write the manifest. Returns whether there is something to resume."""
    out, resume, manifest = run.request.out, run.request.resume, _manifest(run)
    started = _refuse_started(run.request, run.plan)
    if resume and not started and not (out / MANIFEST).is_file():
        LOGGER.info(f"{out} holds no checkpoint yet: starting from the beginning.")
    elif resume:
        for warning in check_same_run(out, manifest):
            LOGGER.warning(warning)
    run.group.wait()  # nobody writes before everybody has looked
    if run.group.first:
        write_manifest(out, manifest)
    return resume and started


def _refuse_started(request: TrainRequest, plan: Plan) -> bool:
    """Return whether a stage of the plan has a checkpoint. Raises ConfigError if so and the run is not to be resumed."""
    started = any((request.out / f"{name}.last.safetensors").exists() for name in plan.stages)
    if started and not request.resume:
        raise ConfigError(f"{request.out} holds a run already; pass --resume to go on with it or choose another --out.")
    return started


def _initial_model(run: _Run) -> TrainingNet:
    """Return the network with random weights from the run's seed, or with those of the bundle that it starts from."""
    torch.manual_seed(run.seed)
    model = TrainingNet(run.plan.config, run.plan.with_aae)
    if run.bundle is not None:
        for line in copy_weights(model, run.bundle):
            LOGGER.info(f"Starting from {run.bundle.name}: {line}.")
    place = {"device": run.device.torch_device, "memory_format": torch.channels_last_3d}
    if run.bundle is not None and run.request.tune is not None and run.request.tune.mix_old_answers:
        model.old = (run.bundle.build().to(**place),)  # type: ignore[call-overload]
    return model.to(**place)  # type: ignore[call-overload]


def _train_one(run: _Run, name: str, model: TrainingNet, resume: bool) -> dict[str, Any]:
    """Train one stage, leave its best weights in ``model`` and return what the bundle says about it."""
    plan, settings, out = run.plan, run.plan.settings[name], run.request.out
    for needed in _needs(name, settings):
        _load_stage(run, model, needed)
    validator: Any = _never_called
    if run.group.first:
        people = run.corrected.validating if run.corrected is not None else run.validating
        approved = {case.name: case.contoured for case in people}
        validator = PlannedValidator(name, STAGES[name].validates, run.validating, plan.config, settings, approved)
    options = StageOptions(
        plan.config,
        settings,
        plan.augmentation,
        out,
        resume,
        run.group,
        seconds=_seconds_of(run, name),
        starts_trained=name in ("joint", "tune") or _comes_with_bundle(run, name),
    )
    tell(f"{name}: starting", name, 0, settings.steps)
    train_stage(model, STAGES[name], run.training, validator, options)
    state = _load_stage(run, model, name)
    return {"steps": settings.steps, "best_step": state["step"], "validation": state["scores"]}


def _seconds_of(run: _Run, name: str) -> float | None:
    """The time of a stage that is about to begin, out of what is left of the run's; None where steps are counted."""
    budget = run.request.time_budget_s
    if budget is None:
        return None
    left = list(run.plan.stages[run.plan.stages.index(name) :])
    return stage_seconds(name, left, budget * (1 - END_SHARE) - (time.monotonic() - run.began))


def _never_called(_: Any) -> dict[str, float]:
    raise AssertionError("only the first process validates")


def _write_bundle(run: _Run, model: TrainingNet, history: dict[str, Any]) -> None:
    """Write ``out/bundle``. Raises OutputError."""
    bundle = run.bundle
    metadata = {
        **run.plan.model,
        "training": {
            "date": time.strftime("%Y-%m-%d"),
            "focusnet_version": __version__,
            "preset": run.request.preset,
            "seed": run.seed,
            "started_from": f"{bundle.name} {bundle.digest}" if bundle is not None else "random weights",
            "cases": {"train": len(run.training), "val": len(run.validating)},
            "stages": history,
        },
        "volume_statistics": volume_statistics(run.training, run.plan.config),
    }
    out = run.request.out
    network, autoencoder = _shipped_parts(model)
    if run.corrected is not None and run.request.tune is not None and bundle is not None:
        corrected = run.corrected.training
        metadata |= tuned_metadata(bundle, run.request.tune, corrected, volume_statistics(corrected, run.plan.config))
        autoencoder = shape_autoencoder(bundle) or None  # it judges shapes as before: fine-tuning leaves it alone
    name = str(metadata.pop("name", out.name))
    try:
        save_bundle(out / "bundle", name, network, metadata, overwrite=True, autoencoder=autoencoder)
    except OutputError as problem:
        raise OutputError(f"{problem} Every stage is done and kept: --resume writes the bundle alone.") from problem


def _needs(stage: str, settings: Settings) -> list[str]:
    """Return the stages whose weights a stage builds on."""
    return [needed for needed in STAGES[stage].needs if needed != "aae" or settings.aae_mode != "none"]


def _check_needed(run: _Run) -> None:
    """Refuse before the first step what would end a run between two stages."""
    out = run.request.out
    for number, (name, chosen) in enumerate(run.plan.settings.items()):
        for needed in _needs(name, chosen):
            here = needed in run.plan.stages[:number] or (out / f"{needed}.best.safetensors").is_file()
            if not here and not _comes_with_bundle(run, needed):
                raise ConfigError(
                    f"Stage {name} needs {needed}.best.safetensors, which is not in {out}: add the stage {needed} to --stages, "
                    "or start from a bundle that has it (--init)."
                )


def _comes_with_bundle(run: _Run, stage: str) -> bool:
    return run.bundle is not None and stage in covered_stages(run.bundle)


def _load_stage(run: _Run, model: TrainingNet, stage: str) -> dict[str, Any]:
    """Load the parts that ``stage`` trained, at their best, and return the checkpoint's state.

    Where the stage did not run, the bundle's weights are in ``model`` already. Raises ConfigError for another configuration.
    """
    path = run.request.out / f"{stage}.best.safetensors"
    if not path.is_file() and _comes_with_bundle(run, stage):
        return {}
    tensors, state = load_checkpoint(path)
    parts = tuple(f"model.{part}." for part in STAGES[stage].trained)
    found = {k[len("model.") :]: v for k, v in tensors.items() if k.startswith(parts)}
    _, unexpected = model.load_state_dict(found, strict=False)
    if unexpected:
        raise ConfigError(
            f"{path} was trained with another configuration ({unexpected[0]}); train into another folder."
        )
    return state


def _shipped_parts(model: TrainingNet) -> tuple[FocusNet, dict[str, torch.Tensor] | None]:
    """Return the network of the bundle, and the autoencoder's tensors beside it."""
    network = FocusNet(model.config)
    tensors = {k: v for k, v in model.state_dict().items() if not k.startswith(AAE_PREFIX)}
    network.load_state_dict(tensors)
    return network, model.aae.state_dict() if model.aae is not None else None
