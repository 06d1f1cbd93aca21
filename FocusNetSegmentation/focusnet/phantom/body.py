"""The phantom's skin: outline of head, neck and shoulders, and the layers below it.

Outlines are medians of 70 planning CTs of the OpenKBP set, aligned by their parotid glands, completed by textbook sizes.
"""

from __future__ import annotations

import numpy as np

from .neck import cord_y
from .patient import Patient, both
from .shapes import Canvas, Row, Shape, ellipsoid, loft, tube

SKIN_MM, FAT_MM, NAPE_FAT_MM = (
    2.0,
    5.0,
    9.0,
)  # skin's thickness; how deep the fat under it reaches, and at the back of the neck
OUTLINE: list[Row] = [
    (-240, -52, 126, {-30: 160, 0: 190, 30: 200, 60: 200, 100: 160}),
    (-222, -48, 126, {-30: 140, 0: 185, 30: 195, 60: 195, 100: 155}),
    (-204, -42, 125, {-30: 100, 0: 165, 30: 190, 60: 190, 100: 145}),
    (-190, -37, 123, {-25: 70, 0: 120, 30: 165, 60: 175, 90: 140}),
    (-178, -35, 119, {-25: 52, 0: 84, 30: 125, 60: 150, 90: 115}),
    (-166, -34, 112, {-25: 40, 0: 64, 30: 90, 60: 110, 85: 80}),
    (-156, -38, 104, {-25: 38, 0: 60, 30: 76, 60: 84, 80: 60}),
    (-144, -46, 94, {-30: 36, 0: 59, 30: 69, 60: 70, 80: 40}),
    (-132, -54, 84, {-30: 42, 0: 59, 30: 66, 60: 58}),
    (-120, -68, 77, {-60: 18, -30: 46, 0: 60, 30: 64, 60: 50}),
    (-108, -90, 73, {-80: 20, -60: 36, -30: 52, 0: 63, 30: 64, 60: 45}),
    (-96, -99, 72, {-80: 32, -60: 46, -30: 58, 0: 66, 30: 64, 60: 44}),
    (-84, -102, 75, {-80: 36, -60: 52, -30: 62, 0: 68, 30: 65, 60: 47}),
    (-72, -100, 78, {-80: 37, -60: 55, -30: 64, 0: 71, 30: 67, 60: 53}),
    (-60, -101, 84, {-80: 38, -60: 57, -30: 67, 0: 73, 30: 69, 60: 57}),
    (-48, -99, 92, {-80: 39, -60: 58, -30: 68, 0: 74, 30: 71, 60: 62}),
    (-36, -95, 97, {-80: 38, -60: 59, -30: 69, 0: 74, 30: 73, 60: 65}),
    (-24, -91, 99, {-75: 43, -60: 60, -30: 70, 0: 75, 30: 75, 60: 67}),
    (-10, -87, 100, {-78: 36, -60: 60, -30: 70, 0: 75, 30: 76, 60: 69}),
    (4, -86, 101, {-78: 35, -60: 58, -30: 70, 0: 75, 30: 76, 60: 69}),
    (16, -87, 101, {-78: 38, -60: 58, -30: 70, 0: 75, 30: 76, 60: 69}),
    (30, -84, 100, {-60: 55, -30: 68, 0: 75, 30: 76, 60: 68}),
    (46, -78, 96, {-60: 44, -30: 64, 0: 72, 30: 73, 60: 64}),
    (62, -67, 88, {-45: 44, -30: 56, 0: 65, 30: 65, 60: 53}),
    (76, -52, 76, {-30: 40, 0: 54, 30: 54, 55: 36}),
    (88, -30, 58, {-10: 32, 15: 38, 40: 30}),
    (96, -6, 34, {4: 14, 15: 17, 25: 13}),
    (99, 10, 18, {14: 4}),
]


def outline() -> list[Shape]:
    """Return the skin's outline: head, neck and shoulders with nose and ears."""
    nose = [tube([(0, -79, 9), (0, -90, -8), (0, -103, -24)], [10, 8, 8]), ellipsoid((0, -96, -27), (15, 11, 9))]
    ears = [s for x, y, z in ((74.0, 14, -28), (78.0, 22, -18)) for s in both((x, y, z), (6, 10, 20))]
    return [loft(OUTLINE), *nose, *ears]


def paint_body(canvas: Canvas, patient: Patient) -> tuple[np.ndarray, np.ndarray]:
    """Paint skin, a layer of fat, and muscle or the neck's fat below it; return the body and what lies below its skin, bool (z, y, x)."""
    body = canvas.mask(*outline())
    depth = canvas.depth_mm(body)
    canvas.hu[body] = 20.0
    canvas.hu[body & (depth > SKIN_MM)] = patient.fat
    deep = body & (depth > FAT_MM)
    below_skull = (canvas.z_mm < -54) | ((canvas.z_mm < -20) & (canvas.y_mm < 24))
    canvas.hu[deep] = np.where(below_skull[deep], patient.fat + 25, patient.muscle - 4)
    nape = nape_mask(canvas, body, depth)
    canvas.hu[nape] = patient.muscle
    return body, body & (depth > SKIN_MM)


def nape_mask(canvas: Canvas, body: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return the muscles' place behind the spine, bool (z, y, x). ``depth``: mm below the skin of ``body``, both (z, y, x)."""
    behind = canvas.y_mm > cord_y(canvas.z_mm) + 4
    return np.asarray(body & (depth > NAPE_FAT_MM) & behind & (canvas.z_mm > -200))
