"""The shape autoencoder, D of the adversarial autoencoder (AAE, section 3.3, Fig. 4, Table 9): a mask of one small organ to 512 numbers
and back."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import DatasetError
from .config import NetworkConfig

LATENT = 512  # the first FC layer of Table 9: the latent code


class ShapeAutoencoder(nn.Module):
    """Mask (B, 1, d, h, w), 0 to 1 -> (reconstruction (B, 1, d, h, w), latent code (B, 512), decoder features at two scales).

    Code and decoder features are what eq. 5 compares. One autoencoder serves every small organ. Raises DatasetError for ROI sides that
    do not divide by 8.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()

        def width(count: int) -> int:
            return max(4, round(count * config.aae_width))

        if config.roi_sizes_zyx:
            raise DatasetError(
                "One shape autoencoder serves all small organs and needs one ROI size; leave roi_sizes_zyx out or set aae_mode to none."
            )
        if any(n % 8 for n in config.roi_size_zyx):
            raise DatasetError(f"roi_size_zyx is {config.roi_size_zyx}; the shape autoencoder needs multiples of 8.")
        self.config = config
        self.output = config.aae_output
        self.bottom_zyx = tuple(n // 8 for n in config.roi_size_zyx)
        voxels = self.bottom_zyx[0] * self.bottom_zyx[1] * self.bottom_zyx[2]
        self.bottom_channels = width(256)
        latent = width(LATENT)
        self.encoder = nn.Sequential(
            _conv(1, width(64), stride=2),
            _conv(width(64), width(128), stride=2),
            _conv(width(128), width(128), stride=1),
            _conv(width(128), width(256), stride=2),
        )
        self.to_latent = nn.Linear(self.bottom_channels * voxels, latent)
        self.from_latent = nn.Linear(latent, self.bottom_channels * voxels)
        self.up1 = nn.Sequential(_conv(width(256), width(128)), _conv(width(128), width(128)))
        self.up2 = _conv(width(128), width(64))
        self.last = nn.Conv3d(width(64), 1, 5, padding=2)

    def forward(self, mask: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return the reconstruction (B, 1, d, h, w) of a mask (B, 1, d, h, w), its code (B, 256, ...) and the decoder's features."""
        code = self.encode(mask)
        reconstruction, features = self.decode(code)
        return reconstruction, code, features

    def encode(self, mask: Tensor) -> Tensor:
        """Return the latent code (B, 512) of masks (B, 1, d, h, w): D_latent of eq. 5."""
        # oneDNN's bf16 gives the 5x5x5 convolutions of stride 2 weight gradients that are not finite (torch 2.13, AVX512-BF16)
        with torch.autocast("cpu", enabled=False):
            features = self.encoder(mask.float()) if mask.device.type == "cpu" else self.encoder(mask)
        return self.to_latent(features.flatten(1))  # (B, 256, d/8, h/8, w/8) -> (B, 512)

    def decode(self, code: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return reconstructions (B, 1, d, h, w) and the decoder's features at two scales for codes (B, 512)."""
        x = F.relu(self.from_latent(code)).unflatten(
            1, (self.bottom_channels, *self.bottom_zyx)
        )  # (B, 256, d/8, h/8, w/8)
        first = self.up1(_double(x))  # (B, 128, d/4, h/4, w/4)
        second = self.up2(_double(first))  # (B, 64, d/2, h/2, w/2)
        out = self.last(_double(second))  # (B, 1, d, h, w)
        return (out.sigmoid() if self.output == "sigmoid" else F.relu(out)), [first, second]


def _conv(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(in_channels, out_channels, 5, stride=stride, padding=2, bias=False),
        nn.BatchNorm3d(out_channels),
        nn.ReLU(),
    )


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="trilinear", align_corners=False)
