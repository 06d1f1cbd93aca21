"""Array operations that run where their tensor lies. On the CPU some go through NumPy, on the same memory: there PyTorch's own take
several times as long for arrays of a scan's size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

Box = tuple[slice, slice, slice]


def uses_numpy(tensor: Tensor) -> bool:
    """Return whether these operations go through NumPy for ``tensor``."""
    return tensor.device.type == "cpu"


def take(tensor: Tensor, index: np.ndarray, axis: int) -> Tensor:
    """Return the elements ``index`` of ``tensor`` along ``axis``: a view where they follow each other, else a new tensor."""
    if len(index) and index[-1] - index[0] == len(index) - 1 and (np.diff(index) == 1).all():
        return tensor.narrow(axis, int(index[0]), len(index))
    if uses_numpy(tensor):
        return torch.from_numpy(np.take(tensor.numpy(), index, axis=axis))
    return tensor.index_select(axis, torch.from_numpy(index).to(tensor.device))


def probabilities_of(scores: Tensor) -> Tensor:
    """Return the softmax over classes of scores (C, d, H, W), float32 and contiguous."""
    if not uses_numpy(scores):
        return scores.softmax(dim=0, dtype=torch.float32).contiguous()
    # channels last, as convolutions leave them, is slow to normalise; a slice at a time stays in the processor's cache
    out = torch.empty(scores.shape)
    for z in range(scores.shape[1]):
        out[:, z] = scores[:, z].contiguous().softmax(dim=0, dtype=torch.float32)
    return out


def values_at_least(tensor: Tensor, lowest: float) -> np.ndarray:
    """Return the values of ``tensor`` that are at least ``lowest``, as an array (n,)."""
    if uses_numpy(tensor):
        values = tensor.numpy()
        return values[values >= lowest]
    return tensor[tensor >= lowest].cpu().numpy()


def first_maximum(tensor: Tensor) -> tuple[float, int]:
    """Return the maximum of ``tensor`` and where it is in the flattened tensor, the first one of equals."""
    if uses_numpy(tensor):
        flat = int(tensor.numpy().argmax())
        return float(tensor.reshape(-1)[flat]), flat
    best, index = tensor.reshape(-1).max(dim=0)
    return float(best), int(index)


def boxes_at_least(channels: Sequence[Tensor], threshold: float) -> list[Box | None]:
    """Return the box around the voxels of at least ``threshold`` of each channel (n, H, W); None where there is none. From another device
    one transfer brings all of them."""
    if not channels or uses_numpy(channels[0]):
        return [_box(_hits(channel.numpy() >= threshold)) for channel in channels]
    slices, rows, _ = channels[0].shape
    flags = []
    for channel in channels:
        highest = channel.amax(dim=2)  # (n, H)
        flags += [highest.amax(dim=1), highest.amax(dim=0), channel.amax(dim=(0, 1))]
    lines = (torch.cat(flags).reshape(len(channels), -1) >= threshold).cpu().numpy()
    return [_box((line[:slices], line[slices : slices + rows], line[slices + rows :])) for line in lines]


def box_of(mask: Tensor) -> Box | None:
    """Return the box around True in a mask (n, H, W); None if there is none."""
    return boxes_at_least([mask.to(torch.uint8)], 1)[0]


def _hits(mask: np.ndarray) -> list[np.ndarray]:
    return [np.asarray(mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]


def _box(hits: Sequence[np.ndarray]) -> Box | None:
    z, y, x = (np.flatnonzero(h) for h in hits)
    if not (len(z) and len(y) and len(x)):
        return None
    return (slice(int(z[0]), int(z[-1]) + 1), slice(int(y[0]), int(y[-1]) + 1), slice(int(x[0]), int(x[-1]) + 1))
