"""Where tests find the package when it is not installed, and the real data when it is there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .paths import DATA, ROOT

# last on the path: an installed focusnet comes first, and FocusNetSegmentationLib, which is never installed by pip, is found
sys.path.append(str(ROOT / "FocusNetSegmentation"))


@pytest.fixture
def real_data() -> Path:
    """The folder of real scans beside the project; a test that needs it is skipped where it is absent."""
    if not DATA.is_dir():
        pytest.skip("needs the real scans in ../shared/data, which do not ship with the project")
    return DATA
