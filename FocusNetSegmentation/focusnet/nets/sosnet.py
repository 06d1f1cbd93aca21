"""SOS-Net: segments one small organ inside its ROI (section 3.1, Table 10)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import SEResBlock
from .config import NetworkConfig


class SOSNet(nn.Module):
    """ROI of S-Net features (B, F, d, h, w) and CT (B, 1, d, h, w) -> scores before sigmoid (B, 1, d, h, w)
    and the features that led to them (B, 32 * width, d, h, w)."""

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
        x = {"features": lambda: features, "ct": lambda: ct}.get(
            self.inputs, lambda: torch.cat([features, ct], dim=1)
        )()
        x = self.body(x)
        return self.head(x), x


class EncoderDecoder(nn.Module):
    """The released code's SOS-Net: a small U-Net, first pooled by (1, 2, 2), with DenseASPP of rates 3, 5, 7, 9 at the bottom."""

    def __init__(self, in_channels: int, widths: tuple[int, ...], out_channels: int) -> None:
        super().__init__()
        from .blocks import DenseASPP

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
            x = decoder(torch.cat([x, shallow], dim=1))
        return self.out(x)
