"""``dataset`` and ``config_file``: what the smallest training needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .helpers_dataset import TINY_TOML, write_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three training and two validation cases; nothing writes into them."""
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_TOML)
    return path


@pytest.fixture(autouse=True, scope="session")
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests measure is not remembered for the person whose computer this is. Child processes inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOCUSNET_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="module")
def _random_weights_fit_no_better_turned(request: pytest.FixtureRequest) -> Iterator[None]:
    """Random weights find nothing in any of a dozen orientations, and trying them all took seven eighths of the tests of ``segment``: only the
    tests of that check make it."""
    if "orientation" in request.module.__name__:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("focusnet.inference.orientation_check.is_suspicious", lambda result: False)
        yield
