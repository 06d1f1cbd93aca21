"""The systems that the paper compares, each with the same small budget on the same data: docs/systems.md's table.

    python benchmarks/systems.py DATA/openkbp RUNS [--steps 250] [--width 0.25] [--scans 8] [--only S-Net,AnatomyNet,...]
    python benchmarks/systems.py DATA/openkbp RUNS --only multi-atlas --scans 8
    python benchmarks/systems.py DATA/openkbp RUNS --only han7-openkbp --scans 8     any bundle, as it is
    python benchmarks/systems.py DATA/openkbp RUNS --table

Trains on the split train, scores the first scans of the split val on their own grids. RUNS keeps each system's run and its scores;
the table is made of all scores that are there. Parameters and FLOP are those of the paper's widths with 22 organs, 6 of them small.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from openkbp_scores import FIVE, reference

from focusnet.datasets.openkbp import OpenKBPDataset
from focusnet.evaluation.evaluate import OrganScores, evaluate
from focusnet.evaluation.score_table import summarise
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Volume
from focusnet.nets.bundle import load_bundle
from focusnet.nets.config import NetworkConfig

SMALL = ("Brainstem", "Esophagus", "Larynx")  # the hard ones of this data set stand for the paper's small organs
CHUNK_ZYX = (40, 240, 240)


@dataclass(frozen=True)
class System:
    arch: str
    stages: tuple[str, ...]
    after: str = ""  # the system whose S-Net and SOL-Net it stands on: they are trained once


SYSTEMS = {
    "S-Net": System("focusnetv2", ("snet", "sol")),
    "AnatomyNet": System("anatomynet", ("snet",)),
    "DeepLabv3+": System("deeplabv3plus", ("snet",)),
    "FocusNetv1": System("focusnetv1", ("sos",), after="S-Net"),
    "FocusNetv2": System("focusnetv2", ("aae", "sos"), after="S-Net"),
}
ATLAS = "multi-atlas"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--steps", type=int, default=250, help="of S-Net or what stands in its place")
    parser.add_argument("--small-steps", type=int, default=80, help="of each stage for small organs")
    parser.add_argument("--aae-steps", type=int, default=80, help="of the autoencoder's pre-training")
    parser.add_argument("--batch", type=int, default=1, help="crops a step")
    parser.add_argument("--spacing-mm", type=float, default=3.0, help="of the network's voxels, every way")
    parser.add_argument("--cases", type=int, default=0, help="of the split train, from its first (default: all)")
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--scans", type=int, default=8, help="of the split val, from its first")
    parser.add_argument("--only", default=",".join(SYSTEMS))
    parser.add_argument("--atlases", type=int, default=9)
    parser.add_argument("--table", action="store_true", help="print the table of what is there, run nothing")
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    if not options.table:
        for name in options.only.split(","):
            score(name, options)
    print_table(options.runs)


def score(name: str, options: argparse.Namespace) -> None:
    """Train a system if that has not been done, segment the scans, keep the scores."""
    began = time.process_time()
    bundle = None if name == ATLAS else train(name, options) if name in SYSTEMS else load_bundle(name)
    trained = time.process_time() - began
    dataset = OpenKBPDataset(options.data)
    rows: list[OrganScores] = []
    seconds = []
    for patient in dataset.patients("val")[: options.scans]:
        case = dataset.case("val", patient)
        began = time.process_time()
        volume = Volume(case.hu, case.geometry, patient)
        result = by_atlas(volume, dataset, options) if bundle is None else by_network(volume, bundle)
        seconds.append(time.process_time() - began)
        rows.extend(evaluate(result, reference(case, dataset.organs), case=patient))
        print(f"{name}: {patient}, {seconds[-1]:.1f} CPU s", file=sys.stderr, flush=True)
    organs = {
        s.organ: {"n": s.cases, "dsc": s.dsc_mean, "hd95_average_mm": s.hd95_average_mm, "missed": s.missed}
        for s in summarise(rows)
    }
    found = {
        "organs": organs,
        "cpu_s_per_scan": float(np.mean(seconds)),
        "scans": len(seconds),
        "training_cpu_s": trained,
    }
    if bundle is not None and name not in SYSTEMS:
        found["parameters"] = sum(p.numel() for p in bundle.build().parameters())
    (options.runs / f"{Path(name).name}.json").write_text(json.dumps(found, indent=1) + "\n")


def train(name: str, options: argparse.Namespace):
    from focusnet.train.logger import messages_on_stderr
    from focusnet.train.run import train_bundle
    from focusnet.train.setup.request import TrainRequest

    system, out = SYSTEMS[name], options.runs / name
    if (out / "bundle").is_dir():
        return load_bundle(out / "bundle")
    out.mkdir(exist_ok=True)
    if system.after:
        for stage in SYSTEMS[system.after].stages:
            shutil.copyfile(
                options.runs / system.after / f"{stage}.best.safetensors", out / f"{stage}.best.safetensors"
            )
    config = out / "config.toml"
    config.write_text(toml(name, options))
    with messages_on_stderr():
        return train_bundle(TrainRequest(subset(options), out, config_file=config, stages=system.stages, device="cpu"))


def subset(options: argparse.Namespace) -> Path:
    """The data set with its first cases only, as links: what is not trained or validated on need not be read."""
    folder = options.runs / "data"
    if not folder.is_dir():
        index = json.loads((options.data / "dataset.json").read_text())
        for split, count in (("train", options.cases or None), ("val", options.scans)):
            names = sorted(index["contoured"][split])[:count]
            index["contoured"][split] = {name: index["contoured"][split][name] for name in names}
            (folder / split).mkdir(parents=True)
            for name in names:
                (folder / split / name).symlink_to((options.data / split / name).resolve())
        (folder / "dataset.json").write_text(json.dumps(index))
    return folder


def toml(name: str, options: argparse.Namespace) -> str:
    """han7-openkbp's settings with the steps and width of this run."""
    arch = SYSTEMS[name].arch
    small = ", ".join(f'"{organ}"' for organ in SMALL) if SYSTEMS[name].arch.startswith("focusnet") else ""
    spacing = options.spacing_mm
    rows, columns = (math.ceil(n * 3.0 / spacing / 16) * 16 for n in (96, 80))  # DeepLabv3+ halves four times
    slices = math.ceil(40 * 3.0 / spacing / 8) * 8
    own = {"sol": options.small_steps, "aae": options.aae_steps, "sos": options.small_steps}
    steps = "".join(f"[stages.{stage}]\nsteps = {n}\nvalidate_every = {n}\n\n" for stage, n in own.items())
    return f"""[model]
name = "{name}"
data = "OpenKBP train, a benchmark's small budget: not for patients"
licence = "none"

[network]
arch = "{arch}"
small_organs = [{small}]
width = {options.width}
aae_width = {options.width}
spacing_mm_zyx = [{spacing}, {spacing}, {spacing}]
crop_size_yx = [{rows}, {columns}]
chunk_slices = {slices}
stride = {slices}
location_threshold = 0.0

[settings]
steps = {options.steps}
validate_every = {options.steps}
validate_cases = 4
checkpoint_every = 50
learning_rate = 1e-3
schedule = "cosine"
ema_decay = 0.98
alpha_power = 1.0
precision = "auto"
batch = {options.batch}
grad_clip = 5.0
shape_relative = true
reconstruction_dice = 1.0
heatmap_loss = "cross-entropy"
seed = 0

{steps}[augmentation]
shift_mm = 20.0
rotation_degrees = 10.0
scale = [0.8, 1.25]
mirror = true
noise_hu = 20.0
"""


