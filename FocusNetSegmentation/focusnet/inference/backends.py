"""Runs the networks on one chunk, on torch or OpenVINO. The pipeline knows neither."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal, Protocol, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from ..nets.bundle import ModelBundle
from ..nets.focusnet import FocusNet
from ..nets.folding import fold_batch_norms
from .arrays import probabilities_of
from .devices import Device

BackendName = Literal["auto", "torch", "openvino"]
BACKENDS: tuple[str, ...] = get_args(BackendName)


@dataclass(frozen=True)
class ChunkOutput:
    """What a chunk gives, on the device that it ran on: ``probabilities`` float32 (C + 1, d, H, W), ``heatmaps`` float32 (S, d, H, W) or
    None, ``features`` (1, F, d, H, W) or None (kept only where SOS-Nets need them)."""

    probabilities: Tensor
    heatmaps: Tensor | None
    features: Tensor | None


class Backend(Protocol):
    """Runs the parts of the network on ``torch_device``; ``name`` stands in the result's provenance."""

    name: str
    torch_device: torch.device  # where inputs are expected and outputs lie

    def run(self, ct: Tensor) -> ChunkOutput:
        """Run S-Net and SOL-Net on one chunk (d, H, W), float32 intensities; d, H and W divide as the configuration asks.

        What is returned is valid until the next call: a backend may use the memory again.
        """
        ...

    def small_organ(self, organ: str, features: Tensor, ct: Tensor) -> Tensor:
        """Return SOS-Net's probability, float32 (d, h, w), in an ROI: features (1, F, d, h, w), CT (1, 1, d, h, w)."""
        ...


