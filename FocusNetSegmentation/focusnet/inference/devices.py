"""Choose the device and the arithmetic to run on."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..errors import InputError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Device:
    """A torch device with a precision: "fp32", "bf16" or "fp16"."""

    torch_device: torch.device
    precision: str

    @property
    def dtype(self) -> torch.dtype:
        return DTYPES[self.precision]

    @property
    def working_device(self) -> torch.device:
        """Where all but the networks runs: here, but for Apple's GPU, on which not every operation of it has been tried."""
        return torch.device("cpu") if self.torch_device.type == "mps" else self.torch_device

    def __str__(self) -> str:
        return str(self.torch_device)


def choose_device(device: str = "auto", precision: str = "auto") -> Device:
    """Return what ``auto|cpu|cuda[:N]|mps`` and ``auto|fp32|bf16|fp16`` stand for on this machine. Raises InputError for what this machine does not have."""
    if precision not in ("auto", *DTYPES):
        raise InputError(f"Precision {precision!r} is unknown; choose auto, fp32, bf16 or fp16.")
    chosen = _torch_device(device)
    if precision == "auto":
        precision = _default_precision(chosen)
    if precision == "fp16" and chosen.type == "cpu":
        raise InputError("Precision fp16 needs a GPU; on the CPU choose fp32 or bf16.")
    return Device(chosen, precision)


def cpu_has_bf16() -> bool:
    """Return True if the CPU multiplies bfloat16 itself (AMX or AVX512-BF16). Without, torch's bf16 is many times slower than fp32."""
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(bool(getattr(torch.cpu, probe, lambda: False)()) for probe in probes)


def cpu_has_fp16() -> bool:
    """Return True if the CPU multiplies float16 itself. Without, torch computes it with conversions, slower than fp32."""
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())
    except (AttributeError, RuntimeError):
        return False


def _torch_device(device: str) -> torch.device:
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps") if _mps_runs_conv3d() else torch.device("cpu")
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not index.isdigit()) or (index and kind != "cuda"):
        raise InputError(f"Device {device!r} is unknown; choose auto, cpu, cuda, cuda:N or mps.")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            raise InputError(
                "Device cuda was asked for, but torch finds no usable NVIDIA GPU; choose cpu, or check driver and torch build."
            )
        if index and int(index) >= count:
            raise InputError(f"Device {device} was asked for, but there are {count} GPUs (cuda:0 to cuda:{count - 1}).")
    if kind == "mps" and not _mps_runs_conv3d():
        raise InputError("Device mps was asked for, but it is absent or cannot run 3D convolutions here; choose cpu.")
    return torch.device(device)


def _default_precision(device: torch.device) -> str:
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    if device.type == "cpu" and cpu_has_bf16():
        return "bf16"
    return "fp32"


def _mps_runs_conv3d() -> bool:
    """Early macOS and torch versions have MPS without Conv3d: probe it."""
    if not torch.backends.mps.is_available():
        return False
    try:
        torch.nn.functional.conv3d(torch.zeros(1, 1, 3, 3, 3, device="mps"), torch.zeros(1, 1, 3, 3, 3, device="mps"))
    except (RuntimeError, NotImplementedError):
        return False
    return True
