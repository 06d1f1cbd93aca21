"""The end of a test run says in a few lines what was skipped and what was not tested here."""

from __future__ import annotations

from ..skip_summary import not_tested_lines, skipped_lines


def test_skips_are_summed_up_by_reason_with_the_most_frequent_first() -> None:
    reasons = ["Skipped: needs B", "Skipped: needs A", "Skipped: needs A", "needs\nA"]
    assert skipped_lines(reasons) == ["    3 skipped: needs A", "    1 skipped: needs B"]
    assert skipped_lines([]) == []


def test_what_was_not_tested_is_said_once_with_the_way_to_test_it() -> None:
    reasons = [
        "needs slicer-core (Python 3.12 ...)",
        "needs PySide6",
        "playwright is not installed; it drives the browser",
    ]
    lines = not_tested_lines(reasons, 12, has_gpu=False)
    assert [line.split(":")[0] for line in lines] == [
        "the Slicer panel", "pages in a browser", "tests that are slow or need real scans", "a GPU",
    ]  # fmt: skip
    assert all(": " in line for line in lines)
    assert not_tested_lines([], 0, has_gpu=True) == []
