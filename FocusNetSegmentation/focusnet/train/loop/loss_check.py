"""Look at losses as seldom as a GPU allows: to read one is to wait for every step before it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

KEPT = 20  # losses that are read at once from a device


@dataclass
class LossCheck:
    """Holds losses, with the update, cases and step that they are of, until they are read. ``waits``: True on a device that is slow to ask."""

    waits: bool
    _kept: list[tuple[Tensor, Any, str, int]] = field(default_factory=list)

    def add(self, loss: Tensor, update: Any, case: str, step: int) -> bool:
        """Take a loss (a scalar) and return whether it is time to ``fetch``."""
        self._kept.append((loss.detach(), update, case, step))
        return not self.waits or len(self._kept) >= KEPT

    def fetch(self) -> list[tuple[float, Any, str, int]]:
        """Return value, update, cases and step of each loss since the last time, with one transfer."""
        if not self._kept:
            return []
        values = torch.stack([loss.float() for loss, *_ in self._kept]).tolist()
        found = [(v, update, case, step) for v, (_, update, case, step) in zip(values, self._kept, strict=True)]
        self._kept.clear()
        return found
