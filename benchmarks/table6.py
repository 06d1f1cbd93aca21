"""Table 6 of the paper on data that we have: what each part of FocusNetv2 adds, every row with the same budget.

    python benchmarks/table6.py DATA RUNS [--rows snet,focusnetv1,...] [--seeds 0,1,2] [--steps N --small-steps N] [--width W]
        [--spacing-mm Z Y X --crop Z Y X]
    python benchmarks/table6.py DATA RUNS --table

Rows are docs/configs/table6/*.toml. Writes RUNS/table6.json, .csv and .md after every row; start it again to go on.
"""

from __future__ import annotations

import argparse
import json
import sys

from ablation import BY_NAME, ROWS, mean_dsc, parser, run_folder, scores, spread, write_table


def main() -> None:
    options = parser(__doc__).parse_args()
    wanted = options.rows.split(",")
    unknown = set(wanted) - set(BY_NAME)
    if unknown:
        raise SystemExit(f"No row {', '.join(sorted(unknown))}; there are {', '.join(BY_NAME)}.")
    options.runs.mkdir(parents=True, exist_ok=True)
    if not options.table:
        for seed in map(int, options.seeds.split(",")):
            for row in ROWS:
                if row.name in wanted:
                    scores(options, row, seed)
                    print(f"seed {seed}: {row.title} done", file=sys.stderr, flush=True)
                    table(options)
    table(options)


def table(options: argparse.Namespace) -> None:
    """All rows and seeds that have been scored."""
    lines, data = [], []
    for row in ROWS:
        found = [
            json.loads(path.read_text())
            for seed in range(100)
            if (path := run_folder(options, row.name, seed) / f"scores-{options.split}.json").is_file()
        ]
        if not found:
            continue
        every = [mean_dsc(f) for f in found]
        small = [mean_dsc(f, f["small_organs"]) for f in found]
        placed = [mean_dsc(f, f["small_organs"], "at_true_centre") for f in found if "at_true_centre" in f]
        paper = [f"{value / 100:.3f}" for value in row.paper] if row.paper else ["", ""]
        lines.append(
            [row.title, str(len(found)), spread(every), spread(small), spread(placed) if placed else "", *paper]
        )
        seeds = [f["seed"] for f in found]
        data.append(
            {
                "row": row.name,
                "seeds": seeds,
                "mean_dsc": every,
                "mean_small_dsc": small,
                "at_true_centre": placed,
                "paper": row.paper,
            }
        )
    header = [
        "row",
        "seeds",
        "mean DSC",
        "mean DSC of small organs",
        "the same, ROI at the true centre",
        "paper",
        "paper, small organs",
    ]
    write_table(options.runs, "table6", header, lines, data)


if __name__ == "__main__":
    main()
