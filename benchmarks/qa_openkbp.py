"""Measure whether the rank follows the true DSC: the shipped model on OpenKBP val, beside the volume check alone.

    python benchmarks/qa_openkbp.py DATA/openkbp han7-openkbp --cache SCRATCH [--plot docs/images/qa-openkbp.png]

Spearman's rank correlation between score and DSC (negative: what is scored odd overlaps less), with a 95 % interval from 500 bootstrap
samples of patients; and what a reviewer gets who looks at the worst scored organs first. Predictions are kept in SCRATCH, so that a second
run takes seconds; another bundle is predicted anew.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))

from openkbp_scores import reference

from focusnet.datasets.openkbp import OpenKBPDataset
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Volume
from focusnet.inference.segment import segment
from focusnet.io.seg_nrrd import read_seg_nrrd, write_seg_nrrd
from focusnet.metrics import dice
from focusnet.nets.bundle import ModelBundle, load_bundle
from focusnet.qa.ranking import rank_organs

SAMPLES = 500
BAD_DSC = 0.6  # what a reviewer would want to see first
IDS = (
    "volume",
    "extent",
    "parts",
    "holes",
    "slice_gaps",
    "hu",
    "asymmetry",
    "position",
    "touch",
    "localization",
    "second_peak",
    "spread",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("bundle")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    bundle = load_bundle(options.bundle)
    rows = list(scored(options.data, options.split, bundle, options.cache))
    report(rows)
    if options.plot:
        plot(rows, options.plot, bundle.name)


def scored(data: Path, split: str, bundle: ModelBundle, cache: Path):
    dataset = OpenKBPDataset(data)
    for case in dataset.cases(split):
        volume = Volume(case.hu, case.geometry, case.name)
        result = predicted(volume, bundle, cache)
        truth = reference(case, dataset.organs)
        checked = rank_organs(result, volume, bundle)
        for entry in checked.organs:
            name = entry.organ.name
            if name in case.contoured:
                by_id = {s.id: s.severity for s in entry.scores if s.severity is not None}
                yield {
                    "patient": case.name, "organ": name, "dsc": dice(result.mask(name), truth.mask(name)), "score": entry.severity or 0.0,
                    "look": entry.group == "look at", **{i: by_id.get(i) for i in IDS},
                }  # fmt: skip


def predicted(volume: Volume, bundle: ModelBundle, cache: Path) -> Segmentation:
    folder = cache / bundle.digest[:12]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{volume.source}.seg.nrrd"
    if not path.is_file():
        write_seg_nrrd(segment(volume, bundle, device="cpu"), path)
        print(f"\r{volume.source}", end="", file=sys.stderr, flush=True)
    return read_seg_nrrd(path)


def report(rows: list[dict]) -> None:
    print(
        f"{len(rows)} organs of {len({r['patient'] for r in rows})} patients; {sum(r['dsc'] < BAD_DSC for r in rows)} with DSC below {BAD_DSC}"
    )
    print("\n| organ | organs | Spearman, review's score and DSC | volume check alone |\n|---|---|---|---|")
    organs = sorted({r["organ"] for r in rows})
    for organ in [*organs, None]:
        mine = [r for r in rows if organ in (None, r["organ"])]
        label = organ or "**all organs**"
        print(f"| {label} | {len(mine)} | {interval(mine, 'score')} | {interval(mine, 'volume')} |")
    print(
        "\n| score | organs to which it applies | Spearman with DSC | AUC for DSC below "
        + f"{BAD_DSC} |\n|---|---|---|---|"
    )
    for key in ("score", *IDS):
        mine = [r for r in rows if r[key] is not None]
        if len(mine) >= 20 and len({r[key] for r in mine}) > 1:
            print(f"| {key} | {len(mine)} | {interval(mine, key)} | {auc(mine, key):.2f} |")
    look = [r for r in rows if r["look"]]
    bad = [r for r in rows if r["dsc"] < BAD_DSC]
    found = sum(r["look"] for r in bad)
    print(
        f"\n'look at': {len(look)} of {len(rows)} organs; {found} of the {len(bad)} with DSC below {BAD_DSC} are among them; "
        f"mean DSC {np.mean([r['dsc'] for r in look]):.3f} there, {np.mean([r['dsc'] for r in rows if not r['look']]):.3f} elsewhere"
    )
    missed = sorted((r for r in bad if not r["look"]), key=lambda r: r["dsc"])[:8]
    print("missed:", "; ".join(f"{r['patient']} {r['organ']} {r['dsc']:.2f}" for r in missed))


def interval(rows: list[dict], key: str) -> str:
    """Return Spearman's rho with a bootstrap interval over patients."""
    patients = sorted({r["patient"] for r in rows})
    by_patient = {p: [(r[key], r["dsc"]) for r in rows if r["patient"] == p and r[key] is not None] for p in patients}
    rng = np.random.default_rng(0)
    whole = rho([pair for p in patients for pair in by_patient[p]])
    samples = [
        rho([pair for p in rng.choice(patients, len(patients)) for pair in by_patient[p]]) for _ in range(SAMPLES)
    ]
    if np.isnan(whole):
        return "does not apply"
    low, high = np.nanpercentile(samples, [2.5, 97.5])
    return f"{whole:.2f} ({low:.2f} to {high:.2f})"


def rho(pairs: list[tuple[float, float]]) -> float:
    if len({p[0] for p in pairs}) < 2 or len({p[1] for p in pairs}) < 2:
        return float("nan")
    return float(spearmanr(*zip(*pairs, strict=True)).statistic)


def auc(rows: list[dict], key: str) -> float:
    """Return the chance that an organ below BAD_DSC is scored higher than one above it."""
    bad = np.array([r[key] for r in rows if r["dsc"] < BAD_DSC])
    good = np.array([r[key] for r in rows if r["dsc"] >= BAD_DSC])
    return (
        float((bad[:, None] > good).mean() + 0.5 * (bad[:, None] == good).mean())
        if len(bad) and len(good)
        else float("nan")
    )


def plot(rows: list[dict], path: Path, name: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), constrained_layout=True)
    for organ in sorted({r["organ"] for r in rows}):
        mine = [r for r in rows if r["organ"] == organ]
        left.scatter([max(r["score"], 0.05) for r in mine], [r["dsc"] for r in mine], s=16, label=organ)
    left.axvline(1.0, color="0.4", lw=1, ls="--")
    left.set(
        xscale="log", xlabel="review's score (1: limit of 'look at')", ylabel="true DSC", title=f"{name}, OpenKBP val"
    )
    figure.legend(
        *left.get_legend_handles_labels(), fontsize=8, loc="outside lower left", ncols=7
    )  # no point is covered
    bad = np.array([r["dsc"] < BAD_DSC for r in rows])
    for key, label in (("score", "review"), ("volume", "volume check alone")):
        order = np.argsort([-(r[key] or 0.0) for r in rows], kind="stable")
        right.plot(np.arange(1, len(rows) + 1) / len(rows), np.cumsum(bad[order]) / bad.sum(), label=label)
    right.plot([0, 1], [0, 1], color="0.6", ls=":", label="by chance")
    right.set(
        xlabel="part of the organs looked at, worst scored first",
        ylabel=f"part of those with DSC < {BAD_DSC} seen",
        title="What looking in this order gives",
    )
    right.legend(fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
