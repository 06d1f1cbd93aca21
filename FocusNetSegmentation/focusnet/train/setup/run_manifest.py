"""The run manifest: what a run is made of, written beside its checkpoints, because a resumed run must be the same run."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError, DatasetError
from ...files.atomic_write import atomic_path, ensure_folder
from ...nets.config import DILATION_BEFORE_THE_KEY, NetworkConfig
from ..settings import Settings

if TYPE_CHECKING:
    from ...datasets.case import Case

MANIFEST = "training.json"
# may differ in a resumed run: they say how long, how often and how fast, not what a step does
FREE = {
    "steps",
    "checkpoint_every",
    "validate_every",
    "validate_cases",
    "pictures",
    "workers",
    "crops",
    "patience",
    "minutes",
}
MOST_NAMED = 5
DEFAULTS = {
    "settings": asdict(Settings()),
    "network": {f.name: f.default for f in fields(NetworkConfig) if f.default is not MISSING},
}
NOT_COMPARED = {"cases", "val_cases", "code", "started", "dataset", "device", "pid"}


def read_manifest(out: Path) -> dict[str, Any]:
    """Return ``training.json`` of a run. Raises ConfigError where there is none or it is damaged."""
    try:
        manifest = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        if not isinstance(manifest, dict):
            raise ValueError("not an object")
        if isinstance(manifest.get("network"), dict):
            manifest["network"].setdefault("dilation_zyx", list(DILATION_BEFORE_THE_KEY))
    except OSError as problem:
        raise ConfigError(f"{out} is no training run (it has no {MANIFEST}).") from problem
    except ValueError as problem:
        raise ConfigError(f"{out / MANIFEST} is damaged ({problem}); train into another folder.") from problem
    return manifest


def network_of_the_run(out: Path) -> dict[str, Any]:
    """Return what [network] of a resumed run takes from its manifest: the dilation of runs from before there was a choice.

    All else is compared, not taken. Empty where there is no manifest.
    """
    if not (out / MANIFEST).is_file():
        return {}
    dilation = tuple(read_manifest(out).get("network", {}).get("dilation_zyx", ()))
    return {"dilation_zyx": dilation} if dilation == DILATION_BEFORE_THE_KEY else {}


def write_manifest(out: Path, manifest: dict[str, Any]) -> None:
    """Write ``training.json``. Raises OutputError, and leaves the manifest that is there alone."""
    ensure_folder(out)
    with atomic_path(out / MANIFEST) as partial:
        partial.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def check_same_run(out: Path, new: dict[str, Any]) -> list[str]:
    """Compare with what the run in ``out`` was started with. Raises ConfigError that names the keys that differ,
    DatasetError that names the training cases.

    Returns warnings that do not stop the run: other validation cases, another version of the code.
    """
    old = read_manifest(out)
    before, now = dict(_flat(old)), dict(_flat(json.loads(json.dumps(new))))
    for key in now.keys() - before.keys():
        if _is_default(key, now[key]):
            before[key] = now[key]  # runs from before there was such a setting did as its default says
    different = []
    for key in sorted({*before, *now}):
        parts = key.split(".")
        if parts[0] in NOT_COMPARED or parts[-1] in FREE or before.get(key) == now.get(key):
            continue
        if parts[0] == "settings" and (parts[1] not in old["settings"] or parts[1] not in new["settings"]):
            continue  # a stage that was not part of the run before, or is not now
        different.append(f"{key} was {before.get(key, 'absent')}, is {now.get(key, 'absent')}")
    changed = _changed_cases(old.get("cases"), new.get("cases"))
    if changed and all(text.startswith("data ") for text in different):
        raise DatasetError(
            f"The training cases are others than when {out} was started ({different[0]}): {changed}. "
            "Put them back as they were and resume, or train into another folder; nothing already trained is lost."
        )
    if different:
        raise ConfigError(
            f"{out} was started with other settings ({'; '.join(different)}); "
            "resume with the same, or train into another folder. Only steps and the validation and checkpoint intervals may change."
        )
    warnings = []
    changed = _changed_cases(old.get("val_cases"), new.get("val_cases"))
    if changed:
        warnings.append(f"The cases to select on are others than before ({changed}): earlier scores do not compare.")
    if old.get("code") != new["code"]:
        warnings.append(
            f"{out} was started by focusnet {_short(old.get('code'))}, this is {_short(new['code'])}: "
            "the next steps may differ from what that version would have done."
        )
    return warnings


def _is_default(key: str, value: object) -> bool:
    """Is ``value``, as read from JSON, what the setting ``key`` ("settings.stage.name" or "network.name") is when nobody sets it?"""
    parts = key.split(".")
    defaults = DEFAULTS.get(parts[0], {})
    return parts[-1] in defaults and value == json.loads(json.dumps(defaults[parts[-1]]))


def _changed_cases(old: dict[str, str] | None, new: dict[str, str] | None) -> str:
    """Return in words which cases were added, removed or changed; empty where none was or an older run did not record them."""
    if old is None or new is None:
        return ""
    parts = []
    for what, names in (
        ("removed", old.keys() - new.keys()),
        ("added", new.keys() - old.keys()),
        ("changed", {name for name in old.keys() & new.keys() if old[name] != new[name]}),
    ):
        if names:
            more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
            parts.append(f"{what} {', '.join(sorted(names)[:MOST_NAMED])}{more}")
    return "; ".join(parts)


# what a training step runs through: a change elsewhere (the phantom, a report) does not make another run of it
STEP_PACKAGES = ("datasets", "image", "nets", "train")


def code_version(version: str) -> str:
    """Return the version and a digest of everything that a training step runs through."""
    package = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256()
    for path in sorted(path for name in STEP_PACKAGES for path in (package / name).rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return f"{version} ({digest.hexdigest()[:12]})"


def data_digest(cases: Sequence[Case]) -> str:
    """Return the number of cases and a checksum, which changes when a case is added, removed or redrawn."""
    value = 0
    for case in cases:
        value = _digest(case, value)
    return f"{len(cases)} cases, {value:08x}"


def case_digests(cases: Sequence[Case]) -> dict[str, str]:
    """Return a checksum of each case, so that a resumed run can say which one changed."""
    return {case.name: f"{_digest(case, 0):08x}" for case in cases}


def _digest(case: Case, value: int) -> int:
    for part in (case.name.encode(), " ".join(sorted(case.contoured)).encode(), case.labels, case.hu):
        value = zlib.crc32(part, value)  # type: ignore[arg-type]  # arrays are buffers
    return value


def _short(code: object) -> str:
    return str(code) if code else "of an unknown version"


def _flat(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, dict):
            yield from _flat(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item
