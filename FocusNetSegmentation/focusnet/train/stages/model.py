"""The model of a training: FocusNet and, beside it, the shape autoencoder (section 3.3)."""

from __future__ import annotations

from ...nets.config import NetworkConfig
from ...nets.focusnet import FocusNet
from ...nets.shape_autoencoder import ShapeAutoencoder

AAE_PREFIX = "aae."


class TrainingNet(FocusNet):
    """FocusNet with the autoencoder ``aae`` (None where a run has no use for it). FocusNet's own weights are drawn first, so that a
    seed gives the same start with and without."""

    def __init__(self, config: NetworkConfig, with_aae: bool) -> None:
        super().__init__(config)
        self.aae = ShapeAutoencoder(config) if with_aae else None
        self.old: tuple[FocusNet, ...] = ()  # fine-tuning: the model before; in a tuple it is no part of this one
