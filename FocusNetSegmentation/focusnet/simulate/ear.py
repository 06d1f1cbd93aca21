"""Petrous bone, labyrinth, middle ear, canal and mastoid around a contoured cochlea."""

from __future__ import annotations

import numpy as np

from ..phantom.anatomy import AIR
from ..phantom.shapes import Point, ellipsoid, tube
from .head import Scene
from .paint_organ import soft_organ
from .skull_base import cells


def paint_ear(scene: Scene, side: str) -> None:
    """``side``: "_L" or "_R". Nothing where the cochlea was not contoured."""
    centre = scene.centre_mm(f"Cochlea{side}")
    if centre is None:
        return
    canvas, tissues, rng = scene.canvas, scene.tissues, scene.rng
    out = 1.0 if side == "_L" else -1.0
    x, y, z = centre
    free = ~scene.mask("Brain", "Brainstem", "SpinalCanal", "SpinalCord", "Bone_Mandible", "Parotid_L", "Parotid_R")
    free &= scene.hu > -500  # not in the outside air

    def at(dx: float, dy: float, dz: float) -> Point:
        return (x + out * dx, y + dy, z + dz)

    # the pyramid, from the mastoid to its tip beside the clivus: marrow in a hard shell, air cells in some
    pyramid = [at(22, 10, -2), at(8, 3, 0), at(-8, -5, -1), at(-22, -14, -2)]
    canvas.paint(tube(pyramid, [13.0, 10.0, 8.0, 5.5]), tissues.compact * rng.uniform(0.75, 1.0), inside=free)
    marrow = canvas.mask(tube(pyramid, [11.0, 8.0, 6.0, 4.0])) & free
    scene.hu[marrow] = tissues.spongy * rng.uniform(0.4, 1.3) + 120 * scene.field[marrow]
    _air_cells(scene, side, centre, out, free)
    capsule = rng.uniform(6.0, 9.0)
    canvas.paint(ellipsoid(at(3.5, 3, 0.5), (capsule + 3, capsule, capsule - 1)), tissues.petrous, inside=free)
    canvas.paint(
        ellipsoid(at(11, -1, -1), (3.0, rng.uniform(3, 5), rng.uniform(4, 7))), -820.0, inside=free
    )  # middle ear
    if rng.random() < 0.8:
        canvas.paint(tube([at(10, -1, -1), at(12, 0, 3)], [0.8, 1.1]), rng.uniform(400, 1100), inside=free)  # ossicles
    canvas.paint(
        tube([at(14, -2, -2), at(50, -4, -3)], [3.0, 3.8]), AIR if rng.random() < 0.9 else 20.0, inside=free
    )  # ear canal
    # vestibule, semicircular canals, internal auditory canal: as dark as the cochlea, and close to it
    for dx, dy, dz, radius in ((4.5, 4.0, 1.5, 2.2), (7.5, 6.0, 3.0, 1.3), (8.0, 3.5, -1.5, 1.2), (5.5, 7.5, 0.5, 1.2)):
        canvas.paint(
            ellipsoid(at(dx, dy, dz), (radius, radius, radius)), tissues.cochlea + rng.normal(0, 120), inside=free
        )
    canal = rng.uniform(1.6, 3.0)
    canvas.paint(tube([at(-1.5, 3.0, 0), at(-14, 7, 1)], [canal, canal + 0.8]), tissues.fluid + 30, inside=free)
    carotid = [at(1, -7, -14), at(0, -8, -5), at(-10, -13, -3)]
    canvas.paint(tube(carotid, [2.8, 2.8, 2.6]), tissues.muscle + rng.choice([0.0, 90.0]), inside=free)
    canvas.paint(
        ellipsoid(at(4, 7, -12), (4.5, 4.5, 6.0)), tissues.muscle + rng.choice([0.0, 80.0]), inside=free
    )  # jugular bulb
    soft_organ(scene, f"Cochlea{side}", tissues.cochlea, blur_mm=0.9, spread=170.0)


def _air_cells(scene: Scene, side: str, centre: Point, out: float, free: np.ndarray) -> None:
    """The mastoid: cells of air, of fluid in one ear of ten; solid bone in a few."""
    canvas, rng, tissues = scene.canvas, scene.rng, scene.tissues
    middle: Point = (centre[0] + out * 22, centre[1] + 13, centre[2] - 8)
    canvas.paint(ellipsoid(middle, (12, 15, 19)), tissues.compact * 0.8, inside=free)
    inner = canvas.mask(ellipsoid(middle, (10.5, 13.5, 17.5))) & free
    if not inner.any():
        return
    if rng.random() < 0.12:
        scene.hu[inner] = tissues.spongy + 150 * scene.field[inner]
        return
    points = np.stack([c[inner] for c in (canvas.x_mm, canvas.y_mm, canvas.z_mm)], axis=1)
    filled = rng.choice([0.05, 0.3, 0.95], p=[0.7, 0.2, 0.1])
    scene.hu[inner] = cells(points, rng.uniform(3.0, 7.0), rng.uniform(0.9, 1.8), filled, rng.uniform(400, 1000), rng)
