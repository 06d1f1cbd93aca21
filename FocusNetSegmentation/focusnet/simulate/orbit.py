"""An orbit around a contoured eye: fat in a bony cone that is open in front, muscles, vessels, lids; nerve, gland, globe and lens."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..image.organs import without_side
from ..phantom.shapes import Point, tube
from .head import Scene
from .paint_organ import around, soft_organ

DEPTH_MM = 43.0  # from the eye's centre to the apex


def paint_orbit(scene: Scene, side: str) -> None:
    """``side``: "_L" or "_R". Nothing where the eye was not contoured."""
    eye = scene.masks.get(f"Eye{side}")
    centre = scene.centre_mm(f"Eye{side}")
    if eye is None or centre is None:
        return
    out = 1.0 if side == "_L" else -1.0
    apex = _apex(scene, f"OpticNrv{side}", centre, out)
    others = [n for n in scene.masks if without_side(n) not in ("Eye", "Lens", "OpticNrv", "Glnd_Lacrimal")]
    free = ~scene.mask(*others) & (scene.hu > -900)
    _cone(scene, centre, apex, out, free)
    _contents(scene, centre, apex, out, free & ~eye)
    for name, around_hu in ((f"OpticNrv{side}", scene.tissues.fluid + 15), (f"Glnd_Lacrimal{side}", scene.tissues.fat)):
        hard = scene.mask(name) & (
            scene.hu > 150
        )  # a contour that reaches into bone: the bone was drawn too thick there
        scene.hu[hard] = around_hu
    soft_organ(scene, f"OpticNrv{side}", scene.tissues.nerve, blur_mm=0.6, spread=6.0)
    soft_organ(scene, f"Glnd_Lacrimal{side}", scene.tissues.lacrimal, blur_mm=1.6, spread=9.0)
    _eye(scene, eye, f"Lens{side}")


def _apex(scene: Scene, nerve: str, centre: Point, out: float) -> np.ndarray:
    """Where the cone ends: at the contoured nerve's height, at least 34 mm behind the eye."""
    mask = scene.masks.get(nerve)
    apex = np.array([centre[0] - out * 16.0, centre[1] + DEPTH_MM, centre[2] + 3.0])
    if mask is None or not mask.any():
        return apex
    canvas = scene.canvas
    y = canvas.y_mm[mask]
    near = (y > min(centre[1] + 30, y.max() - 4)) & (y < centre[1] + 46)
    if near.any():
        seen = np.array([float(c[mask][near].mean()) for c in (canvas.x_mm, canvas.y_mm, canvas.z_mm)])
        along = max(seen[1] - centre[1], 15.0)
        apex = np.array(centre) + (seen - np.array(centre)) * DEPTH_MM / along
    return apex


