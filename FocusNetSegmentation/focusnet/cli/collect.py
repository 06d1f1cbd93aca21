"""``focusnet collect``: put the approved organs of a corrected case into a training set."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..progress import json_line
from .evaluate import name_map
from .options import (
    Commands,
    add_command,
    add_hu_offset,
    add_json_progress,
    add_map,
    add_model_copy,
    add_organs,
    add_series,
    named,
)
from .terminal import ask, can_ask, tell_notes, tell_warning

if TYPE_CHECKING:
    from ..collect.folder import SamePatient


def add_arguments(commands: Commands) -> None:
    """Add the command and its options."""
    parser = add_command(
        commands,
        "collect",
        "Put the approved organs of a corrected case into a training set: CT, contours, the model's own result; no names (docs/learning.md).",
        collect,
    )
    parser.add_argument("segmentation", type=Path, help="a .seg.nrrd that was reviewed in 3D Slicer")
    parser.add_argument(
        "--ct", type=Path, required=True, help="the CT that was contoured: a DICOM folder or an image file"
    )
    parser.add_argument(
        "--into", type=Path, required=True, metavar="FOLDER", help="the training set; a new one is started"
    )
    add_model_copy(parser, "tells what was corrected")
    add_organs(parser, "comma-separated organs (default: all approved ones)")
    add_map(parser)
    parser.add_argument(
        "--patient",
        default="",
        metavar="NUMBER",
        help="the patient's number, where the CT does not name it; only a keyed hash is kept. '-' reads it from standard input",
    )
    add_series(parser)
    add_hu_offset(parser, " of the CT")
    parser.add_argument(
        "--consent",
        action="store_true",
        help="copies of patients' scans may be kept in FOLDER (asked once if it is new)",
    )
    parser.add_argument("--consent-in-panel", action="store_true", help=argparse.SUPPRESS)  # asked in 3D Slicer
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--replace", action="store_true", help="a patient who is there already: replace the case")
    again.add_argument("--keep-both", action="store_true", help="a patient who is there already: add a further case")
    add_json_progress(parser)


def collect(options: argparse.Namespace) -> int:
    """Read and check the case, ask what has to be asked, and put it into the folder."""
    from ..collect.approved import ReviewedFiles, read_case
    from ..collect.folder import ASK, KEEP_BOTH, REPLACE, SamePatient, as_row, open_set, put_case, start_set

    patient = sys.stdin.readline().strip() if options.patient == "-" else options.patient
    open_set(options.into)  # a folder of another kind is refused before the scan is read
    files = ReviewedFiles(
        **named(options, "segmentation", "ct", "model_copy", "organs", "series", "hu_offset"),
        names=name_map(options.names),
        patient=patient,
    )
    case = read_case(files)
    collection = open_set(options.into) or start_set(options.into, _consent(options))
    same_patient = REPLACE if options.replace else KEEP_BOTH if options.keep_both else ASK
    try:
        added = put_case(options.into, case, same_patient)
    except SamePatient as found:
        added = put_case(options.into, case, _replace_or_keep(found, options.json_progress))
    notes = [*case.notes, collection.consent_sentence]
    if not case.patient:
        notes.insert(
            0, "The CT names no patient, so the scan is taken for one of its own; --patient tells which it is."
        )
    if options.json_progress:
        for note in notes:
            tell_warning(note, as_json=True)
        print(json_line("result", **as_row(added)), file=sys.stderr, flush=True)
    else:
        tell_notes(notes)
    print(
        f"Added case {added.name} ({added.split}) to {options.into}: {', '.join(added.contoured)}. "
        f"It holds {len(open_set(options.into).cases)} now."  # type: ignore[union-attr]
    )
    return 0


def _consent(options: argparse.Namespace) -> str:
    """Return how consent was given. Raises InputError if it was not."""
    from ..collect.consent import OPTION, PANEL, QUESTION, TERMINAL, TEXT

    if options.consent_in_panel:
        return PANEL
    if options.consent:
        return OPTION
    if options.json_progress or not can_ask():
        raise InputError(f"{options.into} is a new training set. {TEXT} If that is allowed, say so with --consent.")
    print(f"{options.into} is a new training set. {TEXT}", file=sys.stderr)
    if ask(f"{QUESTION} [y/N] ").lower() not in ("y", "yes"):
        raise InputError("Nothing was added: copies of patients' scans are kept only where that is allowed.")
    return TERMINAL


def _replace_or_keep(found: SamePatient, as_json: bool) -> str:
    """Return what to do with a patient who is there already. Raises SamePatient where nobody can be asked."""
    from ..collect.folder import KEEP_BOTH, REPLACE

    if as_json:
        print(json_line("same_patient", cases=[c.name for c in found.cases]), file=sys.stderr, flush=True)
    if as_json or not can_ask():
        raise found
    print(f"focusnet: {str(found).partition('; say')[0]}.", file=sys.stderr)
    answer = ask("[r]eplace it, [k]eep both, or [q]uit? ").lower()[:1]
    if answer not in ("r", "k"):
        raise InputError("Nothing was added.")
    return REPLACE if answer == "r" else KEEP_BOTH
