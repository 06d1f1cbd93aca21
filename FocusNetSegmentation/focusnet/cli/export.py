"""``focusnet export``: write a segmentation in another format."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..wording import CHECK_CONTOURS
from .options import (
    Commands,
    add_command,
    add_fill_slices,
    add_model_copy,
    add_not_localized,
    add_organs,
    add_orientation_override,
    add_overwrite,
    add_segmentation_output,
    add_series,
    named,
)
from .terminal import tell_notes


def add_arguments(commands: Commands) -> None:
    """Add the command and its options."""
    parser = add_command(
        commands,
        "export",
        "Write a segmentation, corrected or not, in another format: RTSTRUCT, DICOM SEG, .seg.nrrd, NIfTI; "
        "or an RTSTRUCT as one of these.",
        export,
    )
    parser.add_argument("segmentation", type=Path, help=".seg.nrrd, a label map with its names, or an RTSTRUCT .dcm")
    add_segmentation_output(parser)
    parser.add_argument("--ct", type=Path, help="the CT that was contoured: for DICOM the folder of its files")
    add_series(parser)
    add_model_copy(parser, "tells exactly which organs were edited")
    parser.add_argument(
        "--reviewer", default="", metavar="NAME", help="who approved (default: as the review in 3D Slicer noted it)"
    )
    add_not_localized(parser)
    add_organs(parser)
    add_fill_slices(parser)
    add_orientation_override(parser)
    add_overwrite(parser, "replace a file that exists")


def export(options: argparse.Namespace) -> int:
    """Write the file and tell what was left out or marked."""
    from ..export import ExportOptions, export_file
    from ..io.write import check_format

    check_format(options.output, options.dicom)
    chosen = ExportOptions(
        **named(
            options,
            "ct",
            "series",
            "dicom",
            "model_copy",
            "reviewer",
            "organs",
            "fill_slices",
            "overwrite",
            "not_localized",
            "orientation_override",
        )
    )
    tell_notes(export_file(options.segmentation, options.output, chosen))
    print(f"Wrote {options.output}. {CHECK_CONTOURS}")
    return 0
