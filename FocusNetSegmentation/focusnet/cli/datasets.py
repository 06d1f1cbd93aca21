"""``focusnet datasets``: check a folder of training cases, or write a first ``dataset.toml`` for it."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from ..errors import DatasetError, OutputError
from .options import Commands, add_actions, add_command, add_json_progress
from .terminal import progress_to


def add_arguments(commands: Commands) -> None:
    """Add the command and its options."""
    parser = add_command(
        commands, "datasets", "Check a folder of training cases, or write a first dataset.toml for it.", datasets
    )
    actions = add_actions(parser)
    check = actions.add_parser("check", help="read every case; a table of organs, and every problem with its remedy")
    check.add_argument("folder", type=Path, help="the folder of a data set in any layout (docs/datasets.md)")
    check.add_argument("--json", action="store_true", help="print the report as JSON")
    check.add_argument(
        "--cache",
        metavar="DIR",
        help="keep read cases in DIR; 1 for the user's cache folder (default: FOCUSNET_CACHE, else none)",
    )
    add_json_progress(check)
    init = actions.add_parser(
        "init", help="write a first dataset.toml into the folder; an existing one is never touched"
    )
    init.add_argument("folder", type=Path, help="the folder of a data set")


def datasets(options: argparse.Namespace) -> int:
    """Check or start a data set; exit status 0 if the data set can be trained on, 2 if not."""
    return init(options) if options.action == "init" else check(options)


def check(options: argparse.Namespace) -> int:
    """Print what a data set holds and every problem with its remedy."""
    from ..datasets.check import as_json, as_text, check_dataset
    from ..datasets.open_dataset import open_dataset
    from ..files.atomic_write import json_text

    dataset = open_dataset(options.folder, options.cache)
    with progress_to(sys.stderr, options.json_progress) as progress:
        report = check_dataset(dataset, progress)
    print(json_text(as_json(report), indent=1) if options.json else as_text(report))
    return 0 if report.usable else 2


def init(options: argparse.Namespace) -> int:
    """Write a first dataset.toml, with gaps where only the user knows the answer; refuse to touch an existing file."""
    from ..datasets.dataset_toml import FILE_NAME
    from ..datasets.first_toml import first_toml
    from ..files.atomic_write import atomic_path

    folder: Path = options.folder
    path = folder / FILE_NAME
    if path.exists():
        raise OutputError(f"{path} exists and is left as it is; edit it, or move it away for a new one.")
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder; the folder of a data set is expected.")
    text = first_toml(folder)
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")
    print(
        f"Wrote {path}. Fill in the lines that start with '#', then run: focusnet datasets check {shlex.quote(str(folder))}"
    )
    return 0
