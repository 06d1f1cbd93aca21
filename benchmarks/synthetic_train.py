"""Train an S-Net, and then SOL- and SOS-Nets on it, on variants of painted heads that are drawn as they are needed.

    python benchmarks/synthetic_train.py paint TCIA_OARS PAINTED [--seed N] [--annotator oncologist] [--split train] [--region base]
    python benchmarks/synthetic_train.py train PAINTED[,PAINTED] RUN --steps 2000 [--init RUN/snet.last.safetensors] [--without bend_mm,gaze]
    python benchmarks/synthetic_train.py train PAINTED RUN --stage second --steps 1000 --init RUN/snet.last.safetensors --heatmap-loss focal
    python benchmarks/synthetic_train.py bundle RUN BUNDLE --painted PAINTED --name head22-synthetic

No two steps see the same scan. ``--stage second`` trains SOL-Net and the SOS-Nets at once, on the same features of an S-Net that stays as it
is. ``train`` goes on where it was stopped. Heads that are painted while it runs are used as they come. ``--without`` leaves tricks of
``focusnet.simulate.variety.Variety`` out, to measure their worth.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from scipy import ndimage

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "FocusNetSegmentation"))

from focusnet.datasets.bit_masks import BitMaskFolder  # noqa: E402
from focusnet.image.organs import mirrored  # noqa: E402
from focusnet.nets.bundle import save_bundle  # noqa: E402
from focusnet.nets.config import NetworkConfig, with_changes  # noqa: E402
from focusnet.nets.focusnet import FocusNet  # noqa: E402
from focusnet.nets.roi import Roi, roi_around  # noqa: E402
from focusnet.simulate.dataset import Recipe, split_cases  # noqa: E402
from focusnet.simulate.specimen import Specimen, load_specimen, make_specimen, save_specimen  # noqa: E402
from focusnet.simulate.variant import draw_variant  # noqa: E402
from focusnet.simulate.variants import labels_of_variants  # noqa: E402
from focusnet.simulate.variety import Variety  # noqa: E402
from focusnet.train.loop import loop  # noqa: E402
from focusnet.train.settings import Settings  # noqa: E402
from focusnet.train.stages.adversarial import shape_constrained_loss  # noqa: E402
from focusnet.train.stages.augment import Augmentation, Crops, Sample  # noqa: E402
from focusnet.train.stages.model import TrainingNet  # noqa: E402
from focusnet.train.stages.organ_volumes import summaries  # noqa: E402
from focusnet.train.stages.stage import Stage, StageContext, Update  # noqa: E402
from focusnet.train.stages.table import STAGES, heatmaps_against  # noqa: E402

CROP_ZYX = (16, 96, 112)  # network voxels of 3 x 1 x 1 mm
NEAR_MM_XYZ = (38.0, 32.0, 22.0)  # most crops lie this near to a small organ's centre
OUTSIDE_ZYX = (-1e3, -1e3, -1e3)  # centre of an organ that the crop does not show: its heat map is empty
ROI_JITTER_ZYX = (1.0, 4.0, 4.0)  # voxels: SOL-Net's place is not exact either
ANYWHERE = 0.07  # share of crops anywhere in a head of region "base": a net that never saw it finds eyes there
ANYWHERE_WHOLE = 0.5  # the same in one of region "head": without jaws and neck in training, brain is drawn there
WHOLE_MM = 160.0  # longer painted heads are of region "head"
RESCAN_SECONDS = 60.0
VOXELS = {
    "Brain": 3e5,
    "Brainstem": 6000.0,
    "Eye": 2300.0,
    "OpticNrv": 250.0,
    "OpticChiasm": 110.0,
    "Pituitary": 130.0,
}  # of 3 mm3
SURE = 0.2  # likelihood below which a small organ is reported as uncertain
CUT_ORGANS = ("Brain",)  # no whole one in a head of region "base"
CAUTION = "Trained on simulated CT only, research preview."


class Pool:
    """The painted heads that are there by now. Stands for one item of the training set: ``pick`` says which head it is this time."""

    name = "painted heads"

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders, self.kept, self.looked = folders, dict[Path, Specimen](), 0.0

    def pick(self, rng: np.random.Generator) -> Specimen:
        """Return a painted head by chance."""
        if time.monotonic() - self.looked > RESCAN_SECONDS or not self.kept:
            self.looked = time.monotonic()
            for path in sorted(p for folder in self.folders for p in folder.glob("*.npz")):
                if path not in self.kept:
                    self.kept[path] = self._of_the_same_organs(path)
        names = sorted(self.kept)
        return self.kept[names[int(rng.integers(len(names)))]]

    def _of_the_same_organs(self, path: Path) -> Specimen:
        """Return a head. Exits where its label values mean other organs than those of the heads before: left would be taught as right."""
        head = load_specimen(path)
        for before in self.kept.values():
            if before.organs != head.organs:
                sys.exit(
                    f"{path} has the organs {', '.join(head.organs)} in this order; expected {', '.join(before.organs)}. Paint it anew."
                )
        return head


def second_loss(model: Any, crops: Crops, context: StageContext) -> torch.Tensor:
    """Return the sum of SOL-Net's loss and that of the SOS-Nets (eq. 7 without a shape constraint), S-Net fixed."""
    with torch.no_grad():
        features, scores = model.snet(crops.ct)
    located = heatmaps_against(model.solnet(features, scores), crops, context)
    return located + shape_constrained_loss(model, features, crops, context)


