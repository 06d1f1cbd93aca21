"""Table 8 of the paper: DSC of the small organs when the ROI lies beside the organ's centre, on purpose, by 0 to 9 mm.

    python benchmarks/table8.py DATA RUNS [--row focusnetv2] [--seeds 0,1,2]     after table6.py has made that row in RUNS

The shift's direction is random in three dimensions, drawn from the scan's number and the organ, the same for every distance.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from ablation import BY_NAME, at_places, case_scores, mean_dsc, parser, run_folder, scores, spread, write_table

from focusnet.datasets.case import Case
from focusnet.datasets.openkbp import OpenKBPDataset
from focusnet.nets.bundle import ModelBundle, load_bundle

DISTANCES_MM = (0.0, 1.0, 3.0, 5.0, 7.0, 9.0)
PAPER = ["paper", "0.773", "0.768", "0.771", "0.770", "0.769", "0.751", "0.735"]


def main() -> None:
    options = parser(__doc__).parse_args()
    columns: dict[str, list[float]] = {}
    for seed in map(int, options.seeds.split(",")):
        for name, value in _seed(options, seed).items():
            columns.setdefault(name, []).append(value)
    row = ["this run", *(spread(values) for values in columns.values())]
    header = ["centre of the ROI", *columns]
    write_table(options.runs, "table8", header, [row, PAPER], columns)


def _seed(options: argparse.Namespace, seed: int) -> dict[str, float]:
    """Mean DSC of the small organs at SOL-Net's place and at each distance from the true centre."""
    folder = run_folder(options, options.row, seed)
    path = folder / f"shifted-{options.split}.json"
    if not path.is_file():
        bundle = load_bundle(folder / "bundle")
        cases = list(OpenKBPDataset(options.data).cases(options.split))
        shifted = {f"{mm:g} mm": _shifted(bundle, cases, mm) for mm in DISTANCES_MM}
        path.write_text(json.dumps(shifted, indent=1) + "\n")
    found = scores(options, BY_NAME[options.row], seed)
    return {"SOL-Net": mean_dsc(found, found["small_organs"]), **json.loads(path.read_text())}


def _shifted(bundle: ModelBundle, cases: list[Case], distance_mm: float) -> float:
    small = bundle.config.small_organs
    rows = []
    for number, case in enumerate(cases):
        places: dict[str, list[float]] = {}
        for organ in small:
            if organ in case.centroids_mm_xyz:
                place = beside(case.centroids_mm_xyz[organ], distance_mm, (number, small.index(organ)))
                places[organ] = [float(v) for v in place]
        rows.append(case_scores(at_places(bundle, case, places), case))
    return mean_dsc({"cases": rows}, small)


def beside(centre_mm: tuple[float, float, float], distance_mm: float, seed: tuple[int, int]) -> np.ndarray:
    """A point at ``distance_mm`` from the centre; its direction depends on the seed alone."""
    direction = np.random.default_rng(seed).standard_normal(3)
    return np.array(centre_mm) + direction / np.linalg.norm(direction) * distance_mm


if __name__ == "__main__":
    main()
