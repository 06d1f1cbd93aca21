"""``focusnet finetune``: teach a model how you contour, from corrected cases."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from ..errors import Cancelled, InputError
from .options import DEFAULT_MODEL, Commands, add_command, add_device
from .train import refuse_inside, what_is_left


def add_arguments(commands: Commands) -> None:
    """Add the command and its options."""
    parser = add_command(
        commands, "finetune", "Fine-tune a model on corrected cases and write a new version of it (docs/learning.md).", finetune
    )  # fmt: skip
    parser.add_argument(
        "dataset", type=Path, nargs="?", metavar="FOLDER", help="corrected cases: of focusnet collect, or any data set"
    )
    parser.add_argument(
        "--from",
        dest="old",
        default=DEFAULT_MODEL,
        metavar="MODEL",
        help="name or folder of a model, or a run (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, metavar="RUN", help="folder for checkpoints, logs and the bundle")
    parser.add_argument("--name", default="", help="of the new model (default: the old one's, as a new version of it)")
    parser.add_argument("--steps", type=int, help="at most (default: 160)")
    parser.add_argument("--minutes", type=float, help="of training at most (default: 15)")
    add_device(parser)
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")
    parser.add_argument("--status", type=Path, metavar="RUN", help="say how the run stands, and nothing else")


def finetune(options: argparse.Namespace) -> int:
    """Fine-tune, or say how a run stands (``--status``)."""
    if options.status is not None:
        from ..train.status import status_text

        print(status_text(options.status))
        return 0
    if options.dataset is None or options.out is None:
        raise InputError("focusnet finetune needs FOLDER and --out (or --status RUN alone).")
    refuse_inside(options.out, options.dataset, options.resume)
    from ..nets.versions import bundle_of_run
    from ..train.heartbeat import heartbeat, tell
    from ..train.logger import messages_on_stderr
    from ..train.setup.request import TrainRequest
    from ..train.setup.tune_options import TuneOptions

    request = TrainRequest(
        options.dataset,
        options.out,
        resume=options.resume,
        settings={k: v for k in ("steps", "minutes") if (v := getattr(options, k)) is not None},
        device=options.device,
        init=bundle_of_run(options.old),
        tune=TuneOptions(options.name),
    )
    try:
        with messages_on_stderr(), heartbeat(options.out):
            tell("loading PyTorch")
            from ..train.run import train_bundle

            bundle = train_bundle(request)
    except KeyboardInterrupt as stop:
        raise Cancelled(what_is_left(options.out)) from stop
    best = bundle.manifest["training"]["stages"]["tune"]["best_step"]
    if best == 0:
        print("No step was better than the old model on the held-out cases: the new version has the old weights.")
    out, dataset, old = (shlex.quote(str(word)) for word in (options.out, options.dataset, options.old))
    print(
        f"Wrote {bundle.name} {bundle.version} to {bundle.folder}. "
        f"Next: focusnet compare {old} {out} --dataset {dataset}, then focusnet models adopt {out}"
    )
    return 0