SECOND = Stage("second", (Update("SOL- and SOS-Nets", ("solnet", "sosnets"), second_loss),))


def network(organs: tuple[str, ...], localizes: bool, width: float = 0.5) -> NetworkConfig:
    """Return a network of ``width`` times the paper's channels at the paper's resolution.

    ``localizes``: with SOL- and SOS-Nets of every organ but brain and brainstem.
    """
    small = tuple(organ for organ in organs if organ not in ("Brain", "Brainstem"))
    return NetworkConfig(
        organs=organs,
        small_organs=small if localizes else (),
        width=width,
        dilation_zyx=(2, 2, 2),  # as the first run was trained
        sol_width=1.0 if localizes else 0.0,
        sol_inputs="features+scores" if localizes else "features",
        heatmap_bias=-4.6 if localizes else None,
        has_sos=localizes,
        crop_size_yx=CROP_ZYX[1:],
        chunk_slices=CROP_ZYX[0],
        stride=CROP_ZYX[0],
        location_threshold=0.0,
    )


def draw(specimen: Specimen, config: NetworkConfig, variety: Variety, rng: np.random.Generator) -> Sample:
    """Return one crop of one variant."""
    small = [organ for organ in specimen.centres_mm_xyz if organ not in ("Brain", "Brainstem")]
    slices, spacing_mm = specimen.geometry.shape_zyx[0], specimen.geometry.spacing_mm_xyz[2]
    anywhere = ANYWHERE_WHOLE if slices * spacing_mm > WHOLE_MM else ANYWHERE
    if small and rng.random() >= anywhere:
        centre = (
            np.array(specimen.centres_mm_xyz[small[int(rng.integers(len(small)))]])
            + rng.uniform(-1, 1, 3) * NEAR_MM_XYZ
        )
    else:
        ends = specimen.geometry.index_to_mm(np.array([[0, 0, 0], specimen.geometry.shape_zyx]))
        centre = ends[0] + (ends[1] - ends[0]) * rng.uniform(0.12, 0.88, 3)
    variant = draw_variant(specimen, CROP_ZYX, config.spacing_mm_zyx, centre, variety, rng)
    known = {mirrored(organ) if variant.mirrored else organ for organ in specimen.contoured}
    ct = ((variant.hu + config.hu_offset) / config.hu_scale).astype(np.float32)[None]
    centres = whole_centres(variant.labels, config)
    absent = {
        organ: OUTSIDE_ZYX
        for organ in config.small_organs
        if organ in known and organ not in present(variant.labels, config)
    }
    return Sample(
        torch.from_numpy(ct),
        torch.from_numpy(variant.labels.astype(np.int64)),
        torch.tensor([True, *(organ in known for organ in config.organs)]),
        absent | centres,
        rois_about(centres, config, rng) if config.has_sos else {},
    )


def present(labels: np.ndarray, config: NetworkConfig) -> set[str]:
    """Return the organs that have voxels in the crop."""
    return {config.organs[value - 1] for value in np.unique(labels) if value}


def rois_about(
    centres: dict[str, tuple[float, float, float]], config: NetworkConfig, rng: np.random.Generator
) -> dict[str, Roi]:
    """Return an ROI for each organ that lies whole in the crop, moved by chance as SOL-Net may be off."""
    out = {}
    for organ, centre in centres.items():
        z, y, x = (float(v) for v in np.array(centre) + rng.uniform(-1, 1, 3) * ROI_JITTER_ZYX)
        out[organ] = roi_around((z, y, x), config.roi_size_of(organ), CROP_ZYX)
    return out


