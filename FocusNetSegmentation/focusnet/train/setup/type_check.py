"""Check the values of a configuration file against the types of the dataclass that they are for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ...errors import ConfigError

WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: 'a text in quotes such as "paper"'}


def check_table(path: Path, table: str, values: Any, keys: type) -> None:
    """Raise ConfigError that names the key: unknown, or of another type than the field of the dataclass ``keys``."""
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: {table} is {values!r}; a table [{table}] is expected.")
    check_values(f"{path}: [{table}]", values, keys)


def check_values(where: str, values: Mapping[str, Any], keys: type) -> None:
    """Raise ConfigError for an unknown key or a value of another type than in the dataclass ``keys``; ``where`` begins the message."""
    hints = _hints(keys)
    unknown = set(values) - set(hints)
    if unknown:
        raise ConfigError(f"{where} has {', '.join(sorted(unknown))}; known are {', '.join(sorted(hints))}.")
    for key, value in values.items():
        if not fits(value, hints[key]):
            raise ConfigError(f"{where} {key} is {value!r}; {in_words(hints[key])} is expected.")


def fits(value: Any, hint: Any) -> bool:
    """Return whether ``value`` may stand where the type ``hint`` is declared: bool, int, float, str, a Literal or a tuple of these."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) is tuple:
        inner = get_args(hint)
        if not isinstance(value, (list, tuple)):
            return False
        if inner[-1] is Ellipsis:
            return all(fits(v, inner[0]) for v in value)
        return len(value) == len(inner) and all(fits(v, h) for v, h in zip(value, inner, strict=True))
    if hint is bool or isinstance(value, bool):
        return hint is bool and isinstance(value, bool)
    if hint is float:
        return isinstance(value, (int, float)) and math.isfinite(value)
    return isinstance(value, hint)


def in_words(hint: Any) -> str:
    """Return what values of the type ``hint`` look like in TOML, for an error message."""
    if get_origin(hint) is Literal:
        return " or ".join(f'"{value}"' for value in get_args(hint))
    if get_origin(hint) is not tuple:
        return WORDS[hint]
    inner = get_args(hint)
    if inner[-1] is Ellipsis:
        return f"a list, each entry {in_words(inner[0])},"
    return f"a list of {len(inner)}, each {in_words(inner[0])},"


@cache
def _hints(keys: type) -> dict[str, Any]:
    return get_type_hints(keys)
