"""``--backend auto``: PyTorch or OpenVINO, by what was measured on this computer with this model, and remembered.

Nobody waits for the answer: scans are contoured with PyTorch until so much time has gone into them that a measurement costs a few per cent of it.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from ..files.atomic_write import atomic_path
from ..nets.bundle import ModelBundle
from .backends import Backend, OpenVinoBackend
from .devices import Device

CACHE_VARIABLE = "FOCUSNET_CACHE"
FILE = "backends.json"
MEASURE_SHARE = 0.04  # of the time that went into scans so far, at most
USUAL_MEASUREMENT_S = 8.0  # converting, compiling and three chunks of a small network, before anything was measured
WINS_BY = (
    0.9  # OpenVINO is taken where a scan takes less than this share of PyTorch's time: a tie is not worth its memory
)
NEEDED_BYTES = 6 * 2**30  # free memory without which nothing is measured: both networks are there at once


@dataclass
class BackendRecord:
    """What is known of one model on this computer: scans, chunks and seconds with PyTorch; and, once measured, seconds of a chunk with either and of
    OpenVINO's start."""

    scans: int = 0
    chunks: int = 0
    seconds: float = 0.0
    torch_s: float = 0.0
    openvino_s: float = 0.0
    start_s: float = 0.0

    @property
    def measured(self) -> bool:
        return self.torch_s > 0

    @property
    def due(self) -> bool:
        """Whether a measurement would cost no more than MEASURE_SHARE of what scans have cost."""
        chunk_s = self.seconds / max(1, self.chunks)
        return not self.measured and USUAL_MEASUREMENT_S + 3 * chunk_s <= MEASURE_SHARE * self.seconds

    @property
    def choice(self) -> str:
        """ "openvino" where a usual scan is quicker with it, its start counted in; else "torch"."""
        if not self.measured:
            return "torch"
        chunks = self.chunks / max(1, self.scans)
        return "openvino" if self.start_s + chunks * self.openvino_s < WINS_BY * chunks * self.torch_s else "torch"


def choose_backend(bundle: ModelBundle, device: Device) -> str:
    """Return "torch" or "openvino" for ``auto``."""
    if device.torch_device.type != "cpu" or find_spec("openvino") is None:
        return "torch"
    return read_record(bundle, device).choice


def note_run(
    bundle: ModelBundle, device: Device, backend: Backend, ct: Tensor, chunk_slices: int, seconds: float
) -> None:
    """Remember a scan that took ``seconds`` with PyTorch because ``auto`` chose it, and measure both backends when that is due.

    ``ct``: the scan, (D, H, W) on the network's grid. Whatever goes wrong here is no matter of the scan's.
    """
    if device.torch_device.type != "cpu" or find_spec("openvino") is None or backend.name != "torch":
        return
    record = read_record(bundle, device)
    if record.measured:
        return
    record.scans, record.chunks = record.scans + 1, record.chunks + max(1, -(-len(ct) // chunk_slices))
    record.seconds += seconds
    if record.due and _free_bytes() > NEEDED_BYTES:
        measure(record, bundle, device, backend, ct[:chunk_slices])
    _write_record(_key(bundle, device), record)


def measure(
    record: BackendRecord,
    bundle: ModelBundle,
    device: Device,
    backend: Backend,
    chunk: Tensor,
    other: Callable[..., Backend] = OpenVinoBackend,
) -> None:
    """Time a chunk (d, H, W) with both backends, into ``record``. A backend that fails is not taken."""
    slices = len(chunk) // bundle.config.z_multiple * bundle.config.z_multiple
    if slices == 0:
        return
    record.torch_s = _seconds(lambda: backend.run(chunk[:slices]))
    began = time.monotonic()
    try:
        openvino = other(bundle, device, slices)
        openvino.run(chunk[:slices])  # the first run is part of the start
        record.start_s = time.monotonic() - began
        record.openvino_s = _seconds(lambda: openvino.run(chunk[:slices]))
    except Exception:  # of somebody else's library, in all its variety: PyTorch stays
        record.start_s = record.openvino_s = float(10**9)


def read_record(bundle: ModelBundle, device: Device) -> BackendRecord:
    """Return what is known of ``bundle`` on this computer; an empty record where nothing is."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        return BackendRecord(**json.loads(cache_file().read_text(encoding="utf-8"))[_key(bundle, device)])
    return BackendRecord()


def cache_file() -> Path:
    """Return where measurements are kept: in FOCUSNET_CACHE, else the platform's cache folder. It may be deleted at any time."""
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE]).expanduser() / FILE
    import platformdirs

    return Path(platformdirs.user_cache_dir("focusnet", appauthor=False)) / FILE


def _write_record(key: str, record: BackendRecord) -> None:
    path = cache_file()
    known = {}
    with suppress(OSError, ValueError):
        known = dict(json.loads(path.read_text(encoding="utf-8")))
    with suppress(Exception):  # a cache that cannot be written is none
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as partial:
            partial.write_text(json.dumps({**known, key: asdict(record)}, indent=1) + "\n", encoding="utf-8")


def _key(bundle: ModelBundle, device: Device) -> str:
    """What a measurement holds for: processor, cores, threads, model, arithmetic and versions."""
    try:
        openvino = version("openvino")
    except PackageNotFoundError:
        openvino = "none"
    cores = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    versions = f"torch {torch.__version__}, openvino {openvino}"
    return f"{cpu_name()}, {cores}, {bundle.digest[:16]}, {device.precision}, {versions}"


def cpu_name() -> str:
    """Return the processor's name, as far as the system tells."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                flags = "bf16" if torch.cpu._is_avx512_bf16_supported() else "no bf16"
                return f"{line.split(':', 1)[1].strip()} ({flags})"
    return platform.processor() or platform.machine()


def _seconds(run: Callable[[], object]) -> float:
    began = time.monotonic()
    run()
    return time.monotonic() - began


def _free_bytes() -> int:
    import psutil

    return int(psutil.virtual_memory().available)
