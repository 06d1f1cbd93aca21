"""Train the shape autoencoder of large organs and make its bundle: one network, each organ kind on a grid of its own spacing, so that it fits.

    python benchmarks/shapes_large.py train DATA RUN [--steps N]
    python benchmarks/shapes_large.py bundle DATA RUN FocusNetSegmentation/Resources/Models/shapes-large
    python benchmarks/shapes_large.py errors DATA RUN FocusNetSegmentation/Resources/Models/shapes-large

DATA holds openkbp and tcia-oars. Split by patient: of OpenKBP train every fifth patient calibrates, the others train; OpenKBP val is held out.
tcia-oars as in focusnet/datasets/tcia_oars.py. Stopped at any moment, training goes on where it was. ``bundle`` prints the card's table, ``errors`` how well
real contours of held-out patients are told from the same contours made wrong: AUC of each score, by organ and by kind of error.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))

from qa_corruptions import Corrupt, leaked, mirrored, scaled, with_blob, without_slices
from shapes_bundle import Drawn, as_json, encode, latent_spaces, measured, spreads

from focusnet.datasets.bit_masks import patient_of
from focusnet.datasets.openkbp import OpenKBPDataset
from focusnet.datasets.organ_boxes import NO_JITTER, Jitter, OrganShape, organ_shapes
from focusnet.datasets.tcia_oars import ANNOTATORS, TciaOars
from focusnet.image.organs import find_organ, without_side
from focusnet.image.segmentation import OrganResult, Segmentation
from focusnet.image.volume import Geometry
from focusnet.metrics import dice, surface_distances
from focusnet.nets.bundle import ModelBundle, load_bundle, save_bundle
from focusnet.nets.config import NetworkConfig, preset
from focusnet.nets.shape_autoencoder import ShapeAutoencoder
from focusnet.qa.shape_model import LatentSpace
from focusnet.train.logger import messages_on_stderr
from focusnet.train.loop.checkpoint import load_checkpoint
from focusnet.train.loop.loop import StageOptions, train_stage
from focusnet.train.settings import Settings
from focusnet.train.stages.augment import NO_AUGMENTATION
from focusnet.train.stages.shape_samples import AAE_SHAPES, Shape, ShapeModel, ShapeSample, ShapeValidator
from focusnet.train.stages.table import StageContext
from focusnet.version import __version__

KINDS = (
    "Brainstem", "SpinalCord", "Parotid", "Esophagus", "Larynx", "Bone_Mandible", "Eye", "Glnd_Submand", "Brain", "SpinalCanal", "Lung",
)  # fmt: skip
ORGANS = tuple(
    name
    for kind in KINDS
    for name in ((kind,) if kind not in ("Parotid", "Eye", "Glnd_Submand", "Lung") else (f"{kind}_L", f"{kind}_R"))
)
NOT_SHIPPED = (
    "Bone_Mandible",
    "SpinalCord",
    "SpinalCanal",
)  # thin in a coarse box: come back with a DSC under 0.7, no help to anyone
SIDE = 32  # voxels of the box
FILLS = 26  # of them are the longest organ: the rest is for what is larger still and for the shift of training
WIDTH = 0.125
CALIBRATE_EVERY = 5
SPLITS = ("train", "calibrate", "held-out")
NUDGE = Jitter((1.0, 0.5, 0.5), 0.0, (1.0, 1.0))
VIEWS = 1  # the box is coarser than a nudge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("train", "bundle", "errors"))
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--steps", type=int, default=2500)
    options = parser.parse_args()
    options.run.mkdir(parents=True, exist_ok=True)
    shapes = all_shapes(options.data, options.run / "shapes.npz")
    spacings = box_spacings(shapes["train"])
    if options.what == "train":
        train(shapes, spacings, options.run, options.steps)
    elif options.what == "bundle":
        bundle(shapes, spacings, options.run, options.out)
    else:
        errors(shapes["held-out"], ShapeScorer(load_bundle(options.out, kind="shape")))


def all_shapes(data: Path, path: Path) -> dict[str, list[OrganShape]]:
    """Return every large organ's contour by split; kept in ``path``, because reading takes minutes."""
    if not path.is_file():
        content, about = {}, []
        for split in SPLITS:
            for shape in (*openkbp_shapes(data / "openkbp", split), *tcia_shapes(data / "tcia-oars", split)):
                content[f"mask{len(about)}"] = np.packbits(shape.mask)
                about.append([split, shape.name, shape.patient, shape.organ, shape.mask.shape, shape.geometry.spacing_mm_xyz,
                              shape.geometry.origin_mm_xyz, shape.center_mm_xyz])  # fmt: skip
        np.savez(path, about=np.array(json.dumps(about)), **content)
    found: dict[str, list[OrganShape]] = {split: [] for split in SPLITS}
    with np.load(path) as file:
        for number, (split, name, patient, organ, size, spacing, origin, center) in enumerate(
            json.loads(str(file["about"]))
        ):
            mask = np.unpackbits(file[f"mask{number}"], count=int(np.prod(size))).reshape(size).astype(bool)
            found[split].append(OrganShape(name, patient, organ, mask, Geometry(size, spacing, origin), tuple(center)))
    return found


