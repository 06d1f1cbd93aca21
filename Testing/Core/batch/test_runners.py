"""Scans spread over processes and over a Dask cluster: whoever dies, every scan gets its row."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from focusnet.batch import runners
from focusnet.batch.contour import BatchOptions
from focusnet.batch.runners import run_dask, run_workers, workers_that_fit
from focusnet.batch.scans import Scan
from focusnet.batch.worker import device_of
from focusnet.errors import InputError

from ...paths import ROOT
from ..helpers_engine import head
from ..helpers_images import write_image
from ..stand_in_batch import COMMAND, run

Rows = dict[str, dict[str, Any]]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return write_image(head((13, 24, 22), (8.0, 8.0, 5.0)), tmp_path / "ct.nrrd")


def scans_named(path: Path, *names: str) -> list[Scan]:
    return [Scan(name, path) for name in names]


def options_for(path: Path) -> BatchOptions:
    return BatchOptions(output=str(path.parent / "out"), model="stand-in")


def by_name(found: Iterable[list[dict[str, Any]]]) -> Rows:
    return {row["scan"]: row for rows in found for row in rows}


@pytest.fixture
def on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *(p for p in sys.path if p)]))


@pytest.mark.usefixtures("on_the_path")
def test_a_worker_that_dies_is_replaced_and_no_other_scan_suffers(tiny: Path) -> None:
    (tiny.parent / "bad.nrrd").write_text("no image")
    scans = [*scans_named(tiny, "a", "crash-once", "b", "crash", "c"), Scan("bad", tiny.parent / "bad.nrrd")]
    rows = by_name(run_workers(scans, options_for(tiny), 2, COMMAND))
    assert {name: row["status"] for name, row in rows.items()} == {
        "a": "done", "b": "done", "c": "done", "crash-once": "done", "crash": "failed", "bad": "failed",
    }  # fmt: skip
    assert "killed" in rows["crash"]["message"]
    assert "tried 3 times" in rows["crash"]["message"]
    assert "cannot be read as an image" in rows["bad"]["message"]


@pytest.mark.usefixtures("on_the_path")
def test_a_batch_that_is_stopped_ends_its_workers(tiny: Path) -> None:
    import psutil

    found = run_workers(scans_named(tiny, *(f"slow{n}" for n in range(20))), options_for(tiny), 2, COMMAND)
    next(found)
    children = [p for p in psutil.Process().children() if "stand_in_batch" in " ".join(p.cmdline())]
    assert len(children) == 2
    found.close()  # type: ignore[attr-defined]
    assert psutil.wait_procs(children, timeout=5)[1] == []
    assert not (tiny.parent / "out" / "slow19.seg.nrrd").exists()


def test_no_more_workers_are_started_than_memory_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Memory:
        available = 10_000_000_000

    monkeypatch.setattr("psutil.virtual_memory", Memory)
    assert workers_that_fit(2) == 2
    assert workers_that_fit(64) == 3
    Memory.available = 1
    assert workers_that_fit(64) == 1


def test_a_scan_waits_for_memory_while_others_work_but_not_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Memory:
        available = 1

    monkeypatch.setattr("psutil.virtual_memory", Memory)
    monkeypatch.setattr(runners, "MEMORY_WAIT_S", 0.01)
    stop = threading.Event()
    runners._wait_for_memory([0], stop)  # alone: does not wait
    waiting = threading.Thread(target=runners._wait_for_memory, args=([1], stop))
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    Memory.available = 10**12
    waiting.join(5)
    assert not waiting.is_alive()


def test_gpus_are_dealt_out_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert [device_of("auto", slot) for slot in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert device_of("cpu", 1) == "cpu"
    assert device_of("cuda:1", 0) == "cuda:1"
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert device_of("auto", 1) == "auto"


needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason='needs distributed: pip install "focusnet[cluster]"'
)


@needs_dask
@pytest.mark.usefixtures("on_the_path")
def test_on_a_dask_cluster_a_killed_worker_costs_no_scan(tiny: Path) -> None:
    from distributed import LocalCluster

    names = [f"slow{n}" for n in range(12)]
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster:
        found = run_dask(
            scans_named(tiny, *names, "crash-once", "raise"), options_for(tiny), cluster.scheduler_address, run
        )
        rows = by_name([next(found)])
        os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)  # the nanny or its worker: it is started anew
        rows |= by_name(found)
    # a row that was lost with its worker is made again from what the scan left on the disk: its full row, as kept
    assert {rows[name]["status"] for name in (*names, "crash-once")} <= {"done", "kept"}
    assert {rows[name]["organs_found"] for name in (*names, "crash-once")} == {3}
    assert rows["raise"]["status"] == "failed"
    assert "MemoryError" in rows["raise"]["message"]
    assert len(list((tiny.parent / "out").glob("slow*.seg.nrrd"))) == 12


@needs_dask
def test_a_scheduler_that_is_not_there_is_one_line(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runners, "DASK_TIMEOUT_S", 1)
    with pytest.raises(InputError, match="no scheduler answers there"):
        list(run_dask([], options_for(tiny), "tcp://127.0.0.1:1"))
