"""The phantom's skull and what lies in it: three-layered vault, three fossae, petrous bone; brain, cerebellum and brainstem."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import ndimage
from scipy.interpolate import LinearNDInterpolator

from .neck import CORD_HU, CORD_MM, beside_cord
from .patient import SIDES, Patient, both, both_tubes
from .shapes import Canvas, Point, Row, column, ellipsoid, loft, paint_cells, tube

# The room inside the skull, without its floor
CAVITY: list[Row] = [
    (-72, 4, 46, {12: 15, 24: 18, 36: 15}),
    (-60, 2, 58, {12: 20, 25: 30, 40: 27}),
    (-52, -2, 68, {14: 32, 30: 42, 48: 36}),
    (-40, -10, 78, {0: 36, 15: 50, 35: 54, 60: 40}),
    (-26, -42, 85, {-30: 47, 0: 58, 15: 61, 30: 61, 60: 48}),
    (-10, -60, 88, {-45: 40, -30: 54, 0: 63, 30: 65, 60: 54}),
    (5, -73, 90, {-55: 40, -30: 57, 0: 64, 30: 66, 60: 56}),
    (22, -74, 89, {-50: 46, -30: 57, 0: 64, 30: 66, 60: 56}),
    (40, -70, 84, {-50: 40, -30: 53, 0: 61, 30: 63, 60: 50}),
    (58, -60, 75, {-45: 32, -30: 44, 0: 54, 30: 54, 58: 34}),
    (70, -48, 64, {-30: 33, 0: 44, 30: 44, 50: 28}),
    (80, -30, 48, {-10: 25, 10: 29, 30: 25}),
    (87, -6, 26, {5: 8, 15: 8}),
]
# Height of the skull's floor at (x, y) on one side, mm: anterior fossa, sphenoid ridge, sella and clivus, middle fossa, petrous ridge,
# posterior fossa, foramen magnum (where there is none)
FLOOR: list[Point] = [
    (0, -80, 22), (0, -70, 17), (0, -60, 11), (0, -45, 11), (0, -32, 8), (0, -25, 3), (0, -21, -14), (0, -11.5, -15), (0, -9, -2),
    (0, -7.5, -10), (0, -5, -24), (0, 0, -38), (0, 4, -48), (0, 6, -75), (0, 38, -75), (0, 41, -57), (0, 56, -54), (0, 75, -34),
    (0, 95, 0),
    (8, -70, 18), (8, -60, 12), (8, -45, 12), (8, -32, 8), (8, -25, 3), (8, -20, -13), (8, -11, -14), (8, -7, -8), (8, -4, -24), (9, 2, -38),
    (11, 8, -52), (13, 20, -75), (11, 36, -75), (13, 42, -58),
    (15, -72, 23), (15, -58, 17), (15, -45, 15), (15, -33, 9), (15, -24, -4), (15, -15, -12), (14, -7, -14), (14, 1, -28), (17, 9, -44),
    (20, 22, -60), (20, 40, -59), (20, 58, -54), (20, 78, -30),
    (26, -72, 25), (26, -56, 23), (26, -45, 17), (26, -37, 9), (26, -31, -8), (26, -24, -19), (26, -10, -20), (26, -2, -13), (26, 4, -28),
    (28, 14, -46), (30, 30, -56), (30, 46, -56), (30, 64, -47), (30, 80, -20),
    (38, -66, 24), (38, -54, 22), (38, -42, 11), (38, -36, -4), (38, -29, -19), (38, -14, -23), (38, -1, -19), (38, 6, -12), (38, 12, -28),
    (40, 22, -46), (42, 38, -52), (42, 56, -44), (42, 72, -20),
    (50, -50, 14), (50, -40, 0), (50, -32, -15), (50, -18, -22), (50, 0, -19), (50, 13, -11), (50, 19, -26), (52, 32, -42), (52, 46, -40),
    (54, 60, -24),
    (64, -40, 0), (64, -20, -16), (64, 10, -15), (64, 20, -11), (64, 30, -28), (64, 46, -24), (64, 60, -10),
]  # fmt: skip
FLUID = 5.0  # HU
VAULT_MM, BASE_MM = 6.5, 4.0  # thickness of the bone
STEM_Z_MM = (-57.0, 5.0)  # from the foramen magnum to the midbrain
STEM: list[Point] = [
    (3, 8, 12),
    (3, 11, 2),
    (3.5, 13.5, -8),
    (4, 14.5, -18),
    (2, 16.5, -28),
    (1, 18.5, -40),
    (0.5, 20, -58),
]
STEM_MM = [11.0, 12.2, 13.0, 13.0, 11.2, 8.8, 7.2]  # radii; its left half, the right one is its mirror image


@cache
def _floor_table() -> np.ndarray:
    """Return the floor's height (mm) at every mm: rows y from -110, columns |x| from 0."""
    points = np.array(
        [
            *FLOOR,
            *((100.0, y, z) for _, y, z in FLOOR[-7:]),
            (0, -110, 25),
            (100, -110, 25),
            (0, 140, 30),
            (100, 140, 30),
        ]
    )
    y, x = np.mgrid[-110:140, 0:100]
    table = LinearNDInterpolator(points[:, :2], points[:, 2])(x, y)
    padded = np.concatenate([table[:, 8:0:-1], table], axis=1)  # smooth across the midline
    return np.asarray(ndimage.gaussian_filter(padded, 0.8)[:, 8:], np.float32)


