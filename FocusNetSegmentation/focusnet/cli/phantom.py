"""``focusnet phantom``: write a synthetic CT with its reference contours."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import Commands, add_command, add_overwrite


def add_arguments(commands: Commands) -> None:
    """Add the command and its options."""
    parser = add_command(
        commands,
        "phantom",
        "Write a synthetic head-and-neck CT with all 22 organs and its reference contours.",
        phantom,
    )
    parser.add_argument("output", type=Path, help="folder to write")
    parser.add_argument("--dicom", action="store_true", help="also as a DICOM series")
    parser.add_argument("--seed", type=int, default=0, help="another seed is another patient (default: %(default)s)")
    add_overwrite(parser, "replace files that exist")


def phantom(options: argparse.Namespace) -> int:
    """Write the phantom and print the paths of its files."""
    from ..phantom.write import write_phantom

    for path in write_phantom(options.output, seed=options.seed, dicom=options.dicom, overwrite=options.overwrite):
        print(path)
    return 0
