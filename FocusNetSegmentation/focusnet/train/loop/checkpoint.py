"""Checkpoints: one safetensors file, written beside its final name and renamed, so that a killed run leaves the last good one."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ...errors import ConfigError, OutputError
from ...files.disk import plain_errors, reason, stored_bytes, sync


def save_checkpoint(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write tensors and a JSON-able ``state``. Raises OutputError (disk full, not writable) and leaves the old file alone."""
    # a folder, because safetensors writes beside the name that it is given: what a killed run left there goes with it
    work = path.with_name(path.name + ".partial")
    whole = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    try:
        _remove(work)
        work.mkdir()
        with plain_errors():
            save_file(whole, work / path.name, {"state": json.dumps(state)})
        sync(work / path.name)
        os.replace(work / path.name, path)
    except OSError as problem:
        why = reason(problem, path, stored_bytes(whole))
        kept = "the last good one is kept" if path.is_file() else "there is none of its kind yet"
        raise OutputError(
            f"The checkpoint {path} cannot be written ({why}); {kept}. Free some space and resume."
        ) from problem
    finally:
        _remove(work)


def _remove(work: Path) -> None:
    with suppress(OSError):
        work.unlink()
    shutil.rmtree(work, ignore_errors=True)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors and state of a checkpoint. Raises ConfigError if the file is missing or damaged."""
    if not path.is_file():
        raise ConfigError(f"There is no checkpoint {path} to resume from; start without --resume.")
    try:
        with safe_open(path, framework="pt") as handle:
            tensors = {key: handle.get_tensor(key) for key in handle.keys()}  # noqa: SIM118 - not a dict
            return tensors, json.loads(handle.metadata()["state"])
    except (SafetensorError, KeyError, ValueError, TypeError) as problem:
        raise ConfigError(f"The checkpoint {path} is damaged ({problem}); delete it to start anew.") from problem


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: dict[int, str]) -> dict[str, Tensor]:
    """Return Adam's moments and step counts, keyed by parameter name (``names``: id of a parameter -> its name)."""
    out = {}
    for parameter, slots in optimizer.state.items():
        for key, value in slots.items():
            out[f"optimizer.{names[id(parameter)]}.{key}"] = torch.as_tensor(value)
    return out


def restore_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Put the tensors of ``optimizer_tensors`` back for the optimizer's own parameters; those without stored moments start fresh."""
    own = {id(p) for group in optimizer.param_groups for p in group["params"]}
    by_name = {name: p for name, p in model.named_parameters() if id(p) in own}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            name, slot = key[len("optimizer.") :].rsplit(".", 1)
            if name in by_name:
                parameter = by_name[name]
                # Adam counts its steps on the CPU; the moments live where the parameter does
                device = parameter.device if value.ndim else torch.device("cpu")
                optimizer.state[parameter][slot] = value.to(device, copy=True)
