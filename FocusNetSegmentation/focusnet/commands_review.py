"""What the commands do that come after a segmentation: compare, audit, export."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from .errors import InputError
from .image.volume import Volume

# options that only the page of one case takes, beside --ct
ONE_CASE = ("qa", "model_copy", "ghost", "series", "hu_offset")


def evaluate(options: argparse.Namespace) -> int:
    ct = _ct(options)
    if options.audit:
        from .qa.audit_files import audit_files

        if options.organs:
            raise InputError("--organs does not go with --audit, which looks at every organ; leave it out.")
        text, notes = audit_files(
            options.predicted,
            options.reference,
            out=options.output,
            ct=ct,
            **_named(options, "tolerance_mm", "editor", "overwrite"),
        )
        _tell(notes)
        print(text)
        return 0
    if options.editor:
        raise InputError("--editor goes with --audit; leave it out.")
    from .evaluation.evaluate import evaluate_files

    named = _named(options, "organs", "tolerance_mm", "overwrite")
    print(evaluate_files(options.predicted, options.reference, out=options.output, ct=ct, **named))
    return 0


def export(options: argparse.Namespace) -> int:
    from .commands import check_kind
    from .export import export_file

    check_kind(options.output, options.dicom)
    named = _named(options, "series", "model_copy", "reviewer", "organs", "overwrite")
    _tell(export_file(options.segmentation, options.ct, options.output, options.dicom, **named))
    print(f"Wrote {options.output}. Research software, not a medical device: check every contour.")
    return 0


def report(options: argparse.Namespace) -> int:
    source: Path = options.input
    if source.is_dir():
        notes = _cohort(options)
    else:
        if options.ct is None:
            raise InputError(f"The page of {source.name} shows pictures of its CT; give it with --ct.")
        from .reports.case_report import report_file

        named = _named(options, *ONE_CASE, "title", "overwrite")
        notes = report_file(source, options.ct, options.output, **named)
    _tell(notes)
    print(
        f"Wrote {options.output}. Open it in a browser; it needs nothing else. Research software, not a medical device."
    )
    return 0


def _cohort(options: argparse.Namespace) -> list[str]:
    given = [name for name, value in _named(options, "ct", *ONE_CASE).items() if value]
    if given:
        names = ", ".join("--" + name.replace("_", "-") for name in given)
        raise InputError(f"{names} belongs to the page of one case; {options.input} is a folder.")
    from .reports.cohort_page import report_folder

    return report_folder(options.input, options.output, options.title, options.overwrite)


def _named(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Options that a function takes under their own names."""
    return {name: getattr(options, name) for name in names}


def _ct(options: argparse.Namespace) -> Volume | None:
    if options.ct is None:
        return None
    from .export import read_ct

    return read_ct(Path(options.ct), options.series)


def _tell(notes: list[str]) -> None:
    for note in notes:
        print(f"focusnet: {note}", file=sys.stderr, flush=True)
