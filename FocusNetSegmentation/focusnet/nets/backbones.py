"""The backbones that ``NetworkConfig.arch`` chooses from. Each maps CT (B, 1, D, H, W) to features and scores (B, C + 1, D, H, W) and
tells the features' channel count as ``feature_channels``; training, bundles and the pipeline know no more of them."""

from __future__ import annotations

from .anatomynet import AnatomyNet
from .config import NetworkConfig
from .deeplab import DeepLabV3Plus
from .snet import SNet

BACKBONES: dict[str, type[SNet] | type[AnatomyNet] | type[DeepLabV3Plus]] = {
    "focusnetv2": SNet,
    "focusnetv1": SNet,
    "anatomynet": AnatomyNet,
    "deeplabv3plus": DeepLabV3Plus,
}


def make_backbone(config: NetworkConfig) -> SNet | AnatomyNet | DeepLabV3Plus:
    """Return the untrained backbone that ``config.arch`` names."""
    return BACKBONES[config.arch](config)
