"""What a GPU takes, in under four minutes: one scan by part, the network by layer and by arithmetic, a training step. A table, and JSON.

    python benchmarks/gpu_check.py [--json gpu_check.json] [--minutes 3.5]
    python benchmarks/gpu_check.py --tiny --device cpu       a dry run in seconds, to see that the script itself works

22 organs of which 6 small, full width, random weights (cost does not depend on them), 512 x 512 x 150 voxels at 0.98 x 0.98 x 3 mm. Needs
neither data nor the network. What takes longest comes last and is left out, with a word, when the time is over.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from inference import SMALL, make_scan

from focusnet.image.organs import organ_set
from focusnet.inference.options import SegmentOptions
from focusnet.inference.segment import segment_scan
from focusnet.nets.bundle import ModelBundle, load_bundle, save_bundle
from focusnet.nets.config import NetworkConfig
from focusnet.nets.focusnet import FocusNet
from focusnet.nets.folding import fold_batch_norms

GOALS = {"end to end s": 0.5, "network bf16 folded s": 0.05, "training step 4 x 40 x 96 x 72 bf16 s": 0.03}


class Check:
    """Runs the parts until the time is over and keeps what they find. ``tiny``: sizes for a dry run."""

    def __init__(self, device: torch.device, tiny: bool, seconds: float) -> None:
        self.device, self.tiny, self.until = device, tiny, time.monotonic() + seconds
        self.found: dict[str, Any] = {"torch": torch.__version__, "device": str(device), "tiny": tiny}
        if device.type == "cuda":
            self.found |= {"card": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}
        organs = tuple(organ.name for organ in organ_set("paper22"))
        small = tuple(organ for organ in SMALL if organ in organs)
        sizes: dict[str, Any] = (
            {"width": 0.125, "crop_size_yx": (48, 48), "chunk_slices": 8, "stride": 8} if tiny else {}
        )
        self.config = NetworkConfig(organs=organs, small_organs=small, has_sos=True, location_threshold=0.0, **sizes)
        self.scan = make_scan((12, 64, 64) if tiny else (150, 512, 512))
        self.repeats = 2 if tiny else 10

    def add(self, name: str, value: float | str) -> None:
        """Keep one figure and print it."""
        self.found[name] = value
        goal = f"   (goal {GOALS[name]:g})" if name in GOALS else ""
        print(f"{name:<56}{value if isinstance(value, str) else f'{value:12.4f}'}{goal}", flush=True)

    def sync(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, run: Callable[[], object], repeats: int | None = None) -> float:
        """Return the median time of ``run``, after two runs that choose kernels."""
        for _ in range(1 if self.tiny else 2):
            run()
        self.sync()
        times = []
        for _ in range(repeats or self.repeats):
            began = time.perf_counter()
            run()
            self.sync()
            times.append(time.perf_counter() - began)
        return float(np.median(times))

    def run(self, *parts: Callable[[Check], None]) -> dict[str, Any]:
        """Run every part; one that fails, or for which no time is left, is noted and the others go on."""
        for part in parts:
            if time.monotonic() > self.until:
                self.add(part.__name__, "left out: the time is over")
                continue
            try:
                part(self)
            except Exception as problem:  # the card's time is dear: what works is reported
                self.add(part.__name__, f"failed: {type(problem).__name__}: {str(problem).splitlines()[:1]}")
                traceback.print_exc()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        return self.found


def end_to_end(check: Check) -> None:
    """From the array to the labels, whole and by part."""
    options = SegmentOptions(_bundle(check), device=str(check.device), backend="torch", check_orientation=False)
    if check.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    check.add("end to end s", check.seconds(lambda: segment_scan(check.scan, options), 3))
    if check.device.type == "cuda":
        check.add("end to end peak GiB", torch.cuda.max_memory_allocated() / 2**30)
    with _timed_parts(check) as parts:
        segment_scan(check.scan, options)
    for name, seconds in parts.items():
        check.add(f"  of which {name} s", seconds)


def network(check: Check) -> None:
    """The network alone on 120 x 240 x 240 voxels: three chunks, SOL-Net on each, each SOS-Net once; by arithmetic and layout."""
    for name, dtype in (
        ("fp32", torch.float32),
        ("tf32", torch.float32),
        ("bf16", torch.bfloat16),
        ("fp16", torch.float16),
    ):
        if name in ("fp16", "tf32") and check.device.type == "cpu":
            continue
        _allow_tf32(name != "fp32")
        for layout, last in (("channels first", False), ("channels last", True)):
            run = _network_run(check, dtype, channels_last=last, folded=False)
            check.add(f"network {name} {layout} s", check.seconds(run))
        run = _network_run(check, dtype, channels_last=True, folded=True)
        check.add(f"network {name} folded s", check.seconds(run))
        if check.device.type == "cuda" and name in ("bf16", "fp16"):
            check.add(f"network {name} folded, CUDA graph s", check.seconds(_as_graph(run)))


def chunk_lengths(check: Check) -> None:
    """How a chunk's length changes the time of all slices."""
    for slices in (8, 16) if check.tiny else (20, 40, 60, 120):
        run = _network_run(check, torch.bfloat16, channels_last=True, folded=True, slices=slices)
        check.add(f"network bf16 folded, chunks of {slices} slices s", check.seconds(run, 5))


