"""Who does the scans: this process, worker processes on this computer, or a Dask cluster. Each yields rows as scans are done.

Whatever happens to a scan or to who works on it becomes rows; a worker that dies is replaced, and its scan is tried again.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from ..errors import FocusNetError, InputError
from ..jobs.worker_process import WorkerDied, WorkerProcess
from .contour import BatchOptions, Row, failed_row
from .scans import Scan
from .worker import COMMAND, job, run_job

TRIES = 3  # of a scan whose worker died
MEMORY_PER_WORKER = 3_000_000_000  # bytes: a scan of 120 x 240 x 240 voxels takes 1.9 GB on a CPU in bf16, 2.6 in fp32
MEMORY_WAIT_S = 2.0
DASK_TIMEOUT_S = 20
IN_FLIGHT = 4  # scans per thread of a cluster that are handed over at a time: its scheduler keeps them all in memory


def workers_that_fit(wanted: int) -> int:
    """Return how many workers the memory that is free now has room for, at least 1 and at most ``wanted``."""
    import psutil

    return max(1, min(wanted, int(psutil.virtual_memory().available // MEMORY_PER_WORKER)))


def run_workers(
    scans: Sequence[Scan], options: BatchOptions, count: int, command: Sequence[str] = COMMAND
) -> Iterator[list[Row]]:
    """Contour scans in ``count`` processes. Closing the generator ends them."""
    threads = max(1, (os.cpu_count() or 1) // count)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    workers = [WorkerProcess(command, environment) for _ in range(count)]
    todo, done = iter(scans), queue.Queue[list[Row] | None]()
    lock, stop, busy = threading.Lock(), threading.Event(), [0]

    def work(slot: int) -> None:
        while not stop.is_set():
            with lock:
                scan = next(todo, None)
                if scan is None:
                    break
            _wait_for_memory(busy, stop)
            busy[0] += 1
            try:
                done.put(_ask(workers[slot], scan, job(scan, options, slot), stop))
            finally:
                busy[0] -= 1
        done.put(None)

    for slot in range(count):
        threading.Thread(target=work, args=(slot,), daemon=True).start()
    ended = 0
    try:
        while ended < count:
            rows = done.get()
            if rows is None:
                ended += 1
            else:
                yield rows
    finally:
        stop.set()
        for worker in workers:
            worker.stop()


def _ask(worker: WorkerProcess, scan: Scan, request: dict[str, Any], stop: threading.Event) -> list[Row]:
    reason = ""
    for _ in range(TRIES):
        if stop.is_set():
            break
        try:
            return list(worker.ask(request)["rows"])
        except WorkerDied as problem:
            reason = str(problem)
        except OSError as problem:
            reason = f"the worker cannot be started ({problem.strerror})"
    return [failed_row(scan.name, f"{reason} (tried {TRIES} times)")]


def _wait_for_memory(busy: list[int], stop: threading.Event) -> None:
    """Begin a scan only where there is room for it, unless nothing else is at work, which would be waiting for ever."""
    import psutil

    while busy[0] > 0 and psutil.virtual_memory().available < MEMORY_PER_WORKER and not stop.is_set():
        time.sleep(MEMORY_WAIT_S)


def run_dask(
    scans: Iterable[Scan], options: BatchOptions, address: str, run: Callable[[dict[str, Any]], list[Row]] = run_job
) -> Iterator[list[Row]]:
    """Contour scans on a Dask cluster, whose workers see the same paths. Raises InputError if it cannot be reached.

    A few scans per thread are handed over at a time, so that neither this process nor the scheduler grows with their number.
    """
    try:
        from distributed import Client, as_completed
    except ImportError as problem:
        raise InputError(
            '--dask needs distributed, which is not installed: pip install "focusnet[cluster]".'
        ) from problem
    try:
        client = Client(address, timeout=DASK_TIMEOUT_S)
    except (OSError, ValueError) as problem:
        raise InputError(f"--dask {address}: no scheduler answers there ({type(problem).__name__}).") from problem
    try:
        waiting = iter(scans)
        threads = sum(client.nthreads().values()) or 1

        names: dict[Any, str] = {}  # key of what is handed over -> scan

        def submit(scan: Scan) -> Any:
            future = client.submit(run, job(scan, options), pure=False, retries=TRIES - 1)
            names[future.key] = scan.name
            return future

        results = as_completed([submit(scan) for scan in islice(waiting, IN_FLIGHT * threads)])
        for future in results:
            for scan in islice(waiting, 1):
                results.add(submit(scan))
            name = names.pop(future.key)
            try:
                yield list(future.result())
            except FocusNetError as problem:
                yield [failed_row(name, str(problem))]
            except Exception as problem:  # KilledWorker, MemoryError, whatever the cluster says
                yield [failed_row(name, f"{type(problem).__name__}: {' '.join(str(problem).split())[:300]}")]
            future.release()
    finally:
        client.close()
