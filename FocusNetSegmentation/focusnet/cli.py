"""The command ``focusnet``: arguments in, exit status out. What the commands do is in ``commands``.

Exit status: 0 done, 2 bad input or arguments (one line says what), 1 anything else.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn, TypeAlias

from .config import ARCHS
from .errors import Cancelled, FocusNetError
from .progress import json_line
from .version import __version__

DEFAULT_MODEL = "han7-openkbp"


class OneLineParser(argparse.ArgumentParser):
    """argparse that says what is wrong in one line, as every other refusal here does."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}. Try '{self.prog} --help'.\n")


Commands: TypeAlias = "argparse._SubParsersAction[OneLineParser]"


def main(arguments: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except FocusNetError as problem:
        return _fail(options, str(problem), 2)
    except (Cancelled, KeyboardInterrupt):
        return _fail(options, "Cancelled; nothing was written.", 1)
    except BrokenPipeError:
        return 1
    except Exception as problem:
        if options.debug:
            raise
        text = " ".join(f"{type(problem).__name__}: {problem}".split())
        return _fail(options, f"Internal error, {text}. Run again with --debug for the details and report it.", 1)
    return status


def _fail(options: argparse.Namespace, message: str, status: int) -> int:
    if getattr(options, "json_progress", False):
        print(json_line("error", message=message, status=status), file=sys.stderr, flush=True)
    else:
        print(f"focusnet: {message}", file=sys.stderr, flush=True)
    return status


def build_parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="focusnet",
        description="Organs at risk in head-and-neck CT, contoured by FocusNetv2. Research software, not a medical device.",
    )
    parser.add_argument("--version", action="version", version=f"focusnet {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the full traceback of an internal error")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=OneLineParser)
    _segment(commands)
    _batch(commands)
    _demo(commands)
    _train(commands)
    _datasets(commands)
    _atlas(commands)
    _evaluate(commands)
    _export(commands)
    _qa(commands)
    _report(commands)
    _models(commands)
    _phantom(commands)
    _simulate(commands)
    return parser


def _command(commands: Commands, name: str, text: str, module: str = "commands") -> argparse.ArgumentParser:
    """A command that is the function ``name`` of ``module``."""
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=lambda options: _run(module, name, options))
    return parser


def _run(module: str, name: str, options: argparse.Namespace) -> int:
    """Import what the command needs only now: ``focusnet --help`` must not wait for torch."""
    status: int = getattr(import_module(f".{module}", __package__), name)(options)
    return status


def _add_engine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help="name of an installed bundle, or its folder (default: %(default)s)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    parser.add_argument("--precision", default="auto", help="auto, fp32, bf16 or fp16 (default: auto)")
    parser.add_argument("--backend", default="auto", help="auto, torch or openvino (default: auto, which is torch)")
    parser.add_argument(
        "--organs", type=_names, help="comma-separated organs to keep, by TG-263 name or synonym (default: all)"
    )
    parser.add_argument(
        "--hu-offset",
        type=float,
        metavar="N",
        help="add N to every stored value: for scans whose rescale intercept is missing",
    )
    parser.add_argument("--json-progress", action="store_true", help="progress as one JSON object a line on stderr")
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")


def _segment(commands: Commands) -> None:
    parser = _command(commands, "segment", "Contour one scan.")
    parser.add_argument("input", type=Path, help="a DICOM folder, .nrrd, .nhdr, .mha or .nii[.gz]")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="OUT.seg.nrrd, OUT.nii.gz, or OUT.dcm with --dicom"
    )
    parser.add_argument(
        "--dicom", choices=("rtstruct", "seg"), help="what kind of DICOM object an output named .dcm is"
    )
    parser.add_argument("--series", metavar="UID", help="which series of a DICOM folder that holds several")
    parser.add_argument(
        "--report",
        type=Path,
        metavar="R",
        help="write volumes, peaks, warnings and provenance: R.json for programs, R.html as a page with pictures",
    )
    parser.add_argument("--picture", type=Path, metavar="P.png", help="write an overview picture")
    parser.add_argument(
        "--seed",
        action="append",
        default=[],
        metavar="ORGAN=X,Y,Z",
        help="look for a small organ at this place (LPS mm) instead of where the heat map is highest; may be repeated",
    )
    _add_engine_options(parser)


