"""One scan, several ways, in one run: ours on each device and backend that is there, the paper-style path, nnU-Net's network in a sliding window,
AnatomyNet. Seconds, processor seconds, memory, as ratios to ours.

    python benchmarks/peers.py [--shape 40,512,512] [--only ours-torch,paper,...]
    python benchmarks/peers.py --sweep docs/images/cost.png      ours against slices, matrix and organs, at a quarter of the width

Random weights (cost does not depend on them), 22 organs of which 6 small, 0.98 x 0.98 x 3 mm. Each way in a process of its own; what is needed
once (weights, OpenVINO's start) is not counted. nnU-Net's and AnatomyNet's networks get our crop and our chunks' voxels of 1 x 1 x 3 mm: left to
themselves they would go over the whole field of view.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from inference import SMALL, make_scan, paper_style

WAYS = ("ours-torch", "ours-openvino", "ours-cuda", "paper", "nnunet", "anatomynet")
# of nnU-Net's 3d_fullres plan for such a scan: patch, features, strides (Isensee et al. 2021), half a patch of overlap, no mirroring
PATCH_ZYX = (40, 192, 192)
FEATURES = (32, 64, 128, 256, 320, 320)
STRIDES = ((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))
SWEEP: dict[str, tuple[int, ...]] = {
    "slices": (50, 100, 150, 300, 600),
    "matrix": (256, 512, 768, 1024),
    "organs": (7, 22, 35),  # as many as the organ table has
}
USUAL = {"slices": 50, "matrix": 512, "organs": 22}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="40,512,512", help="slices, rows, columns")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--only", default=",".join(WAYS))
    parser.add_argument("--sweep", type=Path, metavar="PLOT.png")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.child, _shape(options.shape), options.width)))
    elif options.sweep:
        sweep(options.sweep)
    else:
        report({way: _in_a_process(way, options) for way in options.only.split(",")})


def _shape(text: str) -> tuple[int, int, int]:
    slices, rows, columns = (int(n) for n in text.split(","))
    return slices, rows, columns


def _in_a_process(way: str, options: argparse.Namespace) -> dict[str, float] | None:
    command = [sys.executable, __file__, "--child", way, "--shape", options.shape, "--width", str(options.width)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"{way}: not measured ({(done.stderr.strip().splitlines() or ['failed'])[-1]})", flush=True)
        return None
    row: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    print(f"{way}: {row}", flush=True)
    return row


def measure(way: str, shape: tuple[int, int, int], width: float) -> dict[str, float]:
    """Prepare ``way``, then count what one scan costs."""
    import resource

    from inference import rss_mib

    run = prepared(way, make_scan(shape), width)
    before_mib, cpu, wall = rss_mib(), time.process_time(), time.monotonic()
    run()
    return {
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.monotonic() - wall,
        "extra_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before_mib,
    }


def prepared(way: str, scan: Any, width: float) -> Callable[[], object]:
    """Return what contours ``scan`` in one of WAYS, everything that is needed once being done."""
    from focusnet.inference.backends import kept_backend
    from focusnet.inference.options import SegmentOptions
    from focusnet.inference.segment import segment_scan

    if way == "nnunet":
        return nnunet(scan)
    bundle = random_bundle(width, arch="anatomynet" if way == "anatomynet" else "focusnetv2")
    if way == "paper":
        return lambda: paper_style(scan, bundle)
    backend, device = (
        ("openvino", "cpu") if way == "ours-openvino" else ("torch", "cuda" if way == "ours-cuda" else "cpu")
    )
    options = SegmentOptions(bundle, device=device, backend=backend, check_orientation=False)
    kept_backend(options.bundle, options.chosen_device, backend, bundle.config.chunk_when_segmenting)
    return lambda: segment_scan(scan, options)


def random_bundle(width: float, organs: int = 22, arch: str = "focusnetv2") -> Any:
    """A bundle of random weights; six of its organs are small where there are as many as in the paper or more."""
    import torch

    from focusnet.image.organs import ORGANS, organ_set
    from focusnet.nets.bundle import load_bundle, save_bundle
    from focusnet.nets.config import NetworkConfig
    from focusnet.nets.focusnet import FocusNet

    torch.manual_seed(0)
    paper = [organ.name for organ in organ_set("paper22")]
    names = tuple(dict.fromkeys([*paper, *(organ.name for organ in ORGANS)]))[:organs]
    small = tuple(o for o in SMALL if o in names) if arch == "focusnetv2" else ()
    config = NetworkConfig(
        organs=names, small_organs=small, has_sos=bool(small), width=width, location_threshold=0.0, arch=arch
    )  # type: ignore[arg-type]
    folder = Path(tempfile.mkdtemp()) / "random"
    save_bundle(folder, "random", FocusNet(config), {"data": "random weights"})
    return load_bundle(folder)


def nnunet(scan: Any) -> Callable[[], object]:
    """nnU-Net's network (MONAI's DynUNet) as nnU-Net applies it: windows that overlap by half, weighted by a Gaussian, probabilities resampled
    class by class to the scan's grid."""
    import torch
    from monai.inferers import sliding_window_inference
    from monai.networks.nets import DynUNet

    from focusnet.inference.devices import choose_device
    from focusnet.inference.preprocess import preprocess
    from focusnet.nets.config import NetworkConfig

    kernels = [(1, 3, 3) if stride[0] == 1 and i == 0 else (3, 3, 3) for i, stride in enumerate(STRIDES)]
    net = DynUNet(3, 1, 23, kernels, STRIDES, STRIDES[1:], FEATURES, norm_name="instance", res_block=False).eval()
    device = choose_device("cpu")
    net = net.to(device.dtype)
    config = NetworkConfig(organs=("Brainstem",))

    @torch.inference_mode()
    def run() -> np.ndarray:
        ct, record = preprocess(scan, config)
        window = tuple(min(a, b) for a, b in zip(PATCH_ZYX, ct.shape, strict=True))
        scores = sliding_window_inference(ct[None, None].to(device.dtype), window, 1, net, overlap=0.5, mode="gaussian")
        step = [n * s for n, s in zip(record.network.shape_zyx, record.network.spacing_mm_zyx, strict=True)]
        size = [round(mm / s) for mm, s in zip(step, scan.geometry.spacing_mm_zyx, strict=True)]
        probabilities = scores[0].float().softmax(dim=0)
        best = torch.zeros(size)
        labels = torch.zeros(size, dtype=torch.uint8)
        for value, one in enumerate(probabilities):
            there = torch.nn.functional.interpolate(one[None, None], size=size, mode="trilinear")[0, 0]
            labels[there > best] = value
            best = torch.maximum(best, there)
        return labels.numpy()

    return run


