"""A network of three numbers with a stage of its own: what the loop does with it can be compared exactly, and takes no time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from focusnet.train.loop.loop import SINGLE_PROCESS, StageOptions, train_stage
from focusnet.train.loop.process_group import ProcessGroup
from focusnet.train.settings import Settings
from focusnet.train.stages.augment import NO_AUGMENTATION
from focusnet.train.stages.stage import Stage, Update

from .helpers_engine import small_config


class Line(nn.Module):
    """Its only part, ``line``, is a straight line through points."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(2, 1)


@dataclass(frozen=True)
class Point:
    name: str
    place: tuple[float, float]


@dataclass(frozen=True)
class Places:
    """``at`` (N, 2)."""

    at: Tensor

    def to(self, device: torch.device) -> Places:
        return self


def squares(model: Any, sample: Places, _: Any) -> Tensor:
    return ((model.line(sample.at) - sample.at.prod(dim=1, keepdim=True)) ** 2).mean()


def draw(point: Point, _: Any, rng: Any) -> Places:
    return Places(torch.tensor([point.place]) + torch.from_numpy(rng.normal(size=(1, 2))).float())


def join(drawn: Sequence[Places]) -> Places:
    return Places(torch.cat([one.at for one in drawn]))


POINTS = [Point(f"p{n}", (float(n), float(n % 3))) for n in range(7)]
STAGE = Stage("line", (Update("line", ("line",), squares),), draw=draw, join=join)


def train_line(
    out: Path,
    steps: int,
    resume: bool = False,
    validate: Callable[[Any], dict[str, float]] = lambda _: {"score": 0.0},
    group: ProcessGroup = SINGLE_PROCESS,
    stage: Stage = STAGE,
    model: nn.Module | None = None,
    **settings: Any,
) -> Path:
    """Some steps; returns the last checkpoint."""
    torch.manual_seed(0)
    chosen = Settings(**{"steps": steps, "learning_rate": 0.1, "checkpoint_every": 2, "pictures": False, **settings})
    options = StageOptions(small_config(), chosen, NO_AUGMENTATION, out, resume, group)
    train_stage(model or Line(), stage, POINTS, validate, options)
    return out / "line.last.safetensors"
