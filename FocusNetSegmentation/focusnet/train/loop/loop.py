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

from ...errors import DatasetError
from ...files.atomic_write import ensure_folder
from ...nets.config import NetworkConfig
from ..settings import Settings
from ..stages.augment import Augmentation
from ..stages.losses import class_weights
from ..stages.organ_volumes import mean_class_voxels
from ..stages.stage import Stage, StageContext, Turn, set_trained
from .checkpoint import load_checkpoint, optimizer_tensors, restore_optimizer, save_checkpoint
from .ema import Average
from .precision import Steps, autocast
from .prefetch import DrawnAhead, worker_count
from .process_group import Team, TurnRunner
from .sampling_order import case_index, rate_factor, step_generator
from .training_log import Journal, Log, to_stderr

ALONE = Team()
Validate = Callable[[Any], dict[str, float]]  # takes the model in eval mode; returns at least "score"; higher is better


@dataclass
class Run:
    """Where a run stands. ``best`` is the best validation score so far."""

    step: int = 0
    best: float = -math.inf


def train_stage(
    model: nn.Module,
    stage: Stage,
    items: Sequence[Any],
    config: NetworkConfig,
    settings: Settings,
    augmentation: Augmentation,
    out: Path,
    validate: Validate,
    resume: bool = False,
    log: Log = to_stderr,
    team: Team = ALONE,
) -> Path:
    """Train one stage to ``settings.steps`` and return the checkpoint with the best validation score.

    ``items`` are whatever ``stage.draw`` takes: cases, shapes. ``model`` is any module whose children bear the names in the
    stage's turns. Writes ``<stage>.last.safetensors`` (to resume), ``<stage>.best.safetensors`` and ``<stage>.csv`` in ``out``.
    Raises DatasetError if there is nothing to train on or the loss stops being a number, OutputError if the disk is full.
    """
    usable = usable_items(stage, items, config)
    weights = torch.ones(len(config.organs) + 1)
    if stage.class_weights:
        weights = class_weights(mean_class_voxels(items, config), settings.alpha_power)
    context = StageContext(config, settings, augmentation, weights.to(next(model.parameters()).device))
    trainer = Trainer(model, stage, usable, context, out, validate, team)
    if resume and trainer.last.is_file():
        trainer.restore()
        if team.first:
            log(f"{stage.name}: resumed at step {trainer.state.step}")
    if not team.first:
        return trainer.run(None)
    names = tuple(turn.name for turn, _, _ in trainer.turns)
    with closing(Journal(out, stage.name, names, trainer.state.step, settings.steps, log)) as journal:
        return trainer.run(journal)