def layers(check: Check) -> None:
    """Which kernels the time goes to."""
    from torch.profiler import ProfilerActivity, profile

    run = _network_run(check, torch.bfloat16, channels_last=True, folded=True)
    run()
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if check.device.type == "cuda" else [])]
    with profile(activities=kinds, record_shapes=True) as profiled:
        run()
        check.sync()
    key = "self_device_time_total" if check.device.type == "cuda" else "self_cpu_time_total"
    events = sorted(profiled.key_averages(group_by_input_shape=True), key=lambda e: -float(getattr(e, key, 0)))
    rows = [(e.key, str(e.input_shapes)[:90], e.count, float(getattr(e, key, 0)) / 1000) for e in events[:20]]
    check.found["layers"] = rows
    for name, shapes, count, ms in rows:
        print(f"  {ms:9.3f} ms {count:4d} x {name:<40} {shapes}")


def training_step(check: Check) -> None:
    """S-Net's step as stage ``snet`` makes it."""
    from focusnet.train.loop.precision import autocast
    from focusnet.train.settings import Settings
    from focusnet.train.stages.losses import segmentation_loss

    batch, shape = (1, (8, 32, 32)) if check.tiny else (4, (40, 96, 72))
    model = FocusNet(check.config).to(check.device, memory_format=torch.channels_last_3d).train()  # type: ignore[call-overload]
    adam = torch.optim.Adam(model.snet.parameters(), lr=1e-4, fused=check.device.type == "cuda")
    ct = torch.randn(batch, 1, *shape, device=check.device)
    classes = len(check.config.organs) + 1
    target = torch.randint(0, classes, (batch, *shape), device=check.device)
    known = torch.ones(batch, classes, dtype=torch.bool, device=check.device)
    alpha = torch.ones(classes, device=check.device)

    def step(precision: str) -> None:
        adam.zero_grad(set_to_none=True)
        with autocast(check.device, precision):
            loss = segmentation_loss(model.snet(ct)[1], target, known, alpha, Settings())
        loss.backward()
        adam.step()

    torch.backends.cudnn.benchmark = True
    for precision in ("fp32", "bf16"):
        name = "x".join(map(str, (batch, *shape))).replace("x", " x ")
        check.add(f"training step {name} {precision} s", check.seconds(lambda p=precision: step(p)))


def compiled(check: Check) -> None:
    """torch.compile: what it brings and what it costs."""
    if check.tiny:
        check.add("compiled", "left out of a dry run: it takes minutes on a CPU")
        return
    began = time.monotonic()
    run = _network_run(check, torch.bfloat16, channels_last=True, folded=True, compiled=True)
    run()
    check.sync()
    check.add("torch.compile, its first run s", time.monotonic() - began)
    check.add("network bf16 folded, torch.compile s", check.seconds(run))


