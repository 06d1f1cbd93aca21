"""A batch in one process works ahead: the next scan is read while the network has this one, in order, and stops when told to."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from focusnet.batch.ahead import AT_ONCE, contour_ahead
from focusnet.batch.contour import BatchOptions
from focusnet.batch.scans import Scan
from focusnet.errors import Cancelled
from focusnet.inference.backends import forget_backend, kept_backend
from focusnet.inference.devices import choose_device
from focusnet.progress import Progress, ProgressCallback

from ..helpers_engine import random_bundle

OPTIONS = BatchOptions(output="out", model="m")
SCANS = [Scan(f"s{i}", Path(f"s{i}")) for i in range(5)]


def test_the_next_scan_is_read_while_this_one_is_in_the_network() -> None:
    following_was_read = threading.Event()

    def contour(scan: Scan, *_: object) -> list:
        if scan.name == "s1":
            following_was_read.set()
        elif scan.name == "s0":
            assert following_was_read.wait(20), "the next scan was not begun before this one was done"
        return [{"scan": scan.name}]

    rows = [wait(lambda _: None) for _, wait in contour_ahead(SCANS[:2], OPTIONS, print, contour)]
    assert [row[0]["scan"] for row in rows] == ["s0", "s1"]


def test_rows_come_in_order_and_few_scans_are_in_memory() -> None:
    alive, most = [0], [0]
    lock = threading.Lock()

    def contour(scan: Scan, *_: object) -> list:
        with lock:
            alive[0] += 1
            most[0] = max(most[0], alive[0])
        time.sleep(0.02 if scan.name == "s0" else 0)
        with lock:
            alive[0] -= 1
        return [{"scan": scan.name}]

    found = [
        (scan.name, wait(lambda _: None)[0]["scan"]) for scan, wait in contour_ahead(SCANS, OPTIONS, print, contour)
    ]
    assert found == [(s.name, s.name) for s in SCANS]
    assert most[0] <= AT_ONCE


def test_progress_is_that_of_the_scan_that_is_shown() -> None:
    def contour(scan: Scan, options: BatchOptions, progress: ProgressCallback, tell: object) -> list:
        for _ in range(20):
            progress(Progress(scan.name, 0.5))
            time.sleep(0.002)
        return []

    for scan, wait in contour_ahead(SCANS[:3], OPTIONS, print, contour):
        seen: list[str] = []
        wait(lambda progress, seen=seen: seen.append(progress.step))
        assert set(seen) <= {scan.name}


def test_closing_stops_what_is_being_done_at_its_next_report() -> None:
    stopped = threading.Event()

    def contour(scan: Scan, options: BatchOptions, progress: ProgressCallback, tell: object) -> list:
        try:
            for _ in range(2000):
                progress(Progress("x", 0.5))
                time.sleep(0.005)
        except Cancelled:
            stopped.set()
            raise
        return []

    work = contour_ahead(SCANS, OPTIONS, print, contour)
    next(work)
    work.close()
    assert stopped.is_set()


def test_the_network_is_built_once_for_scans_after_one_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_backend()
    bundle, cpu = random_bundle(tmp_path), choose_device("cpu", "fp32")
    first = kept_backend(bundle, cpu, "torch", 16)
    assert kept_backend(bundle, cpu, "torch", 16) is first
    other = kept_backend(bundle, cpu, "torch", 8)
    assert other is not first
    assert kept_backend(bundle, cpu, "torch", 16) is not first, "one is kept, not all that there ever were"
    forget_backend()
