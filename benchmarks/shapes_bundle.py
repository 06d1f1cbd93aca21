"""Make the bundle ``shapes-tcia-oars`` from a run of shapes_train.py: weights in half precision, and what its scores are among real shapes.

    python benchmarks/shapes_bundle.py DATA/tcia-oars RUN FocusNetSegmentation/Resources/Models/shapes-tcia-oars

Latent space of each organ (sides pooled): codes of the train patients. How reconstruction and distance are spread among real shapes: the
calibrate patients, which neither the weights nor the latent space saw. Scores of the card: the held-out patients. Prints the card's table.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))

from shapes_train import shape_config

from focusnet.datasets.organ_boxes import NO_JITTER, Jitter, tcia_shapes
from focusnet.datasets.tcia_oars import TciaOars
from focusnet.image.organs import without_side
from focusnet.metrics import dice, surface_distances
from focusnet.nets.bundle import save_bundle
from focusnet.nets.config import NetworkConfig
from focusnet.nets.shape_autoencoder import ShapeAutoencoder
from focusnet.qa.shape_model import LatentSpace
from focusnet.train.loop.checkpoint import load_checkpoint
from focusnet.version import __version__

COMPONENTS = 8
LEAST_SD = 0.1  # of the first axis: what varies less among the train shapes is noise, and would decide everything
VIEWS = 4  # of each train shape, moved by less than a voxel: where the grid falls must not look like shape
NUDGE = Jitter((1.0, 0.5, 0.5), 0.0, (1.0, 1.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--width", type=float, default=0.25)
    options = parser.parse_args()
    tensors, state = load_checkpoint(options.run / "aae.best.safetensors")
    network = ShapeAutoencoder(shape_config(options.width))
    network.load_state_dict({k[len("model.aae.") :]: v for k, v in tensors.items() if k.startswith("model.aae.")})
    network = network.half().float().eval()  # scored as it ships: weights rounded to half precision
    dataset = TciaOars(options.data)
    train, calibrate, held_out = drawn(dataset, options.run / "masks.npz", network.config)
    spaces = latent_spaces(network, train)
    statistics = {}
    for organ, space in spaces.items():
        rows = [measured(network, s, space) for s in calibrate if without_side(s.organ) == organ]
        statistics[organ] = {"n": len(rows), "latent": as_json(space), "real": spreads(rows)}
    scores = {
        organ: [measured(network, s, spaces[organ]) for s in held_out if without_side(s.organ) == organ]
        for organ in spaces
    }
    by_side = {
        s.organ: [measured(network, t, spaces[without_side(s.organ)]) for t in held_out if t.organ == s.organ]
        for s in held_out
    }
    metadata = {
        "kind": "shape",
        "version": "2",
        "data": "tcia-oars: contours of 34 patients by two annotators (Nikolov et al. 2021), no CT",
        "licence": "Apache-2.0 (weights); contours CC BY 4.0, Nikolov et al., J Med Internet Res 23(7), 2021, e26151",
        "intended_use": "Research. Scores shapes for review; contours nothing. Not a medical device.",
        "training": {
            "date": time.strftime("%Y-%m-%d"), "focusnet_version": __version__, "best_step": state["step"],
            "settings": json.loads((options.run / "settings.json").read_text()), "scans": dataset.scans,
        },
        "held_out": {
            "split": "tcia-oars held-out patients (8 patients, two annotators)",
            "mean_dsc": round(float(np.mean([1 - r["loss"] for rows in scores.values() for r in rows])), 4),
            "organs": {
                organ: {"n": len(rows), "dsc_mean": round(float(np.mean([1 - r["loss"] for r in rows])), 4),
                        "dsc_sd": round(float(np.std([1 - r["loss"] for r in rows])), 4)}
                for organ, rows in by_side.items()
            },
        },
        "shape_statistics": statistics,
    }  # fmt: skip
    save_bundle(options.out, options.out.name, network.half(), metadata, overwrite=True)
    size = sum(p.stat().st_size for p in options.out.iterdir()) / 2**20
    print(f"{options.out.name}: step {state['step']}, {size:.1f} MiB")
    print(
        "| organ | held-out shapes | reconstruction DSC | lowest "
        "| surface distance, mm | latent distance, median (95th percentile) | calibrate: the same |\n|---|---|---|---|---|---|---|"
    )
    for organ, rows in scores.items():
        d, c = (
            [r["distance"] for r in rows],
            [
                measured(network.float(), s, spaces[organ])["distance"]
                for s in calibrate
                if without_side(s.organ) == organ
            ],
        )
        dsc = [1 - r["loss"] for r in rows]
        print(
            f"| {organ} | {len(rows)} | {np.mean(dsc):.3f} ± {np.std(dsc):.3f} | {min(dsc):.2f} | {np.mean([r['surface_mm'] for r in rows]):.2f} "
            f"| {np.median(d):.2f} ({np.percentile(d, 95):.2f}) | {np.median(c):.2f} ({np.percentile(c, 95):.2f}) |"
        )


@dataclass(frozen=True)
class Drawn:
    """One shape in the autoencoder's box: ``masks`` (n, d, h, w), more than one where it was nudged."""

    organ: str
    masks: np.ndarray


