"""Building blocks of S-Net, SOL-Net and SOS-Net (Fig. 3, section 3.1.1 and Table 10 of the paper)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def same_padding(kernel_zyx: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the padding (z, y, x) that keeps the size of an odd kernel's input."""
    z, y, x = (k // 2 for k in kernel_zyx)
    return (z, y, x)


class SqueezeExcitation(nn.Module):
    """Squeeze-and-excitation (Hu et al. 2018; section 3.1.1): x (B, C, D, H, W) times one gate per channel from its mean.

    ``reduction``: by which the hidden layer is narrower than ``channels``.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, max(1, channels // reduction))
        self.excite = nn.Linear(self.squeeze.out_features, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` (B, C, D, H, W) with each channel scaled by its gate."""
        means = x.mean(dim=(2, 3, 4))  # (B, C)
        gates = torch.sigmoid(self.excite(F.relu(self.squeeze(means))))  # (B, C)
        return x * gates[:, :, None, None, None]  # (B, C, D, H, W)


class SEResBlock(nn.Module):
    """Residual block with squeeze-and-excitation (Fig. 3): x (B, in_channels, D, H, W) -> (B, out_channels, D, H, W).

    BN-ReLU-conv twice, pre-activation; the paper's text does not give the order. Only the second convolution is
    dilated, by ``dilation_zyx``; a 1x1x1 shortcut stands in where the channel count changes. ``reduction``: of the gates' hidden layer.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dilation_zyx: tuple[int, int, int] = (1, 1, 1),
        reduction: int = 2,
        kernel_zyx: tuple[int, int, int] = (3, 3, 3),
    ) -> None:
        super().__init__()
        pad = same_padding(kernel_zyx)
        depth, rows, columns = (d if k > 1 else 1 for d, k in zip(dilation_zyx, kernel_zyx, strict=True))
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
        """Return (B, out, D, H, W) of (B, in, D, H, W)."""
        y = self.conv1(F.relu(self.norm1(x), inplace=True))
        y = self.conv2(F.relu(self.norm2(y), inplace=True))
        return self.gate(y) + self.shortcut(x)


class DenseASPP(nn.Module):
    """DenseASPP (Yang et al. 2018; section 3.1.1): x (B, C, D, H, W) -> (B, C + len(rates) * growth, D, H, W).

    Densely connected atrous convolutions, dilated in x and y only, because many small organs lie in a few slices. With C 64, growth 64
    and four rates the output has Table 10's 320 channels. Each layer is BN-ReLU-1x1x1 to the growth, then BN-ReLU-3x3x3 at its rate, fed
    by the input and all layers before it.
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
        """Return ``x`` (B, in, D, H, W) and what the layers add to it, (B, in + layers * growth, D, H, W)."""
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=1)  # (B, C + i * growth, D, H, W)
        return x
