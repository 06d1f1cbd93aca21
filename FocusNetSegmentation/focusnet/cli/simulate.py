"""``focusnet simulate``: make CTs over real label maps."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import InputError
from .options import Commands, add_command, add_overwrite, names

LARGEST_SPACING_MM = 10.0  # of a simulated scan: coarser voxels hold no head


def add_arguments(commands: Commands) -> None:
    """Add the command and its options."""
    parser = add_command(
        commands,
        "simulate",
        "Make a CT over label maps: a training data set with real contours and simulated grey values.",
        simulate,
    )
    parser.add_argument("labels", type=Path, help="a folder of bit masks with dataset.json (docs/simulator.md)")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="folder for the data set, in the OpenKBP layout"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="another seed gives other grey values (default: %(default)s)"
    )
    parser.add_argument("--annotator", default="oncologist", help="whose contours (default: %(default)s)")
    parser.add_argument(
        "--region",
        choices=("head", "small"),
        default="head",
        help="the whole head, or the small organs and a margin (default: %(default)s)",
    )
    parser.add_argument(
        "--spacing-mm",
        type=float,
        nargs=3,
        metavar=("X", "Y", "Z"),
        default=(1.0, 1.0, 3.0),
        help="voxels (default: 1 1 3)",
    )
    parser.add_argument("--cases", type=names, default=[], help="comma-separated cases (default: all)")
    add_overwrite(parser, "make cases again that exist")


def simulate(options: argparse.Namespace) -> int:
    """Write the simulated data set."""
    from ..simulate.dataset import Recipe, write_dataset

    if min(options.spacing_mm) <= 0 or max(options.spacing_mm) > LARGEST_SPACING_MM or options.seed < 0:
        raise InputError(
            f"--spacing-mm is {options.spacing_mm} and --seed {options.seed}; millimetres above 0 and at most {LARGEST_SPACING_MM:g}, "
            "and a seed of 0 or more are expected."
        )
    x, y, z = options.spacing_mm
    recipe = Recipe(options.annotator, options.seed, options.region, (x, y, z), tuple(options.cases))
    folder = write_dataset(
        options.labels, options.output, recipe, options.overwrite, lambda line: print(line, file=sys.stderr, flush=True)
    )
    print(
        f"Wrote {folder}: simulated CTs over real contours, not patients' scans. Train: focusnet train --dataset {folder} --out RUN"
    )
    return 0
