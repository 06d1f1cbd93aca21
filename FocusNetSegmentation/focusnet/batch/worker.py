"""A worker process of a batch: ``python -m focusnet.batch.worker``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import FocusNetError
from ..jobs.serve import serve
from .contour import BatchOptions, Row, contour_scan, failed_row
from .scans import Scan

COMMAND = (sys.executable, "-m", "focusnet.batch.worker")


def job(scan: Scan, options: BatchOptions, slot: int = 0) -> dict[str, Any]:
    """Return what a worker is told. ``slot``: its number among the workers of this computer."""
    return {"name": scan.name, "path": str(scan.path), "options": options.to_json(), "slot": slot}


def run_job(job: Mapping[str, Any]) -> list[Row]:
    """Contour one scan of a batch; whatever goes wrong with it becomes a row. Raises MemoryError, for a try elsewhere."""
    options = BatchOptions.from_json({**job["options"], "device": device_of(job["options"]["device"], job["slot"])})
    try:
        return contour_scan(Scan(job["name"], Path(job["path"])), options)
    except (FocusNetError, MemoryError):
        raise
    except Exception as problem:
        return [failed_row(job["name"], f"Internal error, {type(problem).__name__}: {' '.join(str(problem).split())}")]


def device_of(device: str, slot: int) -> str:
    """Return the device of the ``slot``-th worker: GPUs are dealt out in turn."""
    if device not in ("auto", "cuda"):
        return device
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return f"cuda:{slot % count}" if count else device


def main() -> int:
    return serve(lambda job: {"rows": run_job(job)})


if __name__ == "__main__":
    sys.exit(main())
