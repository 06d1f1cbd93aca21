"""SOS-Net, the small-organ segmentation network: segments one small organ inside its ROI (section 3.1.3, Table 10)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import DenseASPP, SEResBlock
from .config import NetworkConfig


class SOSNet(nn.Module):
    """Two SEResBlocks and a 1x1x1 convolution (Table 10, rows "SOS-Net"), or the released code's encoder-decoder.

    ``forward``: the ROI of S-Net's features (B, F, d, h, w) and of the CT (B, 1, d, h, w) -> scores before sigmoid (B, 1, d, h, w) and the
    features that led to them (B, 32 * width, d, h, w).
    """

    def __init__(self, config: NetworkConfig, feature_channels: int) -> None:
        super().__init__()
        self.inputs = config.sos_inputs
        in_channels = {"features+ct": feature_channels + 1, "features": feature_channels, "ct": 1}[config.sos_inputs]
        channels = config.channels(32)
        if config.sos_arch == "two-block":
            self.body: nn.Module = nn.Sequential(SEResBlock(in_channels, channels), SEResBlock(channels, channels))
        else:
            self.body = EncoderDecoder(in_channels, tuple(config.channels(n) for n in (24, 32, 48, 64)), channels)
        self.head = nn.Conv3d(channels, 1, 1)

    def forward(self, features: Tensor, ct: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores (B, 1, d, h, w) and the last features (B, 32, d, h, w) in an ROI: features (B, F, d, h, w), CT (B, 1, d, h, w)."""
        joined = {"features+ct": (features, ct), "features": (features,), "ct": (ct,)}[self.inputs]
        x = torch.cat(joined, dim=1)  # (B, F + 1, d, h, w) with both
        x = self.body(x)  # (B, 32, d, h, w)
        return self.head(x), x


class EncoderDecoder(nn.Module):
    """The released code's SOS-Net: a small U-Net, first pooled by (1, 2, 2) as appendix A1 says, with DenseASPP of rates 3, 5, 7, 9.

    ``forward``: x (B, in_channels, d, h, w) -> (B, out_channels, d, h, w).
    """

    def __init__(self, in_channels: int, widths: tuple[int, ...], out_channels: int) -> None:
        super().__init__()
        counts = (in_channels, *widths)
        self.encoders = nn.ModuleList(SEResBlock(a, b) for a, b in pairwise(counts))
        self.aspp = DenseASPP(widths[-1], widths[-1] // 2, (3, 5, 7, 9))
        below = self.aspp.out_channels
        self.decoders = nn.ModuleList()
        for width in reversed(widths[:-1]):
            self.decoders.append(SEResBlock(below + width, width))
            below = width
        self.out = SEResBlock(below, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out, d, h, w) of (B, in, d, h, w)."""
        kept = []
        for level, encoder in enumerate(self.encoders):
            if level:
                x = F.max_pool3d(x, (1, 2, 2) if level == 1 else 2)
            x = encoder(x)
            kept.append(x)
        x = self.aspp(kept.pop())
        for decoder in self.decoders:
            shallow = kept.pop()
            x = F.interpolate(x, size=shallow.shape[2:], mode="trilinear", align_corners=False)
            x = decoder(torch.cat([x, shallow], dim=1))  # at the size of ``shallow``
        return self.out(x)
