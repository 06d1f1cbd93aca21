"""What each trick of the simulator is worth on a real CT: one S-Net a row, trained with a trick left out, judged on landmarks.

    python benchmarks/sim_to_real.py PAINTED[,PAINTED] RUNS [--steps 1500 --width 0.25 --seeds 0] [--rows all,...] [--table]

Each row is ``synthetic_train.py train`` from scratch with ``--without`` that row's tricks. A young S-Net seldom draws a small organ, so the
place of an organ is where its probability, smoothed over a few mm, is highest: in the whole scan, and within 25 mm of the landmark, where a net
that knows nothing is 19 mm off on average. The scan is judged as it is and made harder: chin raised, noise, thick slices, other HU. Start it
again to go on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "FocusNetSegmentation"), str(ROOT / "benchmarks")]

from invesalius_ct import CRANIUM, read_inv3  # noqa: E402
from real_landmarks import read_landmarks  # noqa: E402

import focusnet  # noqa: E402
from focusnet.image.volume import Geometry, Volume  # noqa: E402
from focusnet.inference.backends import make_backend  # noqa: E402
from focusnet.inference.chunks import run_chunks  # noqa: E402
from focusnet.inference.devices import choose_device  # noqa: E402
from focusnet.inference.preprocess import preprocess  # noqa: E402
from focusnet.nets.bundle import ModelBundle  # noqa: E402
from focusnet.simulate.scan_variety import stray_hu  # noqa: E402

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
CLOSE_MM, NEAR_MM = 10.0, 25.0


def probabilities(bundle: ModelBundle, volume: Volume) -> tuple[dict[str, np.ndarray], Geometry]:
    """Return S-Net's smoothed probability of each organ (z, y, x) and the grid that it lies on."""
    config = bundle.config
    ct, record = preprocess(volume, config)
    backend = make_backend(bundle, choose_device("cpu"), "torch", config.chunk_when_segmenting)
    with torch.inference_mode():
        parts = [
            f.output.probabilities.float().numpy()
            for f in run_chunks(ct, backend, config, config.chunk_when_segmenting)
        ]
    whole = np.concatenate(parts, axis=1)
    sigma = SMOOTH_MM / np.array(config.spacing_mm_zyx)
    found = {organ: ndimage.gaussian_filter(whole[value], sigma) for value, organ in enumerate(config.organs, start=1)}
    return found, record.network


def errors_mm(bundle: ModelBundle, volume: Volume, marks_mm: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Return how far each organ's likeliest place is from its landmark, by organ: ``scan`` in the whole scan, ``near`` within NEAR_MM of it."""
    found, grid = probabilities(bundle, volume)
    mm = grid.index_to_mm(np.indices(grid.shape_zyx).reshape(3, -1).T)
    out = {}
    for organ, mark_mm in marks_mm.items():
        away = np.linalg.norm(mm - mark_mm, axis=1)
        likely = found[organ].ravel()
        near = np.flatnonzero(away <= NEAR_MM)
        out[organ] = {"scan": float(away[likely.argmax()]), "near": float(away[near[likely[near].argmax()]])}
    return out


def scans(volume: Volume, marks_mm: dict[str, np.ndarray]) -> dict[str, tuple[Volume, dict[str, np.ndarray]]]:
    """Return the scan as it is and made harder, each with its landmarks (LPS mm)."""
    rng = np.random.default_rng(0)
    hu = volume.array.astype(np.float32)
    thick = round(5.0 / volume.geometry.spacing_mm_zyx[0])
    slabs = ndimage.uniform_filter1d(hu, thick, axis=0)[thick // 2 :: thick]
    made = {
        "noise": hu + ndimage.gaussian_filter(rng.normal(0, 1, hu.shape), (0, 0.7, 0.7)).astype(np.float32) * 80.0,
        "thick slices": np.repeat(slabs, thick, axis=0)[: len(hu)],
        "other HU": stray_hu(hu, 1.0, rng),
    }
    out = {"as it is": (volume, marks_mm)}
    for name, changed in made.items():
        missing = np.clip(changed, -1024, 3071)
        padded = np.concatenate([missing, np.repeat(missing[-1:], len(hu) - len(missing), axis=0)])
        out[name] = (replace(volume, array=np.rint(padded).astype(np.int16)), marks_mm)
    out["chin raised by 15 degrees"] = _turned(volume, marks_mm)
    return out


def _turned(volume: Volume, marks_mm: dict[str, np.ndarray]) -> tuple[Volume, dict[str, np.ndarray]]:
    """Turn the head about the x axis through the scan's middle; the grid stays."""
    grid, angle = volume.geometry, np.deg2rad(15.0)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])  # of LPS mm
    middle = grid.index_to_mm((np.array(grid.shape_zyx) - 1) / 2).ravel()
    mm = grid.index_to_mm(np.indices(grid.shape_zyx).reshape(3, -1).T)
    index = grid.mm_to_index((mm - middle) @ turn + middle)  # rows times the matrix: the inverse turn
    hu = ndimage.map_coordinates(volume.array.astype(np.float32), index.T, order=1, cval=-1024.0)
    turned = np.rint(hu).astype(np.int16).reshape(grid.shape_zyx)
    return replace(volume, array=turned), {o: turn @ (m - middle) + middle for o, m in marks_mm.items()}


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
    """Return what was measured so far as Markdown tables, means over seeds: every organ on the scan as it is, then all organs on every scan."""
    found = {
        row: [json.loads(p.read_text()) for p in sorted(runs.glob(f"seed*/{row.replace(' ', '-')}/off_by.json"))]
        for row in ROWS
    }
    found = {row: each for row, each in found.items() if each}
    if not found:
        return ""
    names = list(next(iter(found.values()))[0])
    organs = list(next(iter(found.values()))[0][names[0]])

    def values(row: str, scan: str, what: str) -> np.ndarray:
        return np.array([[f[scan][o][what] for o in organs] for f in found[row]])

    first = ["row", "seeds", *(f"{o}: scan; near" for o in organs)]
    lines = [f"| {' | '.join(first)} |", "|---" * len(first) + "|"]
    for row in found:
        scan, near = (values(row, names[0], what).mean(axis=0) for what in ("scan", "near"))
        cells = [f"{a:.0f}; {b:.0f}" for a, b in zip(scan, near, strict=True)]
        lines.append(f"| {row} | {len(found[row])} | {' | '.join(cells)} |")
    second = ["row", *(f"{name}: within {CLOSE_MM:.0f} mm; near, mm" for name in names)]
    lines += ["", f"| {' | '.join(second)} |", "|---" * len(second) + "|"]
    for row in found:
        cells = [
            f"{(values(row, n, 'scan') <= CLOSE_MM).sum(axis=1).mean():.0f}; {values(row, n, 'near').mean():.1f}"
            for n in names
        ]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


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
        judged = scans(volume, {m.organ: volume.geometry.index_to_mm(m.place[::-1]).ravel() for m in landmarks})
        for seed in map(int, args.seeds.split(",")):
            for row in args.rows.split(","):
                answer = args.runs / f"seed{seed}" / row.replace(" ", "-") / "off_by.json"
                if not answer.is_file():
                    made = answer.parent / "bundle"
                    bundle = focusnet.load_bundle(made if made.is_dir() else train(args, row, seed))
                    answer.write_text(json.dumps({n: errors_mm(bundle, *scan) for n, scan in judged.items()}, indent=1))
    print(table(args.runs))


if __name__ == "__main__":
    main()
