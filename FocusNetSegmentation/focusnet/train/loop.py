"""One loop for every stage. Each step's random numbers come from (seed, stage, step) alone, so that a resumed run takes the
same steps as one that was never stopped."""

from __future__ import annotations

import csv
import math
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..config import NetworkConfig
from ..datasets.case import Case
from ..errors import DatasetError
from ..nets.focusnet import FocusNet
from .augment import Augmentation, draw_sample
from .checkpoint import load_checkpoint, optimizer_tensors, restore_optimizer, save_checkpoint
from .losses import class_weights
from .stages import Settings, Stage, StageContext, set_trained

WARM_UP_STEPS = 100
Validate = Callable[[FocusNet], dict[str, float]]  # returns at least "score"; higher is better


@dataclass
class Run:
    """Where a run stands. ``best`` is the best validation score so far."""

    step: int = 0
    best: float = -math.inf


def train_stage(
    model: FocusNet,
    stage: Stage,
    cases: Sequence[Case],
    config: NetworkConfig,
    settings: Settings,
    augmentation: Augmentation,
    out: Path,
    validate: Validate,
    resume: bool = False,
    log: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
) -> Path:
    """Train one stage to ``settings.steps`` and return the checkpoint with the best validation score.

    Writes ``<stage>.last.safetensors`` (to resume), ``<stage>.best.safetensors`` and ``<stage>.csv`` in ``out``.
    Raises DatasetError if there is nothing to train on or the loss stops being a number.
    """
    if not cases:
        raise DatasetError("There are no training cases.")
    out.mkdir(parents=True, exist_ok=True)
    last, best = out / f"{stage.name}.last.safetensors", out / f"{stage.name}.best.safetensors"
    parameters = set_trained(model, stage.trained)
    optimizer = torch.optim.Adam(parameters, lr=settings.learning_rate)
    average = Average(model, stage.trained, settings.ema_decay)
    run = Run()
    if resume and last.is_file():
        tensors, state = load_checkpoint(last)
        model.load_state_dict(_only(tensors, "model."))
        restore_optimizer(optimizer, model, tensors)
        average.load(_only(tensors, "average."))
        run = Run(state["step"], state["best"])
        log(f"{stage.name}: resumed at step {run.step}")
    context = StageContext(config, settings, class_weights(mean_class_voxels(cases, config), settings.alpha_power))
    names = {id(p): n for n, p in model.named_parameters()}
    usable = [c for c in cases if not stage.small or set(c.centroids_mm_xyz) & set(config.small_organs)]
    if not usable:
        raise DatasetError(
            f"No training case has a contour of {', '.join(config.small_organs)}; stage {stage.name} needs one."
        )
    recent: list[float] = []
    started, first = time.monotonic(), run.step
    while run.step < settings.steps:
        rng = step_generator(settings.seed, stage.name, run.step)
        case = usable[case_index(settings.seed, stage.name, run.step, len(usable))]
        sample = draw_sample(case, config, augmentation, rng, settings.crop_slices or None)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * rate_factor(run.step, settings)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bf16"):
            loss = stage.loss(model, sample, context)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise DatasetError(
                f"Stage {stage.name}, step {run.step}, case {case.name}: the loss is {value}. "
                f"Lower the learning rate or check that case; the checkpoint before it is {last}."
            )
        loss.backward()
        if settings.grad_clip > 0:
            nn.utils.clip_grad_norm_(parameters, settings.grad_clip)
        optimizer.step()
        run.step += 1
        average.update(run.step)
        recent.append(value)
        if run.step % settings.validate_every == 0 or run.step == settings.steps:
            with average.applied():
                model.eval()
                scores = validate(model)
                model_tensors = {f"model.{k}": v.clone() for k, v in model.state_dict().items()}
            set_trained(model, stage.trained)
            if scores["score"] > run.best:
                run.best = scores["score"]
                save_checkpoint(best, model_tensors, {"step": run.step, "scores": scores, "config": config.to_json()})
            _append_csv(out / f"{stage.name}.validation.csv", {"step": run.step, **scores})
            log(f"{stage.name} step {run.step}: " + " ".join(f"{k} {v:.4f}" for k, v in scores.items()))
        if run.step % settings.checkpoint_every == 0 or run.step == settings.steps:
            tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
            tensors |= optimizer_tensors(optimizer, names)
            tensors |= {f"average.{k}": v for k, v in average.tensors.items()}
            save_checkpoint(last, tensors, {"step": run.step, "best": run.best, "config": config.to_json()})
            pace = (time.monotonic() - started) / (run.step - first)
            _append_csv(
                out / f"{stage.name}.csv",
                {"step": run.step, "loss": round(float(np.mean(recent)), 5), "seconds_per_step": round(pace, 4)},
            )
            left = pace * (settings.steps - run.step) / 60
            log(
                f"{stage.name} step {run.step}/{settings.steps}: loss {np.mean(recent):.4f}, {pace:.2f} s/step, {left:.0f} min left"
            )
            recent.clear()
    return best


