"""What each trick of the simulator is worth on a real CT: one S-Net a row, trained with a trick left out, judged on landmarks.

    python benchmarks/sim_to_real.py PAINTED[,PAINTED] RUNS [--steps 1500 --width 0.25 --seeds 0] [--rows all,...] [--table]

Each row is ``synthetic_train.py train`` from scratch with ``--without`` that row's tricks. A young S-Net seldom draws a small organ, so the
place of an organ is where its probability, smoothed over a few mm, is highest in the scan. Start it again to go on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "FocusNetSegmentation"), str(ROOT / "benchmarks")]

from invesalius_ct import CRANIUM, read_inv3  # noqa: E402
from real_landmarks import Landmark, read_landmarks  # noqa: E402

import focusnet  # noqa: E402
from focusnet.image.volume import Volume  # noqa: E402
from focusnet.inference.backends import make_backend  # noqa: E402
from focusnet.inference.chunks import run_chunks  # noqa: E402
from focusnet.inference.devices import choose_device  # noqa: E402
from focusnet.inference.preprocess import preprocess  # noqa: E402
from focusnet.nets.bundle import ModelBundle  # noqa: E402

ROWS = {  # what is left out
    "all": "",
    "without deformation": "bend_mm,scale,stretch,tumour",
    "without turning": "pitch,turn,gaze,mouth",
    "without tissue HU and texture": "hu_curve,organ_hu,texture_hu,cavity_fluid",
    "without scanners": "kernel_mm,sharpen,noise_hu,slice_mm,rings,streaks,shading_hu",
    "without surroundings": "mask,rest,couch,cut",
    "nothing varied": "pitch,turn,scale,stretch,mirror,bend_mm,gaze,mouth,tumour,hu_curve,organ_hu,texture_hu,cavity_fluid,mask,rest,couch,cut,"
    "kernel_mm,sharpen,noise_hu,slice_mm,rings,streaks,shading_hu",
}
SMOOTH_MM = 2.0
NEAR_MM = 10.0


def places_mm(bundle: ModelBundle, volume: Volume) -> dict[str, np.ndarray]:
    """Return for each organ where S-Net's smoothed probability is highest: mm of the upright patient (x, y, z)."""
    device = choose_device("cpu")
    config = bundle.config
    ct, record = preprocess(volume, config)
    backend = make_backend(bundle, device, "torch", config.chunk_when_segmenting)
    with torch.inference_mode():
        parts = [
            f.output.probabilities.float().numpy()
            for f in run_chunks(ct, backend, config, config.chunk_when_segmenting)
        ]
    probability = np.concatenate(parts, axis=1)
    sigma = SMOOTH_MM / np.array(config.spacing_mm_zyx)
    out = {}
    for value, organ in enumerate(config.organs, start=1):
        smooth = ndimage.gaussian_filter(probability[value], sigma)
        index = np.array(np.unravel_index(int(smooth.argmax()), smooth.shape))
        out[organ] = np.asarray(record.network.index_to_mm(index)).ravel()
    return out


def errors_mm(bundle: ModelBundle, volume: Volume, landmarks: list[Landmark]) -> dict[str, float]:
    """Return the distance of each organ's place to its landmark."""
    found = places_mm(bundle, volume)
    return {
        m.organ: float(np.linalg.norm(found[m.organ] - volume.geometry.index_to_mm(m.place[::-1]).ravel()))
        for m in landmarks
    }


def train(args: argparse.Namespace, row: str, seed: int) -> Path:
    """Train a row and write its bundle; return its folder."""
    run = args.runs / f"seed{seed}" / row.replace(" ", "-")
    script = [sys.executable, str(ROOT / "benchmarks" / "synthetic_train.py")]
    subprocess.run(
        [*script, "train", args.painted, str(run), "--steps", str(args.steps), "--width", str(args.width), "--seed", str(seed), "--mild", str(args.mild),
         "--without", ROWS[row]], check=True,
    )  # fmt: skip
    painted = args.painted.split(",")[0]
    subprocess.run([*script, "bundle", str(run), str(run / "bundle"), "--painted", painted, "--width", str(args.width)], check=True)  # fmt: skip
    return run / "bundle"


def table(runs: Path) -> str:
    """Return what was measured so far as a Markdown table: means over seeds."""
    lines: list[str] = []
    organs: list[str] = []
    for row in ROWS:
        found = [json.loads(p.read_text()) for p in sorted(runs.glob(f"seed*/{row.replace(' ', '-')}/errors_mm.json"))]
        if not found:
            continue
        organs = organs or list(found[0])
        values = np.array([[f[o] for o in organs] for f in found])
        cells = [f"{v:.0f}" for v in values.mean(axis=0)]
        near = ", ".join(str(int((v <= NEAR_MM).sum())) for v in values)
        lines.append(
            f"| {row} | {len(found)} | {np.median(values):.1f} | {near} of {len(organs)} | {' | '.join(cells)} |"
        )
    head = ["row", "seeds", "median, mm", f"within {NEAR_MM:.0f} mm", *organs]
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("painted")
    parser.add_argument("runs", type=Path)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument(
        "--mild",
        type=float,
        default=1.0,
        help="share of crops with Variety.mild(); a short run learns little from the wide one",
    )
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--scan", type=Path, default=CRANIUM)
    parser.add_argument("--table", action="store_true", help="print what is there and train nothing")
    args = parser.parse_args()
    if unknown := set(args.rows.split(",")) - set(ROWS):
        sys.exit(f"--rows {', '.join(sorted(unknown))} is unknown; choose among {', '.join(ROWS)}.")
    if not args.table:
        volume, (landmarks, _) = read_inv3(args.scan), read_landmarks()
        for seed in map(int, args.seeds.split(",")):
            for row in args.rows.split(","):
                answer = args.runs / f"seed{seed}" / row.replace(" ", "-") / "errors_mm.json"
                if not answer.is_file():
                    bundle = focusnet.load_bundle(train(args, row, seed))
                    answer.write_text(json.dumps(errors_mm(bundle, volume, landmarks), indent=1))
    print(table(args.runs))


if __name__ == "__main__":
    main()
