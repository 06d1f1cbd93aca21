"""``dataset`` and ``config_file``: what the smallest training needs."""

from __future__ import annotations

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
