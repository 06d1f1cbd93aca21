"""Does a model learn a habit from corrected cases? OpenKBP's contours altered by two rules, 10, 20 and 40 "corrected" cases, held-out scans.

The habit: both parotids are 2 mm larger in every direction; the spinal cord begins 20 mm lower (its top 20 mm are not drawn). People are
taken to correct these three organs only: the other four are unknown in the corrected cases. The shipped model was trained on the scans of
the split ``train``, from which the corrected cases come; it has never seen their altered contours. Scores are on the split ``val``.

  python benchmarks/learning_curve.py make DATA/openkbp WORK --cases 40
  python benchmarks/learning_curve.py tune WORK 10|20|40 [--no-old-answers] [--encoder-rate 0.1] [--learning-rate 5e-4] [--steps 240] [--tag NAME]
  python benchmarks/learning_curve.py score WORK MODEL [--scans 33]      # MODEL: old, or a tag
  python benchmarks/learning_curve.py plot WORK docs/images/learning-curve.png 10 20 40
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))
CHANGED = ("Parotid_R", "Parotid_L", "SpinalCord")
GROWN_MM, LOWERED_MM = 2.0, 20.0
FINE_MM = 1.0
OLD = "han7-openkbp"


def grown(mask: np.ndarray, spacing_mm_zyx: tuple[float, float, float], by_mm: float) -> np.ndarray:
    """Return a bool mask (z, y, x) grown by ``by_mm`` everywhere, also by less than a voxel.

    Distances are measured to its smoothed surface on a grid of FINE_MM.
    """
    boxes = ndimage.find_objects(mask.astype(np.uint8))
    if not boxes:
        return mask.copy()
    pad = [int(np.ceil((by_mm + 4) / s)) + 1 for s in spacing_mm_zyx]
    box = tuple(
        slice(max(0, s.start - p), min(n, s.stop + p)) for s, p, n in zip(boxes[0], pad, mask.shape, strict=True)
    )
    part = ndimage.gaussian_filter(
        mask[box].astype(np.float32), [0.6 * max(spacing_mm_zyx) / s for s in spacing_mm_zyx]
    )
    lengths = [(n - 1) * s for n, s in zip(part.shape, spacing_mm_zyx, strict=True)]
    axes = [np.arange(0, length + 1e-6, FINE_MM) for length in lengths]
    points = np.meshgrid(*[a / s for a, s in zip(axes, spacing_mm_zyx, strict=True)], indexing="ij")
    fine = ndimage.map_coordinates(part, points, order=1) > 0.5
    if not fine.any():
        return mask.copy()
    outside = (
        ndimage.distance_transform_edt(~fine) - 0.5
    )  # to the surface, half a fine voxel nearer than the last centre inside
    inside = ndimage.distance_transform_edt(fine) - 0.5
    signed_mm = np.where(fine, -inside, outside) * FINE_MM
    centers = np.meshgrid(
        *[np.arange(n) * s / FINE_MM for n, s in zip(part.shape, spacing_mm_zyx, strict=True)], indexing="ij"
    )
    out = np.zeros_like(mask)
    out[box] = ndimage.map_coordinates(signed_mm, centers, order=1, mode="nearest") <= by_mm
    return out


def begun_lower(mask: np.ndarray, slice_mm: float, by_mm: float) -> np.ndarray:
    """Return a bool mask (z, y, x, z to the head) without its upper ``by_mm``."""
    out = mask.copy()
    there = np.flatnonzero(mask.any(axis=(1, 2)))
    if len(there):
        out[there[-1] + 1 - round(by_mm / slice_mm) :] = False
    return out


def altered(labels: np.ndarray, values: dict[str, int], spacing_mm_zyx: tuple[float, float, float]) -> np.ndarray:
    """Return labels (z, y, x) as somebody with the habit would have drawn them; no other organ loses a voxel."""
    out = labels.copy()
    cord = labels == values["SpinalCord"]
    out[cord & ~begun_lower(cord, spacing_mm_zyx[0], LOWERED_MM)] = 0
    for organ in ("Parotid_R", "Parotid_L"):
        out[grown(labels == values[organ], spacing_mm_zyx, GROWN_MM) & (out == 0)] = values[organ]
    return out


def make(data: Path, work: Path, cases: int) -> None:
    """Write WORK/N for N = 10, 20, 40 (those up to ``cases``), split 4 to 1 into train and val, and WORK/test with the altered scans of val."""
    index = json.loads((data / "dataset.json").read_text())
    values = index["labels"]
    whole = [n for n, organs in sorted(index["contoured"]["train"].items()) if set(CHANGED) <= set(organs)]
    order = np.random.default_rng(0).permutation(len(whole))
    chosen = [whole[i] for i in order[:cases]]
    for count in [n for n in (10, 20, 40) if n <= cases]:
        splits = {"train": [n for i, n in enumerate(chosen[:count]) if i % 5], "val": chosen[:count:5]}
        contoured = {split: {n: list(CHANGED) for n in names} for split, names in splits.items()}
        write_split(
            data, work / str(count), {n: ("train", split) for split, names in splits.items() for n in names}, values
        )
        (work / str(count) / "dataset.json").write_text(json.dumps({"labels": values, "contoured": contoured}))
    test = index["contoured"]["val"]
    write_split(data, work / "test", dict.fromkeys(test, ("val", "test")), values)
    (work / "test" / "dataset.json").write_text(json.dumps({"labels": values, "contoured": {"test": test}}))


def write_split(data: Path, out: Path, cases: dict[str, tuple[str, str]], values: dict[str, int]) -> None:
    for name, (source, split) in cases.items():
        folder = out / split / name
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "ct.nrrd").exists():
            os.symlink((data / source / name / "ct.nrrd").resolve(), folder / "ct.nrrd")
        image = sitk.ReadImage(str(data / source / name / "label.nrrd"))
        new = sitk.GetImageFromArray(altered(sitk.GetArrayFromImage(image), values, image.GetSpacing()[::-1]))
        new.CopyInformation(image)
        sitk.WriteImage(new, str(folder / "label.nrrd"), True)


def tune(options: argparse.Namespace) -> None:
    from focusnet.train.run import train_bundle
    from focusnet.train.setup.request import TrainRequest
    from focusnet.train.setup.tune_options import TuneOptions

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    tag = options.tag or options.cases
    settings = {
        k: getattr(options, k)
        for k in ("steps", "encoder_rate", "learning_rate", "validate_every")
        if getattr(options, k) is not None
    }
    request = TrainRequest(
        options.work / options.cases, options.work / "runs" / tag, resume=(options.work / "runs" / tag / "training.json").exists(),
        settings={**settings, "minutes": 0.0, "pictures": False}, device="cpu", init=OLD,
        tune=TuneOptions(f"tuned-{tag}", mix_old_answers=not options.no_old_answers),
    )  # fmt: skip
    start = time.process_time()
    bundle = train_bundle(request)
    note = {
        "cpu_s": round(time.process_time() - start, 1),
        "cases": options.cases,
        "settings": settings,
        "stage": bundle.manifest["training"]["stages"]["tune"],
    }
    (options.work / "runs" / tag / "cost.json").write_text(json.dumps(note))
    print(note)


def score(options: argparse.Namespace) -> None:
    """Write WORK/scores-TAG.json: rows of case, organ, DSC against altered contours, surface DSC, volume ratio and the heat maps' maxima."""
    from focusnet.datasets.open_dataset import open_dataset
    from focusnet.evaluation.evaluate import score_organ
    from focusnet.image.volume import Volume
    from focusnet.inference.segment import segment
    from focusnet.nets.bundle import load_bundle

    bundle = load_bundle(OLD if options.model == "old" else options.work / "runs" / options.model / "bundle")
    data = open_dataset(options.work / "test")
    rows, start = [], time.process_time()
    for name in data.patients("test")[: options.scans]:
        case = data.case("test", name)
        found = segment(Volume(case.hu, case.geometry, name), bundle, "cpu")
        for result in found.results:
            organ = result.organ.name
            if organ in case.contoured:
                truth = case.labels == data.organs.index(organ) + 1
                row = score_organ(name, organ, found.labels == result.label, truth, case.geometry.spacing_mm_zyx)
                numbers = {"dsc": row.dsc, "sdsc": row.surface_dsc, "peak": result.peak}
                volumes = {"ml": row.volume_predicted_ml, "ml_true": row.volume_reference_ml}
                rows.append({"case": name, "organ": organ, **numbers, **volumes})
    (options.work / f"scores-{options.model}.json").write_text(json.dumps(rows))
    for organ in data.organs:
        mine = [r for r in rows if r["organ"] == organ]
        peaks = [r["peak"] for r in mine if r["peak"] is not None]
        dsc, surface = (np.mean([r[key] for r in mine]) for key in ("dsc", "sdsc"))
        volume = np.median([r["ml"] / r["ml_true"] for r in mine if r["ml_true"]])
        peak = f" peak {np.mean(peaks):.3f}" if peaks else ""
        print(f"{organ:<14} n {len(mine):2d} DSC {dsc:.4f} surface DSC {surface:.4f} volume {volume:.3f}{peak}")
    print(f"{options.model}: {time.process_time() - start:.0f} CPU s")