def openkbp_shapes(folder: Path, split: str) -> Iterator[OrganShape]:
    dataset = OpenKBPDataset(folder)
    names = dataset.patients("val" if split == "held-out" else "train")
    for number, name in enumerate(names):
        if split != "held-out" and (number % CALIBRATE_EVERY == 0) != (split == "calibrate"):
            continue
        case = dataset.case("val" if split == "held-out" else "train", name)
        results = tuple(
            OrganResult(organ=find_organ(o), label=k, found=True, volume_ml=1.0)
            for k, o in enumerate(dataset.organs, start=1)
            if o in case.contoured
        )
        segmentation = Segmentation(case.labels, case.geometry, results)
        yield from organ_shapes(segmentation, name, name, ORGANS)


def tcia_shapes(folder: Path, split: str) -> Iterator[OrganShape]:
    dataset = TciaOars(folder)
    for scan in dataset.scans[split]:
        for annotator in ANNOTATORS:
            segmentation = dataset.segmentation(scan, annotator, ORGANS)
            yield from organ_shapes(segmentation, f"{scan}, {annotator}", patient_of(scan), ORGANS)


def box_spacings(shapes: list[OrganShape]) -> dict[str, tuple[float, float, float]]:
    """Return each organ kind's spacing (z, y, x) in mm, so that 98 of 100 training shapes fill at most FILLS voxels along each axis."""
    spacings = {}
    for kind in KINDS:
        mine = [s for s in shapes if without_side(s.organ) == kind]
        extents = [np.ptp(np.argwhere(s.mask), axis=0) * s.geometry.spacing_mm_zyx for s in mine if s.mask.any()]
        z, y, x = (max(1.0, round(float(mm) / FILLS, 2)) for mm in np.percentile(extents, 98, axis=0))
        spacings[kind] = (z, y, x)
    return spacings


def config_of(spacing_mm_zyx: tuple[float, float, float] = (3.0, 3.0, 3.0)) -> NetworkConfig:
    return preset(
        "paper",
        organs=ORGANS,
        small_organs=ORGANS,
        aae_width=WIDTH,
        roi_size_zyx=(SIDE, SIDE, SIDE),
        spacing_mm_zyx=spacing_mm_zyx,
    )


def train(
    shapes: dict[str, list[OrganShape]], spacings: dict[str, tuple[float, float, float]], run: Path, steps: int
) -> None:
    configs = {kind: config_of(spacing) for kind, spacing in spacings.items()}
    jitters = {kind: jitter_of(spacing) for kind, spacing in spacings.items()}
    settings = Settings(
        steps=steps, batch=8, learning_rate=3e-3, schedule="cosine", precision="fp32", reconstruction_dice=1.0, ema_decay=0.98,
        checkpoint_every=50, validate_every=100, grad_clip=1.0,
    )  # fmt: skip
    torch.manual_seed(settings.seed)
    model = ShapeModel(config_of()).to(memory_format=torch.channels_last_3d)

    def draw(shape: OrganShape, context: StageContext, rng: np.random.Generator) -> ShapeSample:
        kind = without_side(shape.organ)
        mask = shape.draw(configs[kind], jitters[kind], rng)
        return ShapeSample(torch.from_numpy(mask.astype(np.float32))[None, None], (shape.organ,))

    chosen = [
        Shape(s.name, without_side(s.organ), s.draw(configs[without_side(s.organ)]))
        for kind in KINDS
        for s in [s for s in shapes["calibrate"] if without_side(s.organ) == kind][::3][:12]
    ]
    balanced = balance(shapes["train"])
    print(
        f"{len(shapes['train'])} shapes to train on, {len(chosen)} to choose the step; {spacings}",
        file=sys.stderr,
        flush=True,
    )
    how = StageOptions(config_of(), settings, NO_AUGMENTATION, run, resume=True)
    with messages_on_stderr():
        train_stage(model, replace(AAE_SHAPES, draw=draw), balanced, ShapeValidator(chosen, config_of()), how)
    (run / "settings.json").write_text(json.dumps({**asdict(settings), "width": WIDTH}, indent=1))


def jitter_of(spacing_mm_zyx: tuple[float, float, float]) -> Jitter:
    z, y, x = spacing_mm_zyx
    return Jitter((0.7 * z, 0.7 * y, 0.7 * x))


