"""FocusNetv2's segmentation network: features, heat maps, ROIs, small organs (section 3.1, Fig. 2)."""

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
    """S-Net, SOL-Net and one SOS-Net per small organ.

    ``forward`` takes one chunk. Scans go through the same parts chunk by chunk in ``inference.two_stage``, which gives the same for a scan
    of one chunk (tested).

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
        """Run one chunk of one scan, ct (1, 1, D, H, W), through Fig. 2: every small organ is looked for in it."""
        features, scores = self.snet(ct)  # (1, F, D, H, W), (1, C + 1, D, H, W)
        heatmaps = self.solnet(features, scores) if self.solnet is not None else None  # (1, S, D, H, W)
        rois = self.find_rois(heatmaps)
        small = self.segment_small_organs(features, ct, rois)
        return Prediction(scores, heatmaps, rois, small)

    def find_rois(self, heatmaps: Tensor | None) -> dict[str, Roi]:
        """Return each small organ's ROI around the maximum of its heat map (1, S, D, H, W) (section 3.1.3); none without heat maps."""
        if heatmaps is None:
            return {}
        shape = (heatmaps.shape[2], heatmaps.shape[3], heatmaps.shape[4])
        return {
            organ: roi_around(heatmap_peak(heatmaps[0, i])[1], self.config.roi_size_of(organ), shape)
            for i, organ in enumerate(self.config.small_organs)
        }

    def segment_small_organs(self, features: Tensor, ct: Tensor, rois: dict[str, Roi]) -> dict[str, Tensor]:
        """Return each SOS-Net's scores (1, 1, d, h, w) before sigmoid, from features and CT pooled from its ROI (section 3.1.3)."""
        small = {}
        for organ, sosnet in self.sosnets.items():
            roi = rois[organ]
            small[organ], _ = sosnet(roi.crop(features), roi.crop(ct))  # (1, F, d, h, w), (1, 1, d, h, w)
        return small
