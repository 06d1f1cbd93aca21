"""Ellipsoids and tubes painted on a grid: the brushes of the phantom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Point = tuple[float, float, float]  # x, y, z in the phantom's own millimetres
Shape = Callable[["Canvas"], tuple[tuple[slice, slice, slice], np.ndarray]]


@dataclass
class Canvas:
    """HU (float32) and labels (uint8), both (z, y, x), with the place of each voxel in the phantom's own millimetres.

    x runs to the patient's left, y to the back, z to the head.
    """

    x_mm: np.ndarray
    y_mm: np.ndarray
    z_mm: np.ndarray
    hu: np.ndarray
    labels: np.ndarray

    @classmethod
    def empty(cls, x_mm: np.ndarray, y_mm: np.ndarray, z_mm: np.ndarray, hu: float) -> Canvas:
        shape = (len(z_mm), len(y_mm), len(x_mm))
        return cls(x_mm, y_mm, z_mm, np.full(shape, hu, np.float32), np.zeros(shape, np.uint8))

    def window(self, low: Point, high: Point) -> tuple[slice, slice, slice]:
        """The voxels between two corners."""
        axes = (self.z_mm, self.y_mm, self.x_mm)
        spans = zip(axes, low[::-1], high[::-1], strict=True)
        z, y, x = (slice(int(np.searchsorted(a, p)), int(np.searchsorted(a, q, side="right"))) for a, p, q in spans)
        return (z, y, x)

    def coordinates(self, window: tuple[slice, slice, slice]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, y, z of a window, ready to be broadcast to (z, y, x)."""
        z, y, x = window
        return self.x_mm[x][None, None, :], self.y_mm[y][None, :, None], self.z_mm[z][:, None, None]

    def paint(self, shape: Shape, hu: float | None = None, label: int = 0, inside: np.ndarray | None = None) -> None:
        """Set HU and, for a label above 0, the label of every voxel in ``shape`` (and in the mask ``inside``)."""
        window, mask = shape(self)
        if inside is not None:
            mask = mask & inside[window]
        if hu is not None:
            self.hu[window][mask] = hu
        if label:
            self.labels[window][mask] = label

    def mask(self, shape: Shape) -> np.ndarray:
        """A shape as a mask of the whole grid."""
        out = np.zeros(self.labels.shape, bool)
        window, part = shape(self)
        out[window] = part
        return out


def ellipsoid(center: Point, radii: Point) -> Shape:
    """All points within an axis-parallel ellipsoid."""

    def draw(canvas: Canvas) -> tuple[tuple[slice, slice, slice], np.ndarray]:
        low = tuple(c - r for c, r in zip(center, radii, strict=True))
        high = tuple(c + r for c, r in zip(center, radii, strict=True))
        window = canvas.window(low, high)  # type: ignore[arg-type]
        x, y, z = canvas.coordinates(window)
        q = ((x - center[0]) / radii[0]) ** 2 + ((y - center[1]) / radii[1]) ** 2 + ((z - center[2]) / radii[2]) ** 2
        return window, q <= 1.0

    return draw


def tube(points: Sequence[Point], radii: Sequence[float], stretch_z: float = 1.0) -> Shape:
    """All points within a radius of a polyline; the radius runs linearly from point to point. ``stretch_z`` > 1 makes it taller."""

    def draw(canvas: Canvas) -> tuple[tuple[slice, slice, slice], np.ndarray]:
        reach = max(radii) * max(1.0, stretch_z)
        low = tuple(min(p[i] for p in points) - reach for i in range(3))
        high = tuple(max(p[i] for p in points) + reach for i in range(3))
        window = canvas.window(low, high)  # type: ignore[arg-type]
        x, y, z = canvas.coordinates(window)
        mask = np.zeros(np.broadcast_shapes(x.shape, y.shape, z.shape), bool)
        for (a, ra), (b, rb) in zip(
            list(zip(points, radii, strict=True))[:-1], list(zip(points, radii, strict=True))[1:], strict=True
        ):
            scale = (1.0, 1.0, 1.0 / stretch_z)
            d = [(q - p) * s for p, q, s in zip(a, b, scale, strict=True)]
            r = [(c - p) * s for c, p, s in zip((x, y, z), a, scale, strict=True)]
            length2 = sum(v * v for v in d) or 1.0
            t = np.clip((r[0] * d[0] + r[1] * d[1] + r[2] * d[2]) / length2, 0.0, 1.0)
            distance2 = sum((rv - t * dv) ** 2 for rv, dv in zip(r, d, strict=True))
            mask |= distance2 <= (ra + t * (rb - ra)) ** 2
        return window, mask

    return draw


def column(
    center_xy: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    radii_xy: tuple[float, float],
    z_range: tuple[float, float],
) -> Shape:
    """An upright elliptic column whose centre moves with z."""

    def draw(canvas: Canvas) -> tuple[tuple[slice, slice, slice], np.ndarray]:
        window = canvas.window((-1e9, -1e9, z_range[0]), (1e9, 1e9, z_range[1]))
        x, y, z = canvas.coordinates(window)
        cx, cy = center_xy(z)
        return window, ((x - cx) / radii_xy[0]) ** 2 + ((y - cy) / radii_xy[1]) ** 2 <= 1.0

    return draw
