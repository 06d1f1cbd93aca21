"""The end of a test run: skips summed up by reason, and what was not tested here with the way to test it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

NOT_HERE = (  # part of a reason -> what is not tested then, and how to test it
    ("slicer-core", "the Slicer panel", "Python 3.12: pip install '.[test,slicer-test]' PySide6, then pytest Testing/Slicer"),
    ("PySide6", "the Slicer panel", "Python 3.12: pip install '.[test,slicer-test]' PySide6, then pytest Testing/Slicer"),
    ("playwright", "pages in a browser", "pip install playwright && playwright install chromium, then pytest Testing/Browser"),
    ("browser", "pages in a browser", "playwright install chromium, then pytest Testing/Browser"),
    ("shared/data", "real scans", "put them into ../shared/data (docs/datasets.md names where they come from)"),
    ("openvino", "the OpenVINO backend", "pip install '.[openvino]'"),
    ("antspyx", "the atlas baseline", "pip install '.[atlas]'"),
    ("dicom3tools", "DICOM by another program's rules", "install dicom3tools (its program dciodvfy)"),
    ("plastimatch", "RTSTRUCT as another program reads it", "install plastimatch"),
    ("dcmqi", "DICOM SEG as another program reads it", "install dcmqi"),
    ("extra dicom", "DICOM SEG", "pip install '.[dicom]'"),
    ("no Python with torch", "the panel's worker", "set FOCUSNET_WORKER_PYTHON to a Python with torch"),
)  # fmt: skip


def skipped_lines(reasons: Iterable[str]) -> list[str]:
    """Return one line for each reason, the most frequent first: how many tests, and why."""
    counts = Counter(" ".join(reason.removeprefix("Skipped: ").split()) for reason in reasons)
    return [f"{count:>5} skipped: {reason}" for reason, count in counts.most_common()]


def not_tested_lines(reasons: Sequence[str], deselected: int, has_gpu: bool) -> list[str]:
    """Return what this run did not test, one a line with the way to test it; empty if nothing is missing."""
    missing: dict[str, str] = {}
    for part, what, how in NOT_HERE:
        if any(part in reason for reason in reasons):
            missing.setdefault(what, how)
    if deselected:
        missing["tests that are slow or need real scans"] = "pytest -m ''"
    if not has_gpu:
        missing["a GPU"] = "run on a machine with one"
    return [f"{what}: {how}" for what, how in missing.items()]