def balance(shapes: list[OrganShape]) -> list[OrganShape]:
    """Return the shapes with rarer kinds repeated, at most fourfold."""
    counts = {kind: sum(without_side(s.organ) == kind for s in shapes) for kind in KINDS}
    most = max(counts.values())
    return [s for s in shapes for _ in range(min(4, max(1, round(most / counts[without_side(s.organ)]))))]


def bundle(
    shapes: dict[str, list[OrganShape]], spacings: dict[str, tuple[float, float, float]], run: Path, out: Path
) -> None:
    tensors, state = load_checkpoint(run / "aae.best.safetensors")
    network = ShapeAutoencoder(config_of())
    network.load_state_dict({k[len("model.aae.") :]: v for k, v in tensors.items() if k.startswith("model.aae.")})
    network = network.half().float().eval()  # scored as it ships: weights rounded to half precision
    configs = {kind: config_of(spacing) for kind, spacing in spacings.items()}
    rng = np.random.default_rng(0)

    def drawn(split: str) -> list[Drawn]:
        nudge, views = (NUDGE, VIEWS) if split == "train" else (NO_JITTER, 1)
        every = [
            Drawn(s.organ, np.array([s.draw(configs[without_side(s.organ)], nudge, rng) for _ in range(views)]))
            for s in shapes[split]
        ]
        return [d for d in every if d.masks[0].any()]

    spaces = {kind: space for kind, space in latent_spaces(network, drawn("train")).items() if kind not in NOT_SHIPPED}
    statistics, scores, by_name = {}, {}, {}
    calibrate, held_out = drawn("calibrate"), drawn("held-out")
    for kind, space in spaces.items():

        def rows(of: list[Drawn], kind: str = kind, space=space) -> list[dict[str, float]]:
            return [in_mm(network, s, space, spacings[kind]) for s in of if without_side(s.organ) == kind]

        known = rows(calibrate)
        statistics[kind] = {"n": len(known), "latent": as_json(space), "real": spreads(known)}
        scores[kind] = rows(held_out)
    for organ in sorted({s.organ for s in held_out if without_side(s.organ) in spaces}):
        kind = without_side(organ)
        mine = [in_mm(network, s, spaces[kind], spacings[kind]) for s in held_out if s.organ == organ]
        dsc = [1 - r["loss"] for r in mine]
        by_name[organ] = {
            "n": len(mine),
            "dsc_mean": round(float(np.mean(dsc)), 4),
            "dsc_sd": round(float(np.std(dsc)), 4),
        }
    metadata = {
        "kind": "shape",
        "version": "1",
        "data": "OpenKBP train (170 patients) and tcia-oars (34 patients, two annotators): contours, no CT",
        "licence": "Apache-2.0 (weights); contours: OpenKBP (Babier et al. 2021, MIT); CC BY 4.0, Nikolov et al. 2021",
        "intended_use": "Research. Scores shapes for review; contours nothing. Not a medical device.",
        "training": {"date": time.strftime("%Y-%m-%d"), "focusnet_version": __version__, "best_step": state["step"]},
        "held_out": {
            "split": "OpenKBP val (33 patients) and the held-out patients of tcia-oars (8, two annotators)",
            "mean_dsc": round(float(np.mean([1 - r["loss"] for rows in scores.values() for r in rows])), 4),
            "organs": by_name,
        },
        "scores": False,  # shown as shape priors; docs/qa.md
        "box_spacing_mm_zyx": spacings,
        "shape_statistics": statistics,
    }
    save_bundle(out, out.name, network.half(), metadata, overwrite=True)
    size = sum(p.stat().st_size for p in out.iterdir()) / 2**20
    print(f"{out.name}: step {state['step']}, {size:.1f} MiB")
    print(
        "| organ | box voxel, mm (x, y, z) "
        "| train shapes | held-out shapes | reconstruction DSC | lowest | surface distance, mm |\n|---|---|---|---|---|---|---|"
    )
    for kind, found in scores.items():
        dsc = [1 - r["loss"] for r in found]
        trained = sum(without_side(s.organ) == kind for s in shapes["train"])
        z, y, x = spacings[kind]
        print(
            f"| {kind} | {x:.1f}, {y:.1f}, {z:.1f} | {trained} | {len(found)} | {np.mean(dsc):.3f} ± {np.std(dsc):.3f} | {min(dsc):.2f} "
            f"| {np.mean([r['surface_mm'] for r in found]):.2f} |"
        )


