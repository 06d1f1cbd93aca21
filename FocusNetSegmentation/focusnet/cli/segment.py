"""``focusnet segment``: contour one scan."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OutputError
from .options import Commands, add_command, add_not_localized, add_scan, add_segmentation_output, add_series
from .scan import (
    add_model_options,
    check_outputs,
    read_scan,
    refuse_or_tell_orientation,
    run_model,
    segment_options,
    tell_result,
)
from .terminal import tell_warning

if TYPE_CHECKING:
    from ..image.segmentation import Segmentation
    from ..image.volume import Volume
    from ..nets.bundle import ModelBundle


def add_arguments(commands: Commands) -> None:
    """Add the command and its options."""
    parser = add_command(commands, "segment", "Contour one scan.", segment)
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
        "--seed-point",
        "--seed",  # the older name, kept for users' scripts: in other commands --seed is a number
        dest="seed_points",
        action="append",
        default=[],
        metavar="ORGAN=X,Y,Z",
        help="look for a small organ at this place (LPS mm) instead of where the heat map is highest; may be repeated",
    )
    add_not_localized(parser)
    add_model_options(parser)


def segment(options: argparse.Namespace) -> int:
    """Contour the scan; everything that can be refused is refused before the networks run."""
    from ..image.orientation_doubt import doubt_text
    from ..io.export_details import ExportDetails
    from ..io.write import check_format, write_segmentation

    check_format(options.output, options.dicom)
    check_outputs(options.output, options.report, options.picture, options.overwrite)
    wanted = segment_options(options)
    volume = read_scan(options.input, options)
    result = run_model(volume, wanted, options)
    if doubt_text(result.provenance) and not options.orientation_override:
        _write_beside(result, volume, wanted.bundles, options)  # they show what is wrong; contours are not written
    refuse_or_tell_orientation(result, options)
    details = ExportDetails(not_localized=options.not_localized)
    left_out = write_segmentation(
        result, volume, options.output, options.dicom, options.overwrite, details, options.orientation_override
    )
    try:
        _write_beside(result, volume, wanted.bundles, options)
    except OutputError as problem:
        raise OutputError(f"{problem} The segmentation {options.output} is written.") from problem
    tell_result(result, options)
    for sentence in details.sentences(result, left_out) if options.dicom is not None else ():
        tell_warning(sentence, options.json_progress)
    return 0


def _write_beside(
    result: Segmentation, volume: Volume, bundles: Sequence[ModelBundle], options: argparse.Namespace
) -> None:
    if options.report is not None:
        _write_report(result, volume, bundles, options.report, options.overwrite)
    if options.picture is not None:
        from ..reports.overview import overview

        report = options.report.name if options.report is not None else ""
        overview(volume, result, options.picture, options.overwrite, report)


def _write_report(
    result: Segmentation, volume: Volume, bundles: Sequence[ModelBundle], path: Path, overwrite: bool
) -> None:
    """Write JSON for programs or a page for people, by the file's ending."""
    from ..io.suffixes import PAGES, has_suffix

    if not has_suffix(path, PAGES):
        from ..io.json_report import write_report

        write_report(result, path, overwrite)
        return
    from ..reports.case_page import CaseReport, write_case_page
    from ..reports.case_scores import scored

    scores, shape_priors = scored(result, volume, bundles)
    write_case_page(CaseReport(volume, result, scores, shape_prior=shape_priors), path, overwrite)
