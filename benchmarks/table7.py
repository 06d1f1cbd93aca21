"""Table 7 of the paper: how far SOL-Net's heat-map maximum lies from the small organs' centres, and how many lie within 3, 4, 5 mm.

python benchmarks/table7.py DATA RUNS [--row focusnetv2] [--seeds 0,1,2]     after table6.py has made that row in RUNS
"""

from __future__ import annotations

import json

import numpy as np
from ablation import parser, run_folder, spread, write_table

WITHIN_MM = (3.0, 4.0, 5.0)
PAPER = ("paper (optic chiasm and nerves, PDDCA)", "2.7", "", "63.3 %", "83.3 %", "100 %")


def main() -> None:
    options = parser(__doc__).parse_args()
    by_seed = []
    organs: dict[str, list[float]] = {}
    for seed in map(int, options.seeds.split(",")):
        path = run_folder(options, options.row, seed) / f"scores-{options.split}.json"
        if not path.is_file():
            raise SystemExit(f"{path} is missing; run table6.py with the row {options.row} and seed {seed} first.")
        errors = [case["localization_error_mm"] for case in json.loads(path.read_text())["cases"]]
        for case in errors:
            for organ, value in case.items():
                organs.setdefault(organ, []).append(value)
        by_seed.append([value for case in errors for value in case.values()])
    rows = [["all small organs", *_row([np.array(values) for values in by_seed])]]
    rows += [[organ, *_row([np.array(values)])] for organ, values in sorted(organs.items())]
    header = ["organ", "mean error, mm", "median, mm", *(f"within {mm:g} mm" for mm in WITHIN_MM)]
    write_table(
        options.runs, "table7", header, [*rows, list(PAPER)], {"errors_mm_by_seed": by_seed, "by_organ": organs}
    )


def _row(groups: list[np.ndarray]) -> list[str]:
    """Of each group (a seed): mean, median, rates; then mean and spread over groups."""
    mean = spread([float(g.mean()) for g in groups], 1)
    rates = [spread([100 * float((g <= mm).mean()) for g in groups], 0) + " %" for mm in WITHIN_MM]
    return [mean, spread([float(np.median(g)) for g in groups], 1), *rates]


if __name__ == "__main__":
    main()
