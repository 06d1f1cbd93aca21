"""Parts that the commands which contour a scan share: the options of a model, checks before the run, the table after it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..image.drawn_by import cautions, failures, is_merged, model_of, origins
from ..progress import json_line
from ..wording import CHECK_CONTOURS
from .options import (
    DEFAULT_MODEL,
    add_device,
    add_hu_offset,
    add_json_progress,
    add_organs,
    add_orientation_override,
    add_overwrite,
)
from .terminal import progress_to, tell_warning

if TYPE_CHECKING:
    from ..image.segmentation import Segmentation
    from ..image.volume import Volume
    from ..inference.options import SegmentOptions

STATUS_WIDTH = 9  # of the longest, "uncertain" and "not found"


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add model, device, precision, backend and organs."""
    parser.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="MODEL[,MODEL]",
        help="name of an installed bundle, or its folder; several with commas between them are all run, and each organ is taken from "
        "the model that knows it best (default: %(default)s)",
    )
    add_device(parser)
    parser.add_argument("--precision", default="auto", help="auto, fp32, bf16 or fp16 (default: auto)")
    parser.add_argument(
        "--backend",
        default="auto",
        help="auto, torch or openvino (default: auto, the quicker one as measured on this computer)",
    )
    add_organs(parser, "comma-separated organs to keep, by TG-263 name or synonym (default: all)")
    parser.add_argument(
        "--qa-passes",
        type=int,
        default=0,
        metavar="N",
        help="1: contour the mirrored scan as well and keep how far both agree, for 'focusnet qa'; takes about twice as long (default: 0)",
    )
    add_hu_offset(parser, ": for scans whose rescale intercept is missing")
    add_orientation_override(parser)
    add_json_progress(parser)
    add_overwrite(parser)


def segment_options(options: argparse.Namespace) -> SegmentOptions:
    """Return what the command line asks for, checked before a scan is read: the quickest refusals come first.

    Raises InputError, ModelError.
    """
    from ..inference.options import SegmentOptions
    from ..inference.seed_points import parse_seeds

    _ask_about_organs(options.organs)
    return SegmentOptions(
        options.model,
        device=options.device,
        precision=options.precision,
        organs=options.organs,
        backend=options.backend,
        seeds=parse_seeds(getattr(options, "seed_points", ())),
        qa_passes=getattr(options, "qa_passes", 0),
    )


def _ask_about_organs(organs: Sequence[str] | None) -> None:
    """Raise InputError with what was probably meant for a name that is no organ, where there is a guess."""
    from ..image.organs import find_organ, possible_organs

    for name in organs or ():
        likely = possible_organs(name) if find_organ(name) is None else ()
        if likely:
            raise InputError(
                f"There is no organ {name!r}; did you mean {' or '.join(organ.name for organ in likely)}? "
                "A pair's organ needs its side, such as Parotid_L."
            )


def check_outputs(output: Path, report: Path | None, picture: Path | None, overwrite: bool) -> None:
    """Refuse now what would be refused after the run. Raises OutputError."""
    from ..files.atomic_write import check_output
    from ..io.suffixes import PAGES
    from ..io.write import check_segmentation_output

    check_segmentation_output(output, overwrite)
    if report is not None:
        check_output(report, overwrite, (".json", *PAGES))
    if picture is not None:
        check_output(picture, overwrite, (".png",))


def read_scan(path: Path, options: argparse.Namespace) -> Volume:
    """Read a CT and tell what is odd about it. Raises InputError."""
    from ..io.ct_checks import check_ct
    from ..io.read import read_volume

    volume = read_volume(path, series=getattr(options, "series", None), hu_offset=options.hu_offset)
    for warning in check_ct(volume):
        tell_warning(warning, options.json_progress)
    return volume


def run_model(volume: Volume, wanted: SegmentOptions, options: argparse.Namespace) -> Segmentation:
    """Contour a scan as ``wanted`` says, with progress on stderr."""
    from ..inference.segment import segment_scan

    with progress_to(sys.stderr, options.json_progress) as callback:
        return segment_scan(volume, wanted, callback)


def refuse_or_tell_orientation(result: Segmentation, options: argparse.Namespace) -> None:
    """Say where the scan's header seems to have directions wrong. Raises InputError, unless the user wants the contours all the same."""
    from ..image.orientation_doubt import doubt_text, refuse_doubtful

    if not options.orientation_override:
        refuse_doubtful(result.provenance)
    elif text := doubt_text(result.provenance):
        tell_warning(text, options.json_progress)


def tell_result(result: Segmentation, options: argparse.Namespace) -> None:
    """Tell programs (stderr) and people (stdout) what was written."""
    if options.json_progress:
        report = str(options.report) if options.report is not None else None
        print(json_line("result", segmentation=str(options.output), report=report), file=sys.stderr, flush=True)
    for sentence in failures(result.provenance):
        tell_warning(sentence, options.json_progress)
    print(organ_table(result))
    print(f"Wrote {options.output}. {CHECK_CONTOURS}")


def organ_table(result: Segmentation) -> str:
    """Return the result as lines for a terminal: organ, found or not (``OrganResult.status``), volume, how sure the model is where it is (the
    heat map's peak, 0 to 1), the model that drew it where there are several, warnings. Then why each organ is from its model, and what
    must be known of the models. Notes are left to the report."""
    made = result.provenance
    width = max(len(r.organ.name) for r in result.results)
    models = {r.organ.name: model_of(made, r.organ.name) for r in result.results} if is_merged(made) else {}
    wide = max(map(len, [*models.values(), "model"]))
    lines = [f"{'organ':<{width}}  {'':<{STATUS_WIDTH}}  {'volume ml':>9}  {'sure':>5}{'  model' if models else ''}"]
    for r in result.results:
        peak = "" if r.place_certainty is None else f"{r.place_certainty:.2f}"
        model = f"  {models[r.organ.name]:<{wide}}" if models else ""
        lines.append(
            f"{r.organ.name:<{width}}  {r.status:<{STATUS_WIDTH}}  {r.volume_ml:>9.2f}  {peak:>5}{model}  {' '.join(r.warnings)}".rstrip()
        )
    return "\n".join([*lines, *origins(made), *cautions(made)])
