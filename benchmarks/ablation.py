"""Parts that Tables 6, 7 and 8 share: the rows as run folders with the same budget each, their scores, mean and spread over seeds.

A row trains only what is its own: rows that differ in SOS-Net or autoencoder start from the same S-Net, SOL-Net and pre-trained
autoencoder of their seed, so a difference between them is not a difference of S-Nets. Finished rows are skipped, stopped ones go on.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))

from focusnet.datasets.case import Case
from focusnet.datasets.openkbp import OpenKBPDataset
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Volume
from focusnet.inference.segment import segment
from focusnet.metrics import dice
from focusnet.nets.bundle import ModelBundle, load_bundle

CONFIGS = Path(__file__).resolve().parents[1] / "docs" / "configs" / "table6"
FULL = "focusnetv2"


@dataclass(frozen=True)
class Row:
    """One row of Table 6. ``own``: the stages that it trains; ``shared``: stage -> the row that has trained it. ``paper``: AVG, AVG small."""

    name: str
    title: str
    own: tuple[str, ...]
    shared: tuple[tuple[str, str], ...] = ()
    paper: tuple[float, float] | None = None


ROWS = (  # in an order in which a row comes after those it takes stages from
    Row("unet-d4", "SEResUNet_d4, CE", ("snet",), paper=(68.31, 38.64)),
    Row("unet-d3", "SEResUNet_d3, CE", ("snet",), paper=(70.08, 41.03)),
    Row("unet-d2", "SEResUNet_d2, CE", ("snet",), paper=(71.19, 45.58)),
    Row("unet-d1", "SEResUNet_d1, CE", ("snet",), paper=(71.18, 44.30)),
    Row("unet-d2-fl", "SEResUNet_d2, FL", ("snet",)),
    Row("unet-d2-dl", "SEResUNet_d2, DL", ("snet",)),
    Row("unet-d2-fl-dl", "SEResUNet_d2, FL + DL", ("snet",), paper=(80.15, 66.48)),
    Row("snet", "S-Net (d2, FL + DL, ASPP)", ("snet",), paper=(81.04, 68.71)),
    Row("focusnetv1", "+ SOL, SOS (FocusNetv1)", ("sol", "sos"), (("snet", "snet"),), (81.90, 71.40)),
    Row(FULL, "FocusNetv2 (adversarial AAE)", ("aae", "sos"), (("snet", "snet"), ("sol", "focusnetv1")), (84.51, 77.34)),
    Row("no-aae", "FocusNetv2 without an autoencoder", ("sos",), (("snet", "snet"), ("sol", "focusnetv1"))),
    Row("no-concat", "FocusNetv2, no concat", ("sos",), (("snet", "snet"), ("sol", "focusnetv1"), ("aae", FULL)), (82.40, 72.84)),
    Row("origin-ae", "FocusNetv2, frozen AE", ("sos",), (("snet", "snet"), ("sol", "focusnetv1"), ("aae", FULL)), (83.14, 73.23)),
)  # fmt: skip
BY_NAME = {row.name: row for row in ROWS}


def parser(text: str | None) -> argparse.ArgumentParser:
    """The arguments of all three tables."""
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("data", type=Path, help="a data set in the OpenKBP layout, with a split test")
    made.add_argument("runs", type=Path, help="run folders and tables; what is there is kept")
    made.add_argument("--rows", default=",".join(BY_NAME), help="comma-separated (default: all)")
    made.add_argument("--seeds", default="0", help="comma-separated, one repeat each (default: %(default)s)")
    made.add_argument(
        "--split", default="test", help="what is scored; models are selected on val (default: %(default)s)"
    )
    made.add_argument("--steps", type=int, default=100_000, help="of S-Net")
    made.add_argument(
        "--small-steps", type=int, default=20_000, help="of the SOS-Nets (and the autoencoder against them)"
    )
    made.add_argument("--aae-steps", type=int, default=20_000, help="of the autoencoder's pre-training")
    made.add_argument("--sol-steps", type=int, default=20_000, help="of SOL-Net")
    made.add_argument("--width", type=float, default=1.0)
    made.add_argument("--sol-width", type=float, default=0.0, help="of SOL-Net alone (default: as --width)")
    made.add_argument("--spacing-mm", type=float, nargs=3, default=(3.0, 1.0, 1.0), metavar=("Z", "Y", "X"))
    made.add_argument(
        "--crop", type=int, nargs=3, default=(40, 240, 240), metavar=("Z", "Y", "X"), help="voxels of a chunk"
    )
    made.add_argument(
        "--roi",
        type=int,
        nargs=3,
        metavar=("Z", "Y", "X"),
        help="voxels of SOS-Net's ROI (default: made to hold the organs)",
    )
    made.add_argument("--batch", type=int, default=1, help="crops a step (default, and the paper: %(default)s)")
    made.add_argument("--learning-rate", type=float, default=5e-4)
    made.add_argument(
        "--aae-learning-rate", type=float, default=5e-4, help="of the autoencoder's pre-training, always fp32"
    )
    made.add_argument("--sol-learning-rate", type=float, default=5e-4)
    made.add_argument(
        "--small-learning-rate", type=float, default=5e-4, help="of the SOS-Nets and the autoencoder against them"
    )
    made.add_argument("--schedule", default="constant", help="or cosine, for short budgets (default: %(default)s)")
    made.add_argument(
        "--shape-lambda", type=float, default=5.0, help="eq. 7's lambda_1 (default, and the paper: %(default)s)"
    )
    made.add_argument(
        "--shape-relative", action="store_true", help="eq. 5 relative to the true shape's size (docs/training.md)"
    )
    made.add_argument("--reconstruction-dice", type=float, default=0.0, help="weight of a Dice term beside eq. 4's L2")
    made.add_argument(
        "--heatmap-loss", default="l2", help="or cross-entropy or focal, for short budgets (docs/training.md)"
    )
    made.add_argument(
        "--heatmap-bias", type=float, help="SOL-Net's maps begin nearly empty, e.g. -4.6 (docs/experiments.md)"
    )
    made.add_argument("--validate-cases", type=int, default=0, help="of the split val during training (default: all)")
    made.add_argument("--precision", default="fp32")
    made.add_argument("--row", default=FULL, help="whose model Tables 7 and 8 look at (default: %(default)s)")
    made.add_argument("--table", action="store_true", help="only write the table of what is there")
    return made


def run_folder(options: argparse.Namespace, row: str, seed: int) -> Path:
    return Path(options.runs) / f"seed{seed}" / row


def trained(options: argparse.Namespace, row: Row, seed: int) -> ModelBundle:
    """The row's bundle, trained now unless it is there."""
    from focusnet.train.logger import messages_on_stderr
    from focusnet.train.run import train_bundle
    from focusnet.train.setup.request import TrainRequest

    out = run_folder(options, row.name, seed)
    if (out / "bundle" / "bundle.json").is_file():
        return load_bundle(out / "bundle")
    out.mkdir(parents=True, exist_ok=True)
    for stage, owner in row.shared:
        source = run_folder(options, owner, seed) / f"{stage}.best.safetensors"
        if not source.is_file():
            raise SystemExit(f"{row.name} takes its {stage} from {owner}, which has not been trained for seed {seed}; add {owner} to --rows.")  # fmt: skip
        shutil.copyfile(source, out / source.name)
    config = out / "config.toml"
    config.write_text(_toml(row, options), encoding="utf-8")
    began = time.process_time()
    request = TrainRequest(
        options.data,
        out,
        config_file=config,
        stages=row.own,
        resume=any(out.glob("*.last.safetensors")),
        network=network(options),
        settings={
            "seed": seed,
            "schedule": options.schedule,
            "grad_clip": 5.0,
            "batch": options.batch,
            "shape_lambda": options.shape_lambda,
            "shape_relative": options.shape_relative,
            "heatmap_loss": options.heatmap_loss,
            "reconstruction_dice": options.reconstruction_dice,
            "validate_cases": options.validate_cases,
        },
        device="cpu",
    )
    with messages_on_stderr():
        bundle = train_bundle(request)
    (out / "cpu_s.json").write_text(json.dumps({"this_run": time.process_time() - began}))
    return bundle


