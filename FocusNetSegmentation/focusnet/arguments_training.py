"""Arguments of the commands about models and what they learn from: train, datasets, simulate, models."""

from __future__ import annotations

from pathlib import Path

from .arguments import Commands, add_actions, add_command, add_device, add_json_progress, add_overwrite, names
from .nets.config import ARCHS


def add_train(commands: Commands) -> None:
    parser = add_command(commands, "train", "Train a model on your own cases and write it as a bundle.")
    parser.add_argument("--dataset", type=Path, help="the folder of a data set in any layout (docs/datasets.md)")
    parser.add_argument("--out", type=Path, help="folder for checkpoints, logs and the bundle")
    parser.add_argument("--preset", default="paper", help="paper or authors (default: paper)")
    parser.add_argument(
        "--config", type=Path, metavar="F.toml", help="settings on top of the preset (docs/training.md)"
    )
    parser.add_argument(
        "--arch", help=f"which system to train: {', '.join(ARCHS)} (default: focusnetv2; docs/systems.md)"
    )
    parser.add_argument("--stages", type=names, help="comma-separated from snet, sol, aae, sos, joint (default: all)")
    parser.add_argument("--small-organs", type=names, help="comma-separated organs that SOL- and SOS-Net look for")
    parser.add_argument("--width", type=float, help="factor on every channel count; 1 is the paper")
    parser.add_argument("--steps", type=int, help="steps of every stage")
    parser.add_argument(
        "--precision", help="fp32, bf16, fp16 or auto, which is bf16 where the device has it (default: fp32)"
    )
    add_device(parser)
    parser.add_argument("--init", metavar="BUNDLE", help="start from this bundle's weights: fine-tune it on your cases")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")
    parser.add_argument("--status", type=Path, metavar="DIR", help="say how the run in DIR stands, and nothing else")


def add_datasets(commands: Commands) -> None:
    parser = add_command(
        commands,
        "datasets",
        "Check a folder of training cases, or write a first dataset.toml for it.",
        "datasets.command",
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


def add_simulate(commands: Commands) -> None:
    parser = add_command(
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
    parser.add_argument("--cases", type=names, default=[], help="comma-separated cases (default: all)")
    add_overwrite(parser, "make cases again that exist")


def add_models(commands: Commands) -> None:
    parser = add_command(commands, "models", "List, show, verify and install model bundles.")
    actions = add_actions(parser)
    actions.add_parser("list", help="every bundle that can be used by name")
    for name, text in (("show", "what a bundle knows and how well"), ("verify", "check hashes, format and shapes")):
        actions.add_parser(name, help=text).add_argument("model", help="name or folder")
    install = actions.add_parser("install", help="copy a bundle to your models folder")
    install.add_argument("model", help="a bundle's folder or .zip")
    add_overwrite(install, "replace a bundle of the same name")
