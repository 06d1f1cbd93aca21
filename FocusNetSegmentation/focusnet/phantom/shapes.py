"""Ellipsoids, tubes and columns that paint the phantom's tissues on a grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

Point = tuple[float, float, float]  # x, y, z in the phantom's own millimetres
Window = tuple[slice, slice, slice]
Shape = Callable[["Canvas"], tuple[Window, np.ndarray]]
Row = tuple[float, float, float, dict[float, float]]  # z, front and back y, and half width in x at some y between; mm
TABLE_Y_MM = np.arange(-150.0, 171.0)  # heights and half widths of lofted shapes are tabulated at these y
FAR_MM = 1e3  # a distance where there is nothing near
DISTANCE_STEP_MM = 2.0  # grid of distance maps: the thinnest layer that is painted by distance is 2 mm thick


@dataclass
class Canvas:
    """HU (float32) and labels (uint8), both (z, y, x), with the place of each voxel in the phantom's own millimetres.

    x runs to the patient's left, y to the back, z to the head. ``to_index`` (3x4) maps a point (x, y, z, 1) to voxel indices x, y, z:
    the patient may lie turned on the couch.
    """

    x_mm: np.ndarray
    y_mm: np.ndarray
    z_mm: np.ndarray
    to_index: np.ndarray
    hu: np.ndarray
    labels: np.ndarray

    @classmethod
    def empty(cls, shape_zyx: tuple[int, int, int], from_index: np.ndarray, hu: float) -> Canvas:
        """Return a canvas of one value. ``from_index`` (3x4) maps voxel indices (x, y, z, 1) to the phantom's own millimetres."""
        k, j, i = (np.arange(n, dtype=np.float32) for n in shape_zyx)
        a = from_index.astype(np.float32)
        x, y, z = (
            (row[3] + row[2] * k)[:, None, None] + (row[1] * j)[None, :, None] + (row[0] * i)[None, None, :]
            for row in a
        )
        back = np.linalg.inv(np.vstack([from_index, (0, 0, 0, 1)]))[:3]
        return cls(x, y, z, back, np.full(shape_zyx, hu, np.float32), np.zeros(shape_zyx, np.uint8))

    def window(self, low: Point, high: Point) -> Window:
        """Return the slices (z, y, x) of the voxels that a box from ``low`` to ``high`` (mm) may touch."""
        corners = np.array([(*corner, 1.0) for corner in product(*zip(low, high, strict=True))]) @ self.to_index.T
        first, last = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0)) + 1
        x, y, z = (
            slice(int(np.clip(a, 0, n)), int(np.clip(b, 0, n)))
            for a, b, n in zip(first, last, self.hu.shape[::-1], strict=True)
        )
        return z, y, x

    def coordinates(self, window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return x, y, z (mm) of a window's voxels, each (z, y, x)."""
        return self.x_mm[window], self.y_mm[window], self.z_mm[window]

    def paint(self, shape: Shape, hu: float, label: int = 0, inside: np.ndarray | None = None) -> None:
        """Set HU and label of every voxel in ``shape`` (and in the mask ``inside``, bool (z, y, x)), also where
        something was painted before."""
        window, mask = shape(self)
        if inside is not None:
            mask = mask & inside[window]
        self.hu[window][mask] = hu
        self.labels[window][mask] = label

    def tint(self, shape: Shape, hu: float, label: int) -> None:
        """Set HU where ``shape`` lies in an organ: marrow in a bone, the vitreous body in an eye."""
        window, mask = shape(self)
        self.hu[window][mask & (self.labels[window] == label)] = hu

    def mask(self, *shapes: Shape) -> np.ndarray:
        """Return several shapes as one boolean mask (z, y, x) of the whole grid."""
        out = np.zeros(self.labels.shape, bool)
        for shape in shapes:
            window, part = shape(self)
            out[window] |= part
        return out

    def distance_mm(self, mask: np.ndarray, reach_mm: float) -> np.ndarray:
        """Return each voxel's distance to ``mask`` (bool (z, y, x)) in mm, float32: 0 inside, FAR_MM beyond ``reach_mm`` from its box."""
        out = np.full(mask.shape, FAR_MM, np.float32)
        window = self._around(mask, reach_mm)
        if window is not None:
            out[window] = self._coarse_distance(~mask[window])
        return out

    def depth_mm(self, mask: np.ndarray) -> np.ndarray:
        """Return how deep each voxel lies in ``mask`` (bool (z, y, x)) in mm, float32: 0 outside."""
        out = np.zeros(mask.shape, np.float32)
        window = self._around(mask, 2 * DISTANCE_STEP_MM)
        if window is not None:
            out[window] = self._coarse_distance(mask[window])
        return out

    def _spacing_mm_zyx(self) -> np.ndarray:
        return np.asarray(1.0 / np.linalg.norm(self.to_index[::-1, :3], axis=1))

    def _around(self, mask: np.ndarray, reach_mm: float) -> Window | None:
        boxes = ndimage.find_objects(mask.astype(np.uint8))
        if not boxes:
            return None
        z, y, x = (
            slice(max(0, part.start - round(reach_mm / step)), min(n, part.stop + round(reach_mm / step)))
            for part, n, step in zip(boxes[0], mask.shape, self._spacing_mm_zyx(), strict=True)
        )
        return z, y, x

    def _coarse_distance(self, mask: np.ndarray) -> np.ndarray:
        """Return the distance (mm) from each voxel of ``mask`` to the nearest one outside it, on a grid of DISTANCE_STEP_MM."""
        spacing = self._spacing_mm_zyx()
        steps = [max(1, round(DISTANCE_STEP_MM / step)) for step in spacing]
        coarse = mask[tuple(slice(n // 2, None, n) for n in steps)]
        if not coarse.size or coarse.all():
            return np.full(mask.shape, FAR_MM, np.float32)
        far = ndimage.distance_transform_edt(coarse, sampling=[s * n for s, n in zip(spacing, steps, strict=True)])
        offset = [-(n // 2) / n for n in steps]
        return np.asarray(
            ndimage.affine_transform(
                far.astype(np.float32), [1 / n for n in steps], offset, mask.shape, order=1, mode="nearest"
            )
        )


def ellipsoid(center: Point, radii: Point) -> Shape:
    """Return the shape of all points within an ellipsoid along the phantom's own axes; centre and radii in mm."""

    def draw(canvas: Canvas) -> tuple[Window, np.ndarray]:
        (cx, cy, cz), (rx, ry, rz) = center, radii
        window = canvas.window((cx - rx, cy - ry, cz - rz), (cx + rx, cy + ry, cz + rz))
        x, y, z = canvas.coordinates(window)
        return window, ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 + ((z - cz) / rz) ** 2 <= 1.0

    return draw


def tube(points: Sequence[Point], radii: Sequence[float], stretch_z: float = 1.0) -> Shape:
    """Return the shape of all points within a radius of a polyline; the radius runs linearly from point to point.

    ``stretch_z`` above 1 makes it taller.
    """

    def draw(canvas: Canvas) -> tuple[Window, np.ndarray]:
        reach = max(radii) * max(1.0, stretch_z)
        (x0, y0, z0), (x1, y1, z1) = np.min(points, axis=0) - reach, np.max(points, axis=0) + reach
        window = canvas.window((x0, y0, z0), (x1, y1, z1))
        x, y, z = canvas.coordinates(window)
        mask = np.zeros(x.shape, bool)
        for (a, ra), (b, rb) in pairwise(zip(points, radii, strict=True)):
            mask |= _capsule((x, y, z), a, b, ra, rb, stretch_z)
        return window, mask

    return draw


def _capsule(
    place: tuple[np.ndarray, np.ndarray, np.ndarray],
    a: Point,
    b: Point,
    radius_a: float,
    radius_b: float,
    stretch: float,
) -> np.ndarray:
    scale = (1.0, 1.0, 1.0 / stretch)
    d = [(q - p) * s for p, q, s in zip(a, b, scale, strict=True)]
    rx, ry, rz = ((c - p) * s for c, p, s in zip(place, a, scale, strict=True))
    length2 = sum(v * v for v in d) or 1.0
    t = np.clip((rx * d[0] + ry * d[1] + rz * d[2]) / length2, 0.0, 1.0)
    distance2 = (rx - t * d[0]) ** 2 + (ry - t * d[1]) ** 2 + (rz - t * d[2]) ** 2
    return np.asarray(distance2 <= (radius_a + t * (radius_b - radius_a)) ** 2)


def column(
    center_xy: Callable[[np.ndarray], tuple[float, np.ndarray | float]],
    radii_xy: tuple[float, float],
    z_range: tuple[float, float],
    reach_mm: float = 150.0,
) -> Shape:
    """Return an upright elliptic column between two heights, whose centre moves with z; within ``reach_mm`` of the z axis."""

    def draw(canvas: Canvas) -> tuple[Window, np.ndarray]:
        window = canvas.window((-reach_mm, -reach_mm, z_range[0]), (reach_mm, reach_mm, z_range[1]))
        x, y, z = canvas.coordinates(window)
        cx, cy = center_xy(z)
        mask = ((x - cx) / radii_xy[0]) ** 2 + ((y - cy) / radii_xy[1]) ** 2 <= 1.0
        return window, mask & (z >= z_range[0]) & (z < z_range[1])

    return draw


def loft(rows: Sequence[Row]) -> Shape:
    """Return a shape like a stack of smooth outlines, left and right alike: a head, the room in a skull.

    ``rows`` give its outline at some heights, lowest first; between them the outline changes smoothly, beyond them there is nothing.
    """
    heights = np.array([row[0] for row in rows])
    squares = PchipInterpolator(heights, np.stack([_width_squared(row) for row in rows]))
    z_table = np.linspace(heights[0], heights[-1], int(np.ptp(heights)) + 1)
    table = squares(z_table).astype(np.float32)  # (z, y): half width squared, below 0 outside
    step = float(z_table[1] - z_table[0])
    inside = np.flatnonzero((table > 0).any(axis=0))
    y_low, y_high = TABLE_Y_MM[inside[0]] - 1, TABLE_Y_MM[inside[-1]] + 1
    x_high = float(np.sqrt(table.max()))

    def draw(canvas: Canvas) -> tuple[Window, np.ndarray]:
        window = canvas.window((-x_high, y_low, heights[0]), (x_high, y_high, heights[-1]))
        x, y, z = canvas.coordinates(window)
        place = np.stack([(z - heights[0]) / step, y - TABLE_Y_MM[0]])
        limit = ndimage.map_coordinates(table, place, order=1, mode="nearest")
        return window, (x * x <= limit) & (z >= heights[0]) & (z <= heights[-1])

    return draw


def paint_cells(canvas: Canvas, shape: Shape, within: np.ndarray, size_mm: float, wall_hu: float) -> None:
    """Paint air cells about two ``size_mm`` wide with walls between them where ``shape`` lies in ``within`` (bool (z, y, x))."""
    window, mask = shape(canvas)
    x, y, z = (c / size_mm * np.pi / 2 for c in canvas.coordinates(window))
    wall = np.minimum(np.abs(np.sin(x + 0.4 * np.sin(y))), np.abs(np.sin(y + 0.5 * np.sin(z)))) < 0.22
    wall |= np.abs(np.sin(0.8 * z + 0.5 * np.sin(x))) < 0.16
    inner = mask & within[window]
    canvas.hu[window][inner] = np.where(wall, wall_hu, -950.0)[inner]


def _width_squared(row: Row) -> np.ndarray:
    """Return the square of a row's half width at TABLE_Y_MM: linear between the given places (so its ends are round), negative outside."""
    _, front, back, widths = row
    y = np.array([front, *sorted(widths), back])
    square = np.array([0.0, *(widths[key] ** 2 for key in sorted(widths)), 0.0])
    out = np.interp(TABLE_Y_MM, y, square)
    for end, inner, outside in ((0, 1, front > TABLE_Y_MM), (-1, -2, back < TABLE_Y_MM)):
        slope = square[inner] / max(abs(y[inner] - y[end]), 1.0)
        out[outside] = -slope * np.abs(TABLE_Y_MM[outside] - y[end])
    return out
