"""Ten thousand tiny scans through ``focusnet batch``'s runners: does the driver grow, and what does a scan cost beside its contouring?

    python benchmarks/batch_scale.py [--scans 10000] [--model boxes|nothing] [-o RESULT.json]

The scans are links to one tiny NRRD; the stand-in model draws boxes (Testing/Core/stand_in_batch.py), or does nothing at all, so that what
is left is the overhead. Worker processes, then a Dask scheduler with two workers, each in processes of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from Testing.Core import stand_in_batch
from Testing.Core.helpers_engine import head
from Testing.Core.helpers_images import write_image
from Testing.Core.helpers_node import free_port
from Testing.Core.stand_in_model import NOT_LOCALIZED, ORGANS

from focusnet.batch.contour import BatchOptions
from focusnet.batch.runners import run_dask, run_workers
from focusnet.batch.scans import find_scans
from focusnet.batch.summary import Summary

WORKERS = 2


def nothing(job: dict[str, Any]) -> list[dict[str, Any]]:
    """A scan that takes no time."""
    return [{"scan": job["name"], "status": "done"}]


def megabytes(process: psutil.Process) -> float:
    return round(process.memory_info().rss / 1e6, 1)


@contextmanager
def cluster() -> Iterator[tuple[str, psutil.Process]]:
    """A scheduler and its workers, started as a user would; yields its address and its process."""
    address = f"tcp://127.0.0.1:{free_port()}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m", "dask"]
    scheduler = subprocess.Popen([*dask, "scheduler", "--host", address, "--no-dashboard"], **quiet)  # type: ignore[call-overload]
    worker = [*dask, "worker", address, "--nworkers", str(WORKERS), "--nthreads", "1", "--no-dashboard"]
    workers = subprocess.Popen(worker, **quiet)  # type: ignore[call-overload]
    try:
        from distributed import Client

        with Client(address, timeout=120) as client:
            client.wait_for_workers(WORKERS, timeout=120)
        yield address, psutil.Process(scheduler.pid)
    finally:
        for process in (workers, scheduler):
            process.terminate()
            process.wait()


def measure(
    rows: Iterator[list[dict[str, Any]]], out: Path, count: int, others: dict[str, psutil.Process]
) -> dict[str, Any]:
    """Run through the rows as the command does; memory of the driver (and others) at a tenth of the scans and at the end."""
    processes = {"driver": psutil.Process(), **others}
    summary = Summary(out / "summary.csv", (*ORGANS, NOT_LOCALIZED))
    begun = time.monotonic()
    early: dict[str, float] = {}
    for number, found in enumerate(rows, start=1):
        summary.add(found)
        if number == count // 10:
            early = {name: megabytes(process) for name, process in processes.items()}
    seconds = time.monotonic() - begun
    late = {name: megabytes(process) for name, process in processes.items()}
    summary.finish()
    return {
        "rows": summary.counts,
        "seconds": round(seconds, 1),
        "ms per scan": round(1000 * seconds / count, 2),
        "MB at a tenth": early,
        "MB at the end": late,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scans", type=int, default=10_000)
    parser.add_argument("--model", choices=("boxes", "nothing"), default="boxes")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    result: dict[str, Any] = {"scans": options.scans, "model": options.model, "workers": WORKERS}
    with tempfile.TemporaryDirectory(prefix="batch-scale-") as name:
        folder = Path(name)
        (folder / "in").mkdir()
        tiny = write_image(head((13, 24, 22), (8.0, 8.0, 5.0)), folder / "tiny.nrrd")
        for number in range(options.scans):
            os.link(tiny, folder / "in" / f"{number:06d}.nrrd")
        begun = time.monotonic()
        scans = find_scans(folder / "in")
        result["seconds to find them"] = round(time.monotonic() - begun, 2)
        for way in ("processes", "dask"):
            out = folder / way
            out.mkdir()
            wanted = BatchOptions(output=str(out), model="stand-in")
            if way == "processes":
                module = "benchmarks.batch_scale" if options.model == "nothing" else "Testing.Core.stand_in_batch"
                rows = run_workers(
                    scans,
                    wanted,
                    WORKERS,
                    (sys.executable, "-m", module, *(["--serve"] if options.model == "nothing" else [])),
                )
                result[way] = measure(rows, out, options.scans, {})
            else:
                with cluster() as (address, scheduler):
                    run = nothing if options.model == "nothing" else stand_in_batch.run
                    result[way] = measure(
                        run_dask(scans, wanted, address, run), out, options.scans, {"scheduler": scheduler}
                    )
            print(json.dumps(result[way]), file=sys.stderr, flush=True)
    text = json.dumps(result, indent=1)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        from focusnet.jobs.serve import serve

        sys.exit(serve(lambda job: {"rows": nothing(job)}))
    main()