class TorchBackend:
    """Eager torch: the reference. Wraps a network that is in eval mode on its device.

    ``dtype``: of the network's input. ``autocast``: the context in which it runs, for a network whose weights stay in float32.
    ``localizes`` and ``segments_small`` False: heat maps are not computed, features not kept.
    """

    name = "torch"

    def __init__(
        self,
        network: FocusNet,
        dtype: torch.dtype = torch.float32,
        autocast: torch.autocast | None = None,
        localizes: bool = True,
        segments_small: bool = True,
    ) -> None:
        self.network, self.dtype = network, dtype
        self.network_device = next(network.parameters()).device
        self.torch_device = Device(self.network_device, "fp32").working_device
        self.context: AbstractContextManager[Any] = autocast if autocast is not None else nullcontext()
        self.solnet = network.solnet if localizes else None
        self.keeps_features = segments_small and len(network.sosnets) > 0

    @classmethod
    def of_bundle(cls, bundle: ModelBundle, device: Device) -> TorchBackend:
        """Build the bundle's network on ``device``, channels last, with its weights in the device's precision.

        Raises ModelError for weights that do not fit.
        """
        network: FocusNet = bundle.build()
        fold_batch_norms(network)
        network = network.to(device=device.torch_device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        for module in network.modules():
            # batch norm keeps its statistics in fp32 and takes half-precision input as it is
            if not isinstance(module, torch.nn.BatchNorm3d):
                for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                    if tensor.is_floating_point():
                        tensor.data = tensor.data.to(device.dtype)
        return cls(network, device.dtype)

    @torch.inference_mode()
    def run(self, ct: Tensor) -> ChunkOutput:
        """Run one chunk (d, H, W); see ``Backend``."""
        with self.context:
            features, scores = self.network.snet(
                ct[None, None].to(self.network_device, self.dtype)
            )  # (1, F, d, H, W), (1, C + 1, d, H, W)
            heatmaps = self.solnet(features, scores)[0].float() if self.solnet is not None else None
        probabilities = probabilities_of(scores[0].to(self.torch_device))  # (C + 1, d, H, W)
        return ChunkOutput(
            probabilities,
            heatmaps.to(self.torch_device) if heatmaps is not None else None,
            features.to(self.torch_device) if self.keeps_features else None,
        )

    @torch.inference_mode()
    def small_organ(self, organ: str, features: Tensor, ct: Tensor) -> Tensor:
        """Run one SOS-Net; see ``Backend``."""
        with self.context:
            scores, _ = self.network.sosnets[organ](
                features.to(self.network_device), ct.to(self.network_device, self.dtype)
            )
        return scores[0, 0].float().sigmoid().to(self.torch_device)


class OpenVinoBackend:
    """S-Net and SOL-Net through OpenVINO (extra ``openvino``): the quickest on a CPU. SOS-Nets are small and stay in torch."""

    name = "openvino"

    def __init__(self, bundle: ModelBundle, device: Device, chunk_slices: int) -> None:
        check_backend("openvino", device)
        import openvino as ov

        self.device, self.torch_device = device, torch.device("cpu")
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

    def run(self, ct: Tensor) -> ChunkOutput:
        """Run one chunk (d, H, W), padded to the length that was compiled; see ``Backend``."""
        slices = ct.shape[0]
        padded = np.pad(ct.numpy(), ((0, self.chunk_slices - slices), (0, 0), (0, 0)), mode="edge")
        # the outputs stay OpenVINO's own until its next run: a copy of all of them would be a third of the memory
        out = self.compiled(padded[None, None], share_inputs=True, share_outputs=True)
        probabilities = torch.from_numpy(out[0])[0, :, :slices]
        heatmaps = torch.from_numpy(out[1])[0, :, :slices] if self.has_sol else None
        features = torch.from_numpy(out[2 if self.has_sol else 1][:, :, :slices]) if len(self.sosnets) else None
        return ChunkOutput(probabilities, heatmaps, features)

    @torch.inference_mode()
    def small_organ(self, organ: str, features: Tensor, ct: Tensor) -> Tensor:
        """Run one SOS-Net in torch; see ``Backend``."""
        scores, _ = self.sosnets[organ](features.float(), ct.float())
        return scores[0, 0].sigmoid()


class _TracedNetwork(torch.nn.Module):
    """The part of FocusNet that OpenVINO compiles: CT (1, 1, d, H, W) to probabilities, heat maps if there are any, and features if
    SOS-Nets need them."""

    def __init__(self, network: FocusNet) -> None:
        super().__init__()
        self.snet, self.solnet, self.keep = network.snet, network.solnet, len(network.sosnets) > 0

    def forward(self, ct: Tensor) -> tuple[Tensor, ...]:
        """Return probabilities (1, C + 1, d, H, W), then heat maps and features where the network has them, of CT (1, 1, d, H, W)."""
        features, scores = self.snet(ct)
        out = [F.softmax(scores, dim=1)]
        if self.solnet is not None:
            out.append(self.solnet(features, scores))
        if self.keep:
            out.append(features)
        return tuple(out)


def check_backend(backend: str, device: Device) -> None:
    """Raise InputError for a name that is no backend, or one that is not installed or does not run on ``device``."""
    if backend not in BACKENDS:
        *others, last = BACKENDS
        raise InputError(f"Backend {backend!r} is unknown; choose {', '.join(others)} or {last}.")
    if backend != "openvino":
        return
    if find_spec("openvino") is None:
        raise InputError('Backend openvino was asked for but is not installed: pip install "focusnet[openvino]".')
    if device.torch_device.type != "cpu":
        raise InputError(
            f"Backend openvino runs on the CPU; {device} was asked for. Leave out --backend or choose --device cpu."
        )


_kept: dict[tuple[str, ...], Backend] = {}


def kept_backend(bundle: ModelBundle, device: Device, backend: str, chunk_slices: int) -> Backend:
    """Return what ``make_backend`` makes, and keep the last one: the next scan need not build or compile the network again."""
    key = (str(bundle.folder), bundle.digest, str(device), device.precision, backend, str(chunk_slices))
    if key not in _kept:
        _kept.clear()
        _kept[key] = make_backend(bundle, device, backend, chunk_slices)
    return _kept[key]


def forget_backend() -> None:
    """Give the kept network's memory back."""
    _kept.clear()


def make_backend(bundle: ModelBundle, device: Device, backend: str, chunk_slices: int) -> Backend:
    """Build the bundle's networks for ``backend``: "torch", "openvino" or "auto" (torch). Raises InputError as ``check_backend``."""
    check_backend(backend, device)
    if backend == "openvino":
        return OpenVinoBackend(bundle, device, chunk_slices)
    return TorchBackend.of_bundle(bundle, device)
