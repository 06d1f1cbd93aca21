"""Several processes of one run, started by torchrun: one order of cases split between them, gradients averaged by torch's
DistributedDataParallel (DDP)."""

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

WAIT_LIMIT = timedelta(hours=6)  # the others wait while the first process validates


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a run. Only the first one validates, writes files and prints messages."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that validates, writes and prints."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until every process has come here."""
        if self.size > 1:
            distributed.barrier()


def join_process_group(device: torch.device) -> tuple[ProcessGroup, torch.device]:
    """Return the group that torchrun's environment describes, and this process's device; a group of one without torchrun."""
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ProcessGroup(), device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=WAIT_LIMIT)
    return ProcessGroup(distributed.get_rank(), distributed.get_world_size()), device


def leave_process_group(group: ProcessGroup) -> None:
    """End the communication between the processes."""
    if group.size > 1 and distributed.is_initialized():
        distributed.destroy_process_group()


class _UpdateModule(nn.Module):
    """An update's loss as a module's forward pass, as DDP needs it."""

    def __init__(self, model: nn.Module, update: Update, context: StageContext) -> None:
        super().__init__()
        self.model, self.update, self.context = model, update, context

    def forward(self, sample: Any) -> Tensor:
        """Return the update's loss, a scalar that depends on every trained parameter."""
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

    def without_sync(self) -> AbstractContextManager[Any]:
        """Return a context in which gradients add up in this process only: for all but the last batch of an accumulated step."""
        return self._wrapped.no_sync() if self._wrapped is not None else nullcontext()
