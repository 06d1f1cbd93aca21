"""AnatomyNet: the squeeze-and-excitation residual U-Net with one down-sampling (Zhu et al., Medical Physics 46, 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import SqueezeExcitation
from .config import NetworkConfig

CHANNELS = (28, 30, 32, 34)  # of the encoder's levels, all at half resolution
LAST_CHANNELS = 14  # of the block at full resolution
REDUCTION = 15
SLOPE = 0.01  # of the leaky ReLU


class AnatomyNet(nn.Module):
    """CT (B, 1, D, H, W) -> features (B, 14 * width, D, H, W) and scores (B, C + 1, D, H, W), before softmax; even D, H and W.

    The first convolution halves the size, all levels of the encoder and decoder stay there, and a transposed convolution leads
    back to the scan, whose own voxels are joined to it.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        first, second, third, fourth = (_scaled(n, config) for n in CHANNELS)
        last = _scaled(LAST_CHANNELS, config)
        self.stem = nn.Sequential(
            nn.Conv3d(1, first, 3, stride=2, padding=1, bias=False), nn.BatchNorm3d(first), nn.LeakyReLU(SLOPE)
        )
        self.encoders = nn.ModuleList(_level(a, b) for a, b in ((first, second), (second, third), (third, fourth)))
        self.decoders = nn.ModuleList(
            _level(below + skip, out)
            for below, skip, out in ((fourth, third, third), (third, second, second), (second, first, first))
        )
        self.up = nn.ConvTranspose3d(first, last, 2, stride=2)
        self.full = ResidualBlock(last + 1, last, gated=False)
        self.head = nn.Conv3d(last, len(config.organs) + 1, 3, padding=1)
        self.feature_channels = last

    def forward(self, ct: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, F, D, H, W) and scores (B, C + 1, D, H, W) of CT intensities (B, 1, D, H, W)."""
        features = self.features(ct)
        return features, self.head(features)

    def features(self, ct: Tensor) -> Tensor:
        """Return features (B, 14 * width, D, H, W) for CT (B, 1, D, H, W)."""
        x = self.stem(ct)  # (B, 28, D / 2, H / 2, W / 2), the size of all that follows
        kept = [x]
        for encoder in self.encoders:
            x = encoder(x)
            kept.append(x)
        x = kept.pop()
        for decoder in self.decoders:
            x = decoder(torch.cat([x, kept.pop()], dim=1))  # (B, below + skip, D / 2, H / 2, W / 2)
        return self.full(torch.cat([self.up(x), ct], dim=1))  # (B, 14 * width, D, H, W)


class ResidualBlock(nn.Module):
    """conv-BN-LeakyReLU-conv-BN, squeeze-excitation if ``gated``, plus the input, LeakyReLU. A convolution stands in as the
    shortcut where the channel count changes: 1x1x1, at full resolution (not gated) 3x3x3."""

    def __init__(self, in_channels: int, out_channels: int, gated: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(in_channels, out_channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm3d(out_channels)
        self.conv2 = nn.Conv3d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm3d(out_channels)
        self.gate = SqueezeExcitation(out_channels, REDUCTION) if gated else nn.Identity()
        kernel = 1 if gated else 3
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv3d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False),
                nn.BatchNorm3d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out, D, H, W) of (B, in, D, H, W)."""
        y = F.leaky_relu(self.norm1(self.conv1(x)), SLOPE)
        y = self.gate(self.norm2(self.conv2(y)))
        return F.leaky_relu(y + self.shortcut(x), SLOPE)


def _level(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(ResidualBlock(in_channels, out_channels), ResidualBlock(out_channels, out_channels))


def _scaled(count: int, config: NetworkConfig) -> int:
    """Channel count times ``width``. Not ``config.channels``: that rounds to multiples of four, which these are not."""
    return max(2, round(count * config.width))