def whole_centres(labels: np.ndarray, config: NetworkConfig) -> dict[str, tuple[float, float, float]]:
    """Return the centre (z, y, x) of each small organ that lies whole in the crop."""
    out: dict[str, tuple[float, float, float]] = {}
    boxes = ndimage.find_objects(labels, len(config.organs))
    for organ in config.small_organs:
        value = config.organs.index(organ) + 1
        box = boxes[value - 1]
        if box is not None and all(s.start > 0 and s.stop < n for s, n in zip(box, labels.shape, strict=True)):
            z, y, x = (float(v) for v in np.argwhere(labels == value).mean(axis=0))
            out[organ] = (z, y, x)
    return out


def paint(args: argparse.Namespace) -> None:
    """Paint the cases of a split."""
    folder = BitMaskFolder.open(args.labels)
    organs = tuple(labels_of_variants(folder))
    args.painted.mkdir(parents=True, exist_ok=True)
    for name in split_cases(folder, Recipe())[args.split]:
        path = args.painted / f"{name}-{args.seed}.npz"
        if not path.exists():
            save_specimen(path, make_specimen(folder.read(args.annotator, name), organs, args.seed, args.region))
            print(path, flush=True)


def train(args: argparse.Namespace) -> None:
    """Train one stage."""
    torch.set_num_threads(args.threads)
    pool = Pool([Path(p) for p in args.painted.split(",")])
    organs = pool.pick(np.random.default_rng(0)).organs
    config = network(organs, args.stage != "snet", args.width)
    none = Variety.none()
    known = {item.name for item in fields(Variety)}
    left_out = [trick for trick in args.without.split(",") if trick]
    if unknown := set(left_out) - known:
        sys.exit(f"--without {', '.join(sorted(unknown))} is unknown; choose among {', '.join(sorted(known))}.")
    off = {trick: getattr(none, trick) for trick in left_out}
    wide, mild = replace(Variety(), **off), replace(Variety.mild(), **off)
    torch.manual_seed(args.seed)
    model = TrainingNet(config, False)
    if args.init is not None:
        print(
            "new here:",
            ", ".join(k for k in start_from(model, args.init) if not k.startswith(("solnet", "sosnets"))) or "nothing",
            flush=True,
        )
    settings = Settings(
        steps=args.steps, learning_rate=args.rate, schedule="cosine", ema_decay=0.998, alpha_power=0.5, precision=args.precision, grad_clip=5.0,
        checkpoint_every=20, validate_every=10**9, workers=0, pictures=False, seed=args.seed, heatmap_loss=args.heatmap_loss, aae_mode="none",
    )  # fmt: skip
    voxels = [4e5, *(VOXELS.get(o, VOXELS.get(o.rsplit("_", 1)[0], 60.0)) for o in organs)]
    loop.mean_class_voxels = lambda items, config: torch.tensor(voxels)  # type: ignore[attr-defined, assignment]
    stage = replace(
        STAGES.get(args.stage, SECOND),
        draw=lambda item, context, rng: draw(item.pick(rng), config, mild if rng.random() < args.mild else wide, rng),
        usable=lambda *_: True,
    )
    options = loop.StageOptions(config, settings, Augmentation(), args.run, resume=True)
    loop.train_stage(
        model.to(memory_format=torch.channels_last_3d), stage, [pool] * 4, lambda _: {"score": 0.0}, options
    )


def start_from(model: TrainingNet, checkpoint: Path) -> list[str]:
    """Copy the running average (else the weights) of a checkpoint; return the names of what it does not have."""
    state = averaged(checkpoint)
    return list(model.load_state_dict(state, strict=False).missing_keys)


