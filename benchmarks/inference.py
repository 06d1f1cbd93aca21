"""CPU seconds and extra memory of one scan, three ways in one run: lean (what ships), OpenVINO, and paper-style.

    python benchmarks/inference.py [--width 1.0] [--shape 150,512,512] [--only lean,openvino,paper]

Random weights (cost does not depend on them), the paper's full-width net with 22 organs of which 6 are small, S-Net + SOL + SOS, a
512 x 512 x 150 scan at 0.98 x 0.98 x 3 mm. Each way runs in a process of its own, so that its peak memory is its own. Not a test:
figures depend on the machine; the ratios travel better.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))

SMALL = ("Lens_L", "Lens_R", "OpticNrv_L", "OpticNrv_R", "OpticChiasm", "Pituitary")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--shape", default="150,512,512", help="slices, rows, columns")
    parser.add_argument("--only", default="lean,openvino,paper")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    shape = tuple(int(n) for n in options.shape.split(","))
    if options.child:
        print(json.dumps(measure(options.child, Path(options.folder), shape)))
        return
    from focusnet.inference.devices import cpu_has_bf16

    print(f"{platform.processor() or platform.machine()}, bf16 in hardware: {cpu_has_bf16()}, AMX: {has_amx()}")
    with tempfile.TemporaryDirectory() as folder:
        make_bundle(Path(folder), options.width)
        rows = {way: run_child(way, folder, options) for way in options.only.split(",")}
    report(rows)


def make_bundle(folder: Path, width: float) -> None:
    import torch

    from focusnet.image.organs import organ_set
    from focusnet.nets.bundle import save_bundle
    from focusnet.nets.config import NetworkConfig
    from focusnet.nets.focusnet import FocusNet

    torch.manual_seed(0)
    organs = tuple(organ.name for organ in organ_set("paper22"))
    small = tuple(o for o in SMALL if o in organs)
    config = NetworkConfig(organs=organs, small_organs=small, has_sos=True, width=width, location_threshold=0.0)
    save_bundle(folder / "full", "full", FocusNet(config), {"data": "random weights"})


def run_child(way: str, folder: str, options: argparse.Namespace) -> dict[str, float] | None:
    command = [sys.executable, __file__, "--child", way, "--folder", folder, "--shape", options.shape]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"{way}: not measured ({done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'failed'})")
        return None
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def measure(way: str, folder: Path, shape: tuple[int, ...]) -> dict[str, float]:
    """Load everything, then count what one scan costs: CPU seconds of all threads, wall seconds, peak memory above what was there."""
    from focusnet.nets.bundle import load_bundle

    bundle = load_bundle(folder / "full")
    scan = make_scan(shape)
    ways: dict[str, Callable[[], object]] = {}
    from focusnet.inference.segment import segment

    ways["lean"] = lambda: segment(scan, bundle, device="cpu", check_orientation=False)
    ways["lean-fp32"] = lambda: segment(scan, bundle, device="cpu", precision="fp32", check_orientation=False)
    ways["openvino"] = lambda: segment(scan, bundle, device="cpu", backend="openvino", check_orientation=False)
    ways["paper"] = lambda: paper_style(scan, bundle)
    if way == "openvino":
        import openvino  # noqa: F401 - its libraries are not the scan's memory
    before_mib, cpu, wall = rss_mib(), time.process_time(), time.monotonic()
    ways[way]()
    return {
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.monotonic() - wall,
        "extra_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before_mib,
    }


def make_scan(shape: tuple[int, ...]):
    """An elliptic cylinder of noisy soft tissue."""
    from focusnet.image.volume import Geometry, Volume

    rng = np.random.default_rng(0)
    _, rows, columns = shape
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    slice_hu = np.where((x / 0.4) ** 2 + (y / 0.45) ** 2 < 1, 40, -1000)
    array = np.empty(shape, np.int16)
    for k in range(shape[0]):
        array[k] = slice_hu + rng.integers(-20, 20, slice_hu.shape)
    return Volume(array, Geometry(array.shape, (0.98, 0.98, 3.0)))


def paper_style(scan, bundle) -> np.ndarray:
    """As the paper and its released code go about it: the full field is resampled, fp32, every probability is kept to the end."""
    import SimpleITK as sitk
    import torch

    from focusnet.inference.chunks import chunk_starts
    from focusnet.inference.preprocess import normalise
    from focusnet.nets.roi import roi_around

    config, network = bundle.config, bundle.build()
    image = sitk.GetImageFromArray(scan.array.astype(np.float32))
    image.SetSpacing(scan.geometry.spacing_mm_xyz)
    spacing = config.spacing_mm_zyx[::-1]
    size = [round(n * s / t) for n, s, t in zip(image.GetSize(), image.GetSpacing(), spacing, strict=True)]
    resampled = sitk.Resample(
        image, size, sitk.Transform(), sitk.sitkLinear, image.GetOrigin(), spacing, image.GetDirection(), -1024.0
    )
    field = normalise(sitk.GetArrayFromImage(resampled), config)
    top, left = ((n - c) // 2 for n, c in zip(field.shape[1:], config.crop_size_yx, strict=True))
    rows, columns = config.crop_size_yx
    ct = field[:, top : top + rows, left : left + columns]
    probabilities = np.zeros((len(config.organs) + 1, *ct.shape), np.float32)
    heat = np.zeros((len(config.small_organs), *ct.shape), np.float32)
    kept = []
    with torch.inference_mode():
        for start in chunk_starts(ct.shape[0], 40, 40):
            chunk = torch.from_numpy(np.ascontiguousarray(ct[start : start + 40]))[None, None]
            features, scores = network.snet(chunk)
            probabilities[:, start : start + 40] = scores[0].softmax(0).numpy()
            heat[:, start : start + 40] = network.solnet(features, scores)[0].numpy()
            for i, organ in enumerate(config.small_organs):  # one SOS run per organ and chunk
                z, y, x = np.unravel_index(heat[i, start : start + 40].argmax(), chunk.shape[2:])
                roi = roi_around((z, y, x), config.roi_size_zyx, tuple(chunk.shape[2:]))
                kept.append(network.sosnets[organ](roi.crop(features), roi.crop(chunk))[0].numpy())
    full = np.zeros((len(probabilities), *field.shape), np.float32)
    full[0] = 1
    full[:, :, top : top + rows, left : left + columns] = probabilities
    back = torch.nn.functional.interpolate(torch.from_numpy(full)[None], size=scan.array.shape, mode="trilinear")
    return back[0].argmax(0).numpy().astype(np.uint8)


def rss_mib() -> float:
    import psutil

    return float(psutil.Process().memory_info().rss) / 2**20


def has_amx() -> bool:
    import torch

    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())


def report(rows: dict[str, dict[str, float] | None]) -> None:
    measured = {way: row for way, row in rows.items() if row}
    base = measured.get("paper")
    print(
        f"{'way':<12}{'CPU s':>8}{'wall s':>8}{'extra MiB':>11}{'CPU ratio':>11}{'memory ratio':>14}   (ratios to paper-style)"
    )
    for way, row in measured.items():
        ratios = f"{row['cpu_s'] / base['cpu_s']:>11.2f}{row['extra_mib'] / base['extra_mib']:>14.2f}" if base else ""
        print(f"{way:<12}{row['cpu_s']:>8.1f}{row['wall_s']:>8.1f}{row['extra_mib']:>11.0f}{ratios}")


if __name__ == "__main__":
    main()
