"""Runs the networks on one chunk, on torch or OpenVINO. The pipeline knows neither."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from ..nets.bundle import ModelBundle
from ..nets.focusnet import FocusNet
from .devices import Device


@dataclass(frozen=True)
class ChunkOutput:
    """``probabilities`` float32 (C + 1, d, H, W), ``heatmaps`` float32 (S, d, H, W) or None, ``features`` (1, F, d, H, W) or None
    (kept on the device, only where SOS-Nets need them)."""

    probabilities: np.ndarray
    heatmaps: np.ndarray | None
    features: Tensor | None


class Backend(Protocol):
    name: str

    def run(self, ct: np.ndarray) -> ChunkOutput:
        """One chunk (d, H, W), float32 intensities; d, H and W divide as the configuration asks.

        What is returned is valid until the next call: a backend may use the memory again.
        """
        ...

    def small_organ(self, organ: str, features: Tensor, ct: Tensor) -> np.ndarray:
        """SOS-Net's probability (d, h, w) in an ROI: features (1, F, d, h, w), CT (1, 1, d, h, w)."""
        ...


class TorchBackend:
    """Eager torch, channels last: the reference."""

    name = "torch"

    def __init__(self, bundle: ModelBundle, device: Device) -> None:
        self.device = device
        network: FocusNet = bundle.build()
        self.network = network.to(device=device.torch_device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        for module in self.network.modules():
            # batch norm keeps its statistics in fp32 and takes half-precision input as it is
            if not isinstance(module, torch.nn.BatchNorm3d):
                for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                    if tensor.is_floating_point():
                        tensor.data = tensor.data.to(device.dtype)

    @torch.inference_mode()
    def run(self, ct: np.ndarray) -> ChunkOutput:
        tensor = torch.from_numpy(np.ascontiguousarray(ct))[None, None]  # (1, 1, D, H, W)
        features, scores = self.network.snet(tensor.to(self.device.torch_device, self.device.dtype))
        heatmaps = (
            self.network.solnet(features, scores)[0].float().cpu().numpy() if self.network.solnet is not None else None
        )
        probabilities = scores[0].softmax(dim=0, dtype=torch.float32).cpu().numpy()
        return ChunkOutput(probabilities, heatmaps, features if len(self.network.sosnets) else None)

    @torch.inference_mode()
    def small_organ(self, organ: str, features: Tensor, ct: Tensor) -> np.ndarray:
        scores, _ = self.network.sosnets[organ](features, ct.to(features.device, features.dtype))
        return scores[0, 0].float().sigmoid().cpu().numpy()


class OpenVinoBackend:
    """S-Net and SOL-Net through OpenVINO (extra ``openvino``): the quickest on a CPU. SOS-Nets are small and stay in torch."""

    name = "openvino"

    def __init__(self, bundle: ModelBundle, device: Device, chunk_slices: int) -> None:
        try:
            import openvino as ov
        except ImportError as problem:
            raise InputError(
                'Backend openvino was asked for but is not installed: pip install "focusnet[openvino]".'
            ) from problem
        if device.torch_device.type != "cpu":
            raise InputError(
                f"Backend openvino runs on the CPU; {device} was asked for. Leave out --backend or choose --device cpu."
            )
        self.device = device
        network = bundle.build()
        self.sosnets = network.sosnets
        rows, columns = bundle.config.crop_size_yx
        self.chunk_slices = chunk_slices
        # traced on the smallest input that can be pooled (tracing runs the network once), then fixed to the chunk's size
        smallest = bundle.config.in_plane_multiple
        example = torch.zeros(1, 1, bundle.config.z_multiple, smallest, smallest)
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own words about tracing
            converted = ov.convert_model(_TracedNetwork(network).eval(), example_input=example)
        converted.reshape([1, 1, chunk_slices, rows, columns])
        hint = {"INFERENCE_PRECISION_HINT": "bf16" if device.precision == "bf16" else "f32"}
        self.compiled = ov.Core().compile_model(converted, "CPU", hint)
        self.has_sol = network.solnet is not None

    def run(self, ct: np.ndarray) -> ChunkOutput:
        slices = ct.shape[0]
        padded = np.pad(ct, ((0, self.chunk_slices - slices), (0, 0), (0, 0)), mode="edge")
        # the outputs stay OpenVINO's own until its next run: a copy of all of them would be a third of the memory
        out = self.compiled(padded[None, None], share_inputs=True, share_outputs=True)
        probabilities = out[0][0, :, :slices]
        heatmaps = out[1][0, :, :slices] if self.has_sol else None
        features = torch.from_numpy(out[2 if self.has_sol else 1][:, :, :slices]) if len(self.sosnets) else None
        return ChunkOutput(probabilities, heatmaps, features)

    @torch.inference_mode()
    def small_organ(self, organ: str, features: Tensor, ct: Tensor) -> np.ndarray:
        scores, _ = self.sosnets[organ](features.float(), ct.float())
        return scores[0, 0].sigmoid().numpy()


class _TracedNetwork(torch.nn.Module):
    """What OpenVINO compiles: probabilities, heat maps if there are any, features if SOS-Nets need them."""

    def __init__(self, network: FocusNet) -> None:
        super().__init__()
        self.snet, self.solnet, self.keep = network.snet, network.solnet, len(network.sosnets) > 0

    def forward(self, ct: Tensor) -> tuple[Tensor, ...]:
        features, scores = self.snet(ct)
        out = [F.softmax(scores, dim=1)]
        if self.solnet is not None:
            out.append(self.solnet(features, scores))
        if self.keep:
            out.append(features)
        return tuple(out)


def check_backend(backend: str) -> None:
    """Raise InputError for a name that is no backend."""
    if backend not in ("auto", "torch", "openvino"):
        raise InputError(f"Backend {backend!r} is unknown; choose auto, torch or openvino.")


def make_backend(bundle: ModelBundle, device: Device, backend: str, chunk_slices: int) -> Backend:
    """``backend``: "torch", "openvino" or "auto" (torch). Raises InputError for what is not installed."""
    check_backend(backend)
    if backend == "openvino":
        return OpenVinoBackend(bundle, device, chunk_slices)
    return TorchBackend(bundle, device)