def averaged(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Return the weights of a checkpoint, the running average where there is one."""
    stored = load_file(checkpoint)
    state = {k[len("model.") :]: v for k, v in stored.items() if k.startswith("model.")}
    return state | {k[len("average.") :]: v for k, v in stored.items() if k.startswith("average.")}


def bundle(args: argparse.Namespace) -> None:
    """Write a bundle that segments whole heads from what was trained so far."""
    checkpoints = {stage: args.run / f"{stage}.last.safetensors" for stage in ("snet", "second")}
    localizes = checkpoints["second"].is_file() and not args.only_snet
    organs = load_specimen(next(iter(sorted(args.painted.glob("*.npz"))))).organs
    config = with_changes(
        network(organs, localizes, args.width),
        crop_size_yx=(208, 192),
        chunk_slices=16,
        segment_slices=32,
        stride=8,
        island_fraction=0.5,
        location_threshold=SURE,
        uppermost_organs=("Brain",),
    )
    state = {k: v for k, v in averaged(checkpoints["snet"]).items() if k.startswith("snet.")}
    if localizes:
        state |= {k: v for k, v in averaged(checkpoints["second"]).items() if k.startswith(("solnet.", "sosnets."))}
    net = FocusNet(config)
    net.load_state_dict(state)
    steps = {stage: int(line.split(",")[0]) for stage in checkpoints if (line := last_row(args.run / f"{stage}.csv"))}
    metadata: dict[str, Any] = {
        "version": args.version,
        "data": f"{CAUTION} 20 patients' contours (tcia-oars), variants drawn by focusnet simulate; chiasm and pituitary modelled",
        "caution": CAUTION,
        "licence": "Apache-2.0 (weights); contours: Nikolov et al. 2018/2021, CC BY 4.0; places of chiasm and pituitary after the SPL-PNL Brain Atlas",
        "intended_use": "Research. Not a medical device.",
        "volume_statistics": volume_statistics(args.painted),
        "training": {"date": time.strftime("%Y-%m-%d"), "cases": {"train": 20, "val": 0}, "stages": {k: {"steps": v} for k, v in steps.items()}},
    }  # fmt: skip
    if args.scores is not None:
        metadata["known_organs"] = known_organs(json.loads(args.scores.read_text()), args.name)
    saved = save_bundle(args.bundle, args.name, net, metadata, overwrite=True)
    print(f"{saved.folder}: {saved.name}, {steps}")


def volume_statistics(painted: Path) -> dict[str, dict[str, float]]:
    """Return the volumes of the organs in the painted heads, in the form of a bundle: absurd ones are told in results."""
    volumes: dict[str, list[float]] = {}
    for path in sorted(painted.glob("*.npz")):
        head = load_specimen(path)
        for organ, count in zip(
            head.organs, np.bincount(head.labels.ravel(), minlength=len(head.organs) + 1)[1:], strict=True
        ):
            if count and organ not in CUT_ORGANS:
                volumes.setdefault(organ, []).append(float(count) * head.geometry.voxel_ml)
    return summaries(volumes)


def known_organs(scores: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """Return what a bundle says of each organ, from the file of ``synthetic_scores.py --json``: the mean DSC on held-out simulated heads."""
    if name not in scores:
        sys.exit(f"--scores has no bundle {name!r}; it has {', '.join(scores)}.")
    return {
        organ: {"dsc": round(float(np.mean([row["dsc"] for row in rows])), 3), "measured_on": "simulated CT"}
        for organ, rows in scores[name].items()
    }


def last_row(path: Path) -> str:
    """Return the last line of a stage's table, "" where there is none."""
    return path.read_text().strip().splitlines()[-1] if path.is_file() else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    painting = commands.add_parser("paint")
    painting.add_argument("labels", type=Path)
    painting.add_argument("painted", type=Path)
    painting.add_argument("--seed", type=int, default=0)
    painting.add_argument("--annotator", default="oncologist")
    painting.add_argument("--split", default="train", choices=("train", "val", "test"))
    painting.add_argument("--region", default="base", choices=("head", "base"))
    painting.set_defaults(run_command=paint)
    training = commands.add_parser("train")
    training.add_argument("painted")
    training.add_argument("run", type=Path)
    training.add_argument("--stage", default="snet", choices=("snet", "second"))
    training.add_argument("--steps", type=int, required=True)
    training.add_argument("--rate", type=float, default=1e-3)
    training.add_argument("--init", type=Path)
    training.add_argument("--without", default="")
    training.add_argument("--mild", type=float, default=0.5, help="share of crops with Variety.mild()")
    training.add_argument("--heatmap-loss", default="cross-entropy")
    training.add_argument("--precision", default="bf16")
    training.add_argument("--width", type=float, default=0.5, help="factor on every channel count; 1 is the paper")
    training.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", "1")))
    training.add_argument("--seed", type=int, default=0)
    training.set_defaults(run_command=train)
    bundling = commands.add_parser("bundle")
    bundling.add_argument("run", type=Path)
    bundling.add_argument("bundle", type=Path)
    bundling.add_argument("--painted", type=Path, required=True, help="painted heads: they say which organs there are")
    bundling.add_argument("--name", default="head22-synthetic")
    bundling.add_argument("--version", default="0")
    bundling.add_argument(
        "--scores", type=Path, help="what synthetic_scores.py --json wrote of this bundle: kept in it"
    )
    bundling.add_argument("--width", type=float, default=0.5)
    bundling.add_argument("--only-snet", action="store_true", help="without SOL- and SOS-Nets, to see what they add")
    bundling.set_defaults(run_command=bundle)
    args = parser.parse_args()
    args.run_command(args)


if __name__ == "__main__":
    main()
