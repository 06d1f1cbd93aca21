"""Work ahead in one process: the next scan is read, and the last one written, while the network has this one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from ..errors import Cancelled
from ..progress import Progress, ProgressCallback
from .contour import BatchOptions, Row, contour_scan
from .scans import Scan

AT_ONCE = 2  # scans in memory: one in the network, one being read or written


def contour_ahead(
    scans: Sequence[Scan],
    options: BatchOptions,
    tell: Callable[[str], object],
    contour: Callable[..., list[Row]] = contour_scan,
) -> Generator[tuple[Scan, Callable[[ProgressCallback], list[Row]]], None, None]:
    """Yield each scan in order, with a function that waits for its rows and passes its progress on to a callback.

    ``contour`` keeps to one scan in the network at a time, and to one being written. Closing the generator stops what is being done at its
    next report of progress.
    """
    stop = threading.Event()
    shown: list[tuple[Scan, ProgressCallback]] = []  # whose progress is being told

    def progress_of(scan: Scan) -> ProgressCallback:
        def report(progress: Progress) -> None:
            if stop.is_set():
                raise Cancelled
            for current, callback in shown[-1:]:
                if current is scan:
                    callback(progress)

        return report

    pool = ThreadPoolExecutor(AT_ONCE, "scan")
    waiting: list[tuple[Scan, Future[list[Row]]]] = []
    todo = iter(scans)

    def fill() -> None:
        while len(waiting) < AT_ONCE and (scan := next(todo, None)) is not None:
            waiting.append((scan, pool.submit(contour, scan, options, progress_of(scan), tell)))

    try:
        fill()
        while waiting:
            scan, future = waiting[0]

            def wait(callback: ProgressCallback, scan: Scan = scan, future: Future[list[Row]] = future) -> list[Row]:
                shown.append((scan, callback))
                try:
                    return future.result()
                finally:
                    shown.pop()

            yield scan, wait
            waiting.pop(0)
            fill()
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