def _cone(scene: Scene, centre: Point, apex: np.ndarray, out: float, free: np.ndarray) -> None:
    """Fat, and the walls: thick at the sides, thin below and towards the nose, none in front of the rims."""
    rng, tissues, canvas = scene.rng, scene.tissues, scene.canvas
    low = (min(centre[0], apex[0]) - 30, centre[1] - 18, centre[2] - 30)
    high = (max(centre[0], apex[0]) + 30, apex[1] + 8, centre[2] + 30)
    window = canvas.window(low, high)
    x, y, z = canvas.coordinates(window)
    t = (y - centre[1]) / (apex[1] - centre[1])  # 0 at the eye, 1 at the apex
    dx = (x - centre[0] - t * (apex[0] - centre[0])) * out  # outwards
    dz = z - centre[2] - t * (apex[2] - centre[2])
    grow = rng.uniform(0.92, 1.08)
    width = grow * np.interp(t, [-0.4, 0.0, 0.3, 0.6, 0.85, 1.1], [18, 18.5, 15.5, 10.5, 5.5, 2.8])
    height = grow * np.interp(t, [-0.4, 0.0, 0.3, 0.6, 0.85, 1.1], [17, 17.5, 15.0, 10.5, 6.0, 3.0])
    radius = np.hypot(dx / width, dz / height)
    inside = (radius < 1) & free[window] & (t < 1.1)
    angle = np.arctan2(dz / height, dx / width)  # 0 outwards, pi/2 up
    lateral, above = np.clip(np.cos(angle), 0, 1), np.clip(np.sin(angle), 0, 1)
    thick = 1.0 + rng.uniform(1.0, 3.5) * lateral**2 * np.clip(1.3 - t, 0.3, 1) + rng.uniform(0.8, 2.5) * above**2
    rim = rng.uniform(2, 8) * lateral**2 - rng.uniform(6, 11) * (1 - lateral**2)  # mm behind the eye's centre
    distance = (radius - 1) * np.minimum(width, height)
    wall = (radius >= 1) & (distance < thick) & (y - centre[1] > rim) & free[window] & (t < 1.05)
    wall &= scene.distance_mm("Brain")[window] > 0
    bone = tissues.compact * np.where(lateral + above > 0.5, rng.uniform(0.75, 1.0), rng.uniform(0.3, 0.6))
    hu = scene.hu[window]
    hu[wall] = bone[wall]
    septum = y - centre[1] > rng.uniform(-9, -4) + 2.5 * scene.field[window] + 0.03 * (dx**2 + dz**2) * rng.uniform(
        0, 0.6
    )
    hu[inside & septum] = tissues.fat + rng.uniform(0, 18)
    lids = inside & ~septum
    hu[lids] = tissues.muscle - rng.uniform(10, 60)
    behind = (radius >= 1) & (distance < 14) & ~wall & free[window] & (dx > 0) & (t > 0.1) & (scene.field[window] > 0.3)
    hu[behind & (hu < 200)] = tissues.fat + 20  # fat between the wall and the temporal muscle


def _contents(scene: Scene, centre: Point, apex: np.ndarray, out: float, free: np.ndarray) -> None:
    """Four straight muscles and an oblique one, as thick as they are in this patient; a vein or two; the sheath's fat strands."""
    canvas, tissues, rng = scene.canvas, scene.tissues, scene.rng
    bulk = rng.uniform(0.8, 1.5)
    middle = np.array(centre) + 0.5 * (apex - np.array(centre))
    for dx, dz, r in ((-11.0, 0.5, 1.1), (11.0, 0.0, 1.0), (0.5, 10.5, 1.0), (0.0, -10.5, 1.15), (-9.0, 8.0, 0.7)):
        end: Point = (float(apex[0]) + 0.15 * dx, float(apex[1]), float(apex[2]) + 0.15 * dz)
        mid: Point = (float(middle[0]) + 0.72 * dx, float(middle[1]), float(middle[2]) + 0.72 * dz)
        front: Point = (centre[0] + dx, centre[1] + rng.uniform(0, 5), centre[2] + dz)
        radii = [1.4 * r, 2.1 * r * bulk, 1.2 * r]
        canvas.paint(tube([end, mid, front], radii), tissues.muscle + rng.uniform(-8, 12), inside=free)
    for _ in range(int(rng.integers(1, 4))):
        a = np.array(centre) + rng.uniform(-1, 1, 3) * (10, 2, 9) + (0, 14, 2)
        b = apex + rng.uniform(-1, 1, 3) * (4, 2, 4)
        bend = (a + b) / 2 + rng.uniform(-4, 4, 3)
        points: list[Point] = [tuple(map(float, p)) for p in (a, bend, b)]  # type: ignore[misc]
        canvas.paint(tube(points, [0.9, rng.uniform(0.7, 1.4), 0.8]), tissues.muscle - 10, inside=free)


def _eye(scene: Scene, eye: np.ndarray, lens: str) -> None:
    """Sclera as thick as a voxel, the vitreous body in it, the lens in that."""
    window = around(scene, eye, 3.0)
    part = eye[window]
    depth = ndimage.distance_transform_edt(np.pad(part, 1), sampling=scene.geometry.spacing_mm_zyx)[1:-1, 1:-1, 1:-1]
    values = np.where(depth > 1.3, scene.tissues.vitreous + 3 * scene.field[window], scene.tissues.sclera)
    scene.hu[window][part] = values[part]
    soft_organ(scene, lens, scene.tissues.lens, blur_mm=0.5, spread=5.0)