def floor_mm(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the height of the skull's floor (mm) at places x, y (mm, same shape)."""
    return np.asarray(
        ndimage.map_coordinates(_floor_table(), np.stack([y + 110.0, np.abs(x)]), order=1, mode="nearest")
    )


def cavity_mask(canvas: Canvas) -> np.ndarray:
    """Return the room inside the skull, bool (z, y, x)."""
    room = canvas.mask(loft(CAVITY))
    room[room] = canvas.z_mm[room] > floor_mm(canvas.x_mm[room], canvas.y_mm[room])
    return room


def paint_skull(canvas: Canvas, patient: Patient, within: np.ndarray) -> np.ndarray:
    """Paint the bone around the brain; return the room inside it, bool (z, y, x). ``within``: bool (z, y, x)."""
    room = cavity_mask(canvas)
    bone, solid = patient.bone, within & ~room
    _paint_base(canvas, patient, solid)
    away = canvas.distance_mm(room, 10.0)
    thick = np.interp(canvas.z_mm, [-20, 20], [BASE_MM, VAULT_MM])
    open_below = (np.hypot(canvas.x_mm, canvas.y_mm - 21) < 17) & (canvas.z_mm < -44) & (canvas.y_mm > 4)
    shell = solid & (away <= thick) & ~open_below
    canvas.hu[shell], canvas.labels[shell] = 1150 * bone, 0
    marrow = shell & (away > 2.0) & (away < thick - 2.0)
    canvas.hu[marrow] = 550 * bone
    canvas.hu[room], canvas.labels[room] = FLUID, 0
    return room


def _paint_base(canvas: Canvas, patient: Patient, solid: np.ndarray) -> None:
    """Paint the thick bones of the base: sphenoid, clivus, petrous pyramids, mastoids, condyles of the occiput."""
    bone = patient.bone
    canvas.paint(ellipsoid((0, -28, -11), (19, 16, 14)), 500 * bone, inside=solid)  # body of the sphenoid
    canvas.paint(tube([(0, -14, -16), (0, -3, -47)], [9, 7]), 800 * bone, inside=solid)  # clivus
    canvas.paint(tube([(0, -15, -18), (0, -4, -46)], [6, 4]), 350 * bone, inside=solid)
    for shapes, hu in (
        (both_tubes([(14, -2, -26), (33, 7, -25), (54, 18, -26)], [7, 10, 13]), 1050.0),  # petrous pyramids
        (both_tubes([(15, -2, -27), (26, 3, -26)], [4, 5]), 500.0),
        (both((57, 22, -40), (11, 14, 17)), 900.0),  # mastoids
        (both_tubes([(14, 6, -50), (18, 16, -54)], [5, 6]), 700.0),  # condyles
        (both_tubes([(16, -28, -22), (15, -27, -46)], [4, 2.5]), 800.0),  # pterygoid plates
        (both_tubes([(26, -35, -12), (44, -40, -6)], [5, 4]), 900.0),  # greater wings
    ):
        for shape in shapes:
            canvas.paint(shape, hu * bone, inside=solid)


def paint_brain(canvas: Canvas, patient: Patient, room: np.ndarray) -> None:
    """Paint what fills ``room`` (bool (z, y, x)): fluid, cortex with furrows, white matter, ventricles, cerebellum, temporal lobes, stem."""
    x, y, z = canvas.x_mm, canvas.y_mm, canvas.z_mm
    depth = canvas.depth_mm(room)
    tent = -14 + 0.45 * np.clip(y - 20, 0, 70) - 0.25 * np.abs(x)
    below = (z < tent) & (y > 12) & room  # the posterior fossa
    brain = room & (depth > 1.3) & (z > -54)
    canvas.hu[brain], canvas.labels[brain] = patient.brain + 3, patient.label("Brain")
    white = brain & (depth > 8.0) & ~below
    canvas.hu[white] = patient.brain - 4
    furrows = brain & (depth < 11) & ~below & (_folds(x, y, z) > 1.25)
    canvas.hu[furrows] = FLUID + 4
    canvas.hu[brain & below] = patient.brain + 2
    sheet = brain & (np.abs(z - tent) < 1.0) & (y > 22) & (np.abs(x) > 12)
    canvas.hu[sheet] = 52.0  # the tentorium
    canvas.paint(ellipsoid((0, 12, 62), (0.9, 84, 48)), 55.0, patient.label("Brain"), inside=brain)  # falx
    _paint_fluid(canvas, patient, brain)
    for side, suffix in SIDES:
        g = patient.size("Lobe_Temporal" + suffix)
        lobe = canvas.mask(ellipsoid((side * 42, -8, -4), (21 * g, 38 * g, 20 * g))) & brain & ~below
        lobe &= (side * x > 24) & (canvas.hu > 20)
        canvas.labels[lobe] = patient.label("Lobe_Temporal" + suffix)
    _paint_stem(canvas, patient, room)


def _paint_stem(canvas: Canvas, patient: Patient, room: np.ndarray) -> None:
    """Paint the brainstem in its cisterns, between clivus and fourth ventricle, and the cord's upper end. ``room``: bool (z, y, x)."""
    x, y, z = canvas.x_mm, canvas.y_mm, canvas.z_mm
    around = canvas.mask(*both_tubes(STEM, [r + 3.0 for r in STEM_MM]))
    before = (np.abs(x) < 14) & (y < 14) & (y > -12) & (z < 0)
    cistern = room & (z < 3) & (around | before)
    canvas.hu[cistern], canvas.labels[cistern] = FLUID, 0
    for shape in both_tubes([(6, 15, -17), (21, 24, -20)], [9, 8]):  # the pons' arms to the cerebellum
        canvas.paint(shape, patient.brain, patient.label("Brain"), inside=room)
    canvas.paint(ellipsoid((0, 31, -22), (6, 4, 9)), FLUID)  # fourth ventricle
    g, (low, high) = patient.size("Brainstem"), STEM_Z_MM
    stem = canvas.mask(*both_tubes(STEM, [g * r for r in STEM_MM])) & (z > low) & (z < high) & (room | (z < -40))
    canvas.hu[stem], canvas.labels[stem] = patient.brain - 1, patient.label("Brainstem")
    canvas.paint(column(beside_cord(0, 0), CORD_MM, (-70, low)), CORD_HU, patient.label("SpinalCord"))


def _folds(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return a pattern whose crests (above about 1.2) run like the brain's furrows."""
    bent = 1.5 * np.sin(y / 13) + 1.2 * np.sin(z / 11)
    return np.asarray(
        np.sin(x / 3.6 + bent) * np.cos(z / 6.5 + 1.3 * np.sin(x / 15)) + np.sin(y / 4.1 + bent) * np.cos(x / 7.5)
    )


def _paint_fluid(canvas: Canvas, patient: Patient, brain: np.ndarray) -> None:
    """Paint ventricles, Sylvian fissures and the cisterns above the sella and around the midbrain."""
    fluid = patient.label("Brain")
    for shape in (
        *both_tubes([(9, -26, 24), (9, 0, 33), (17, 32, 28), (26, 42, 16)], [6, 5, 6.5, 5]),  # lateral ventricles
        *both_tubes([(34, -30, 2), (46, -14, 10), (50, 6, 16)], [2.2, 2.6, 1.6]),  # Sylvian fissures
        ellipsoid((0, 4, 20), (2.2, 13, 9)),  # third ventricle
        ellipsoid((0, -13, 2), (14, 9, 6)),  # above the sella
        ellipsoid((0, 26, 6), (12, 5, 7)),  # behind the midbrain
    ):
        canvas.paint(shape, FLUID, fluid, inside=brain)


def paint_mastoid_cells(canvas: Canvas, within: np.ndarray) -> None:
    """Paint the air cells of both mastoids in walls of bone. ``within``: bool (z, y, x)."""
    for shape in both((57, 21, -38), (8, 11, 14)):
        paint_cells(canvas, shape, within, 2.4, 500.0)