def drawn(dataset: TciaOars, path: Path, config: NetworkConfig) -> tuple[list[Drawn], ...]:
    """Return shapes of train (nudged), calibrate and held-out patients; kept in ``path``, because reading the scans takes longest."""
    splits = ("train", "calibrate", "held-out")
    if not path.is_file():
        rng = np.random.default_rng(0)
        content = {}
        for split in splits:
            shapes = tcia_shapes(dataset, split)
            nudge, views = (NUDGE, VIEWS) if split == "train" else (NO_JITTER, 1)
            content[split] = np.packbits([[s.draw(config, nudge, rng) for _ in range(views)] for s in shapes], axis=-1)
            content[f"{split} organs"] = np.array([s.organ for s in shapes])
        np.savez_compressed(path, **content)
    with np.load(path) as file:
        return tuple(
            [
                Drawn(str(o), m.astype(bool))
                for o, m in zip(file[f"{s} organs"], np.unpackbits(file[s], axis=-1), strict=True)
                if m[0].any()
            ]
            for s in splits
        )


@torch.inference_mode()
def encode(network: ShapeAutoencoder, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    out, code, _ = network(torch.from_numpy(mask.astype(np.float32))[None, None])
    return out[0, 0].numpy() >= 0.5, code[0].numpy().astype(float)


def latent_spaces(network: ShapeAutoencoder, shapes: list[Drawn]) -> dict[str, LatentSpace]:
    spaces = {}
    for organ in sorted({without_side(s.organ) for s in shapes}):
        mine = [s for s in shapes if without_side(s.organ) == organ]
        codes = np.array([encode(network, mask)[1] for s in mine for mask in s.masks])
        center = np.median(codes, axis=0)
        d = codes - center
        near = np.linalg.norm(d, axis=1) <= np.quantile(
            np.linalg.norm(d, axis=1), 0.95
        )  # the oddest twentieth shapes no axis
        _, _, axes = np.linalg.svd(d[near], full_matrices=False)
        axes = axes[:COMPONENTS]
        reduced = d @ axes.T
        sd = 1.4826 * np.median(np.abs(reduced - np.median(reduced, axis=0)), axis=0)
        sd = np.maximum(sd, LEAST_SD * sd[0])
        rest = np.sqrt(np.maximum((d**2).sum(axis=1) - (reduced**2).sum(axis=1), 0))
        spaces[organ] = LatentSpace(center, axes, sd, max(float(np.median(rest)), LEAST_SD * sd[0]))
    return spaces


def measured(network: ShapeAutoencoder, shape: Drawn, space: LatentSpace) -> dict[str, float]:
    mask = shape.masks[0]
    back, code = encode(network, mask)
    surface = surface_distances(mask, back, network.config.spacing_mm_zyx).mean_mm
    return {
        "loss": 1 - dice(mask, back),
        "surface_mm": surface if np.isfinite(surface) else 50.0,
        "distance": space.distance(code),
    }


def spreads(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    """Return mean and SD of logarithms; the SD is at least 0.1, as two dozen shapes cannot show a smaller one."""
    out = {}
    for key in ("loss", "surface_mm", "distance"):
        logs = np.log([max(r[key], 1e-6) for r in rows])
        out[key] = [round(float(np.mean(logs)), 4), round(max(0.1, float(np.std(logs, ddof=1))), 4)]
    return out


def as_json(space: LatentSpace) -> dict[str, object]:
    return {
        "center": [round(float(v), 4) for v in space.center],
        "components": [[round(float(v), 4) for v in row] for row in space.components],
        "sd": [round(float(v), 4) for v in space.sd],
        "rest_sd": round(space.rest_sd, 4),
    }


if __name__ == "__main__":
    main()
