"""Several processes as one, started by torchrun: the same order of cases split between them, gradients averaged by torch's DDP."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn

from ..stages.stage import StageContext, Turn

PATIENCE = timedelta(hours=6)  # the others wait while the first process validates


@dataclass(frozen=True)
class Team:
    """The processes of a run. Only ``first`` validates, writes and speaks."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def wait(self) -> None:
        """Until every process has come here."""
        if self.size > 1:
            distributed.barrier()


def join_team(device: torch.device) -> tuple[Team, torch.device]:
    """The team that torchrun's environment describes, and this process's device; a team of one without torchrun."""
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Team(), device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    return Team(distributed.get_rank(), distributed.get_world_size()), device


def leave_team(team: Team) -> None:
    if team.size > 1 and distributed.is_initialized():
        distributed.destroy_process_group()


class _TurnModule(nn.Module):
    """A turn's loss as a module's forward pass, which is what DDP wants."""

    def __init__(self, model: nn.Module, turn: Turn, context: StageContext) -> None:
        super().__init__()
        self.model, self.turn, self.context = model, turn, context

    def forward(self, sample: Any) -> Tensor:
        loss = self.turn.loss(self.model, sample, self.context)
        if not loss.requires_grad:  # nothing to learn here, but the others' gradients are waited for
            loss = loss + sum(p.sum() * 0.0 for p in self.model.parameters() if p.requires_grad)
        return loss


class TurnRunner:
    """Computes a turn's loss; in a team, so that ``backward`` averages gradients over all processes.

    To be made while exactly the turn's own weights require a gradient. Batch statistics are those of the first process.
    """

    def __init__(self, model: nn.Module, turn: Turn, context: StageContext, team: Team) -> None:
        self.loss: Callable[[Any], Tensor]
        self._wrapped: nn.parallel.DistributedDataParallel | None = None
        if team.size == 1:
            self.loss = lambda sample: turn.loss(model, sample, context)
        else:
            # an organ that no process has seen leaves its SOS-Net without a gradient
            self._wrapped = nn.parallel.DistributedDataParallel(
                _TurnModule(model, turn, context), find_unused_parameters="sosnets" in turn.trained
            )
            self.loss = self._wrapped

    def alone(self) -> AbstractContextManager[Any]:
        """Within it, gradients pile up in this process only: all but the last batch of an accumulated step."""
        return self._wrapped.no_sync() if self._wrapped is not None else nullcontext()
