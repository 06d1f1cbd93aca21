"""``focusnet qa``: rank the organs of a segmentation by how much they need a look."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, ModelError
from ..progress import Progress, ProgressCallback, json_line
from ..wording import counted
from .options import Commands, add_command, add_hu_offset, add_json_progress, add_overwrite, add_series
from .terminal import progress_to, tell_warning

if TYPE_CHECKING:
    from ..image.segmentation import Segmentation
    from ..nets.bundle import ModelBundle
    from ..qa.shape_model import ShapeModel


def add_arguments(commands: Commands) -> None:
    """Add the command and its options."""
    parser = add_command(
        commands, "qa", "Which organs of a segmentation to look at first, and why; a hint, not a verdict.", qa
    )
    parser.add_argument("segmentation", type=Path, help="a .seg.nrrd, or a label map with its names beside it")
    parser.add_argument("--ct", type=Path, help="the CT that it was made from; without it HU are not looked at")
    add_series(parser)
    add_hu_offset(parser, " of the CT")
    parser.add_argument(
        "--model",
        help="whose volume statistics and thresholds count (default: the model or the models that made it, if installed)",
    )
    parser.add_argument(
        "--shape-model", metavar="S", help="judges small organs and gives shape priors (default: those that ship)"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="R.json", help="write every score (docs/qa.md)")
    parser.add_argument(
        "--shape-priors",
        "--ghosts",  # the name of earlier versions
        type=Path,
        metavar="G.seg.nrrd",
        help="write what the shape model makes of each organ: a prior, not truth",
    )
    add_json_progress(parser)
    add_overwrite(parser)


def qa(options: argparse.Namespace) -> int:
    """Print the ranking. Options and files are checked before the organs are measured."""
    from ..files.atomic_write import check_output
    from ..io.read import read_segmentation, read_volume
    from ..io.seg_nrrd import write_seg_nrrd
    from ..qa.organ_scores import DISCLAIMER, LOOK_AT, text_table, write_ranking
    from ..qa.ranking import check_same_grid, rank_organs
    from ..qa.shape_prior import shape_priors

    if options.output is not None:
        check_output(options.output, options.overwrite, (".json",))
    if options.shape_priors is not None:
        check_output(options.shape_priors, options.overwrite, (".seg.nrrd",))
    segmentation = read_segmentation(options.segmentation)
    volume = None
    if options.ct is not None:
        volume = read_volume(options.ct, series=options.series, hu_offset=options.hu_offset)
        check_same_grid(segmentation, volume)
    bundles = _bundles(segmentation, options)
    shape_model = _shape_model(segmentation, options)
    with progress_to(sys.stderr, options.json_progress) as callback:
        tell = _organs_too(callback) if options.json_progress else callback
        result = rank_organs(segmentation, volume, bundles, shape_model=shape_model, progress=tell)
    if options.output is not None:
        write_ranking(result, options.output, options.overwrite)
    if options.shape_priors is not None and shape_model is not None:
        write_seg_nrrd(shape_priors(segmentation, shape_model), options.shape_priors, options.overwrite, crop=True)
    if options.json_progress:
        written = {
            key: None if path is None else str(path)
            for key, path in (("review", options.output), ("shape_priors", options.shape_priors))
        }
        print(json_line("result", **written), file=sys.stderr, flush=True)
    print(text_table(result))
    count = sum(o.group == LOOK_AT for o in result.organs)
    print(f"{count} of {counted(len(result.organs), 'organ')} to look at first. {DISCLAIMER}")
    return 0


def _organs_too(callback: ProgressCallback) -> ProgressCallback:
    """Return a callback that also prints each organ as soon as it is scored: {"event": "organ", ...} with the keys of the JSON file."""
    from ..qa.organ_scores import organ_dict
    from ..qa.ranking import OrganScored

    def tell(progress: Progress) -> None:
        if isinstance(progress, OrganScored) and progress.organ is not None:
            print(json_line("organ", **organ_dict(progress.organ)), file=sys.stderr, flush=True)
        else:
            callback(progress)

    return tell


def _bundles(segmentation: Segmentation, options: argparse.Namespace) -> ModelBundle | Sequence[ModelBundle]:
    """Return the model that was named, or those that were, else those that made the segmentation, as far as they are installed."""
    from ..nets.several import bundles_of, load_bundles

    if options.model is not None:
        named = load_bundles(options.model)
        return named[0] if len(named) == 1 else named
    found, told = bundles_of(segmentation.provenance)
    for sentence in told:
        tell_warning(sentence, options.json_progress)
    return found


def _shape_model(segmentation: Segmentation, options: argparse.Namespace) -> ShapeModel | None:
    """Return the shape model, if there is an organ to look at. One that was asked for must be there."""
    from ..qa.shape_model import load_shape_model
    from ..qa.shape_prior import refuse_without_shape_priors

    if options.shape_priors is None and not any(r.organ.small for r in segmentation.results):
        return None  # large organs have shape priors, but are not scored by them
    if importlib.util.find_spec("torch") is None:
        if options.shape_priors is not None or options.shape_model is not None:
            raise InputError(
                "The shape model needs PyTorch, which is not installed; install it, or leave out --shape-priors and --shape-model."
            )
        tell_warning("PyTorch is not installed: the shapes of small organs were not looked at.", options.json_progress)
        return None
    try:
        prior = load_shape_model(options.shape_model)
    except ModelError:
        if options.shape_model is not None or options.shape_priors is not None:
            raise
        return None
    if options.shape_priors is not None:
        refuse_without_shape_priors(segmentation, prior)
    return prior
