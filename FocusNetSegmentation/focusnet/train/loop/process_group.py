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

from ..stages.stage import StageContext, Update

PATIENCE = timedelta(hours=6)  # the others wait while the first process validates


@dataclass(frozen=True)
class ProcessGroup:
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


def join_process_group(device: torch.device) -> tuple[ProcessGroup, torch.device]:
    """The group that torchrun's environment describes, and this process's device; a group of one without torchrun."""
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ProcessGroup(), device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    return ProcessGroup(distributed.get_rank(), distributed.get_world_size()), device


def leave_process_group(group: ProcessGroup) -> None:
    if group.size > 1 and distributed.is_initialized():
        distributed.destroy_process_group()


class _UpdateModule(nn.Module):
    """An update's loss as a module's forward pass, which is what DDP wants."""

    def __init__(self, model: nn.Module, update: Update, context: StageContext) -> None:
        super().__init__()
        self.model, self.update, self.context = model, update, context

    def forward(self, sample: Any) -> Tensor:
        loss = self.update.loss(self.model, sample, self.context)
        if not loss.requires_grad:  # nothing to learn here, but the others' gradients are waited for
            loss = loss + sum(p.sum() * 0.0 for p in self.model.parameters() if p.requires_grad)
        return loss


class UpdateRunner:
    """Compute an update's loss; in a group, so that ``backward`` averages gradients over all processes.

    To be made while exactly the update's own weights require a gradient. Batch statistics are those of the first process.
    """

    def __init__(self, model: nn.Module, update: Update, context: StageContext, group: ProcessGroup) -> None:
        self.loss: Callable[[Any], Tensor]
        self._wrapped: nn.parallel.DistributedDataParallel | None = None
        if group.size == 1:
            self.loss = lambda sample: update.loss(model, sample, context)
        else:
            # an organ that no process has seen leaves its SOS-Net without a gradient
            self._wrapped = nn.parallel.DistributedDataParallel(
                _UpdateModule(model, update, context), find_unused_parameters="sosnets" in update.trained
            )
            self.loss = self._wrapped

    def alone(self) -> AbstractContextManager[Any]:
        """Within it, gradients pile up in this process only: all but the last batch of an accumulated step."""
        return self._wrapped.no_sync() if self._wrapped is not None else nullcontext()