PARTS = (end_to_end, network, training_step, layers, chunk_lengths, compiled)


def _bundle(check: Check) -> ModelBundle:
    torch.manual_seed(0)
    folder = Path(tempfile.mkdtemp()) / "full"
    save_bundle(folder, "full", FocusNet(check.config), {"data": "random weights"})
    return load_bundle(folder)


@contextmanager
def _timed_parts(check: Check) -> Iterator[dict[str, float]]:
    """Time the parts of ``segment_scan`` while the block runs, waiting for the device after each."""
    from focusnet.inference import segment, two_stage

    parts: dict[str, float] = {}
    kept: list[tuple[Any, str, Any]] = []

    def watch(owner: Any, name: str, label: str) -> None:
        original = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            check.sync()
            began = time.perf_counter()
            try:
                return original(*args, **kwargs)
            finally:
                check.sync()
                parts[label] = parts.get(label, 0.0) + time.perf_counter() - began

        kept.append((owner, name, original))
        setattr(owner, name, timed)

    from focusnet.inference.backends import TorchBackend

    watch(segment, "preprocess", "preprocessing, upload included")
    watch(TorchBackend, "run", "S-Net and SOL-Net")
    watch(TorchBackend, "small_organ", "SOS-Nets")
    watch(two_stage.StreamingArgmax, "add", "arg-max and restoring")
    watch(two_stage.Localizer, "add", "heat-map maxima")
    watch(two_stage, "overlay", "overlay")
    watch(segment, "download", "download")
    watch(segment, "describe", "describing")
    try:
        yield parts
    finally:
        for owner, name, original in kept:
            setattr(owner, name, original)


def _network_run(
    check: Check, dtype: torch.dtype, channels_last: bool, folded: bool, slices: int = 0, compiled: bool = False
) -> Callable[[], object]:
    """Return a function that runs the network on the paper's scan in chunks of ``slices`` (default: the configuration's)."""
    torch.manual_seed(0)
    net = FocusNet(check.config).eval()
    if folded:
        fold_batch_norms(net)
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format
    net = net.to(check.device, dtype).to(memory_format=layout)  # type: ignore[call-overload]
    torch.backends.cudnn.benchmark = True
    rows, columns = check.config.crop_size_yx
    slices = slices or check.config.chunk_slices
    chunks = max(1, (16 if check.tiny else 120) // slices)
    ct = torch.randn(chunks, 1, slices, rows, columns, device=check.device).to(dtype)
    snet = torch.compile(net.snet) if compiled else net.snet
    size = check.config.roi_size_zyx
    size = (min(size[0], slices), min(size[1], rows), min(size[2], columns))
    part = tuple(slice(0, n) for n in size)

    @torch.inference_mode()
    def run() -> list[torch.Tensor]:
        out = []
        for k in range(chunks):
            features, scores = snet(ct[k : k + 1])
            out += [scores.argmax(dim=1), net.solnet(features, scores).flatten(2).argmax(dim=2)]
        for sosnet in net.sosnets.values():  # a fixed box: the cost does not depend on where
            out.append(sosnet(features[(..., *part)], ct[(slice(0, 1), slice(None), *part)])[0].sigmoid())
        return out

    return run


def _as_graph(run: Callable[[], object]) -> Callable[[], object]:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def _allow_tf32(allowed: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run the check and return what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small sizes: a dry run")
    parser.add_argument("--minutes", type=float, default=3.5)
    parser.add_argument("--json", type=Path, default=Path("gpu_check.json"))
    options = parser.parse_args(arguments)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.exit(2, "gpu_check: torch finds no GPU here; --tiny --device cpu tries the script.\n")
    check = Check(torch.device(options.device), options.tiny, 60 * options.minutes)
    print(check.found, flush=True)
    found = check.run(*PARTS)
    options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


if __name__ == "__main__":
    main()