class Trainer:
    """One stage being trained, from its first step or, after ``restore``, from where its last checkpoint stands."""

    def __init__(
        self,
        model: nn.Module,
        stage: Stage,
        items: list[Any],
        context: StageContext,
        out: Path,
        validate: Validate,
        team: Team,
    ) -> None:
        self.model, self.stage, self.items, self.context = model, stage, items, context
        self.validate, self.team = validate, team
        self.config, self.settings = context.config, context.settings
        self.device = context.alpha.device
        self.journal: Journal | None = None
        ensure_folder(out)
        self.last, self.best = out / f"{stage.name}.last.safetensors", out / f"{stage.name}.best.safetensors"
        self.turns = []
        for turn in stage.turns:
            if turn.active(self.settings):
                optimizer = torch.optim.Adam(set_trained(model, turn.trained), lr=self.settings.learning_rate)
                steps = Steps(optimizer, self.device, self.settings.precision)
                self.turns.append((turn, steps, TurnRunner(model, turn, context, team)))
        self.average = Average(model, stage.trained, self.settings.ema_decay)
        self.state = Run()

    def run(self, journal: Journal | None) -> Path:
        """The steps that are left. ``journal``: of a team's first process, which also validates and saves."""
        with closing(self._samples()) as samples:
            return self._run(journal, samples)

    def _run(self, journal: Journal | None, samples: DrawnAhead[tuple[str, Any]]) -> Path:
        self.journal, state, settings = journal, self.state, self.settings
        while state.step < settings.steps:
            self._step(samples)
            state.step += 1
            self.average.update(state.step)
            if journal is None:
                continue
            journal.tick()
            if state.step % settings.validate_every == 0 or state.step == settings.steps:
                self._validate(journal)
            due = state.step % settings.checkpoint_every == 0 or state.step == settings.steps
            if due or journal.trouble is not None:
                self._save()
            if due:
                journal.report(state.step)
            if journal.trouble is not None:
                raise journal.trouble
        if journal is not None and state.step and not self.best.is_file():
            state.best = -math.inf  # resumed with no more steps than were made: what is there is the best
            self._validate(journal)
            self._save()
        self.team.wait()
        return self.best

    def _samples(self) -> DrawnAhead[tuple[str, Any]]:
        """The batches that are left. In a team each process takes every ``team.size``-th."""
        a_step = self.settings.accumulate * self.team.size
        numbers = range(self.state.step * a_step + self.team.rank, self.settings.steps * a_step, self.team.size)
        return DrawnAhead(self._draw, numbers, worker_count(self.settings.workers, self.device))

    def _step(self, ahead: DrawnAhead[tuple[str, Any]]) -> None:
        """Every turn once, on the same samples."""
        count = self.settings.accumulate
        samples = [(names, sample.to(self.device)) for names, sample in islice(ahead, count)]
        for turn, steps, runner in self.turns:
            parameters = set_trained(self.model, turn.trained)
            steps.begin(self.settings.learning_rate * rate_factor(self.state.step, self.settings))
            for i, (name, sample) in enumerate(samples):
                with runner.alone() if i + 1 < count else nullcontext():
                    loss = self._loss(runner, sample)
                    self._check(loss, turn, name)
                    if loss.requires_grad:  # not where a crop holds nothing that the turn could learn from
                        steps.backward(loss / count)
            if not steps.step(parameters, self.settings.grad_clip):
                names = ", ".join(name for name, _ in samples)
                raise self._stopped(turn, names, "the gradients are not numbers, however little the loss is scaled")

    def _draw(self, number: int) -> tuple[str, Any]:
        """The ``number``-th batch of the stage: the names of its items, and the sample."""
        seed, stage, batch = self.settings.seed, self.stage, self.settings.batch
        rng = step_generator(seed, stage.name, number)
        count = len(self.items)
        items = [self.items[case_index(seed, stage.name, number * batch + i, count)] for i in range(batch)]
        joined = stage.join([stage.draw(item, self.context, rng) for item in items])
        return ", ".join(item.name for item in items), joined

    def _loss(self, runner: TurnRunner, sample: Any) -> Tensor:
        with autocast(self.device, self.settings.precision):
            return runner.loss(sample)

    def _check(self, loss: Tensor, turn: Turn, case: str) -> None:
        value = float(loss.detach())
        if not math.isfinite(value):
            raise self._stopped(turn, case, f"the loss is {value}")
        if self.journal is not None:
            self.journal.add(turn.name, value)

    def _stopped(self, turn: Turn, case: str, what: str) -> DatasetError:
        remedy = "Lower the learning rate or check that case"
        if self.settings.precision == "fp16":
            remedy = "Train in bf16 or fp32, whose range is larger, lower the learning rate or check that case"
        kept = f"the checkpoint before it is {self.last}." if self.last.is_file() else "there is no checkpoint yet."
        who = f" ({turn.name})" if len(self.turns) > 1 else ""
        return DatasetError(
            f"Stage {self.stage.name}, step {self.state.step}, case {case}: {what}{who}. {remedy}; {kept}"
        )

    def _validate(self, journal: Journal) -> None:
        step, state = self.state.step, self.state
        with self.average.applied():
            self.model.eval()
            scores = self.validate(self.model)
            tensors = {f"model.{k}": v.clone() for k, v in self.model.state_dict().items()}
        set_trained(self.model, self.turns[0][0].trained)
        if scores["score"] > state.best:
            save_checkpoint(self.best, tensors, {"step": step, "scores": scores, "config": self.config.to_json()})
            state.best = scores["score"]
        journal.validated(step, scores)
        draw = getattr(self.validate, "picture", None)
        if draw is not None and self.settings.pictures:
            journal.picture(draw, step)

    def _save(self) -> None:
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        names = {id(p): n for n, p in self.model.named_parameters()}
        for _, steps, _ in self.turns:
            tensors |= optimizer_tensors(steps.optimizer, names)
        tensors |= {f"average.{k}": v for k, v in self.average.tensors.items()}
        scaling = {turn.name: steps.scaling() for turn, steps, _ in self.turns}
        state = {"step": self.state.step, "best": self.state.best, "config": self.config.to_json(), "scaling": scaling}
        save_checkpoint(self.last, tensors, state)

    def restore(self) -> None:
        tensors, state = load_checkpoint(self.last)
        parts = tuple(f"{part}." for part in self.stage.trained)  # the others are as they came
        model = {k: v for k, v in _only(tensors, "model.").items() if k.startswith(parts)}
        self.model.load_state_dict(model, strict=False)
        for turn, steps, _ in self.turns:
            restore_optimizer(steps.optimizer, self.model, tensors)
            steps.restore_scaling(state.get("scaling", {}).get(turn.name))
        self.average.load(_only(tensors, "average."))
        self.state = Run(state["step"], state["best"])


def usable_items(stage: Stage, items: Sequence[Any], config: NetworkConfig) -> list[Any]:
    """The items that a stage can learn from. Raises DatasetError where there are none."""
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