def report(rows: dict[str, dict[str, float] | None]) -> None:
    """Print the table, ratios to ours-torch."""
    measured = {way: row for way, row in rows.items() if row}
    base = measured.get("ours-torch") or next(iter(measured.values()))
    print(
        f"\n{'way':<16}{'CPU s':>8}{'wall s':>8}{'extra MiB':>11}{'CPU ratio':>11}{'wall ratio':>12}{'memory ratio':>14}"
    )
    for way, row in measured.items():
        ratios = [row[key] / base[key] for key in ("cpu_s", "wall_s", "extra_mib")]
        print(
            f"{way:<16}{row['cpu_s']:>8.1f}{row['wall_s']:>8.1f}{row['extra_mib']:>11.0f}{ratios[0]:>11.2f}{ratios[1]:>12.2f}{ratios[2]:>14.2f}"
        )


def sweep(plot: Path) -> None:
    """Measure ours against slices, matrix and organs, one at a time, and draw processor seconds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    found: dict[str, list[float]] = {}
    for what, values in SWEEP.items():
        found[what] = []
        for value in values:
            sizes = {**USUAL, what: value}
            options, scan = _swept(sizes)
            from focusnet.inference.segment import segment_scan

            cpu = time.process_time()
            segment_scan(scan, options)
            found[what].append(time.process_time() - cpu)
            print(f"{sizes}: {found[what][-1]:.1f} CPU s", flush=True)
    figure, axes = pyplot.subplots(1, 3, figsize=(9, 2.8), sharey=True, constrained_layout=True)
    for axis, (what, values) in zip(axes, SWEEP.items(), strict=True):
        axis.plot(values, found[what], "o-", color="#1f5fa8")
        axis.set_xlabel({"slices": "slices of 3 mm", "matrix": "matrix (pixels a side)", "organs": "organs"}[what])
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("CPU seconds a scan")
    figure.savefig(plot, dpi=110)
    print(json.dumps({what: dict(zip(SWEEP[what], np.round(s, 1).tolist(), strict=True)) for what, s in found.items()}))


def _swept(sizes: dict[str, int]) -> tuple[Any, Any]:
    """A scan of that many slices and pixels over one and the same 500 mm field, and a network of that many organs."""
    from dataclasses import replace

    from focusnet.inference.options import SegmentOptions

    scan = make_scan((sizes["slices"], sizes["matrix"], sizes["matrix"]))
    pixel_mm = 500.0 / sizes["matrix"]
    scan = replace(scan, geometry=replace(scan.geometry, spacing_mm_xyz=(pixel_mm, pixel_mm, 3.0)))
    return SegmentOptions(
        random_bundle(0.25, sizes["organs"]), device="cpu", backend="torch", check_orientation=False
    ), scan


if __name__ == "__main__":
    main()
