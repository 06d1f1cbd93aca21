"""Where tests find the package when it is not installed, and the real data when it is there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .paths import DATA, ROOT
from .skip_summary import not_tested_lines, skipped_lines

# last on the path: an installed focusnet comes first, and FocusNetSegmentationLib, which is never installed by pip, is found
sys.path.append(str(ROOT / "FocusNetSegmentation"))


@pytest.fixture
def real_data() -> Path:
    """The folder of real scans beside the project; a test that needs it is skipped where it is absent."""
    if not DATA.is_dir():
        pytest.skip("needs the real scans in ../shared/data, which do not ship with the project")
    return DATA


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Sum up skips by reason, and say what was not tested here and how to test it: 400 single lines hide the result."""
    reports = terminalreporter.stats.get("skipped", [])
    reasons = [str(report.longrepr[2]) for report in reports if isinstance(report.longrepr, tuple)]
    missing = not_tested_lines(reasons, len(terminalreporter.stats.get("deselected", [])), _has_gpu())
    for line in skipped_lines(reasons):
        terminalreporter.write_line(line)
    if missing and len(reports) + len(terminalreporter.stats.get("passed", [])) > 100:  # not after a single file
        terminalreporter.section("not tested here")
        for line in missing:
            terminalreporter.write_line(line)


def _has_gpu() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_available())