class Average:
    """Exponential moving average of a model's trained parts, batch statistics included; off where ``decay`` is 0."""

    def __init__(self, model: nn.Module, trained: tuple[str, ...], decay: float) -> None:
        self.model, self.decay = model, decay
        self.trained = tuple(f"{name}." for name in trained)
        self.tensors: dict[str, Tensor] = {}
        if decay > 0:
            self.tensors = {k: v.clone() for k, v in self._live().items()}

    def _live(self) -> dict[str, Tensor]:
        return {
            k: v for k, v in self.model.state_dict().items() if k.startswith(self.trained) and v.is_floating_point()
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        if self.tensors:
            self.tensors = {k: v.clone() for k, v in tensors.items()}

    def update(self, step: int) -> None:
        if not self.tensors:
            return
        decay = min(self.decay, (1 + step) / (10 + step))  # young averages forget their random start quickly
        live = self._live()
        for key, value in self.tensors.items():
            value.lerp_(live[key], 1 - decay)

    def applied(self) -> _Applied:
        return _Applied(self)


class _Applied:
    """Context: the model carries the averaged weights inside, its own again afterwards."""

    def __init__(self, average: Average) -> None:
        self.average = average
        self.saved: dict[str, Tensor] = {}

    def __enter__(self) -> None:
        live = self.average._live() if self.average.tensors else {}
        self.saved = {k: v.clone() for k, v in live.items()}
        for key, value in live.items():
            value.copy_(self.average.tensors[key])

    def __exit__(self, *_: object) -> None:
        live = self.average.model.state_dict()
        for key, value in self.saved.items():
            live[key].copy_(value)


def rate_factor(step: int, settings: Settings) -> float:
    """Learning-rate factor at ``step``: 1 for ``constant``; warm-up and half a cosine for ``cosine``."""
    if settings.schedule == "constant":
        return 1.0
    if step < WARM_UP_STEPS:
        return (step + 1) / WARM_UP_STEPS
    return 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, settings.steps))))


def step_generator(seed: int, stage: str, step: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(stage.encode()), step])


def case_index(seed: int, stage: str, step: int, count: int) -> int:
    """Every case once per epoch, in an order drawn anew for each epoch."""
    epoch, position = divmod(step, count)
    return int(np.random.default_rng([seed, zlib.crc32(stage.encode()), epoch, 1]).permutation(count)[position])


def mean_class_voxels(cases: Sequence[Case], config: NetworkConfig) -> Tensor:
    """Mean size of background and each organ in network voxels over the cases where it was contoured: eq. 1's alpha. (C + 1,)"""
    voxel_mm3 = float(np.prod(config.spacing_mm_zyx))
    sums = np.zeros(len(config.organs) + 1)
    counts = np.zeros_like(sums)
    for case in cases:
        scale = float(np.prod(case.geometry.spacing_mm_xyz)) / voxel_mm3
        voxels = np.bincount(case.labels.ravel(), minlength=len(sums))[: len(sums)] * scale
        known = np.array([True, *(organ in case.contoured for organ in config.organs)])
        seen = known & (voxels > 0)
        sums[seen] += voxels[seen]
        counts[seen] += 1
    if not counts.all():
        missing = [organ for organ, n in zip(config.organs, counts[1:], strict=True) if n == 0]
        raise DatasetError(
            f"No training case has a contour of {', '.join(missing)}; leave these organs out of the configuration."
        )
    return torch.tensor(sums / counts, dtype=torch.float32)


def _only(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}


def _append_csv(path: Path, row: dict[str, float]) -> None:
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)
