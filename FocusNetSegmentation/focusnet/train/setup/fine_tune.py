"""Fine-tuning: a run that starts from a bundle's weights, organ by organ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ...errors import ConfigError, ModelError
from ...nets.bundle import AAE_WEIGHTS, ModelBundle
from ...nets.config import NetworkConfig
from ..stages.model import AAE_PREFIX, TrainingNet

# what decides the sizes of weights
SHAPING = (
    "arch", "width", "stem_kernel_zyx", "down_samplings", "aspp", "aspp_growth", "aspp_rates", "skip_conv", "sol_inputs", "sol_width", "sos_arch",
    "sos_inputs", "aae_width", "aae_output",
)  # fmt: skip
# what a bundle brings along but these; the organs are the data set's
NOT_INHERITED = ("organs", "small_organs", "has_sos", "roi_sizes_zyx")


def inherited_network(bundle: ModelBundle) -> dict[str, Any]:
    """Return [network] of a run that starts from ``bundle``, before the configuration file."""
    values = bundle.config.to_json()
    return {key: value for key, value in values.items() if key not in NOT_INHERITED}


def copy_weights(model: TrainingNet, bundle: ModelBundle) -> list[str]:
    """Copy the bundle's weights into ``model``. Heads are copied organ by organ; what the bundle does not have stays as drawn.

    Returns what stays new, in words. Raises ModelError where the networks differ in more than their organs.
    """
    old_config, config = bundle.config, model.config
    tensors = dict(bundle.build().state_dict())
    if model.aae is not None:
        tensors |= {AAE_PREFIX + k: v for k, v in shape_autoencoder(bundle).items()}
    new_parts: set[str] = set()
    with torch.no_grad():
        for key, target in model.state_dict().items():
            source = tensors.get(key)
            if key.startswith("snet.head."):
                if tensors[key].shape[1:] != target.shape[1:]:
                    raise ModelError(_other_network(bundle, config, f"{key} has another width"))
                _copy_rows(target, tensors[key], ("", *config.organs), ("", *old_config.organs))
            elif key.startswith("solnet.head.") and source is not None:
                _copy_rows(target, source, config.small_organs, old_config.small_organs)
            elif source is None:
                new_parts.add(_part(key))
            elif source.shape != target.shape:
                raise ModelError(
                    _other_network(bundle, config, f"{key} is {tuple(source.shape)}, not {tuple(target.shape)}")
                )
            else:
                target.copy_(source)
    return [*_new_organs(config, old_config), *(f"{part} is new" for part in sorted(new_parts))]


def _other_network(bundle: ModelBundle, config: NetworkConfig, otherwise: str) -> str:
    """Name the settings that differ; ``otherwise`` where they do not say why the weights do not fit."""
    old, new = bundle.config.to_json(), config.to_json()
    differing = [f"{k} {old[k]} (here {new[k]})" for k in sorted(SHAPING) if old[k] != new[k]]
    return (
        f"Bundle {bundle.name} does not fit this configuration: it has {', '.join(differing) or otherwise}. "
        "Leave --width and these settings of [network] out: they are the bundle's."
    )


def covered_stages(bundle: ModelBundle) -> set[str]:
    """Return the stages that need not run again because the bundle brings their weights."""
    stages = {"snet"}
    if bundle.config.small_organs:
        stages.add("sol")
    if bundle.config.has_sos:
        stages.add("sos")
    if AAE_WEIGHTS in bundle.manifest["sha256"]:
        stages.add("aae")
    return stages


def _copy_rows(target: Tensor, source: Tensor, names: tuple[str, ...], old_names: tuple[str, ...]) -> None:
    """Copy the output channel (row) of each organ that both networks know to its place in ``target``."""
    if source.shape[1:] != target.shape[1:]:
        raise ModelError("The bundle's width is another one; leave width to the bundle.")
    for row, name in enumerate(names):
        if name in old_names:
            target[row].copy_(source[old_names.index(name)])


def _new_organs(config: NetworkConfig, old: NetworkConfig) -> list[str]:
    lines = []
    unknown = [organ for organ in config.organs if organ not in old.organs]
    if unknown:
        lines.append(f"S-Net's outputs for {', '.join(unknown)} are new")
    if old.small_organs:
        unknown = [organ for organ in config.small_organs if organ not in old.small_organs]
        if unknown:
            lines.append(f"SOL-Net's outputs for {', '.join(unknown)} are new")
    dropped = [organ for organ in old.organs if organ not in config.organs]
    if dropped:
        lines.append(f"this data set does not have the bundle's {', '.join(dropped)}")
    return lines


def _part(key: str) -> str:
    pieces = key.split(".")
    if pieces[0] == "sosnets":
        return f"the SOS-Net of {pieces[1]}"
    return {"snet": "S-Net", "solnet": "SOL-Net", "aae": "the shape autoencoder"}[pieces[0]]


def shape_autoencoder(bundle: ModelBundle) -> dict[str, Tensor]:
    """Return the tensors of the bundle's shape autoencoder; empty where it has none."""
    if AAE_WEIGHTS not in bundle.manifest["sha256"]:
        return {}
    path: Path = bundle.folder / AAE_WEIGHTS
    try:
        return load_file(path)
    except (OSError, SafetensorError) as problem:
        raise ConfigError(f"{path} is not a readable safetensors file ({problem}).") from problem
