"""SOL-Net, the small-organ localization network: each small organ's centre is the maximum of a heat map (section 3.1.2, Table 10)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import SEResBlock
from .config import NetworkConfig

FIRST_WEIGHTS = 1e-3  # standard deviation of the last layer's weights where the first bias is given


class SOLNet(nn.Module):
    """One SEResBlock and a 1x1x1 convolution with a sigmoid (Table 10, rows "SOL-Net").

    ``forward``: S-Net's decoder features (B, F, D, H, W) -> one heat map in (0, 1) per small organ, float32 (B, S, D, H, W).
    With ``config.sol_inputs`` "features+scores" S-Net's scores (B, C + 1, D, H, W) go in beside the features, as probabilities.
    """

    def __init__(self, config: NetworkConfig, feature_channels: int) -> None:
        super().__init__()
        channels = config.channels(32, config.sol_width)
        self.takes_scores = config.sol_inputs == "features+scores"
        self.block = SEResBlock(feature_channels + self.takes_scores * (len(config.organs) + 1), channels)
        self.head = nn.Conv3d(channels, len(config.small_organs), 1)
        if config.heatmap_bias is not None and self.head.bias is not None:
            nn.init.constant_(self.head.bias, config.heatmap_bias)
            # S-Net's features are not normalised: with drawn weights of the usual size they would outweigh the bias from the start
            nn.init.normal_(self.head.weight, std=FIRST_WEIGHTS)

    def forward(self, features: Tensor, scores: Tensor) -> Tensor:
        """Return heat maps (B, small organs, D, H, W), 0 to 1, of features (B, F, D, H, W) and S-Net's scores (B, C + 1, D, H, W)."""
        if self.takes_scores:
            features = torch.cat([features, scores.softmax(dim=1).to(features.dtype)], dim=1)  # (B, F + C + 1, D, H, W)
        return torch.sigmoid(self.head(self.block(features)).float())


def gaussian_heatmap(
    shape_zyx: tuple[int, int, int],
    center_zyx: tuple[float, float, float],
    sigma_voxels: float,
    z_window: int = 0,
    device: torch.device | None = None,
) -> Tensor:
    """Return a 3D Gaussian with maximum 1 at ``center_zyx`` (fractional voxels), float32 (D, H, W): SOL-Net's target (section 3.1.2).

    ``sigma_voxels``: 5 in the paper. ``z_window`` n > 0 keeps only n slices on either side of the centre, as the authors' released code does.
    """
    axes = [
        torch.exp(-((torch.arange(n, dtype=torch.float32, device=device) - c) ** 2) / (2 * sigma_voxels**2))
        for n, c in zip(shape_zyx, center_zyx, strict=True)
    ]
    heat = axes[0][:, None, None] * axes[1][None, :, None] * axes[2][None, None, :]  # (D, H, W)
    if z_window > 0:
        near = (torch.arange(shape_zyx[0], device=device) - round(center_zyx[0])).abs() <= z_window
        heat = heat * near[:, None, None]
    return heat


def heatmap_peak(heatmap: Tensor) -> tuple[float, tuple[int, int, int]]:
    """Return value and voxel (z, y, x) of the maximum of one heat map (D, H, W) (section 3.1.3)."""
    value, flat = heatmap.flatten().max(dim=0)
    z, y, x = (int(i) for i in torch.unravel_index(flat, heatmap.shape))
    return float(value), (z, y, x)
