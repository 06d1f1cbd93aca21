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
        choices=("head", "base", "small"),
        default="head",
        help="the whole head, the slices between ears and orbits, or the small organs and a margin (default: %(default)s)",
    )
    parser.add_argument(
        "--spacing-mm",
        type=float,
        nargs=3,
        metavar=("X", "Y", "Z"),
        default=(1.0, 1.0, 3.0),
        help="voxels (default: 1 1 3)",
    )
    parser.add_argument(
        "--variants",
        type=int,
        default=0,
        metavar="N",
        help="write N variants of each case, bent and scanned at random, with chiasm and pituitary (default: one scan, as contoured)",
    )
    parser.add_argument("--cases", type=names, default=[], help="comma-separated cases (default: all)")
    add_overwrite(parser, "make cases again that exist")


def simulate(options: argparse.Namespace) -> int:
    """Write the simulated data set."""
    from ..simulate.dataset import Recipe, write_dataset

    if options.variants < 0 or (options.variants and options.region == "small"):
        raise InputError(
            "--variants takes a number of 0 or more, and --region head or base: a bent head needs what lies around it."
        )
    if min(options.spacing_mm) <= 0 or max(options.spacing_mm) > LARGEST_SPACING_MM or options.seed < 0:
        raise InputError(
            f"--spacing-mm is {options.spacing_mm} and --seed {options.seed}; millimetres above 0 and at most {LARGEST_SPACING_MM:g}, "
            "and a seed of 0 or more are expected."
        )
    x, y, z = options.spacing_mm
    recipe = Recipe(options.annotator, options.seed, options.region, (x, y, z), tuple(options.cases))
    if options.variants:
        from ..simulate.variants import VariantsRecipe, write_variants

        plan = VariantsRecipe(recipe, options.variants)
        folder = write_variants(options.labels, options.output, plan, options.overwrite, _say)
    else:
        folder = write_dataset(options.labels, options.output, recipe, options.overwrite, _say)
    print(
        f"Wrote {folder}: simulated CTs over real contours, not patients' scans. Train: focusnet train --dataset {folder} --out RUN"
    )
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
