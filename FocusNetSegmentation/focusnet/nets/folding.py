"""Fold batch normalisation into the convolution before it: the same function with one pass over memory less, for running a trained network."""

from __future__ import annotations

import torch
from torch import nn

from .blocks import SEResBlock


@torch.no_grad()
def fold_batch_norms(network: nn.Module) -> int:
    """Fold every batch norm that directly follows a convolution into it, in place, and return how many there were.

    The network must be in eval mode; it cannot be trained any more. A norm before its convolution (pre-activation) has a ReLU in between and
    stays: in an SEResBlock the second one of two can be folded.
    """
    folded = 0
    for block in list(network.modules()):
        if isinstance(block, SEResBlock) and isinstance(block.norm2, nn.BatchNorm3d):
            _fold(block.conv1, block.norm2)
            block.norm2 = nn.Identity()  # type: ignore[assignment]
            folded += 1
        elif isinstance(block, nn.Sequential):
            for place in range(len(block) - 1):
                convolution, norm = block[place], block[place + 1]
                if isinstance(convolution, nn.Conv3d) and isinstance(norm, nn.BatchNorm3d):
                    _fold(convolution, norm)
                    block[place + 1] = nn.Identity()
                    folded += 1
    return folded


def _fold(convolution: nn.Conv3d, norm: nn.BatchNorm3d) -> None:
    if norm.training or norm.running_mean is None or norm.running_var is None:
        raise ValueError("A batch norm that is being trained cannot be folded; call network.eval() first.")
    scale = (norm.running_var + norm.eps).rsqrt() * norm.weight  # (C,)
    bias = norm.bias - norm.running_mean * scale
    if convolution.bias is not None:
        bias = bias + convolution.bias * scale
    convolution.weight = nn.Parameter(convolution.weight * scale[:, None, None, None, None], requires_grad=False)
    convolution.bias = nn.Parameter(bias, requires_grad=False)
