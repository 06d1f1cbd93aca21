"""The command ``focusnet``: arguments in, exit status out. Each command has a module here with its options and its run.

Exit status: 0 done, 2 bad input or arguments (one line says what), 130 stopped by Ctrl-C, 1 anything else.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn, TextIO

from ..errors import Cancelled, FocusNetError
from ..files.disk import is_full
from ..progress import json_line
from ..version import __version__
from ..wording import RESEARCH_ONLY
from . import (
    atlas,
    batch,
    collect,
    compare,
    datasets,
    demo,
    evaluate,
    export,
    finetune,
    models,
    node,
    phantom,
    qa,
    report,
    segment,
    simulate,
    train,
)
from .options import OneLineParser

STOPPED = 130  # what shells give a program that Ctrl-C ended: 128 + SIGINT

# in the order of the help
COMMANDS = (
    segment, batch, node, demo, train, collect, finetune, compare, datasets, atlas, evaluate, export, qa, report, models,
    phantom, simulate,
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (by default the process's own) and return the exit status: 0 done, 2 bad input, 130 stopped by
    Ctrl-C, 1 anything else. Without arguments the help is printed."""
    parser = build_parser()
    _complete(parser)
    if not (sys.argv[1:] if arguments is None else arguments):
        parser.print_help()
        return 0
    options = parser.parse_args(arguments)
    try:
        status: int = options.run(options)
        if sys.stdout is not None:
            sys.stdout.flush()  # a table that goes to a file on a full disk fails here, not after the last line of ours
    except FocusNetError as problem:
        return _fail(options, str(problem), 2)
    except (Cancelled, KeyboardInterrupt) as stop:  # a command that keeps its work says so itself
        return _fail(options, str(stop) or "Cancelled; nothing was written.", STOPPED)
    except BrokenPipeError:
        _let_go(sys.stdout)
        return 1
    except Exception as problem:
        if isinstance(problem, OSError) and is_full(problem):
            return _full_disk(options, problem)
        if isinstance(problem, PermissionError) and problem.filename and not options.debug:
            message = (
                f"{problem.filename} may not be read or written by you ({problem.strerror}); check its permissions."
            )
            return _fail(options, message, 2)
        if options.debug:
            raise
        text = " ".join(f"{type(problem).__name__}: {problem}".split())
        return _fail(options, f"Internal error, {text}. Run again with --debug for the details and report it.", 1)
    finally:
        _settle(sys.stderr)
    return status


def _complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell that asks how a word goes on, if argcomplete (the extra ``completion``) is installed."""
    if "_ARGCOMPLETE" in os.environ:
        with suppress(ImportError):
            import argcomplete

            argcomplete.autocomplete(parser)


class _Version(argparse.Action):
    """Print the version of what computes as well: it decides how fast and with which numbers."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        python = ".".join(str(part) for part in sys.version_info[:3])
        print(f"focusnet {__version__}, Python {python}, {_torch_and_device()}")
        parser.exit()


def _torch_and_device() -> str:
    try:
        import torch
    except ImportError:
        return "torch is not installed"
    from ..inference.devices import choose_device

    return f"torch {torch.__version__}, device {choose_device()}"


def _full_disk(options: argparse.Namespace, problem: OSError) -> int:
    """The last resort for what no writer of ours has put into words; without a file's name it is what goes to stdout."""
    if problem.filename is None:
        _let_go(sys.stdout)
    where = problem.filename or "standard output"
    return _fail(options, f"{where} cannot be written ({problem.strerror}). Free some space and try again.", 2)


def _settle(stream: TextIO | None) -> None:
    """Messages that went to a file on a full disk are lost, which must not change the exit status."""
    try:
        if stream is not None:
            stream.flush()
    except (OSError, ValueError):
        _let_go(stream)


def _let_go(stream: TextIO | None) -> None:
    """Else Python tries to write the rest once more when it ends, and fails a second time."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # type: ignore[union-attr]


def _fail(options: argparse.Namespace, message: str, status: int) -> int:
    line = json_line("error", message=message, status=status)
    with suppress(OSError):  # stderr may be a file on the same full disk; the exit status still tells
        print(line if getattr(options, "json_progress", False) else f"focusnet: {message}", file=sys.stderr, flush=True)
    return status


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with every command and its options."""
    parser = OneLineParser(
        prog="focusnet",
        description=f"Organs at risk in head-and-neck CT, contoured by FocusNetv2. {RESEARCH_ONLY}",
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="the versions of focusnet, Python and torch, and the device"
    )
    parser.add_argument("--debug", action="store_true", help="show the full traceback of an internal error")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=OneLineParser)
    for command in COMMANDS:
        command.add_arguments(commands)
    return parser
