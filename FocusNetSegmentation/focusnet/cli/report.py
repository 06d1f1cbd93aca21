"""``focusnet report``: a page of one case, of a folder of cases, or of the corrections in a training set."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import InputError
from ..wording import RESEARCH_ONLY
from .options import Commands, add_command, add_hu_offset, add_model_copy, add_overwrite, add_series, named
from .terminal import tell_notes

# options that only the page of one case takes, beside --ct
ONE_CASE = ("qa", "model_copy", "shape_prior", "series", "hu_offset")


def add_arguments(commands: Commands) -> None:
    """Add the command and its options."""
    parser = add_command(
        commands,
        "report",
        "A page of one case for people to read (SEG --ct CT), of many cases (a folder of reports), or of what doctors correct "
        "(a training set of 'focusnet collect').",
        report,
    )
    parser.add_argument(
        "input",
        type=Path,
        help="a segmentation; a folder with JSON of segment --report, batch, qa and evaluate --audit; or a training set",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="PAGE.html",
        help="the page to write (of a training set it may be left out)",
    )
    parser.add_argument("--ct", type=Path, help="the CT that was contoured: a DICOM folder or an image file")
    parser.add_argument("--qa", type=Path, metavar="R.json", help="scores of 'focusnet qa -o' (default: made now)")
    add_model_copy(parser, "shows what was edited")
    parser.add_argument(
        "--shape-prior",
        "--ghost",
        dest="shape_prior",
        type=Path,
        metavar="PRIOR",
        help="a segmentation with the shapes that the autoencoder expects",
    )
    add_series(parser)
    add_hu_offset(parser, " of the CT")
    parser.add_argument(
        "--title", default="", metavar="TEXT", help="heading of the page (default: a number of the scan)"
    )
    add_overwrite(parser, "replace a page that exists")


def report(options: argparse.Namespace) -> int:
    """Write the page and print its path."""
    source: Path = options.input
    if not source.exists():
        raise InputError(f"{source} does not exist; a segmentation or a folder of reports is expected.")
    from ..datasets.collected import is_collected

    if source.is_dir() and is_collected(source):
        return _corrections(options)
    if options.output is None:
        raise InputError(f"Give the page to write with -o, such as -o {source.name.split('.')[0] or 'page'}.html.")
    if source.is_dir():
        notes = _cohort(options)
    else:
        if options.ct is None:
            raise InputError(f"The page of {source.name} shows pictures of its CT; give it with --ct.")
        from ..reports.case_report import CaseInputs, report_file

        inputs = CaseInputs(**named(options, *ONE_CASE))
        notes = report_file(source, options.ct, options.output, inputs, options.title, options.overwrite)
    tell_notes(notes)
    print(f"Wrote {options.output}. Open it in a browser; it needs nothing else. {RESEARCH_ONLY}")
    return 0


def _corrections(options: argparse.Namespace) -> int:
    """Print what is corrected in a training set, and write the page if one is wanted."""
    from ..reports.corrections_page import report_corrections

    _refuse_one_case(options)
    print(report_corrections(options.input, options.output, options.title, options.overwrite))
    if options.output is not None:
        print(f"Wrote {options.output}. Open it in a browser; it needs nothing else. {RESEARCH_ONLY}")
    return 0


def _cohort(options: argparse.Namespace) -> list[str]:
    _refuse_one_case(options)
    from ..reports.cohort_page import report_folder

    return report_folder(options.input, options.output, options.title, options.overwrite)


def _refuse_one_case(options: argparse.Namespace) -> None:
    given = [name for name, value in named(options, "ct", *ONE_CASE).items() if value]
    if given:
        names = ", ".join("--" + name.replace("_", "-") for name in given)
        raise InputError(f"{names} belongs to the page of one case; {options.input} is a folder.")
