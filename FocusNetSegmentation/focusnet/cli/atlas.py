"""``focusnet atlas``: the multi-atlas baseline as a command."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import InputError
from .options import (
    Commands,
    add_command,
    add_hu_offset,
    add_json_progress,
    add_organs,
    add_overwrite,
    add_scan,
    add_series,
)
from .scan import check_outputs, read_scan, tell_result
from .terminal import progress_to, tell_warning


def add_arguments(commands: Commands) -> None:
    """Add the command and its options."""
    text = "Contour one scan by contoured scans that are registered to it and vote: the paper's multi-atlas baseline."
    parser = add_command(commands, "atlas", text, atlas)
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


def atlas(options: argparse.Namespace) -> int:
    """Contour by registered atlases. Options and files are checked before the first registration."""
    from ..baselines.atlas import AtlasOptions, import_ants, segment_by_atlases, shuffled, wanted_labels
    from ..datasets.open_dataset import open_dataset
    from ..io.json_report import write_report
    from ..io.write import check_format, write_segmentation

    check_format(options.output, None)
    check_outputs(options.output, options.report, None, options.overwrite)
    if options.seed < 0:
        raise InputError(f"--seed is {options.seed}; 0 or more is expected.")
    dataset = open_dataset(options.dataset)
    wanted_labels(dataset.organs, options.organs)
    shuffled(dataset.patients("train"), options.atlases, options.seed)
    import_ants()
    for note in dataset.notes:
        tell_warning(note, options.json_progress)
    volume = read_scan(options.input, options)
    with progress_to(sys.stderr, options.json_progress) as callback:
        chosen = AtlasOptions(options.atlases, options.organs, options.registration, options.seed)
        result = segment_by_atlases(volume, dataset, chosen, callback)
    for note in result.provenance["notes"][len(volume.notes) :]:
        tell_warning(note, options.json_progress)
    write_segmentation(result, volume, options.output, overwrite=options.overwrite)
    if options.report is not None:
        write_report(result, options.report, options.overwrite)
    tell_result(result, options)
    return 0
