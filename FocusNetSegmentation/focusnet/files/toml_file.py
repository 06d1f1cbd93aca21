"""TOML files that people write: one reader, one line for what is wrong with them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ..errors import DatasetError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_toml(path: Path, guide: str) -> dict[str, Any]:
    """Return the file's tables. Raises DatasetError for a file that cannot be read, is not UTF-8 or not TOML; ``guide``: the page with an example."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # editors on Windows mark UTF-8 at its beginning
    except OSError as problem:
        raise DatasetError(f"{path} cannot be read: {problem.strerror}.") from problem
    except UnicodeDecodeError as problem:
        raise DatasetError(f"{path} is not UTF-8 text; save it as UTF-8 in your editor.") from problem
    except tomllib.TOMLDecodeError as problem:
        raise DatasetError(
            f"{path} is not valid TOML: {problem}. Correct it there ({guide} has an example)."
        ) from problem
