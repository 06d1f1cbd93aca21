"""Draw samples ahead of the network in threads, so that a GPU does not wait for a CPU to cut and rotate crops."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import torch

Drawn = TypeVar("Drawn")
GPU_WORKERS = 4  # threads


def worker_count(wanted: int, device: torch.device) -> int:
    """Return the number of threads for ``Settings.workers``; -1 is four on a GPU and none on a CPU, where drawing and learning
    share the cores."""
    if wanted >= 0:
        return wanted
    return 0 if device.type == "cpu" else GPU_WORKERS


class Prefetcher(Generic[Drawn]):
    """Iterates over ``draw(number)`` for each of ``numbers`` in their order, ``workers`` threads ahead. To be closed.

    A draw depends on its number alone, so that what comes out is the same with any number of threads. What a draw raises is
    raised where its number is asked for. Threads and not processes: the cases are in memory once, and the work is done outside
    Python's lock.
    """

    def __init__(self, draw: Callable[[int], Drawn], numbers: range, workers: int) -> None:
        self.draw, self.left, self.workers = draw, iter(numbers), workers
        self.pool = ThreadPoolExecutor(workers, "draw") if workers else None
        self.waiting: list[Future[Drawn]] = []

    def __iter__(self) -> Prefetcher[Drawn]:
        return self

    def __next__(self) -> Drawn:
        if self.pool is None:
            return self.draw(next(self.left))
        while len(self.waiting) < 2 * self.workers and (number := next(self.left, None)) is not None:
            self.waiting.append(self.pool.submit(self.draw, number))
        if not self.waiting:
            raise StopIteration
        return self.waiting.pop(0).result()

    def close(self) -> None:
        """Stop the threads; what is being drawn is finished first."""
        if self.pool is not None:
            self.pool.shutdown(wait=True, cancel_futures=True)
