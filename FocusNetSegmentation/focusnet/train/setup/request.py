"""The arguments of ``train_bundle``. No torch at import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import ConfigError
from ...nets.config import NetworkConfig
from ..settings import Settings, refuse_unknown_stages
from .tune_options import TuneOptions
from .type_check import check_values


@dataclass(frozen=True)
class TrainRequest:
    """Train on the split ``train`` of ``dataset``, select on ``val``, write ``out/bundle``.

    ``stages``: None for all that the configuration has a use for. ``network`` and ``settings`` override the preset and the
    configuration file, for every stage. ``time_budget_s``: the run ends after so many seconds, reading and validating included, and the stages'
    schedules follow the clock; ``steps`` is then the most of a stage. ``init``: a bundle (name or folder) to start from. ``resume``: go on with the run in
    ``out``. ``tune``: the settings of ``focusnet finetune``, with ``init`` as the old model; ``preset``, ``config_file``, ``stages`` and
    ``network`` have no use then. Raises ConfigError for unknown stages and keys and for values that do not fit.
    """

    dataset: Path
    out: Path
    preset: str = "paper"
    config_file: Path | None = None
    stages: tuple[str, ...] | None = None
    resume: bool = False
    network: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    init: str | Path | None = None
    tune: TuneOptions | None = None
    time_budget_s: float | None = None

    def __post_init__(self) -> None:
        if self.stages is not None:
            object.__setattr__(self, "stages", tuple(self.stages))
        refuse_unknown_stages(self.stages)
        check_values("The training option", self.network, NetworkConfig)
        check_values("The training option", self.settings, Settings)
        Settings(**self.settings)
        if self.time_budget_s is not None and not self.time_budget_s > 0:
            raise ConfigError(f"The time budget is {self.time_budget_s} s; a time above 0 is expected, such as 10m.")