@torch.inference_mode()
def in_mm(
    network: ShapeAutoencoder, shape: Drawn, space, spacing_mm_zyx: tuple[float, float, float]
) -> dict[str, float]:
    """Return what ``measured`` does, with the surface distance in the organ's own spacing."""
    row = measured(network, shape, space)
    out, _, _ = network(torch.from_numpy(shape.masks[0].astype(np.float32))[None, None])
    surface = surface_distances(shape.masks[0], out[0, 0].numpy() >= 0.5, spacing_mm_zyx).mean_mm
    return {**row, "surface_mm": surface if np.isfinite(surface) else 50.0}


PLANTED: dict[str, Corrupt] = {
    "shrink to 0.8": lambda m, g, r: scaled(m, 0.8),
    "grow to 1.2": lambda m, g, r: scaled(m, 1.2),
    "slice missing": lambda m, g, r: without_slices(m, r, inner=True),
    "end cut off": lambda m, g, r: without_slices(m, r, inner=False),
    "leak 8 mm": lambda m, g, r: leaked(m, g, r, 8),
    "blob 6 mm": lambda m, g, r: with_blob(m, g, r, 6),
    "mirrored": lambda m, g, r: mirrored(m),
}
SCORES = ("loss", "distance", "volume")
AT_MOST = 10  # real contours of each kind


def errors(shapes: list[OrganShape], scorer: ShapeScorer) -> None:
    rows: dict[str, dict[str, list[dict[str, float]]]] = {}
    for kind in scorer.spaces:
        mine = [s for s in shapes if without_side(s.organ) == kind]
        rows[kind] = {what: [] for what in ("real", *PLANTED)}
        for number, shape in enumerate(mine[:: max(1, len(mine) // AT_MOST)][:AT_MOST]):
            wide = padded(shape)
            for what, change in {"real": lambda m, g, r: m, **PLANTED}.items():
                rng = np.random.default_rng([number, *what.encode()])
                changed = change(wide.mask, wide.geometry, rng)
                if changed.any():
                    rows[kind][what].append(scorer.measured(replace(wide, mask=changed)))
    volumes = {kind: np.median([r["ml"] for r in found["real"]]) for kind, found in rows.items()}
    for kind, found in rows.items():
        for each in found.values():
            for row in each:
                row["volume"] = abs(np.log(row["ml"] / volumes[kind]))
    print(
        "| error | " + " | ".join(rows) + " | mean, latent | mean, DSC | mean, volume |\n|" + "---|" * (len(rows) + 4)
    )
    for what in PLANTED:
        cells = {
            score: [auc([r[score] for r in rows[k][what]], [r[score] for r in rows[k]["real"]]) for k in rows]
            for score in SCORES
        }
        means = " | ".join(f"{np.mean(cells[score]):.2f}" for score in ("distance", "loss", "volume"))
        print(f"| {what} | " + " | ".join(f"{v:.2f}" for v in cells["distance"]) + f" | {means} |")


def padded(shape: OrganShape, margin_mm: float = 24.0) -> OrganShape:
    """Return the shape with room around it for errors to be planted in."""
    width = [int(np.ceil(margin_mm / s)) for s in shape.geometry.spacing_mm_zyx]
    mask = np.pad(shape.mask, [(n, n) for n in width])
    origin = tuple(shape.geometry.index_to_mm(-np.array(width)))
    return replace(shape, mask=mask, geometry=replace(shape.geometry, shape_zyx=mask.shape, origin_mm_xyz=origin))


class ShapeScorer:
    """Scores shapes as ``ShapeModel`` scores measured organs: each about its own centre."""

    def __init__(self, of: ModelBundle) -> None:
        self.network = of.build_autoencoder()
        self.spacing = {kind: tuple(mm) for kind, mm in of.manifest["box_spacing_mm_zyx"].items()}
        self.spaces = {
            kind: LatentSpace(
                *(np.array(row["latent"][key]) for key in ("center", "components", "sd")),
                float(row["latent"]["rest_sd"]),
            )
            for kind, row in of.manifest["shape_statistics"].items()
        }

    def measured(self, shape: OrganShape) -> dict[str, float]:
        kind = without_side(shape.organ)
        center = shape.geometry.index_to_mm(np.argwhere(shape.mask).mean(axis=0))
        mask = replace(shape, center_mm_xyz=tuple(float(v) for v in center)).draw(config_of(self.spacing[kind]))
        back, code = encode(self.network, mask)
        row = {"loss": 1 - dice(mask, back), "distance": self.spaces[kind].distance(code)}
        return {**row, "ml": float(shape.mask.sum()) * shape.geometry.voxel_ml}


def auc(wrong: list[float], real: list[float]) -> float:
    """Return the chance that a wrong contour has the higher score."""
    if not wrong or not real:
        return float("nan")
    a, b = np.array(wrong)[:, None], np.array(real)[None]
    return float(np.mean((a > b) + 0.5 * (a == b)))


if __name__ == "__main__":
    main()
