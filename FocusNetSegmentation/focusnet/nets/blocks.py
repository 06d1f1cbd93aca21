"""Building blocks of S-Net, SOL-Net and SOS-Net (Fig. 3 and section 3.1 of the paper)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def same_padding(kernel_zyx: tuple[int, int, int]) -> tuple[int, int, int]:
    """Padding that keeps the size of an odd kernel's input."""
    z, y, x = (k // 2 for k in kernel_zyx)
    return (z, y, x)


class SqueezeExcitation(nn.Module):
    """Per-channel gates from the global average (Hu et al. 2018)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, max(1, channels // reduction))
        self.excite = nn.Linear(self.squeeze.out_features, channels)

    def forward(self, x: Tensor) -> Tensor:
        gates = x.mean(dim=(2, 3, 4))  # (B, C)
        gates = torch.sigmoid(self.excite(F.relu(self.squeeze(gates))))
        return x * gates[:, :, None, None, None]


class SEResBlock(nn.Module):
    """Pre-activation residual block with squeeze-excitation: x -> (B, out_channels, D, H, W), size kept.

    Only the second convolution is dilated; a 1x1x1 shortcut stands in where the channel count changes.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dilation: int = 1,
        reduction: int = 2,
        kernel_zyx: tuple[int, int, int] = (3, 3, 3),
    ) -> None:
        super().__init__()
        pad = same_padding(kernel_zyx)
        depth, rows, columns = (dilation if k > 1 else 1 for k in kernel_zyx)
        self.norm1 = nn.BatchNorm3d(in_channels)
        self.conv1 = nn.Conv3d(in_channels, out_channels, kernel_zyx, padding=pad, bias=False)
        self.norm2 = nn.BatchNorm3d(out_channels)
        self.conv2 = nn.Conv3d(
            out_channels,
            out_channels,
            kernel_zyx,
            padding=(pad[0] * depth, pad[1] * rows, pad[2] * columns),
            dilation=(depth, rows, columns),
            bias=False,
        )
        self.gate = SqueezeExcitation(out_channels, reduction)
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Conv3d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x), inplace=True))
        y = self.conv2(F.relu(self.norm2(y), inplace=True))
        return self.gate(y) + self.shortcut(x)


class DenseASPP(nn.Module):
    """Densely connected atrous convolutions, dilated in x and y only (section 3.1): C -> C + len(rates) * growth channels.

    Each layer is BN-ReLU-1x1x1 to the growth, then BN-ReLU-3x3x3 at its rate, fed by the input and all layers before it.
    """

    def __init__(self, in_channels: int, growth: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm3d(in_channels + i * growth),
                nn.ReLU(inplace=True),
                nn.Conv3d(in_channels + i * growth, growth, 1, bias=False),
                nn.BatchNorm3d(growth),
                nn.ReLU(inplace=True),
                nn.Conv3d(growth, growth, 3, padding=(1, rate, rate), dilation=(1, rate, rate), bias=False),
            )
            for i, rate in enumerate(rates)
        )
        self.out_channels = in_channels + len(rates) * growth

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=1)  # (B, C + i * growth, D, H, W)
        return x
