"""One loop for every stage. Each step's random numbers come from (seed, stage, step) alone, so that a resumed run takes the
same steps as one that was never stopped."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import ConfigError, DatasetError
from ...files.atomic_write import ensure_folder
from ...nets.config import NetworkConfig
from ..clock import StageClock
from ..logger import LOGGER
from ..settings import Settings
from ..stages.augment import Augmentation
from ..stages.losses import class_weights
from ..stages.organ_volumes import mean_class_voxels
from ..stages.stage import Stage, StageContext, Update, parameter_groups, set_trained
from .checkpoint import load_checkpoint, optimizer_tensors, restore_optimizer, save_checkpoint
from .ema import WeightAverage
from .loss_check import LossCheck
from .precision import ScaledOptimizer, autocast
from .prefetch import Prefetcher, worker_count
from .process_group import ProcessGroup, UpdateRunner
from .sampling_order import case_index, step_generator
from .schedule import rate_factor
from .training_log import TrainingLog

SINGLE_PROCESS = ProcessGroup()
Validate = Callable[[Any], dict[str, float]]  # takes the model in eval mode; returns at least "score"; higher is better


@dataclass(frozen=True)
class StageOptions:
    """How and where a stage is trained. ``resume``: go on from the stage's last checkpoint in ``out``, where there is one.

    ``seconds``: the stage ends by the clock, after so many (and after ``settings.steps`` at the latest). ``starts_trained``: its weights come from
    earlier training, so that their own score is taken first and no worse weights come out.
    """

    config: NetworkConfig
    settings: Settings
    augmentation: Augmentation
    out: Path
    resume: bool = False
    group: ProcessGroup = SINGLE_PROCESS
    seconds: float | None = None
    starts_trained: bool = False


@dataclass
class TrainingState:
    """How far a stage is. ``best`` is the best validation score so far, made at step ``best_step``; ``since_best`` the number of validations after
    it; ``score`` the last one. ``finished``: before its last step, by the clock or by ``Settings.patience`` or ``minutes``."""

    step: int = 0
    best: float = -math.inf
    best_step: int = 0
    since_best: int = 0
    score: float = -math.inf
    finished: bool = False


def train_stage(
    model: nn.Module, stage: Stage, items: Sequence[Any], validate: Validate, options: StageOptions
) -> Path:
    """Train one stage to ``settings.steps`` and return the checkpoint with the best validation score.

    ``items`` are whatever ``stage.draw`` takes: cases, shapes. ``model`` is any module whose children bear the names in the
    stage's updates. Writes ``<stage>.last.safetensors`` (to resume), ``<stage>.best.safetensors`` and ``<stage>.csv`` in
    ``options.out``. Raises DatasetError if there is nothing to train on, ConfigError if the loss stops being a number,
    OutputError if the disk is full.
    """
    config, settings, group = options.config, options.settings, options.group
    usable = usable_items(stage, items, config)
    weights = torch.ones(len(config.organs) + 1)
    if stage.class_weights:
        weights = class_weights(mean_class_voxels(items, config), settings.alpha_power)
    device = next(model.parameters()).device
    on_device = settings.crops == "device" or (settings.crops == "auto" and device.type == "cuda")
    draws_on = device if on_device and stage.crops_on_device else None
    context = StageContext(config, settings, options.augmentation, weights.to(device), draws_on)
    trainer = Trainer(model, stage, usable, validate, context, options)
    if options.resume and trainer.last.is_file():
        trainer.restore()
        LOGGER.info(f"{stage.name}: resumed at step {trainer.state.step}")
    if not group.first:
        return trainer.run(None)
    names = tuple(update.name for update, _, _ in trainer.updates)
    with closing(TrainingLog(options.out, stage.name, names, trainer.state.step, settings.steps)) as training_log:
        return trainer.run(training_log)


class Trainer:
    """One stage being trained, from its first step or, after ``restore``, from where its last checkpoint stands."""

    def __init__(
        self,
        model: nn.Module,
        stage: Stage,
        items: list[Any],
        validate: Validate,
        context: StageContext,
        options: StageOptions,
    ) -> None:
        self.model, self.stage, self.items, self.context = model, stage, items, context
        self.validate, self.group = validate, options.group
        self.config, self.settings = context.config, context.settings
        self.device = context.alpha.device
        self.training_log: TrainingLog | None = None
        out = options.out
        ensure_folder(out)
        self.last, self.best = out / f"{stage.name}.last.safetensors", out / f"{stage.name}.best.safetensors"
        self.updates = []
        for update in stage.updates:
            if update.active(self.settings):
                parameters = set_trained(model, update.trained, self.settings)
                groups = parameter_groups(model, parameters, self.settings)
                adam = torch.optim.Adam(groups, lr=self.settings.learning_rate)
                optimizer = ScaledOptimizer(adam, self.device, self.settings.precision)
                self.updates.append((update, optimizer, UpdateRunner(model, update, context, self.group)))
        self.average = WeightAverage(model, stage.trained, self.settings.ema_decay)
        self.state = TrainingState()
        self.starts_trained = options.starts_trained
        self.clock = StageClock(self.settings.steps, options.seconds)
        self.losses = LossCheck(self.device.type != "cpu")

    def run(self, training_log: TrainingLog | None) -> Path:
        """Take the steps that are left and return the best checkpoint. ``training_log``: of a group's first process, which also
        validates and saves; None in the others."""
        with closing(self._samples()) as samples:
            return self._run(training_log, samples)

    def _run(self, training_log: TrainingLog | None, samples: Prefetcher[tuple[str, Any]]) -> Path:
        self.training_log, state, settings = training_log, self.state, self.settings
        if training_log is not None and self.starts_trained and state.step == 0:
            self._validate(training_log)
        ended = state.finished or self.clock.over(state.step)
        while not ended:
            self._step(samples)
            state.step += 1
            self.clock.made += 1
            self.average.update()
            if training_log is None:
                ended = self.clock.over(state.step)
                continue
            self._after_step(training_log, settings)
            ended = (
                state.finished
            )  # the clock is not asked again: a step after which it was not over is not validated and saved as the last
        if training_log is not None and state.step and not self.best.is_file():
            state.best = -math.inf  # resumed with no more steps than were made: what is there is the best
            self._validate(training_log)
            self._save()
        if training_log is not None:
            self._tell_outcome()
        self.group.wait()
        return self.best

    @property
    def _may_end_early(self) -> bool:
        """Whether something else than the number of steps may end the stage."""
        return self.clock.seconds is not None or bool(self.settings.patience or self.settings.minutes)

    def _late(self) -> bool:
        """Return whether the most time that a stage may take is over, all its starts together. Never in a group: see ``_end_early``."""
        return bool(self.settings.minutes) and self.group.size == 1 and self.clock.spent_s > 60 * self.settings.minutes

    def _end_early(self, late: bool) -> None:
        """Decide after a validation whether this was the last step. Of a group's processes each would have to know: there it never is."""
        state, patience = self.state, self.settings.patience
        if self.group.size > 1 or state.step == self.settings.steps:
            return
        if late:
            LOGGER.info(f"{self.stage.name}: the time is up after step {state.step} of {self.settings.steps}.")
        elif patience and state.since_best >= patience:
            LOGGER.info(
                f"{self.stage.name}: {patience} validations without a better score; step {state.step} is the last."
            )
        else:
            return
        state.finished = True

    def _after_step(self, training_log: TrainingLog, settings: Settings) -> None:
        """Log, validate and save as the settings ask. Raises OutputError where the log cannot be written."""
        state = self.state
        late = self._late()
        state.finished = self.clock.over(state.step) or late
        training_log.steps = self.clock.planned(state.step)
        training_log.tick(state.step)
        validates = state.step % settings.validate_every == 0 or state.finished
        due = state.step % settings.checkpoint_every == 0 or state.finished
        if due or validates:
            self._check_losses()
        if validates:
            self._validate(training_log)
            self._end_early(late)
            due = due or state.finished
        if due or training_log.trouble is not None:
            self._save()
        if due:
            training_log.report(state.step)
        if training_log.trouble is not None:
            raise training_log.trouble

    def _tell_outcome(self) -> None:
        """Say which weights come out, where these are not the last ones."""
        state, name = self.state, self.stage.name
        if state.score >= state.best or math.isinf(
            state.score
        ):  # the last weights are the best, or nothing was validated now
            return
        if state.best_step == 0:
            LOGGER.warning(
                f"{name}: no step was better than the beginning (score {state.best:.4f}, at the end {state.score:.4f}): "
                "the weights with which the stage began are kept. Train for longer, or with a lower learning rate."
            )
        else:
            LOGGER.info(
                f"{name}: worse at the end (score {state.score:.4f}) than at step {state.best_step} ({state.best:.4f}), whose weights are kept."
            )

    def _samples(self) -> Prefetcher[tuple[str, Any]]:
        """Return the batches that are left. In a group each process takes every ``group.size``-th."""
        a_step = self.settings.accumulate * self.group.size
        numbers = range(self.state.step * a_step + self.group.rank, self.settings.steps * a_step, self.group.size)
        # a device that cuts its own crops does so between the steps: threads would only wait for it
        workers = worker_count(self.settings.workers, self.device) if self.context.draws_on is None else 0
        return Prefetcher(self._draw, numbers, workers)

    def _step(self, batches: Prefetcher[tuple[str, Any]]) -> None:
        """Make every update of a step once, on the same samples."""
        count = self.settings.accumulate
        samples = [(names, sample.to(self.device)) for names, sample in islice(batches, count)]
        for update, optimizer, runner in self.updates:
            parameters = set_trained(self.model, update.trained, self.settings)
            by_clock = self.clock.progress(self.state.step) if self.clock.seconds is not None else None
            optimizer.begin(self.settings.learning_rate * rate_factor(self.state.step, self.settings, by_clock))
            for i, (name, sample) in enumerate(samples):
                with runner.without_sync() if i + 1 < count else nullcontext():
                    loss = self._loss(runner, sample)
                    self._check(loss, update, name)
                    if loss.requires_grad:  # not where a crop holds nothing that the update could learn from
                        optimizer.backward(loss / count)
            if not optimizer.step(parameters, self.settings.grad_clip):
                names = ", ".join(name for name, _ in samples)
                raise self._stopped(
                    update,
                    names,
                    "the gradients are not numbers, however little the loss is scaled and however often it is tried",
                )

    def _draw(self, number: int) -> tuple[str, Any]:
        """Return the ``number``-th batch of the stage: the names of its items, and the sample."""
        seed, stage, batch = self.settings.seed, self.stage, self.settings.batch
        rng = step_generator(seed, stage.name, number)
        count = len(self.items)
        items = [self.items[case_index(seed, stage.name, number * batch + i, count)] for i in range(batch)]
        joined = stage.join([stage.draw(item, self.context, rng) for item in items])
        return ", ".join(item.name for item in items), joined

    def _loss(self, runner: UpdateRunner, sample: Any) -> Tensor:
        with autocast(self.device, self.settings.precision):
            return runner.loss(sample)

    def _check(self, loss: Tensor, update: Update, case: str) -> None:
        if self.losses.add(loss, update, case, self.state.step):
            self._check_losses()

    def _check_losses(self) -> None:
        """Log the losses that were not looked at yet; raise ConfigError for the first that is not a number."""
        for value, update, case, step in self.losses.fetch():
            if not math.isfinite(value):
                raise self._stopped(update, case, f"the loss is {value}", step)
            if self.training_log is not None:
                self.training_log.add(update.name, value)

    def _stopped(self, update: Update, case: str, what: str, step: int | None = None) -> ConfigError:
        remedy = "Lower the learning rate or check that case"
        if self.settings.precision == "fp16":
            remedy = "Train in bf16 or fp32, whose range is larger, lower the learning rate or check that case"
        kept = f"the checkpoint before it is {self.last}." if self.last.is_file() else "there is no checkpoint yet."
        who = f" ({update.name})" if len(self.updates) > 1 else ""
        return ConfigError(
            f"Stage {self.stage.name}, step {self.state.step if step is None else step}, case {case}: {what}{who}. {remedy}; {kept}"
        )

    def _validate(self, training_log: TrainingLog) -> None:
        step, state = self.state.step, self.state
        plan = getattr(self.validate, "plan", None)
        if plan is not None:
            plan(self.clock.planned(step))
        with training_log.pausing("validating"):
            with self.average.applied():
                self.model.eval()
                scores = self.validate(self.model)
                tensors = {f"model.{k}": v.clone() for k, v in self.model.state_dict().items()}
            set_trained(self.model, self.updates[0][0].trained, self.settings)
            state.score = scores["score"]
            state.since_best += 1
            if state.score > state.best:
                save_checkpoint(self.best, tensors, {"step": step, "scores": scores, "config": self.config.to_json()})
                state.best, state.best_step, state.since_best = state.score, step, 0
        training_log.validated(step, scores)
        draw = getattr(self.validate, "picture", None)
        if draw is not None and self.settings.pictures:
            with training_log.pausing("drawing a picture"):
                training_log.picture(draw, step)

    def _save(self) -> None:
        """Write everything that a resumed run needs to take the same steps."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        names = {id(p): n for n, p in self.model.named_parameters()}
        for _, optimizer, _ in self.updates:
            tensors |= optimizer_tensors(optimizer.optimizer, names)
        tensors |= {f"average.{k}": v for k, v in self.average.tensors().items()}
        scaling = {update.name: optimizer.scaling() for update, optimizer, _ in self.updates}
        state = {"step": self.state.step, "best": self.state.best, "config": self.config.to_json(), "scaling": scaling}
        if self._may_end_early:
            so_far = self.state
            state |= {"spent_s": self.clock.spent_s, "finished": so_far.finished, "since_best": so_far.since_best}
        save_checkpoint(self.last, tensors, state)

    def restore(self) -> None:
        """Go on from the stage's last checkpoint. Raises ConfigError where it is damaged."""
        tensors, state = load_checkpoint(self.last)
        parts = tuple(f"{part}." for part in self.stage.trained)  # the others are as they came
        model = {k: v for k, v in _only(tensors, "model.").items() if k.startswith(parts)}
        self.model.load_state_dict(model, strict=False)
        for update, optimizer, _ in self.updates:
            restore_optimizer(optimizer.optimizer, self.model, tensors)
            optimizer.restore_scaling(state.get("scaling", {}).get(update.name))
        self.average.load(_only(tensors, "average."), state["step"])
        self.state = TrainingState(state["step"], state["best"], since_best=int(state.get("since_best", 0)))
        if self.best.is_file():
            self.state.best_step = int(load_checkpoint(self.best)[1]["step"])
        if self._may_end_early:
            self.clock.before_s = float(state.get("spent_s", 0.0))
            self.state.finished = bool(state.get("finished", False))


def usable_items(stage: Stage, items: Sequence[Any], config: NetworkConfig) -> list[Any]:
    """Return the items that a stage can learn from. Raises DatasetError where there are none."""
    if not items:
        raise DatasetError("There are no training cases.")
    usable = [item for item in items if stage.usable(item, config)]
    if not usable:
        raise DatasetError(
            f"No training case has a contour of {', '.join(config.small_organs)}; stage {stage.name} needs one."
        )
    return usable


def _only(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
