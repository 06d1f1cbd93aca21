"""``focusnet train``: train a model on your own cases."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path

from ..errors import Cancelled, InputError
from ..nets.config import ARCHS
from ..train.settings import STAGE_ORDER
from .options import Commands, add_command, add_device, names


def add_arguments(commands: Commands) -> None:
    """Add the command and its options."""
    parser = add_command(commands, "train", "Train a model on your own cases and write it as a bundle.", train)
    parser.add_argument("--dataset", type=Path, help="the folder of a data set in any layout (docs/datasets.md)")
    parser.add_argument("--out", type=Path, help="folder for checkpoints, logs and the bundle")
    parser.add_argument("--preset", default="paper", help="paper or authors (default: paper)")
    parser.add_argument(
        "--config", type=Path, metavar="F.toml", help="settings on top of the preset (docs/training.md)"
    )
    parser.add_argument(
        "--arch", help=f"which system to train: {', '.join(ARCHS)} (default: focusnetv2; docs/systems.md)"
    )
    parser.add_argument("--stages", type=names, help=f"comma-separated from {', '.join(STAGE_ORDER)} (default: all)")
    parser.add_argument("--small-organs", type=names, help="comma-separated organs that SOL- and SOS-Net look for")
    parser.add_argument("--width", type=float, help="factor on every channel count; 1 is the paper")
    parser.add_argument("--steps", type=int, help="steps of every stage")
    parser.add_argument(
        "--time-budget",
        type=_duration,
        metavar="10m",
        help="end after 90s, 10m or 2h, whatever the number of steps; the schedule follows the clock",
    )
    parser.add_argument(
        "--precision", help="fp32, bf16, fp16 or auto, which is bf16 where the device has it (default: fp32)"
    )
    add_device(parser)
    parser.add_argument("--init", metavar="BUNDLE", help="start from this bundle's weights: fine-tune it on your cases")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")
    parser.add_argument("--status", type=Path, metavar="DIR", help="say how the run in DIR stands, and nothing else")


def train(options: argparse.Namespace) -> int:
    """Train, or say how a run stands (``--status``)."""
    if options.status is not None:
        from ..train.status import status_text

        print(status_text(options.status))
        return 0
    if options.dataset is None or options.out is None:
        raise InputError("focusnet train needs --dataset and --out (or --status DIR alone).")
    refuse_inside(options.out, options.dataset, options.resume)
    from ..train.heartbeat import heartbeat, tell
    from ..train.logger import messages_on_stderr
    from ..train.setup.request import TrainRequest

    first = os.environ.get("RANK", "0") == "0"  # one of several processes under torchrun speaks
    request = TrainRequest(
        options.dataset,
        options.out,
        options.preset,
        options.config,
        options.stages,
        options.resume,
        network=_given(options, "arch", "width", "small_organs"),
        settings=_given(options, "steps", "precision"),
        device=options.device,
        init=options.init,
        time_budget_s=options.time_budget,
    )
    try:
        with messages_on_stderr(), heartbeat(options.out, active=first):
            tell("loading PyTorch")
            from ..train.run import train_bundle

            bundle = train_bundle(request)
    except KeyboardInterrupt as stop:
        raise Cancelled(what_is_left(options.out)) from stop
    if first:
        print(
            f"Wrote the bundle {bundle.folder}. Try it: focusnet segment SCAN -o OUT.seg.nrrd --model {shlex.quote(str(bundle.folder))}"
        )
    return 0


def _duration(text: str) -> float:
    """Return the seconds of a time such as 90s, 10m or 2h."""
    from ..train.clock import parse_duration

    try:
        return parse_duration(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; 90s, 10m or 2h is expected") from None


def refuse_inside(out: Path, dataset: Path, resume: bool) -> None:
    """Refuse a run inside the data set: its label maps and pictures would be taken for cases next time. A run of before may go on."""
    if not resume and out.expanduser().resolve().is_relative_to(Path(dataset).expanduser().resolve()):
        raise InputError(
            f"--out {out} lies inside the data set {dataset}, where its files would be taken for cases; choose a folder beside it."
        )


def what_is_left(out: Path) -> str:
    """Say what is left of a training that was interrupted."""
    if any(out.glob("*.last.safetensors")):
        return f"Stopped. {out} keeps the last checkpoint: the same command with --resume goes on from there."
    return f"Stopped before the first checkpoint; there is nothing in {out} to go on from."


def _given(options: argparse.Namespace, *names: str) -> dict[str, object]:
    """Return only what the command line names: the rest is left to the configuration file."""
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}
