"""DeepLabv3+ in three dimensions: dilated ResNet, ASPP, and a decoder that joins features of low level (Chen et al. 2018).

The paper compares with "a 3D variant" and says no more of it. Depth, strides along z and in-plane dilation are ours; docs/systems.md
says why.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import NetworkConfig

BLOCKS = (3, 4, 6, 3)  # ResNet-50
EXPANSION = 4  # of a bottleneck
RATES = (6, 12, 18)  # of the ASPP at an output stride of 16
LOW_LEVEL_CHANNELS = 48
DECODER_CHANNELS = 256


class DeepLabV3Plus(nn.Module):
    """CT (B, 1, D, H, W) -> decoder features (B, 256 * width, D, H / 4, W / 4) and scores (B, C + 1, D, H, W), before softmax.

    D must divide by 4, H and W by 16. Dilation is in x and y only, as in S-Net: z has few, thick slices.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        stem, middle = config.channels(64), config.channels(DECODER_CHANNELS)
        self.stem = nn.Sequential(
            _conv(1, stem, (3, 7, 7), stride_zyx=(1, 2, 2)), nn.MaxPool3d((1, 3, 3), (1, 2, 2), padding=(0, 1, 1))
        )
        widths = [config.channels(n) for n in (64, 128, 256, 512)]
        strides, dilations = (1, 2, 2, 1), (1, 1, 1, 2)
        self.layers = nn.ModuleList()
        below = stem
        for width, blocks, stride, dilation in zip(widths, BLOCKS, strides, dilations, strict=True):
            layer = [Bottleneck(below, width, stride, dilation)]
            below = width * EXPANSION
            layer += [Bottleneck(below, width, 1, dilation) for _ in range(blocks - 1)]
            self.layers.append(nn.Sequential(*layer))
        self.aspp = ASPP(below, middle, RATES)
        low = config.channels(LOW_LEVEL_CHANNELS)
        self.low_level = _conv(widths[0] * EXPANSION, low, (1, 1, 1))
        self.decoder = nn.Sequential(
            _conv(middle + low, middle, (3, 3, 3)),
            _conv(middle, middle, (3, 3, 3)),
        )
        self.head = nn.Conv3d(middle, len(config.organs) + 1, 1)
        self.feature_channels = middle

    def forward(self, ct: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, F, d, h, w) and scores (B, C + 1, D, H, W) of CT intensities (B, 1, D, H, W)."""
        features = self.features(ct)
        scores = F.interpolate(self.head(features), size=ct.shape[2:], mode="trilinear", align_corners=False)
        return features, scores

    def features(self, ct: Tensor) -> Tensor:
        """Return the decoder's features (B, 256 * width, D, H / 4, W / 4) for CT (B, 1, D, H, W)."""
        x = self.layers[0](self.stem(ct))
        low = self.low_level(x)  # (B, 48, D, H / 4, W / 4)
        for layer in list(self.layers)[1:]:
            x = layer(x)
        x = self.aspp(x)  # (B, 256, D / 4, H / 16, W / 16)
        x = F.interpolate(x, size=low.shape[2:], mode="trilinear", align_corners=False)
        return self.decoder(torch.cat([x, low], dim=1))  # (B, 256 + 48, D, H / 4, W / 4) -> (B, 256, D, H / 4, W / 4)


class Bottleneck(nn.Module):
    """1x1x1, 3x3x3 (strided or dilated), 1x1x1 to four times ``width``, plus the input, ReLU (He et al. 2016)."""

    def __init__(self, in_channels: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        out_channels = width * EXPANSION
        self.body = nn.Sequential(
            _conv(in_channels, width, (1, 1, 1)),
            _conv(width, width, (3, 3, 3), (stride, stride, stride), dilation),
            nn.Conv3d(width, out_channels, 1, bias=False),
            nn.BatchNorm3d(out_channels),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv3d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm3d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out, D, H, W) of (B, in, D, H, W), smaller by the stride."""
        return F.relu(self.body(x) + self.shortcut(x))


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: a 1x1x1 convolution, one 3x3x3 a rate and the chunk's mean, joined by a 1x1x1 convolution."""

    def __init__(self, in_channels: int, out_channels: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.branches = nn.ModuleList([_conv(in_channels, out_channels, (1, 1, 1))])
        self.branches.extend(_conv(in_channels, out_channels, (3, 3, 3), dilation_yx=rate) for rate in rates)
        # the mean is one voxel: batch norm has nothing to normalise there with a batch of 1
        self.pooled = nn.Sequential(nn.Conv3d(in_channels, out_channels, 1), nn.ReLU())
        self.join = nn.Conv3d(out_channels * len(self.branches), out_channels, 1, bias=False)
        self.join_pooled = nn.Conv3d(out_channels, out_channels, 1, bias=False)
        self.norm = nn.BatchNorm3d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out, D, H, W) of (B, in, D, H, W)."""
        mean = self.pooled(x.mean(dim=(2, 3, 4), keepdim=True))
        # a sum of two 1x1x1 convolutions is one over the concatenation, without spreading the mean over the volume
        joined = self.join(torch.cat([branch(x) for branch in self.branches], dim=1)) + self.join_pooled(mean)
        return F.relu(self.norm(joined))


def _conv(
    in_channels: int,
    out_channels: int,
    kernel_zyx: tuple[int, int, int],
    stride_zyx: tuple[int, int, int] = (1, 1, 1),
    dilation_yx: int = 1,
) -> nn.Sequential:
    z, y, x = (n // 2 for n in kernel_zyx)
    return nn.Sequential(
        nn.Conv3d(
            in_channels,
            out_channels,
            kernel_zyx,
            stride=stride_zyx,
            padding=(z, y * dilation_yx, x * dilation_yx),
            dilation=(1, dilation_yx, dilation_yx),
            bias=False,
        ),
        nn.BatchNorm3d(out_channels),
        nn.ReLU(inplace=True),
    )
