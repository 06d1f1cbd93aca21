"""FocusNetv2: features, heat maps, ROIs, small organs (Fig. 2)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from .backbones import make_backbone
from .config import NetworkConfig
from .roi import Roi, roi_around
from .solnet import SOLNet, heatmap_peak
from .sosnet import SOSNet


@dataclass(frozen=True)
class Prediction:
    """``scores`` (B, C + 1, D, H, W) before softmax; ``heatmaps`` (B, S, D, H, W) or None; per small organ its ROI and the
    SOS-Net's scores (B, 1, d, h, w) before sigmoid."""

    scores: Tensor
    heatmaps: Tensor | None
    rois: dict[str, Roi]
    small: dict[str, Tensor]


class FocusNet(nn.Module):
    """S-Net, SOL-Net and one SOS-Net per small organ. The pipeline runs the parts chunk by chunk; ``forward`` is one chunk.

    ``snet`` is the backbone that ``config.arch`` names; the systems with one stage have nothing on top of it.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.snet = make_backbone(config)
        features: int = self.snet.feature_channels
        self.solnet = SOLNet(config, features) if config.small_organs else None
        organs = config.small_organs if config.has_sos else ()
        self.sosnets = nn.ModuleDict({organ: SOSNet(config, features) for organ in organs})

    def forward(self, ct: Tensor) -> Prediction:
        """One chunk of one scan, ct (1, 1, D, H, W): every small organ is looked for in it."""
        features, scores = self.snet(ct)
        heatmaps = self.solnet(features, scores) if self.solnet is not None else None
        rois = self.find_rois(heatmaps) if heatmaps is not None else {}
        small = {organ: net(rois[organ].crop(features), rois[organ].crop(ct))[0] for organ, net in self.sosnets.items()}
        return Prediction(scores, heatmaps, rois, small)

    def find_rois(self, heatmaps: Tensor) -> dict[str, Roi]:
        shape = (heatmaps.shape[2], heatmaps.shape[3], heatmaps.shape[4])
        return {
            organ: roi_around(heatmap_peak(heatmaps[0, i])[1], self.config.roi_size_of(organ), shape)
            for i, organ in enumerate(self.config.small_organs)
        }
