"""Map a patient's contours to the phantom's own millimetres, so that the phantom's shapes can paint what was not contoured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..image.volume import Geometry
from ..phantom.anatomy import AIR, cord_y
from ..phantom.shapes import Canvas, Point, Window
from ..phantom.small_organs import COCHLEA, EYE

REQUIRED = ("Brain", "Eye_L", "Eye_R", "Bone_Mandible")  # without these there is no telling where the face is
WARP_REACH_MM = 30.0  # the neck may lie this far from the phantom's: brushes look that much further

# Centres in the phantom's millimetres (x to the left, y to the back, z to the head): where its own organs lie
_PAIRS: dict[str, Point] = {
    "Eye": EYE,
    "Lens": (EYE[0], EYE[1] - 8.2, EYE[2]),
    "Cochlea": COCHLEA,
    "Parotid": (58.0, -8.0, -62.0),
    "Glnd_Submand": (31.0, -36.0, -102.0),
}
_SINGLES: dict[str, Point] = {
    "Brain": (0.0, 13.0, 16.0),
    "Brainstem": (0.0, 16.0, -22.0),
    "Bone_Mandible": (0.0, -54.0, -76.0),
}
LANDMARKS: dict[str, Point] = {
    **_SINGLES,
    **{f"{name}_L": point for name, point in _PAIRS.items()},
    **{f"{name}_R": (-point[0], point[1], point[2]) for name, point in _PAIRS.items()},
}


@dataclass
class BentCanvas(Canvas):
    """A canvas whose millimetres are bent along the neck.

    Windows are widened, as the straight map can be off by WARP_REACH_MM.
    """

    def window(self, low: Point, high: Point) -> Window:
        """Return the slices (z, y, x) of the voxels that a box may touch after bending."""
        reach = (WARP_REACH_MM, WARP_REACH_MM, 0.0)
        (x0, y0, z0), (x1, y1, z1) = np.subtract(low, reach), np.add(high, reach)
        return super().window((x0, y0, z0), (x1, y1, z1))


def fit_phantom(centres_mm: dict[str, np.ndarray]) -> np.ndarray:
    """Return the affine map (3x4) from LPS mm (x, y, z, 1) to the phantom's mm that best matches the organs' centres (least squares).

    Raises InputError where organs of REQUIRED are missing, or where left and right contours are exchanged.
    """
    present = {name: point for name, point in centres_mm.items() if name in LANDMARKS}
    missing = [name for name in REQUIRED if name not in present]
    if missing:
        known = ", ".join(sorted(centres_mm)) or "none"
        raise InputError(
            f"No contour of {', '.join(missing)}; the simulator needs {', '.join(REQUIRED)} to know where the head is. Found: {known}."
        )
    here = np.array([[*point, 1.0] for point in present.values()])
    there = np.array([LANDMARKS[name] for name in present])
    # a ridge towards "same size, same attitude" decides what a few landmarks leave open
    middle = here[:, :3].mean(axis=0)
    centred = np.column_stack([here[:, :3] - middle, np.ones(len(here))])
    ridge = np.diag([20.0, 20.0, 20.0, 0.0]) * np.sqrt(len(here))
    goal = np.vstack([np.eye(3), np.zeros((1, 3))]) * np.array([[20.0]] * 3 + [[0.0]]) * np.sqrt(len(here))
    solution = np.linalg.lstsq(np.vstack([centred, ridge]), np.vstack([there, goal]), rcond=None)[0].T  # (3, 4)
    sides = present["Eye_L"] - present["Eye_R"]
    if solution[0, :3] @ sides < 0 or np.linalg.det(solution[:, :3]) <= 0 or sides[0] <= 0:
        raise InputError("Eye_L lies to the patient's right of Eye_R: left and right are exchanged in these contours. Correct them first.")  # fmt: skip
    return np.column_stack([solution[:, :3], solution[:, 3] - solution[:, :3] @ middle])


def canvas_over(masks: dict[str, np.ndarray], geometry: Geometry, centres_mm: dict[str, np.ndarray]) -> BentCanvas:
    """Return a canvas of air on ``geometry`` in the phantom's mm, bent so that the phantom's cord lies in the contoured canal.

    ``masks``: organ -> bool (z, y, x). ``centres_mm``: organ -> centre (x, y, z, LPS mm). Raises InputError as ``fit_phantom``.
    """
    to_phantom = fit_phantom(centres_mm)
    affine = geometry.affine_xyz
    from_index = np.column_stack([to_phantom[:, :3] @ affine[:3, :3], to_phantom @ affine[:, 3]])
    straight = Canvas.empty(geometry.shape_zyx, from_index, AIR)
    canvas = BentCanvas(straight.x_mm, straight.y_mm, straight.z_mm, straight.to_index, straight.hu, straight.labels)
    canal = next((masks[name] for name in ("SpinalCanal", "SpinalCord") if name in masks and masks[name].any()), None)
    if canal is not None:
        _bend(canvas, canal)
    return canvas


def _bend(canvas: BentCanvas, canal: np.ndarray) -> None:
    """Shift each height's x and y so that the canal's centre lies on the phantom's cord; the face, in front, is not moved."""
    heights, shifts = [], []
    for k in map(int, np.flatnonzero(canal.any(axis=(1, 2)))):
        inside = canal[k]
        z = float(canvas.z_mm[k][inside].mean())
        heights.append(z)
        shifts.append(
            (float(canvas.x_mm[k][inside].mean()), float(canvas.y_mm[k][inside].mean() - cord_y(np.array(z))))
        )
    order = np.argsort(heights)
    z_mm, shift = np.array(heights)[order], np.clip(np.array(shifts)[order], -WARP_REACH_MM, WARP_REACH_MM)
    for k in range(len(canvas.hu)):
        z = canvas.z_mm[k]
        z0 = float(z.mean())
        dx, dy = (float(np.interp(z0, z_mm, shift[:, axis])) for axis in (0, 1))
        below = np.clip((-30.0 - z) / 25.0, 0.0, 1.0)  # nothing at the skull, all of it from the second vertebra down
        back = np.clip((canvas.y_mm[k] + 30.0) / 50.0, 0.0, 1.0)
        neck = np.clip((-95.0 - z) / 25.0, 0.0, 1.0)  # below the jaw the whole neck moves
        weight = below * np.maximum(back, neck)
        canvas.x_mm[k] -= (dx * weight).astype(np.float32)
        canvas.y_mm[k] -= (dy * weight).astype(np.float32)
