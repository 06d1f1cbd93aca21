"""ROI pooling around a small organ: a box of fixed size, moved inside the scan, padded where the scan is
smaller (section 3.1.3)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Roi:
    """``start_zyx``: first voxel of the box in the scan (never negative); ``size_zyx``: the box; ``scan_zyx``: the scan's shape."""

    start_zyx: tuple[int, int, int]
    size_zyx: tuple[int, int, int]
    scan_zyx: tuple[int, int, int]

    @property
    def inside(self) -> tuple[slice, slice, slice]:
        """The part of the scan under the box: slices of z, y and x."""
        return tuple(  # type: ignore[return-value]
            slice(s, min(s + n, total))
            for s, n, total in zip(self.start_zyx, self.size_zyx, self.scan_zyx, strict=True)
        )

    def crop(self, tensor: Tensor) -> Tensor:
        """Cut the box out of ``tensor``: (B, C, D, H, W) of the scan -> (B, C, *size_zyx); zeros after the end of an axis that is shorter than the box."""
        part = tensor[(..., *self.inside)]  # (B, C, at most *size_zyx)
        pad = [0, 0, 0, 0, 0, 0]
        for axis in range(3):
            pad[5 - 2 * axis] = self.size_zyx[axis] - part.shape[axis - 3]
        return F.pad(part, pad) if any(pad) else part

    def paste(self, roi: Tensor, scan: Tensor) -> Tensor:
        """Write the box (..., *size_zyx) back into ``scan`` (..., D, H, W) in place; what was padding is dropped."""
        inside = self.inside
        depth, rows, columns = (slice(0, s.stop - s.start) for s in inside)
        scan[(..., *inside)] = roi[..., depth, rows, columns]
        return scan


def roi_around(
    center_zyx: tuple[float, float, float], size_zyx: tuple[int, int, int], scan_zyx: tuple[int, int, int]
) -> Roi:
    """Return the box of ``size_zyx`` voxels centred on ``center_zyx``, moved inside the scan where it would cross a border."""
    start = tuple(
        int(min(max(round(c) - n // 2, 0), max(total - n, 0)))
        for c, n, total in zip(center_zyx, size_zyx, scan_zyx, strict=True)
    )
    return Roi(start, size_zyx, scan_zyx)  # type: ignore[arg-type]
