"""Is int8 worth it? The network quantised by NNCF after training, against fp32 and bf16: DSC of the shipped model, CPU seconds of a chunk.

    pip install ".[openvino]" nncf
    OMP_NUM_THREADS=1 python benchmarks/int8_openvino.py DATA/openkbp [--scans 12]

The gate: a mean DSC at most 0.002 lower, and at least 1.5 times as fast. Speed is also measured for the full-width network with random weights.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))

from focusnet.datasets.openkbp import OpenKBPDataset
from focusnet.image.organs import ORGANS
from focusnet.image.volume import Volume
from focusnet.inference import segment as segmentation
from focusnet.inference.backends import OpenVinoBackend, openvino_model
from focusnet.inference.devices import choose_device
from focusnet.inference.preprocess import preprocess
from focusnet.metrics import dice
from focusnet.nets.bundle import load_bundle
from focusnet.nets.config import NetworkConfig
from focusnet.nets.focusnet import FocusNet

CALIBRATION_SCANS = 20
REPEATS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--scans", type=int, default=12)
    options = parser.parse_args()
    dataset = OpenKBPDataset(options.data)
    bundle = load_bundle("han7-openkbp")
    config = bundle.config
    chunk = config.chunk_when_segmenting
    chunks = [one_chunk(dataset, name, config, chunk) for name in dataset.patients("train")[:CALIBRATION_SCANS]]
    floats = openvino_model(bundle.build(), config, chunk)
    small = quantised(openvino_model(bundle.build(), config, chunk), chunks)
    print("han7-openkbp", timing(floats, small, chunks[0]))
    print(
        f"mean DSC of all organs on {options.scans} val scans:",
        {name: round(score(dataset, bundle, model, options.scans), 4) for name, model in (("fp32", floats), ("int8", small))},
    )  # fmt: skip
    wide = NetworkConfig(organs=tuple(o.name for o in ORGANS[:22]), small_organs=(), width=1.0, crop_size_yx=(128, 128))
    noise = [np.random.default_rng(k).normal(size=(1, 1, 16, 128, 128)).astype(np.float32) for k in range(4)]
    floats, small = (openvino_model(FocusNet(wide).eval(), wide, 16) for _ in range(2))
    print("full width, random weights, 16 x 128 x 128", timing(floats, quantised(small, noise), noise[0]))


def one_chunk(dataset: OpenKBPDataset, name: str, config: NetworkConfig, slices: int) -> np.ndarray:
    """Return network intensities (1, 1, slices, H, W) of the middle of a training scan."""
    case = dataset.case("train", name)
    ct = preprocess(Volume(case.hu, case.geometry, name), config)[0].numpy()
    start = max(0, (len(ct) - slices) // 2)
    part = ct[start : start + slices]
    return np.pad(part, ((0, slices - len(part)), (0, 0), (0, 0)), mode="edge")[None, None]


def quantised(model: Any, chunks: list[np.ndarray]) -> Any:
    """Return the model with int8 weights and activations, their ranges from ``chunks``."""
    import nncf

    return nncf.quantize(model, nncf.Dataset(chunks), subset_size=len(chunks))


def timing(floats: Any, small: Any, chunk: np.ndarray) -> str:
    """Return the CPU seconds of a chunk in each arithmetic, and their ratios to the quickest other one."""
    import openvino as ov

    def seconds(model: Any, hint: str) -> float:
        compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint})
        return cpu_seconds(lambda: compiled(chunk))

    took = {
        "fp32": seconds(floats, "f32"),
        "bf16": seconds(floats, "bf16"),
        "int8": seconds(small, "f32"),
        "int8 and bf16": seconds(small, "bf16"),
    }
    best = min(took["fp32"], took["bf16"])
    return ", ".join(f"{name} {value:.2f} CPU s ({best / value:.2f} times as fast)" for name, value in took.items())


def cpu_seconds(run: Callable[[], object]) -> float:
    """Return the least CPU seconds of a few runs; the first one warms up."""
    run()
    took = []
    for _ in range(REPEATS):
        began = time.process_time()
        run()
        took.append(time.process_time() - began)
    return min(took)


def score(dataset: OpenKBPDataset, bundle: Any, model: Any, scans: int) -> float:
    """Return the mean DSC over organs and the first ``scans`` scans of val with S-Net and SOL-Net run by ``model``."""
    import openvino as ov

    backend = OpenVinoBackend(bundle, choose_device("cpu", "fp32"), bundle.config.chunk_when_segmenting)
    backend.compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    segmentation.kept_backend = lambda *_: backend  # type: ignore[attr-defined]
    found = []
    for name in dataset.patients("val")[:scans]:
        case = dataset.case("val", name)
        with torch.inference_mode():
            result = segmentation.segment(
                Volume(case.hu, case.geometry, name), bundle, device="cpu", backend="openvino"
            )
        for label, organ in enumerate(dataset.organs, start=1):
            if organ in case.contoured:
                found.append(dice(result.mask(organ), case.labels == label))
    return float(np.mean(found))


if __name__ == "__main__":
    main()