def network(options: argparse.Namespace) -> dict[str, Any]:
    roi = {"roi_size_zyx": tuple(options.roi)} if options.roi else {}
    return {
        **roi,
        "width": options.width,
        "sol_width": options.sol_width,
        "spacing_mm_zyx": tuple(options.spacing_mm),
        "crop_size_yx": tuple(options.crop[1:]),
        "chunk_slices": options.crop[0],
        "stride": options.crop[0],
        "heatmap_sigma_voxels": 5.0 / options.spacing_mm[2],  # the paper's 5 voxels are 5 mm in plane
        "heatmap_bias": options.heatmap_bias,
        "location_threshold": 0.0,  # every row shows what it draws, however unsure SOL-Net is
    }


def _toml(row: Row, options: argparse.Namespace) -> str:
    """The row's own configuration and this experiment's budget."""
    text = (CONFIGS / f"{row.name}.toml").read_text(encoding="utf-8")
    for stage in ("snet", "sol", "aae", "sos"):
        own = {"snet": options.steps, "sol": options.sol_steps, "aae": options.aae_steps, "sos": options.small_steps}
        steps = own[stage]
        often = max(1, min(200, steps // 10))
        text += (
            f"\n[stages.{stage}]\nsteps = {steps}\nvalidate_every = {max(1, steps // 2)}\ncheckpoint_every = {often}\n"
        )
        rates = {"aae": options.aae_learning_rate, "sol": options.sol_learning_rate, "sos": options.small_learning_rate}
        rate = rates.get(stage, options.learning_rate)
        precision = "fp32" if stage == "aae" else options.precision
        text += f'learning_rate = {rate}\nprecision = "{precision}"\n'
    shift = 0.04 * options.crop[2] * options.spacing_mm[2]  # the paper shifts 40 mm of 240
    return text + f"\n[augmentation]\nshift_mm = {shift:.1f}\nrotation_degrees = 10.0\nscale = [0.85, 1.15]\n"


def scores(options: argparse.Namespace, row: Row, seed: int) -> dict[str, Any]:
    """DSC of every organ of every test scan, and localization errors; computed once, then read."""
    path = run_folder(options, row.name, seed) / f"scores-{options.split}.json"
    if not path.is_file():
        bundle = trained(options, row, seed)
        cases = list(OpenKBPDataset(options.data).cases(options.split))
        found: dict[str, Any] = {"row": row.name, "seed": seed, "small_organs": list(bundle.config.small_organs)}
        found["cases"] = [case_scores(segment(volume_of(case), bundle, device="cpu"), case) for case in cases]
        if bundle.config.has_sos:
            found["at_true_centre"] = [
                case_scores(at_places(bundle, case, case.centroids_mm_xyz), case) for case in cases
            ]
        path.write_text(json.dumps(found, indent=1) + "\n")
    return dict(json.loads(path.read_text()))


def volume_of(case: Case) -> Volume:
    return Volume(case.hu, case.geometry, case.name)


def at_places(bundle: ModelBundle, case: Case, places_mm_xyz: Mapping[str, Sequence[float]]) -> Segmentation:
    """The small organs with their ROIs at given places, whatever SOL-Net says."""
    seeds = {organ: places_mm_xyz[organ] for organ in bundle.config.small_organs if organ in places_mm_xyz}
    return segment(volume_of(case), bundle, device="cpu", organs=list(seeds), seeds=seeds)


def case_scores(result: Segmentation, case: Case) -> dict[str, Any]:
    """DSC of what was contoured and lies in the scan; distance (mm) from the heat map's maximum to the organ's centre."""
    dsc, errors = {}, {}
    for r in result.results:
        truth = case.labels == r.label
        if r.organ.name not in case.contoured or not truth.any():
            continue
        dsc[r.organ.name] = dice(result.labels == r.label, truth)
        if r.peak_mm_xyz is not None:
            centre = case.centroids_mm_xyz[r.organ.name]
            errors[r.organ.name] = float(np.linalg.norm(np.subtract(r.peak_mm_xyz, centre)))
    return {"case": case.name, "dsc": dsc, "localization_error_mm": errors}


def mean_dsc(found: dict[str, Any], organs: Sequence[str] | None = None, of: str = "cases") -> float:
    """Mean over organs of the mean over scans, as the paper averages. ``of``: "cases", or "at_true_centre" for ROIs placed by the truth."""
    by_organ: dict[str, list[float]] = {}
    for case in found[of]:
        for organ, value in case["dsc"].items():
            if organs is None or organ in organs:
                by_organ.setdefault(organ, []).append(value)
    return float(np.mean([np.mean(values) for values in by_organ.values()]))


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Mean and, from two values on, their standard deviation (n - 1)."""
    text = f"{np.mean(values):.{digits}f}"
    return text + (f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else "")


def write_table(runs: Path, name: str, header: Sequence[str], rows: Sequence[Sequence[str]], data: Any) -> None:
    """NAME.json, NAME.csv and NAME.md in ``runs``, and the table on stdout."""
    (runs / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    with (runs / f"{name}.csv").open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([header, *rows])
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}", *(f"| {' | '.join(row)} |" for row in rows)]
    (runs / f"{name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
