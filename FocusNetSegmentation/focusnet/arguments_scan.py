"""Arguments of the commands that contour a scan, or make one to try that on: segment, batch, demo, atlas, phantom."""

from __future__ import annotations

import argparse
from pathlib import Path

from .arguments import (
    DEFAULT_MODEL,
    Commands,
    add_command,
    add_device,
    add_hu_offset,
    add_json_progress,
    add_organs,
    add_overwrite,
    add_scan,
    add_segmentation_output,
    add_series,
)


def add_segment(commands: Commands) -> None:
    parser = add_command(commands, "segment", "Contour one scan.")
    add_scan(parser)
    add_segmentation_output(parser)
    add_series(parser)
    parser.add_argument(
        "--report",
        type=Path,
        metavar="R",
        help="write volumes, peaks, warnings and provenance: R.json for programs, R.html as a page with pictures",
    )
    parser.add_argument("--picture", type=Path, metavar="P.png", help="write an overview picture")
    parser.add_argument(
        "--seed",
        action="append",
        default=[],
        metavar="ORGAN=X,Y,Z",
        help="look for a small organ at this place (LPS mm) instead of where the heat map is highest; may be repeated",
    )
    _add_engine_options(parser)


def add_batch(commands: Commands) -> None:
    parser = add_command(commands, "batch", "Contour every scan below a folder; resumes where it was stopped.")
    parser.add_argument("input", type=Path, help="a folder of scans: image files and DICOM folders at any depth")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="folder for NAME.seg.nrrd, NAME.json and summary.csv"
    )
    parser.add_argument(
        "--qa",
        action="store_true",
        help="also NAME.qa.json: which organs to look at first, for 'focusnet report FOLDER'",
    )
    _add_engine_options(parser)


def add_demo(commands: Commands) -> None:
    parser = add_command(
        commands,
        "demo",
        "Segment a synthetic phantom (or a scan of yours) with the model that ships, and show the result.",
    )
    parser.add_argument("input", type=Path, nargs="?", help="a scan of yours; without it a synthetic phantom is made")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("focusnet-demo"), help="folder to write (default: %(default)s)"
    )
    _add_engine_options(parser)


def add_atlas(commands: Commands) -> None:
    text = "Contour one scan by contoured scans that are registered to it and vote: the paper's multi-atlas baseline."
    parser = add_command(commands, "atlas", text, "atlas_command")
    add_scan(parser)
    parser.add_argument("--dataset", type=Path, required=True, help="a data set; its split train gives the atlases")
    parser.add_argument("-o", "--output", type=Path, required=True, help="OUT.seg.nrrd or OUT.nii.gz")
    parser.add_argument("--atlases", type=int, default=9, help="how many vote (default: %(default)s, as in the paper)")
    add_organs(parser, "comma-separated organs (default: all of the data set)")
    parser.add_argument(
        "--registration",
        choices=("syn", "affine"),
        default="syn",
        help="syn: affine and deformable, minutes an atlas; affine: quick and rough (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="which atlases are drawn (default: %(default)s)")
    add_series(parser)
    add_hu_offset(parser)
    parser.add_argument("--report", type=Path, metavar="R.json", help="write volumes, warnings and provenance")
    add_json_progress(parser)
    add_overwrite(parser)


def add_phantom(commands: Commands) -> None:
    parser = add_command(
        commands, "phantom", "Write a synthetic head-and-neck CT with all 22 organs and its reference contours."
    )
    parser.add_argument("output", type=Path, help="folder to write")
    parser.add_argument("--dicom", action="store_true", help="also as a DICOM series")
    parser.add_argument("--seed", type=int, default=0, help="another seed is another patient (default: %(default)s)")
    add_overwrite(parser, "replace files that exist")


def _add_engine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help="name of an installed bundle, or its folder (default: %(default)s)"
    )
    add_device(parser)
    parser.add_argument("--precision", default="auto", help="auto, fp32, bf16 or fp16 (default: auto)")
    parser.add_argument("--backend", default="auto", help="auto, torch or openvino (default: auto, which is torch)")
    add_organs(parser, "comma-separated organs to keep, by TG-263 name or synonym (default: all)")
    add_hu_offset(parser, ": for scans whose rescale intercept is missing")
    add_json_progress(parser)
    add_overwrite(parser)
