"""``focusnet demo``: contour a synthetic phantom, or a scan of the user's, and show the result."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from ..wording import RESEARCH_ONLY
from .options import Commands, add_command
from .scan import add_model_options, check_outputs, organ_table, read_scan, run_model, segment_options


def add_arguments(commands: Commands) -> None:
    """Add the command and its options."""
    parser = add_command(
        commands,
        "demo",
        "Segment a synthetic phantom (or a scan of yours) with the model that ships, and show the result.",
        demo,
    )
    parser.add_argument("input", type=Path, nargs="?", help="a scan of yours; without it a synthetic phantom is made")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("focusnet-demo"), help="folder to write (default: %(default)s)"
    )
    add_model_options(parser)


def demo(options: argparse.Namespace) -> int:
    """Contour the phantom or a scan; write contours, report and picture into a folder."""
    from ..files.atomic_write import ensure_folder
    from ..io.json_report import write_report
    from ..io.write import write_segmentation
    from ..phantom.write import write_phantom
    from ..reports.overview import overview

    out: Path = options.output
    outputs = (out / "organs.seg.nrrd", out / "report.json", out / "overview.png")
    wanted = segment_options(options)
    ensure_folder(out)
    check_outputs(*outputs, options.overwrite)
    source = options.input
    if source is None:
        print(f"Making a synthetic head-and-neck phantom in {out} ...", file=sys.stderr, flush=True)
        source = write_phantom(out, overwrite=options.overwrite)[0]
    volume = read_scan(source, options)
    if options.input is None:
        volume = replace(volume, source=f"synthetic phantom ({source.name})")  # its header brought the note
    result = run_model(volume, wanted, options)
    write_segmentation(result, volume, outputs[0], overwrite=options.overwrite)
    write_report(result, outputs[1], options.overwrite)
    overview(volume, result, outputs[2], options.overwrite)
    print(organ_table(result))
    print(
        f"\nScan          {source}\nOrgans        {outputs[0]}\nReport        {outputs[1]}\nPicture       {outputs[2]}"
    )
    print(f"\nTo see them in 3D Slicer: drag {source} and {outputs[0]} into its window, then press OK.")
    if options.input is None:
        print(
            "The phantom is synthetic: it shows that everything works, not how good the contours are. "
            "Try a CT of yours: focusnet demo YOUR_SCAN"
        )
    print(RESEARCH_ONLY)
    return 0