def by_network(volume: Volume, bundle) -> Segmentation:
    from focusnet.inference.segment import segment

    return segment(volume, bundle, device="cpu")


def by_atlas(volume: Volume, dataset: OpenKBPDataset, options: argparse.Namespace) -> Segmentation:
    from focusnet.baselines.atlas import AtlasOptions, segment_by_atlases

    return segment_by_atlases(volume, dataset, AtlasOptions(count=options.atlases))


def full_size(name: str) -> tuple[str, str]:
    """Parameters in millions and GFLOP of one chunk at the paper's widths; the ROIs of the small organs count, the autoencoder does not."""
    if name == ATLAS:
        return "none", "not counted"
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from focusnet.nets.focusnet import FocusNet

    organs = tuple(f"Organ{i}" for i in range(22))
    has_sos = bool(SYSTEMS[name].after)
    config = NetworkConfig(
        organs=organs, small_organs=organs[:6] if has_sos else (), has_sos=has_sos, arch=SYSTEMS[name].arch
    )
    with torch.device("meta"):
        network = FocusNet(config)
        with FlopCounterMode(display=False) as counter:
            features, scores = network.snet(torch.zeros(1, 1, *CHUNK_ZYX))
            if network.solnet is not None:
                network.solnet(features, scores)
            for sosnet in network.sosnets.values():
                size = config.roi_size_zyx
                sosnet(torch.zeros(1, network.snet.feature_channels, *size), torch.zeros(1, 1, *size))
    return f"{sum(p.numel() for p in network.parameters()) / 1e6:.3f}", f"{counter.get_total_flops() / 1e9:,.0f}"


def print_table(runs: Path) -> None:
    names = dict.fromkeys((ATLAS, *SYSTEMS, *sorted(path.stem for path in runs.glob("*.json"))))
    results = {n: json.loads(path.read_text()) for n in names if (path := runs / f"{n}.json").is_file()}
    print(
        "| system | scans | DSC, five organs | DSC, three hard ones | HD95, mm | missed | million parameters | GFLOP | CPU s a scan |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name, result in results.items():
        organs = result["organs"]
        five, small = (np.mean([organs[o]["dsc"] for o in names if o in organs]) for names in (FIVE, SMALL))
        distances = [o["hd95_average_mm"] for o in organs.values()]
        own = result.get("parameters")  # a bundle is of its own width
        parameters, gflop = (f"{own / 1e6:.3f}", "not counted") if own else full_size(name)
        print(
            f"| {name} | {result['scans']} | {five:.3f} | {small:.3f} | {np.nanmean(distances):.1f} "
            f"| {sum(o['missed'] for o in organs.values())} | {parameters} | {gflop} | {result['cpu_s_per_scan']:.1f} |"
        )
    print("\n| DSC | " + " | ".join(results) + " |\n|---|" + "---|" * len(results))
    for organ in dict.fromkeys(o for result in results.values() for o in result["organs"]):
        cells = [result["organs"].get(organ) for result in results.values()]
        print(f"| {organ} | " + " | ".join(f"{c['dsc']:.3f}" if c else "" for c in cells) + " |")


if __name__ == "__main__":
    main()
