"""Scores of a bundle on the held-out split of OpenKBP, on the scans' own grids: the model card's table.

    python benchmarks/openkbp_scores.py DATA/openkbp BUNDLE [--precision fp32|bf16] [--backend openvino] [--json F]

Also, for the first scans: the same scan stored flipped and with its axes reordered must give the same organs in the same place.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))

from focusnet.datasets.case import Case
from focusnet.datasets.openkbp import OpenKBPDataset
from focusnet.evaluation.evaluate import OrganScores, evaluate
from focusnet.evaluation.score_table import summarise
from focusnet.image.organs import find_organ
from focusnet.image.orientation import to_upright
from focusnet.image.segmentation import OrganResult, Segmentation
from focusnet.image.volume import Geometry, Volume
from focusnet.inference.segment import segment
from focusnet.metrics import dice
from focusnet.nets.bundle import load_bundle

FIVE = ("Brainstem", "SpinalCord", "Parotid_R", "Parotid_L", "Bone_Mandible")
STORED_OTHERWISE = 3  # scans that are also segmented flipped and reordered


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("bundle")
    parser.add_argument("--split", default="val")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    bundle, dataset = load_bundle(options.bundle), OpenKBPDataset(options.data)
    rows: list[OrganScores] = []
    peaks: dict[str, list[tuple[float, float]]] = {}
    worst = 1.0
    for number, case in enumerate(dataset.cases(options.split)):
        volume = Volume(case.hu, case.geometry, case.name)
        result = segment(volume, bundle, device="cpu", precision=options.precision, backend=options.backend)
        rows.extend(evaluate(result, reference(case, dataset.organs), case=case.name))
        for r in result.results:
            if r.peak is not None and r.organ.name in case.centroids_mm_xyz:
                error = np.linalg.norm(np.subtract(r.peak_mm_xyz, case.centroids_mm_xyz[r.organ.name]))
                peaks.setdefault(r.organ.name, []).append((r.peak, float(error)))
        if number < STORED_OTHERWISE:
            worst = min(worst, stored_otherwise(volume, result, bundle, options))
    print_table(rows, peaks, worst)
    if options.json:
        options.json.write_text(json.dumps(held_out(rows, options.split), indent=1) + "\n")


def reference(case: Case, organs: tuple[str, ...]) -> Segmentation:
    """Only what was contoured in this patient."""
    results = []
    for label, name in enumerate(organs, start=1):
        organ = find_organ(name)
        assert organ is not None
        if name in case.contoured:
            results.append(OrganResult(organ=organ, label=label, found=True, volume_ml=0.0))
    return Segmentation(case.labels, case.geometry, tuple(results))


def stored_otherwise(volume: Volume, result: Segmentation, bundle, options) -> float:
    """Lowest DSC of an organ between a scan and the same scan stored with y, x, z as its axes and z, x reversed."""
    array = np.ascontiguousarray(np.transpose(volume.array, (1, 2, 0))[:, ::-1, ::-1])
    g = volume.geometry
    spacing = (g.spacing_mm_xyz[2], g.spacing_mm_xyz[0], g.spacing_mm_xyz[1])
    origin = g.index_to_mm(np.array([g.shape_zyx[0] - 1, 0, g.shape_zyx[2] - 1]))
    direction = ((0.0, -1.0, 0.0), (0.0, 0.0, 1.0), (-1.0, 0.0, 0.0))
    other = replace(volume, array=array, geometry=Geometry(array.shape, spacing, tuple(origin), direction))
    again = segment(other, bundle, device="cpu", precision=options.precision, backend=options.backend)
    labels, upright, _, _ = to_upright(again.labels, again.geometry)
    assert upright.same_grid_as(g)
    return min(dice(labels == r.label, result.labels == r.label) for r in result.results if r.found)


def print_table(rows: list[OrganScores], peaks: dict[str, list[tuple[float, float]]], worst: float) -> None:
    print(
        "| organ | scans | DSC | median DSC | lowest | HD95 average, mm | HD95 maximum, mm | mean surface distance, mm | missed |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    summaries = summarise(rows)
    for s in summaries:
        lowest = min(r.dsc for r in rows if r.organ == s.organ and not np.isnan(r.dsc))
        print(
            f"| {s.organ} | {s.cases} | {s.dsc_mean:.3f} ± {s.dsc_sd:.3f} | {s.dsc_median:.3f} | {lowest:.2f} "
            f"| {s.hd95_average_mm:.1f} ± {s.hd95_average_sd:.1f} | {s.hd95_maximum_mm:.1f} | {s.mean_surface_distance_mm:.2f} | {s.missed} |"
        )
    print(f"\nMean DSC of {', '.join(FIVE)}: {np.mean([s.dsc_mean for s in summaries if s.organ in FIVE]):.4f}")
    print(f"Mean DSC of all organs: {np.mean([s.dsc_mean for s in summaries]):.4f}")
    for organ, values in peaks.items():
        high, error = np.array(values).T
        print(
            f"{organ}: heat-map maximum {error.mean():.1f} mm from the centre (median {np.median(error):.1f}), peak {high.min():.2f} to {high.max():.2f}"
        )
    print(f"Stored flipped and reordered, the first {STORED_OTHERWISE} scans: lowest DSC of an organ {worst:.4f}")
    low = [f"{r.case} {r.organ} {r.dsc:.2f}" for r in rows if r.dsc < 0.4]
    print(f"DSC below 0.4: {'; '.join(low)}")


def held_out(rows: list[OrganScores], split: str) -> dict[str, object]:
    """Return what bundle.json says of held-out scores."""
    summaries = summarise(rows)
    return {
        "split": f"OpenKBP {split}",
        "mean_dsc": round(float(np.mean([s.dsc_mean for s in summaries])), 4),
        "organs": {
            s.organ: {
                "n": s.cases, "dsc_mean": round(s.dsc_mean, 4), "dsc_sd": round(s.dsc_sd, 4), "dsc_median": round(s.dsc_median, 4),
                "hd95_average_mm": round(s.hd95_average_mm, 2), "hd95_maximum_mm": round(s.hd95_maximum_mm, 2), "missed": s.missed,
            }
            for s in summaries
        },
    }  # fmt: skip


if __name__ == "__main__":
    main()
