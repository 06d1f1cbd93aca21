"""``focusnet atlas``: the multi-atlas baseline as a command."""

from __future__ import annotations

import argparse
import sys

from .commands import check_kind, check_outputs, read_scan, tell_result, write_result
from .errors import InputError
from .io.json_report import write_report
from .terminal import progress_to, tell_warning


def atlas(options: argparse.Namespace) -> int:
    """Everything that can be refused is refused before the first registration."""
    from .baselines.atlas import import_ants, segment_by_atlases, shuffled, wanted_labels
    from .datasets.open_dataset import open_dataset

    check_kind(options.output, None)
    check_outputs(options.output, options.report, None, options.overwrite)
    if options.seed < 0:
        raise InputError(f"--seed is {options.seed}; 0 or more is expected.")
    dataset = open_dataset(options.dataset)
    wanted_labels(dataset.organs, options.organs)
    shuffled(dataset.patients("train"), options.atlases, options.seed)
    import_ants()
    for note in dataset.notes:
        tell_warning(note, options.json_progress)
    volume = read_scan(options.input, options)
    with progress_to(sys.stderr, options.json_progress) as callback:
        result = segment_by_atlases(
            volume, dataset, options.atlases, options.organs, options.registration, options.seed, callback
        )
    for note in result.provenance["notes"][len(volume.notes) :]:
        tell_warning(note, options.json_progress)
    write_result(result, volume, options.output, None, options.overwrite)
    if options.report is not None:
        write_report(result, options.report, options.overwrite)
    tell_result(result, options)
    return 0
