"""Localization error against steps for each heat-map loss: SOL-Nets trained side by side on the same crops and the same S-Net.

    python benchmarks/heatmap_losses.py RUN PAINTED PAINTED_TEST -o losses.json [--steps 100] [--seed 0]

RUN holds snet.last.safetensors of ``benchmarks/synthetic_train.py``. Every SOL-Net sees the same variants in the same order; the error is the
mean distance from the heat map's maximum to the centre of each small organ that lies whole in one of the held-out crops, and the part
of the paired organs whose maximum lies nearer to the centre of the other side's.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "FocusNetSegmentation"), str(ROOT / "benchmarks")]

from synthetic_train import OUTSIDE_ZYX, Pool, averaged, draw, network  # noqa: E402

from focusnet.image.organs import mirrored  # noqa: E402
from focusnet.nets.config import NetworkConfig, with_changes  # noqa: E402
from focusnet.nets.focusnet import FocusNet  # noqa: E402
from focusnet.nets.solnet import SOLNet, gaussian_heatmap, heatmap_peak  # noqa: E402
from focusnet.simulate.variety import Variety  # noqa: E402
from focusnet.train.stages.augment import Sample  # noqa: E402
from focusnet.train.stages.losses import heatmap_loss  # noqa: E402

ROWS = {  # name: loss, first bias, inputs
    "l2 (paper)": ("l2", None, "features"),
    "l2, bias -4.6": ("l2", -4.6, "features"),
    "cross-entropy": ("cross-entropy", None, "features"),
    "cross-entropy, bias -4.6": ("cross-entropy", -4.6, "features"),
    "focal, bias -4.6": ("focal", -4.6, "features"),
    "focal, bias -4.6, S-Net's scores": ("focal", -4.6, "features+scores"),
}
CHECKS = 8  # held-out crops


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("painted", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    pool, held_out = Pool([args.painted]), Pool([args.test])
    config = network(pool.pick(np.random.default_rng(0)).organs, True)
    net = FocusNet(config)
    net.load_state_dict(
        {k: v for k, v in averaged(args.run / "snet.last.safetensors").items() if k.startswith("snet.")}, strict=False
    )
    snet = net.snet.eval().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    sols, optimizers = {}, {}
    for name, (_, bias, inputs) in ROWS.items():
        torch.manual_seed(args.seed)
        sols[name] = SOLNet(with_changes(config, heatmap_bias=bias, sol_inputs=inputs), snet.feature_channels)
        optimizers[name] = torch.optim.Adam(sols[name].parameters(), lr=args.rate)
    checks = [
        draw(held_out.pick(rng), config, Variety.ordinary(), rng)
        for rng in map(np.random.default_rng, range(1000, 1000 + CHECKS))
    ]
    seen = [(sample, *see(snet, sample)) for sample in checks]
    out: dict[str, dict[int, tuple[float, float]]] = {name: {} for name in ROWS}
    for step in range(args.steps + 1):
        if step in (args.steps // 8, args.steps // 4, args.steps // 2, args.steps):
            for name, sol in sols.items():
                out[name][step] = errors(sol.eval(), seen, config)
                sol.train()
            print(step, {name: f"{v[step][0]:.1f} mm, {v[step][1]:.2f}" for name, v in out.items()}, flush=True)
            args.output.write_text(json.dumps(out, indent=1))
        rng = np.random.default_rng((args.seed, step))
        sample = draw(pool.pick(rng), config, Variety.ordinary(), rng)
        if not sample.centers_zyx:
            continue
        features, scores = see(snet, sample)
        wanted, known = targets(sample, config)
        for name, sol in sols.items():
            with torch.autocast("cpu", torch.bfloat16):
                predicted = sol(features, scores)
            loss = heatmap_loss(predicted, wanted, known, ROWS[name][0])  # type: ignore[arg-type]
            optimizers[name].zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(sol.parameters(), 5.0)
            optimizers[name].step()


@torch.no_grad()
def see(snet: torch.nn.Module, sample: Sample) -> tuple[torch.Tensor, torch.Tensor]:
    """Return S-Net's features and scores of one crop."""
    with torch.autocast("cpu", torch.bfloat16):
        features, scores = snet(sample.ct[None])
    return features, scores


def targets(sample: Sample, config: NetworkConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the Gaussians of one crop (1, S, D, H, W) and which organs count (1, S)."""
    _, d, h, w = sample.ct.shape
    wanted = torch.zeros(1, len(config.small_organs), d, h, w)
    known = torch.zeros(1, len(config.small_organs), dtype=torch.bool)
    for i, organ in enumerate(config.small_organs):
        if organ in sample.centers_zyx:
            wanted[0, i] = gaussian_heatmap((d, h, w), sample.centers_zyx[organ], config.heatmap_sigma_voxels)
            known[0, i] = True
    return wanted, known


@torch.no_grad()
def errors(
    sol: SOLNet, seen: list[tuple[Sample, torch.Tensor, torch.Tensor]], config: NetworkConfig
) -> tuple[float, float]:
    """Return the mean distance (mm) of the heat maps' maxima to the centres, over organs and crops, and the part taken for the other side.

    ``seen``: crops with S-Net's features and scores.
    """
    distances, swapped = [], []
    for sample, features, scores in seen:
        with torch.autocast("cpu", torch.bfloat16):
            maps = sol(features, scores)[0]
        shown = {organ: np.array(c) for organ, c in sample.centers_zyx.items() if c != OUTSIDE_ZYX}
        for organ in shown:
            _, peak = heatmap_peak(maps[config.small_organs.index(organ)])
            off = {o: float(np.linalg.norm((np.array(peak) - c) * config.spacing_mm_zyx)) for o, c in shown.items()}
            distances.append(off[organ])
            if (other := mirrored(organ)) != organ and other in shown:
                swapped.append(off[other] < off[organ])
    return float(np.mean(distances)), float(np.mean(swapped))


if __name__ == "__main__":
    main()
