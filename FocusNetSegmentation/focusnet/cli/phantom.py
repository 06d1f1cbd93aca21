"""``focusnet phantom``: write a synthetic CT with its reference contours."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from .options import Commands, add_command, add_organs, add_overwrite


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
    add_organs(
        parser,
        "comma-separated organs of the reference (default: the paper's 22; also known: Larynx, Esophagus, Brain, Cochlea_L ...)",
    )
    add_overwrite(parser, "replace files that exist")


def phantom(options: argparse.Namespace) -> int:
    """Write the phantom and print the paths of its files."""
    organs = None if options.organs is None else _checked(options.organs)
    from ..phantom.write import write_phantom

    for path in write_phantom(options.output, options.seed, options.dicom, options.overwrite, organs=organs):
        print(path)
    return 0


def _checked(names: Sequence[str]) -> list[str]:
    """Return the organs' TG-263 names. Raises InputError for those that the phantom lacks."""
    from ..image.organs import find_organ
    from ..phantom.anatomy import JOINED, PARTS, organ_names

    found = [organ.name if (organ := find_organ(name)) is not None else name for name in names]
    lacking = [name for name in found if not organ_names([name])]
    if lacking:
        known = ", ".join(dict.fromkeys([*PARTS, *JOINED]))
        raise InputError(f"The phantom has no organ {', '.join(lacking)}; it has {known}.")
    return list(dict.fromkeys(found))
