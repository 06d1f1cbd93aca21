"""Tests that run Slicer's own C++ core (``pip install '.[slicer-test]'``, Python 3.12); else they skip and say why."""

from __future__ import annotations

import importlib.util

import pytest

REASON = "needs slicer-core (Python 3.12: pip install '.[slicer-test]')"
HAS_SLICER_CORE = importlib.util.find_spec("slicer_core") is not None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not HAS_SLICER_CORE:
        for item in items:
            if "Testing/Slicer" in item.path.as_posix():
                item.add_marker(pytest.mark.skip(reason=REASON))
