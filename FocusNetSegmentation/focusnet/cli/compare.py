"""``focusnet compare``: an old and a new model on corrected cases that neither has learned from."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import InputError
from .options import Commands, add_command, add_device, add_json_progress, add_overwrite, names
from .terminal import progress_to


def add_arguments(commands: Commands) -> None:
    """Add the command and its options."""
    parser = add_command(
        commands, "compare", "Compare two models on held-out corrected cases: better, worse or not to tell, organ by organ.", compare
    )  # fmt: skip
    parser.add_argument("old", help="name or folder of a model")
    parser.add_argument("new", help="a run of finetune or train, or name or folder of a model")
    parser.add_argument(
        "--dataset", type=Path, required=True, metavar="FOLDER", help="of focusnet collect, or any data set"
    )
    parser.add_argument("--split", type=names, help="comma-separated (default: test; with val where it is too small)")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="PAGE.html",
        help="default: comparison.html in NEW's folder, if it is a run",
    )
    add_device(parser)
    add_overwrite(parser, "replace a page that exists")
    add_json_progress(parser)


def compare(options: argparse.Namespace) -> int:
    """Print the comparison and write its page."""
    from ..compare.held_out import held_out_cases, refuse_learned
    from ..compare.models import Comparison, compare_models
    from ..compare.page import LargestChanges, write_comparison_page
    from ..compare.summary import COMPARISON, summarise, text_table, write_comparison
    from ..datasets.open_dataset import open_dataset
    from ..files.atomic_write import check_output
    from ..io.suffixes import PAGES
    from ..nets.bundle import load_bundle
    from ..nets.versions import bundle_of_run

    run = Path(options.new).expanduser()
    is_run = bundle_of_run(run) != run
    comparison = Comparison(load_bundle(bundle_of_run(options.old)), load_bundle(bundle_of_run(options.new)))
    if comparison.old.digest == comparison.new.digest:
        raise InputError(f"{options.old} and {options.new} are the same model ({comparison.old.digest[:8]}); name two.")
    page = options.output or (run / "comparison.html" if is_run else None)
    if options.output is not None:
        check_output(options.output, options.overwrite, PAGES)
    data = open_dataset(options.dataset)
    cases, comparison.notes = held_out_cases(data, options.split)
    if is_run:
        refuse_learned(cases, run)
    changes = LargestChanges()
    with progress_to(sys.stderr, options.json_progress) as progress:
        compare_models(comparison, data, cases, options.device, progress, changes.look)
    summary = summarise(comparison)
    if page is not None:  # the page of before beside a run's bundle belongs to it as the run's own files do
        write_comparison_page(comparison, summary, changes.pictures, page, options.overwrite or options.output is None)
    if is_run:
        write_comparison(comparison, summary, run / COMPARISON)
    print(text_table(comparison, summary))
    if page is not None:
        print(f"Page: {page}")
    return 0
