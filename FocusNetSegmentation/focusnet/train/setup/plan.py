"""The plan of a run, decided before its first step: configuration, stages, settings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...datasets.case import Case
from ...datasets.dataset_toml import never_contoured
from ...errors import ConfigError, DatasetError
from ...image.organs import find_organ
from ...inference.devices import Device, cpu_has_fp16
from ...nets.bundle import ModelBundle
from ...nets.config import NetworkConfig, preset, with_changes
from ..logger import LOGGER
from ..settings import Settings
from ..stages.augment import Augmentation
from ..stages.small_organ_crops import fitting_roi, small_organ_extents
from .fine_tune import inherited_network
from .options import choose_stages, default_small_organs, stage_settings
from .request import TrainRequest
from .systems import apply_arch, with_own_rois


@dataclass(frozen=True)
class Plan:
    """Everything that is decided before the first step."""

    preset: str
    config: NetworkConfig
    settings: dict[str, Settings]  # by stage, in order
    augmentation: Augmentation
    model: dict[str, Any]  # what the bundle says about itself

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that will run, in their order."""
        return tuple(self.settings)

    @property
    def with_aae(self) -> bool:
        """Whether a stage trains or uses the shape autoencoder."""
        return any(s.aae_mode != "none" for name, s in self.settings.items() if name in ("aae", "sos", "joint"))


def resolve_precision(settings: Settings, device: Device) -> Settings:
    """Return the settings with ``precision`` auto as bf16 where this device multiplies it itself; fp16 only where it is asked for: it has the smaller range."""
    if settings.precision != "auto":
        return settings
    return replace(settings, precision="bf16" if device.precision == "bf16" else "fp32")


def warn_if_slow(settings: Iterable[Settings], device: Device) -> None:
    """Log that fp16 is slow where the device is a CPU that converts every number."""
    if device.torch_device.type == "cpu" and any(s.precision == "fp16" for s in settings) and not cpu_has_fp16():
        LOGGER.info("This CPU does not multiply fp16 itself: expect steps slower than with fp32.")


def make_plan(
    request: TrainRequest,
    options: dict[str, dict[str, Any]],
    organs: tuple[str, ...],
    training: Sequence[Case],
    bundle: ModelBundle | None = None,
) -> Plan:
    """Return configuration, stages and settings of a run; what was chosen without being asked for is logged.

    ``options``: the configuration file's tables. ``organs``: the data set's, in label order. ``bundle``: what the run starts
    from. Raises ConfigError for what contradicts itself, DatasetError for an organ that no training case shows.
    """
    given = {**(inherited_network(bundle) if bundle is not None else {}), **options["network"], **request.network}
    if tuple(given.get("organs", organs)) != organs:
        raise ConfigError(
            f"Configuration organs are {given['organs']}; the data set's labels are {organs}, in this order. Leave organs out of [network], "
            "or name them with use = [...] in dataset.toml."
        )
    given, settings = apply_arch({**given, "organs": organs}, options, request.settings)
    given["small_organs"] = _small_organs(given, organs, training, bundle)
    if "width" in request.network and "aae_width" not in given:
        given["aae_width"] = request.network["width"]
    config = preset(request.preset, **given)
    wanted = request.stages if request.stages is not None else options["run"].get("stages")
    names = choose_stages(wanted, config.small_organs, stage_settings(options, "", settings).aae_mode)
    _refuse_unseen(config.organs if {"snet", "joint"} & set(names) else config.small_organs, organs, training)
    config = _with_rois(config, names, training, "roi_size_zyx" in given)
    chosen = {name: stage_settings(options, name, settings) for name in names}
    return Plan(request.preset, config, chosen, Augmentation(**options["augmentation"]), options["model"])


def _small_organs(
    given: dict[str, Any], organs: tuple[str, ...], training: Sequence[Case], bundle: ModelBundle | None
) -> tuple[str, ...]:
    """Return the small organs that were asked for, else the bundle's, else those of the data set."""
    if "small_organs" in given:
        return tuple(_organ_name(name) for name in given["small_organs"])
    small = default_small_organs(organs, training)
    if bundle is not None and bundle.small_organs:
        small = tuple(organ for organ in bundle.small_organs if organ in organs)
    LOGGER.info(f"Small organs (SOL- and SOS-Net): {', '.join(small) or 'none'}.")
    return small


def _with_rois(config: NetworkConfig, stages: Sequence[str], training: Sequence[Case], given: bool) -> NetworkConfig:
    """Return the configuration with ROIs that hold the small organs, where a stage needs them."""
    if not {"aae", "sos", "joint"} & set(stages):
        return config
    config = with_changes(config, has_sos=bool({"sos", "joint"} & set(stages)))
    if config.arch == "focusnetv1":
        return config if config.roi_sizes_zyx else with_own_rois(config, training)
    return _fit_roi(config, training, given)


def _refuse_unseen(needed: Sequence[str], organs: Sequence[str], training: Sequence[Case]) -> None:
    """Raise DatasetError for an organ that no training case shows. ``organs``: all of the data set."""
    seen = {organ for case in training for organ in case.centroids_mm_xyz}
    unseen = [organ for organ in needed if organ not in seen]
    if unseen:
        raise DatasetError(never_contoured(unseen, [organ for organ in organs if organ in seen]))


def _fit_roi(config: NetworkConfig, training: Sequence[Case], given: bool) -> NetworkConfig:
    """Return the configuration with an ROI that holds the small organs; keep one that was ``given``, and log what it cuts off."""
    sizes = [e.high_mm_xyz - e.low_mm_xyz for case in training for e in small_organ_extents(case, config).values()]
    fitting = fitting_roi(np.array(sizes), config)
    if not given:
        if fitting != config.roi_size_zyx:
            LOGGER.info(f"ROI of the small organs: {_times(fitting)} voxels (z, y, x), made to hold them.")
        return with_changes(config, roi_size_zyx=fitting)
    if any(need > have for need, have in zip(fitting, config.roi_size_zyx, strict=True)):
        LOGGER.info(
            f"roi_size_zyx {_times(config.roi_size_zyx)} is smaller than the paper's ROI or than some small organs; "
            f"{_times(fitting)} would hold 95 % of them. What sticks out is cut off."
        )
    return config


def _organ_name(name: str) -> str:
    organ = find_organ(name)
    return organ.name if organ is not None else name  # the configuration refuses what the data set does not have


def _times(sides: tuple[int, int, int]) -> str:
    return " x ".join(str(n) for n in sides)