def _batch(commands: Commands) -> None:
    parser = _command(commands, "batch", "Contour every scan below a folder; resumes where it was stopped.")
    parser.add_argument("input", type=Path, help="a folder of scans: image files and DICOM folders at any depth")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="folder for NAME.seg.nrrd, NAME.json and summary.csv"
    )
    parser.add_argument(
        "--qa",
        action="store_true",
        help="also NAME.qa.json: which organs to look at first, for 'focusnet report FOLDER'",
    )
    _add_engine_options(parser)


def _demo(commands: Commands) -> None:
    parser = _command(
        commands,
        "demo",
        "Segment a synthetic phantom (or a scan of yours) with the model that ships, and show the result.",
    )
    parser.add_argument("input", type=Path, nargs="?", help="a scan of yours; without it a synthetic phantom is made")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("focusnet-demo"), help="folder to write (default: %(default)s)"
    )
    _add_engine_options(parser)


def _train(commands: Commands) -> None:
    parser = _command(commands, "train", "Train a model on your own cases and write it as a bundle.")
    parser.add_argument("--dataset", type=Path, help="the folder of a data set in any layout (docs/datasets.md)")
    parser.add_argument("--out", type=Path, help="folder for checkpoints, logs and the bundle")
    parser.add_argument("--preset", default="paper", help="paper or authors (default: paper)")
    parser.add_argument(
        "--config", type=Path, metavar="F.toml", help="settings on top of the preset (docs/training.md)"
    )
    parser.add_argument(
        "--arch", help=f"which system to train: {', '.join(ARCHS)} (default: focusnetv2; docs/systems.md)"
    )
    parser.add_argument("--stages", type=_names, help="comma-separated from snet, sol, aae, sos, joint (default: all)")
    parser.add_argument("--small-organs", type=_names, help="comma-separated organs that SOL- and SOS-Net look for")
    parser.add_argument("--width", type=float, help="factor on every channel count; 1 is the paper")
    parser.add_argument("--steps", type=int, help="steps of every stage")
    parser.add_argument(
        "--precision", help="fp32, bf16, fp16 or auto, which is bf16 where the device has it (default: fp32)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    parser.add_argument("--init", metavar="BUNDLE", help="start from this bundle's weights: fine-tune it on your cases")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")
    parser.add_argument("--status", type=Path, metavar="DIR", help="say how the run in DIR stands, and nothing else")


def _datasets(commands: Commands) -> None:
    parser = _command(
        commands,
        "datasets",
        "Check a folder of training cases, or write a first dataset.toml for it.",
        "datasets.command",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=OneLineParser)
    check = actions.add_parser("check", help="read every case; a table of organs, and every problem with its remedy")
    check.add_argument("folder", type=Path, help="the folder of a data set in any layout (docs/datasets.md)")
    check.add_argument("--json", action="store_true", help="print the report as JSON")
    check.add_argument(
        "--cache",
        metavar="DIR",
        help="keep read cases in DIR; 1 for the user's cache folder (default: FOCUSNET_CACHE, else none)",
    )
    check.add_argument("--json-progress", action="store_true", help="progress as one JSON object a line on stderr")
    init = actions.add_parser(
        "init", help="write a first dataset.toml into the folder; an existing one is never touched"
    )
    init.add_argument("folder", type=Path, help="the folder of a data set")


def _atlas(commands: Commands) -> None:
    text = "Contour one scan by contoured scans that are registered to it and vote: the paper's multi-atlas baseline."
    parser = _command(commands, "atlas", text, "atlas_command")
    parser.add_argument("input", type=Path, help="a DICOM folder, .nrrd, .nhdr, .mha or .nii[.gz]")
    parser.add_argument("--dataset", type=Path, required=True, help="a data set; its split train gives the atlases")
    parser.add_argument("-o", "--output", type=Path, required=True, help="OUT.seg.nrrd or OUT.nii.gz")
    parser.add_argument("--atlases", type=int, default=9, help="how many vote (default: %(default)s, as in the paper)")
    parser.add_argument("--organs", type=_names, help="comma-separated organs (default: all of the data set)")
    parser.add_argument(
        "--registration",
        choices=("syn", "affine"),
        default="syn",
        help="syn: affine and deformable, minutes an atlas; affine: quick and rough (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="which atlases are drawn (default: %(default)s)")
    parser.add_argument("--series", metavar="UID", help="which series of a DICOM folder that holds several")
    parser.add_argument("--hu-offset", type=float, metavar="N", help="add N to every stored value")
    parser.add_argument("--report", type=Path, metavar="R.json", help="write volumes, warnings and provenance")
    parser.add_argument("--json-progress", action="store_true", help="progress as one JSON object a line on stderr")
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")


def _evaluate(commands: Commands) -> None:
    parser = _command(
        commands,
        "evaluate",
        "Compare contours with a reference: DSC, HD95, surface distance and DSC, volumes. With --audit: what a person edited.",
        "commands_review",
    )
    parser.add_argument(
        "predicted", type=Path, help="a segmentation, or a folder of them; with --audit the model's own copy"
    )
    parser.add_argument(
        "reference",
        type=Path,
        help="the reference (.seg.nrrd, a label map, or an RTSTRUCT with --ct), or a folder with files of the same names; "
        "with --audit the edited segmentation",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="T.csv", help="write the table; --audit also as .json")
    parser.add_argument("--organs", type=_names, help="comma-separated organs (default: all)")
    parser.add_argument("--tolerance-mm", type=float, default=2.0, help="of the surface DSC (default: %(default)s)")
    parser.add_argument("--ct", type=Path, help="the CT that an RTSTRUCT belongs to: its DICOM folder")
    parser.add_argument("--series", metavar="UID", help="which series of a DICOM folder that holds several")
    parser.add_argument(
        "--audit",
        action="store_true",
        help="per organ what was edited: DSC, HD95, surface DSC, added path length, volume, voxels, active seconds",
    )
    parser.add_argument("--editor", default="", metavar="NAME", help="who edited, for the audit; stays in the file")
    parser.add_argument("--overwrite", action="store_true", help="replace a table that exists")


def _export(commands: Commands) -> None:
    parser = _command(
        commands,
        "export",
        "Write a segmentation, corrected or not, in another format: RTSTRUCT, DICOM SEG, .seg.nrrd, NIfTI; "
        "or an RTSTRUCT as one of these.",
        "commands_review",
    )
    parser.add_argument("segmentation", type=Path, help=".seg.nrrd, a label map with its names, or an RTSTRUCT .dcm")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="OUT.seg.nrrd, OUT.nii.gz, or OUT.dcm with --dicom"
    )
    parser.add_argument("--dicom", choices=("rtstruct", "seg"), help="what kind of DICOM object an output .dcm is")
    parser.add_argument("--ct", type=Path, help="the CT that was contoured: for DICOM the folder of its files")
    parser.add_argument("--series", metavar="UID", help="which series of a DICOM folder that holds several")
    parser.add_argument(
        "--model-copy",
        type=Path,
        metavar="FROZEN",
        help="the model's own result: tells exactly which organs were edited",
    )
    parser.add_argument(
        "--reviewer", default="", metavar="NAME", help="who approved (default: as the review in 3D Slicer noted it)"
    )
    parser.add_argument("--organs", type=_names, help="comma-separated organs (default: all)")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that exists")


def _qa(commands: Commands) -> None:
    parser = _command(
        commands,
        "qa",
        "Which organs of a segmentation to look at first, and why; a hint, not a verdict.",
        "commands_qa",
    )
    parser.add_argument("segmentation", type=Path, help="a .seg.nrrd, or a label map with its names beside it")
    parser.add_argument("--ct", type=Path, help="the CT that it was made from; without it HU are not looked at")
    parser.add_argument("--series", metavar="UID", help="which series of a DICOM folder that holds several")
    parser.add_argument("--hu-offset", type=float, metavar="N", help="add N to every stored value of the CT")
    parser.add_argument(
        "--model", help="whose volume statistics and thresholds count (default: the model that made it, if installed)"
    )
    parser.add_argument("--shape-model", metavar="S", help="judges small organs (default: shapes-tcia-oars)")
    parser.add_argument("-o", "--output", type=Path, metavar="R.json", help="write every score (docs/qa.md)")
    parser.add_argument(
        "--ghosts",
        type=Path,
        metavar="G.seg.nrrd",
        help="write what the shape model makes of each small organ: a prior, not truth",
    )
    parser.add_argument("--json-progress", action="store_true", help="progress as one JSON object a line on stderr")
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")


def _report(commands: Commands) -> None:
    parser = _command(
        commands,
        "report",
        "A page of one case for people to read (SEG --ct CT), or of many cases (a folder of reports).",
        "commands_review",
    )
    parser.add_argument(
        "input",
        type=Path,
        help="a segmentation; or a folder with JSON of segment --report, batch, qa and evaluate --audit",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PAGE.html", help="the page to write")
    parser.add_argument("--ct", type=Path, help="the CT that was contoured: a DICOM folder or an image file")
    parser.add_argument("--qa", type=Path, metavar="R.json", help="scores of 'focusnet qa -o' (default: made now)")
    parser.add_argument(
        "--model-copy", type=Path, metavar="FROZEN", help="the model's own result: shows what was edited"
    )
    parser.add_argument(
        "--ghost", type=Path, metavar="GHOST", help="a segmentation with the shapes that the autoencoder expects"
    )
    parser.add_argument("--series", metavar="UID", help="which series of a DICOM folder that holds several")
    parser.add_argument("--hu-offset", type=float, metavar="N", help="add N to every stored value of the CT")
    parser.add_argument(
        "--title", default="", metavar="TEXT", help="heading of the page (default: a number of the scan)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a page that exists")


def _models(commands: Commands) -> None:
    parser = _command(commands, "models", "List, show, verify and install model bundles.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=OneLineParser)
    actions.add_parser("list", help="every bundle that can be used by name")
    for name, text in (("show", "what a bundle knows and how well"), ("verify", "check hashes, format and shapes")):
        actions.add_parser(name, help=text).add_argument("model", help="name or folder")
    install = actions.add_parser("install", help="copy a bundle to your models folder")
    install.add_argument("model", help="a bundle's folder or .zip")
    install.add_argument("--overwrite", action="store_true", help="replace a bundle of the same name")


def _phantom(commands: Commands) -> None:
    parser = _command(
        commands, "phantom", "Write a synthetic head-and-neck CT with all 22 organs and its reference contours."
    )
    parser.add_argument("output", type=Path, help="folder to write")
    parser.add_argument("--dicom", action="store_true", help="also as a DICOM series")
    parser.add_argument("--seed", type=int, default=0, help="another seed is another patient (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")


def _simulate(commands: Commands) -> None:
    parser = _command(
        commands,
        "simulate",
        "Make a CT over label maps: a training data set with real contours and simulated grey values.",
    )
    parser.add_argument("labels", type=Path, help="a folder of bit masks with dataset.json (docs/simulator.md)")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="folder for the data set, in the OpenKBP layout"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="another seed gives other grey values (default: %(default)s)"
    )
    parser.add_argument("--annotator", default="oncologist", help="whose contours (default: %(default)s)")
    parser.add_argument(
        "--region",
        choices=("head", "small"),
        default="head",
        help="the whole head, or the small organs and a margin (default: %(default)s)",
    )
    parser.add_argument(
        "--spacing-mm",
        type=float,
        nargs=3,
        metavar=("X", "Y", "Z"),
        default=(1.0, 1.0, 3.0),
        help="voxels (default: 1 1 3)",
    )
    parser.add_argument("--cases", type=_names, default=[], help="comma-separated cases (default: all)")
    parser.add_argument("--overwrite", action="store_true", help="make cases again that exist")


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
