"""Arguments of the commands that come after a segmentation: evaluate, export, qa, report."""

from __future__ import annotations

from pathlib import Path

from .arguments import (
    Commands,
    add_command,
    add_hu_offset,
    add_json_progress,
    add_model_copy,
    add_organs,
    add_overwrite,
    add_segmentation_output,
    add_series,
)


def add_evaluate(commands: Commands) -> None:
    parser = add_command(
        commands,
        "evaluate",
        "Compare contours with a reference: DSC, HD95, surface distance and DSC, volumes. With --audit: what a person edited.",
        "commands_review",
    )
    parser.add_argument(
        "predicted", type=Path, help="a segmentation, or a folder of them; with --audit the model's own copy"
    )
    parser.add_argument(
        "reference",
        type=Path,
        help="the reference (.seg.nrrd, a label map, or an RTSTRUCT with --ct), or a folder with files of the same names; "
        "with --audit the edited segmentation",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="T.csv", help="write the table; --audit also as .json")
    add_organs(parser)
    parser.add_argument("--tolerance-mm", type=float, default=2.0, help="of the surface DSC (default: %(default)s)")
    parser.add_argument("--ct", type=Path, help="the CT that an RTSTRUCT belongs to: its DICOM folder")
    add_series(parser)
    parser.add_argument(
        "--audit",
        action="store_true",
        help="per organ what was edited: DSC, HD95, surface DSC, added path length, volume, voxels, active seconds",
    )
    parser.add_argument("--editor", default="", metavar="NAME", help="who edited, for the audit; stays in the file")
    add_overwrite(parser, "replace a table that exists")


def add_export(commands: Commands) -> None:
    parser = add_command(
        commands,
        "export",
        "Write a segmentation, corrected or not, in another format: RTSTRUCT, DICOM SEG, .seg.nrrd, NIfTI; "
        "or an RTSTRUCT as one of these.",
        "commands_review",
    )
    parser.add_argument("segmentation", type=Path, help=".seg.nrrd, a label map with its names, or an RTSTRUCT .dcm")
    add_segmentation_output(parser)
    parser.add_argument("--ct", type=Path, help="the CT that was contoured: for DICOM the folder of its files")
    add_series(parser)
    add_model_copy(parser, "tells exactly which organs were edited")
    parser.add_argument(
        "--reviewer", default="", metavar="NAME", help="who approved (default: as the review in 3D Slicer noted it)"
    )
    add_organs(parser)
    add_overwrite(parser, "replace a file that exists")


def add_qa(commands: Commands) -> None:
    parser = add_command(
        commands,
        "qa",
        "Which organs of a segmentation to look at first, and why; a hint, not a verdict.",
        "commands_qa",
    )
    parser.add_argument("segmentation", type=Path, help="a .seg.nrrd, or a label map with its names beside it")
    parser.add_argument("--ct", type=Path, help="the CT that it was made from; without it HU are not looked at")
    add_series(parser)
    add_hu_offset(parser, " of the CT")
    parser.add_argument(
        "--model", help="whose volume statistics and thresholds count (default: the model that made it, if installed)"
    )
    parser.add_argument("--shape-model", metavar="S", help="judges small organs (default: shapes-tcia-oars)")
    parser.add_argument("-o", "--output", type=Path, metavar="R.json", help="write every score (docs/qa.md)")
    parser.add_argument(
        "--ghosts",
        type=Path,
        metavar="G.seg.nrrd",
        help="write what the shape model makes of each small organ: a prior, not truth",
    )
    add_json_progress(parser)
    add_overwrite(parser)


def add_report(commands: Commands) -> None:
    parser = add_command(
        commands,
        "report",
        "A page of one case for people to read (SEG --ct CT), or of many cases (a folder of reports).",
        "commands_review",
    )
    parser.add_argument(
        "input",
        type=Path,
        help="a segmentation; or a folder with JSON of segment --report, batch, qa and evaluate --audit",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PAGE.html", help="the page to write")
    parser.add_argument("--ct", type=Path, help="the CT that was contoured: a DICOM folder or an image file")
    parser.add_argument("--qa", type=Path, metavar="R.json", help="scores of 'focusnet qa -o' (default: made now)")
    add_model_copy(parser, "shows what was edited")
    parser.add_argument(
        "--ghost", type=Path, metavar="GHOST", help="a segmentation with the shapes that the autoencoder expects"
    )
    add_series(parser)
    add_hu_offset(parser, " of the CT")
    parser.add_argument(
        "--title", default="", metavar="TEXT", help="heading of the page (default: a number of the scan)"
    )
    add_overwrite(parser, "replace a page that exists")