def plot(options: argparse.Namespace) -> None:
    """Draw the DSC against the number of corrected cases: the organs with the habit, and the others. Tags are numbers of cases; ``old`` is 0."""
    import matplotlib.pyplot as plt

    from focusnet.image.organs import find_organ

    rows = {0: "old", **{int(tag): tag for tag in options.tags}}
    scores = {count: json.loads((options.work / f"scores-{tag}.json").read_text()) for count, tag in rows.items()}
    scans = set.intersection(*({r["case"] for r in s} for s in scores.values()))
    figure, axes = plt.subplots(1, 2, figsize=(10.5, 3.4), sharex=True)
    for organ in dict.fromkeys(r["organ"] for r in scores[0]):
        means = {
            n: np.mean([r["dsc"] for r in s if r["organ"] == organ and r["case"] in scans]) for n, s in scores.items()
        }
        found = find_organ(organ)
        color = np.array(found.color_rgb) / 255 if found is not None else "grey"
        axes[0 if organ in CHANGED else 1].plot(
            list(means), list(means.values()), "o-", color=color, label=organ, mec="0.3"
        )
    titles = ("Corrected organs, against contours with the habit", "Organs that nobody corrected")
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("corrected cases (0: the model before)")
        ax.set_xticks(list(scores))
        ax.grid(alpha=0.3)
        ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    axes[0].set_ylabel(f"mean DSC, {len(scans)} held-out scans")
    figure.tight_layout()
    figure.savefig(options.out, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    one = actions.add_parser("make")
    one.add_argument("data", type=Path)
    one.add_argument("work", type=Path)
    one.add_argument("--cases", type=int, default=40)
    one = actions.add_parser("tune")
    one.add_argument("work", type=Path)
    one.add_argument("cases")
    one.add_argument("--no-old-answers", action="store_true")
    one.add_argument("--encoder-rate", type=float)
    one.add_argument("--learning-rate", type=float)
    one.add_argument("--steps", type=int)
    one.add_argument("--validate-every", type=int)
    one.add_argument("--tag", default="")
    one = actions.add_parser("score")
    one.add_argument("work", type=Path)
    one.add_argument("model")
    one.add_argument("--scans", type=int, default=33)
    one = actions.add_parser("plot")
    one.add_argument("work", type=Path)
    one.add_argument("out", type=Path)
    one.add_argument("tags", nargs="+", help="numbers of cases")
    options = parser.parse_args()
    if options.action == "make":
        make(options.data, options.work, options.cases)
    else:
        {"tune": tune, "score": score, "plot": plot}[options.action](options)


if __name__ == "__main__":
    main()
