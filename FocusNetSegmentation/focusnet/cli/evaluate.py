"""``focusnet evaluate``: score contours against a reference, or audit what a person edited."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from .options import Commands, add_command, add_fill_slices, add_map, add_organs, add_overwrite, add_series
from .terminal import tell_notes


def add_arguments(commands: Commands) -> None:
    """Add the command and its options."""
    parser = add_command(
        commands,
        "evaluate",
        "Compare contours with a reference: DSC, HD95, surface distance and DSC, volumes. With --audit: what a person edited.",
        evaluate,
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
    add_organs(parser)
    parser.add_argument("--tolerance-mm", type=float, default=2.0, help="of the surface DSC (default: %(default)s)")
    parser.add_argument("--ct", type=Path, help="the CT that an RTSTRUCT belongs to: its DICOM folder")
    add_series(parser)
    add_map(parser)
    add_fill_slices(parser)
    parser.add_argument(
        "--audit",
        action="store_true",
        help="per organ what was edited: DSC, HD95, surface DSC, added path length, volume, voxels, active seconds",
    )
    parser.add_argument("--editor", default="", metavar="NAME", help="who edited, for the audit; stays in the file")
    add_overwrite(parser, "replace a table that exists")


def evaluate(options: argparse.Namespace) -> int:
    """Print the table of scores, or the audit."""
    from ..io.read import read_ct

    ct = read_ct(options.ct, options.series) if options.ct is not None else None
    if options.audit:
        from ..qa.audit_files import AuditOptions, audit_files

        if options.names or options.fill_slices:
            raise InputError("--map and --fill-slices do not go with --audit, which compares two copies as they are.")
        if options.organs:
            raise InputError("--organs does not go with --audit, which looks at every organ; leave it out.")
        text, notes = audit_files(
            options.predicted,
            options.reference,
            AuditOptions(options.tolerance_mm, options.editor, ct),
            out=options.output,
            overwrite=options.overwrite,
        )
        tell_notes(notes)
        print(text)
        return 0
    if options.editor:
        raise InputError("--editor goes with --audit; leave it out.")
    from ..evaluation.case_pairs import compare_files
    from ..evaluation.score_table import text_table, write_csv
    from ..files.atomic_write import check_output

    if options.output is not None:
        check_output(options.output, options.overwrite)
    comparison = compare_files(
        options.predicted,
        options.reference,
        options.organs,
        options.tolerance_mm,
        ct,
        names=name_map(options.names),
        fill_slices=options.fill_slices,
    )
    rows = comparison.rows
    if options.output is not None:
        write_csv(rows, options.output)
    if rows:
        print(text_table(rows, options.tolerance_mm))
    tell_notes(comparison.notes)
    if not rows:
        raise InputError(f"{options.predicted} and {options.reference} have no organ in common; nothing is scored.")
    return 0


def name_map(entries: Sequence[str]) -> dict[str, str]:
    """Return {name in a file: organ, or ""} of ``NAME=ORGAN`` entries. Raises InputError for an organ that is not known."""
    from ..image.organs import find_organ, guess

    names = {}
    for entry in entries:
        name, equals, wanted = entry.rpartition("=")
        organ = find_organ(wanted)
        if not equals or not name:
            raise InputError(f"--map {entry!r}: NAME=ORGAN is expected, such as 'Parotis re=Parotid_R'.")
        if organ is None and wanted.strip():
            raise InputError(f"--map {entry!r}: {wanted!r} is no organ that is known here{guess(wanted)}.")
        names[name] = organ.name if organ is not None else ""
    return names
