"""The parser, how a command is added to it, and options that several commands take."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

DEFAULT_MODEL = "han7-openkbp"


class OneLineParser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}. Try '{self.prog} --help'.\n")


Commands: TypeAlias = "argparse._SubParsersAction[OneLineParser]"


def add_command(
    commands: Commands, name: str, text: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    """Add a command; ``run`` takes its options and returns the exit status."""
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def add_actions(parser: argparse.ArgumentParser) -> Commands:
    """Add a first word that says what the command does, such as ``list`` in ``models list``."""
    return parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=OneLineParser)


def named(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Return the options that a function takes under their own names."""
    return {name: getattr(options, name) for name in names}


def names(text: str) -> list[str]:
    """Split comma-separated names: the type of an option that takes several."""
    return [part.strip() for part in text.split(",") if part.strip()]


def add_scan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input", type=Path, help="a DICOM folder, a .zip of one or any file of it, .nrrd, .nhdr, .mha or .nii[.gz]"
    )


def add_segmentation_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="OUT.seg.nrrd, OUT.nii.gz, or OUT.dcm with --dicom"
    )
    parser.add_argument(
        "--dicom", choices=("rtstruct", "seg"), help="what kind of DICOM object an output named .dcm is"
    )


def add_series(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--series", metavar="UID", help="which series of a DICOM folder that holds several")


def add_hu_offset(parser: argparse.ArgumentParser, more: str = "") -> None:
    parser.add_argument("--hu-offset", type=float, metavar="N", help=f"add N to every stored value{more}")


def add_organs(parser: argparse.ArgumentParser, text: str = "comma-separated organs (default: all)") -> None:
    parser.add_argument("--organs", type=names, help=text)


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")


def add_fill_slices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fill-slices",
        action="store_true",
        help="interpolate slices that contours skip, up to 15 mm between two drawn ones",
    )


def add_model_copy(parser: argparse.ArgumentParser, use: str) -> None:
    parser.add_argument("--model-copy", type=Path, metavar="FROZEN", help=f"the model's own result: {use}")


def add_json_progress(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json-progress", action="store_true", help="progress as one JSON object a line on stderr")


def add_overwrite(parser: argparse.ArgumentParser, text: str = "replace outputs that exist") -> None:
    parser.add_argument("--overwrite", action="store_true", help=text)
