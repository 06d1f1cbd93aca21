"""The parser, how a command is added to it, and options that several commands take."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

DEFAULT_MODEL = "han7-openkbp"


class OneLineParser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one line: a misspelt word first, with the word that was probably meant."""

    def error(self, message: str) -> NoReturn:
        end = "" if message.endswith("?") else "."
        self.exit(2, f"{self.prog}: {message}{end} Try '{self.prog} --help'.\n")

    def parse_known_args(
        self, args: Any = None, namespace: Any = None
    ) -> Any:  # argparse's own signature, in all versions
        """Parse; refuse an unknown option before argparse asks for missing ones: the user may have misspelt just these."""
        given = list(sys.argv[1:] if args is None else args)
        if self._subparsers is not None:  # what follows the command is the command's own
            given = list(takewhile(lambda word: word.startswith("-"), given))
        unknown = [word.partition("=")[0] for word in _options(given) if not self._knows(word.partition("=")[0])]
        if unknown:
            known = [option for option in self._option_string_actions if option.startswith("--")]
            self.error(f"unrecognised option {unknown[0]}{did_you_mean(unknown[0], known)}")
        return super().parse_known_args(args, namespace)

    def _knows(self, option: str) -> bool:
        """Whether an option is one of this parser's, perhaps shortened."""
        return any(known.startswith(option) for known in self._option_string_actions)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            hint = did_you_mean(str(value), choices) or f"; choose from {', '.join(choices)}"
            raise argparse.ArgumentError(action, f"{str(value)!r} is unknown{hint}")


def _options(words: Sequence[str]) -> list[str]:
    """Return the words that are long options, up to a lone ``--``."""
    before = words[: words.index("--")] if "--" in words else words
    return [word for word in before if word.startswith("--")]


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return "; did you mean X?" for the known word that is nearest; "" if none is near."""
    near = get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


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


def add_map(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--map",
        dest="names",
        action="append",
        default=[],
        metavar="NAME=ORGAN",
        help="what a name in a file means, such as 'Parotis re=Parotid_R'; 'NAME=' leaves it out; may be repeated",
    )


def add_not_localized(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--not-localized",
        choices=("leave-out", "mark"),
        default="leave-out",
        help="DICOM: leave organs out that were drawn but not localized with confidence, or write them, described as 'not localized' "
        "(default: %(default)s)",
    )


def add_orientation_override(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--orientation-override",
        action="store_true",
        help="write contours even where the scan's header seems to have directions wrong, such as front and back reversed",
    )


def add_json_progress(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json-progress", action="store_true", help="progress as one JSON object a line on stderr")


def add_overwrite(parser: argparse.ArgumentParser, text: str = "replace outputs that exist") -> None:
    parser.add_argument("--overwrite", action="store_true", help=text)
