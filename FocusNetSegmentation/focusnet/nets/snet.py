"""S-Net, the main segmentation network: the backbone that segments every organ (section 3.1.1, Fig. 3, Table 10)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import DenseASPP, SEResBlock, same_padding
from .config import NetworkConfig

LEVEL_CHANNELS = (32, 48, 64, 96, 128)  # Table 10 names the first three; d3 and d4 of Table 6 go on by the same steps


class SNet(nn.Module):
    """3D residual U-Net with few down-samplings and DenseASPP (Table 10, rows "S-Net").

    ``forward``: CT (B, 1, D, H, W) -> decoder features (B, 32 * width, D, H, W) and scores (B, C + 1, D, H, W), before softmax.
    D must divide by ``config.z_multiple``, H and W by ``config.in_plane_multiple``.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        depth = config.down_samplings
        widths = [config.channels(n) for n in LEVEL_CHANNELS[: depth + 1]]
        kernel = config.stem_kernel_zyx
        self.stem = nn.Conv3d(1, widths[0], kernel, padding=same_padding(kernel), bias=False)
        self.encoders = nn.ModuleList([SEResBlock(widths[0], widths[0], reduction=4, kernel_zyx=kernel)])
        for level in range(1, depth + 1):
            self.encoders.append(
                nn.Sequential(SEResBlock(widths[level - 1], widths[level]), SEResBlock(widths[level], widths[level]))
            )
        deep = widths[-1]
        self.dilated = nn.Sequential(*(SEResBlock(deep, deep, config.dilation_zyx) for _ in range(2)))
        self.aspp = DenseASPP(deep, config.channels(config.aspp_growth), config.aspp_rates) if config.aspp else None
        below = self.aspp.out_channels if self.aspp is not None else deep
        self.skips = nn.ModuleList()
        self.decoders = nn.ModuleList()
        for level in reversed(range(depth)):
            skip = (
                nn.Conv3d(widths[level], widths[level], 3, padding=1, bias=False) if config.skip_conv else nn.Identity()
            )
            self.skips.append(skip)
            self.decoders.append(SEResBlock(below + widths[level], widths[level]))
            below = widths[level]
        self.head = nn.Conv3d(below, len(config.organs) + 1, 1)
        self.feature_channels = below

    def forward(self, ct: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, 32 * width, D, H, W) and scores (B, C + 1, D, H, W) for CT (B, 1, D, H, W)."""
        features = self.features(ct)
        return features, self.head(features)

    def features(self, ct: Tensor) -> Tensor:
        """Return the decoder's features (B, 32 * width, D, H, W) for CT (B, 1, D, H, W): the input of SOL-Net and SOS-Net."""
        x = self.encoders[0](self.stem(ct))  # (B, 32, D, H, W)
        kept = [x]
        for level, encoder in enumerate(list(self.encoders)[1:], start=1):
            x = encoder(F.max_pool3d(x, (1, 2, 2) if level == 1 else 2))
            kept.append(x)  # (B, 48, D, H/2, W/2), then (B, 64, D/2, H/4, W/4)
        x = self.dilated(kept.pop())  # (B, 64, D/2, H/4, W/4)
        if self.aspp is not None:
            x = self.aspp(x)  # (B, 320, D/2, H/4, W/4)
        for skip, decoder in zip(self.skips, self.decoders, strict=True):
            shallow = kept.pop()
            x = F.interpolate(x, size=shallow.shape[2:], mode="trilinear", align_corners=False)
            x = torch.cat([x, skip(shallow)], dim=1)  # (B, below + 48, D, H/2, W/2), then (B, 48 + 32, D, H, W)
            del shallow  # at full resolution each of these is the largest thing in memory
            x = decoder(x)
        return x  # (B, 32 * width, D, H, W)
