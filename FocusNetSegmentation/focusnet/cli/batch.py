"""``focusnet batch``: contour every scan below a folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Cancelled, InputError
from .options import Commands, add_command, named
from .scan import add_model_options
from .terminal import progress_to, tell_warning

if TYPE_CHECKING:
    from ..batch.contour import BatchOptions
    from ..batch.scans import Scan


def add_arguments(commands: Commands) -> None:
    """Add the command and its options."""
    parser = add_command(commands, "batch", "Contour every scan below a folder; resumes where it was stopped.", batch)
    parser.add_argument(
        "input", type=Path, help="a folder of scans: image files, .zip archives and DICOM folders at any depth"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="folder for NAME.seg.nrrd, NAME.json and summary.csv"
    )
    parser.add_argument(
        "--qa",
        action="store_true",
        help="also NAME.qa.json: which organs to look at first, for 'focusnet report FOLDER'",
    )
    parser.add_argument("--dicom", choices=("rtstruct", "seg"), help="also NAME.rtstruct.dcm or NAME.seg.dcm")
    parser.add_argument("--picture", action="store_true", help="also NAME.png, an overview picture")
    parser.add_argument("--report", action="store_true", help="also NAME.html, a page with pictures")
    parser.add_argument(
        "--series",
        metavar="all|longest|UID",
        help="of a folder with several CT series (default: such a folder is refused)",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="processes on this computer; GPUs are dealt out in turn (default: 1)",
    )
    how.add_argument("--dask", metavar="ADDRESS", help="a Dask scheduler, such as tcp://10.0.0.5:8786 (docs/scale.md)")
    add_model_options(parser)


def batch(options: argparse.Namespace) -> int:
    """Contour each scan on its own: a bad one is written to summary.csv with its reason, and the rest go on."""
    from ..batch.contour import FAILED, segment_options
    from ..batch.scans import find_scans
    from ..batch.summary import Summary
    from ..files.atomic_write import ensure_folder

    if options.workers < 1:
        raise InputError(f"--workers is {options.workers}; a number from 1 is expected.")
    scans = find_scans(options.input)
    wanted = batch_options(options)
    checked = segment_options(wanted)
    ensure_folder(options.output)
    organs = [organ.name for organ in checked.organs_in_order]
    summary = Summary(options.output / "summary.csv", organs)
    number = 0
    try:
        for number, rows in enumerate(run(scans, wanted, options), start=1):
            summary.add(rows)
            for row in rows:
                if row["status"] == FAILED:
                    print(f"focusnet: {row['scan']}: {row['message']}", file=sys.stderr, flush=True)
                if options.workers > 1 or options.dask:
                    print(f"[{number}/{len(scans)}] {row['scan']}: {row['status']}", file=sys.stderr, flush=True)
    except (Cancelled, KeyboardInterrupt) as stop:
        at = f"{scans[number].name}, scan {number + 1}" if number < len(scans) else f"scan {number}"
        raise Cancelled(
            f"Stopped at {at} of {len(scans)}; what was done before is kept in {options.output}; the same command goes on from there."
        ) from stop
    summary.finish()
    failed = summary.counts.get(FAILED, 0)
    print(f"{summary.rows - failed} of {summary.rows} scans done; {options.output / 'summary.csv'} has the details.")
    return 1 if failed else 0


def batch_options(options: argparse.Namespace) -> BatchOptions:
    """Return what travels to the workers: plain values and absolute paths."""
    from ..batch.contour import BatchOptions
    from ..nets.several import model_names

    same = named(
        options,
        "device",
        "precision",
        "backend",
        "hu_offset",
        "series",
        "overwrite",
        "qa",
        "dicom",
        "picture",
        "report",
        "orientation_override",
    )
    names = model_names(options.model)  # folders become absolute: a worker may run elsewhere
    model = ",".join(str(Path(name).absolute()) if Path(name).is_dir() else name for name in names)
    organs = None if options.organs is None else tuple(options.organs)
    return BatchOptions(output=str(options.output.absolute()), model=model, organs=organs, **same)


def run(scans: list[Scan], wanted: BatchOptions, options: argparse.Namespace) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of each scan as it is done."""
    from ..batch.runners import run_dask, run_workers, workers_that_fit
    from ..batch.scans import Scan

    scans = [Scan(scan.name, scan.path.absolute()) for scan in scans]
    if options.dask:
        yield from run_dask(scans, wanted, options.dask)
    elif options.workers > 1:
        count = workers_that_fit(min(options.workers, len(scans)))
        if count < min(options.workers, len(scans)):
            tell_warning(f"Memory has room for {count} workers now, not {options.workers}.", options.json_progress)
        yield from run_workers(scans, wanted, count)
    else:
        yield from _run_here(scans, wanted, options)


def _run_here(scans: list[Scan], wanted: BatchOptions, options: argparse.Namespace) -> Iterator[list[dict[str, Any]]]:
    from ..batch.ahead import contour_ahead

    with closing(contour_ahead(scans, wanted, lambda text: tell_warning(text, options.json_progress))) as work:
        for number, (scan, rows) in enumerate(work, start=1):
            print(f"[{number}/{len(scans)}] {scan.name}", file=sys.stderr, flush=True)
            with progress_to(sys.stderr, options.json_progress) as callback:
                done = rows(callback)
            yield done
