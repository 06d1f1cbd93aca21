"""The phantom's neck: spine with cord, muscles, vessels, glands, larynx, windpipe and gullet, shoulders with the lungs' tops.

The cord's curve and the places of larynx and oesophagus are medians of OpenKBP's clinical contours.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.interpolate import PchipInterpolator

from .patient import AIR, SIDES, Patient, both, both_tubes, on_side
from .shapes import Canvas, Point, Shape, column, ellipsoid, tube

_CORD = PchipInterpolator(
    [-245, -227, -212, -197, -182, -167, -152, -137, -122, -107, -92, -77, -62, -45],
    [71, 66, 58, 50, 42, 35, 29, 25, 21, 19, 17.5, 17.5, 19.5, 20],
)
CORD_MM, CORD_HU = (7.0, 6.0), 37.0  # radii across and from front to back
# Lower end of each vertebra's body from the second of the neck down, and how high the body is
VERTEBRAE = (
    (-87, 19),
    (-104, 12),
    (-121, 12),
    (-138, 12),
    (-155, 12.5),
    (-174, 14),
    (-194, 15),
    (-215, 16),
    (-238, 18),
)
TRACHEA: list[Point] = [(0, -17, -157), (0, -14, -166), (0, -8, -182), (0, 0, -202), (0, 9, -224), (0, 17, -245)]
GULLET: list[Point] = [(0, 0, -154), (2, 4, -166), (3, 9.5, -182), (3, 17, -202), (3, 25, -224), (3, 32, -245)]


def cord_y(z: np.ndarray) -> np.ndarray:
    """Return where the cord lies from front to back (mm) at heights ``z`` (mm, any shape): the neck's curve."""
    return np.asarray(_CORD(np.clip(z, -245, -45)))


def beside_cord(x: float, y: float) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """Return a line along the neck, ``x`` to the left of the cord and ``y`` behind it."""
    return lambda z: (x, cord_y(z) + y)


def at_cord(x: float, y: float, z: float) -> Point:
    """Return a point ``x`` to the left of the cord and ``y`` behind it at height ``z``."""
    return (x, float(cord_y(np.array(z))) + y, z)


def along(points: list[Point]) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """Return the line (for ``column``) through points of falling height, all at the first one's x."""
    z = [p[2] for p in points][::-1]
    y = [p[1] for p in points][::-1]
    return lambda height: (points[0][0], np.interp(height, z, y))


def paint_neck(canvas: Canvas, patient: Patient, within: np.ndarray) -> None:
    """Paint the neck's soft tissues, airway, cartilages and the shoulders. ``within``: bool (z, y, x)."""
    _paint_muscles(canvas, patient, within)
    _paint_shoulders(canvas, patient, within)
    for shapes, hu in (
        (
            both_tubes([(26, -2, -52), (26, -2, -84), (27, -6, -118), (24, 0, -170), (20, 8, -225)], [3] * 5),
            patient.vessel + 20,
        ),
        (
            both_tubes([(30, 6, -52), (32, 6, -100), (34, 2, -150), (30, 2, -200)], [4, 5.5, 6, 6]),
            patient.vessel,
        ),  # jugular
        (both_tubes([(22, -15, -148), (18, -12, -176)], [7, 7]), 105.0),  # thyroid gland
        (both_tubes([(20, -22, -104), (0, -43, -108)], [2.2, 3.0]), 450.0 * patient.bone),  # hyoid
    ):
        for shape in shapes:
            canvas.paint(shape, hu, inside=within)
    canvas.paint(ellipsoid((0, -24, -166), (8, 4, 6)), 105.0, inside=within)  # isthmus
    for side, suffix in SIDES:
        gland = ellipsoid((side * 31, -36, -102), (10.5, 14, 18))
        canvas.paint(gland, patient.muscle - 14, patient.label("Glnd_Submand" + suffix), inside=within)
    _paint_larynx(canvas, patient, within)
    for points, radii, hu, label in (
        (TRACHEA, 10.5, patient.muscle + 10, 0),
        (GULLET, 7.0, patient.muscle - 16, patient.label("Esophagus")),
        (TRACHEA, 8.6, AIR, 0),
    ):
        low, high = points[-1][2], points[0][2]
        wide = radii * (1.15 if points is GULLET else 1.0)
        canvas.paint(
            column(along(points), (wide, 0.85 * radii if points is GULLET else radii), (low, high)),
            hu,
            label,
            inside=within,
        )
    canvas.paint(
        column(along(GULLET), (2.5, 1.2), (-245, -170)), -120.0, patient.label("Esophagus"), inside=within
    )  # a little air


def _paint_muscles(canvas: Canvas, patient: Patient, within: np.ndarray) -> None:
    shapes: list[Shape] = [
        tube([(0, -20, -36), (0, -14, -58), (0, -16, -90), (0, -16, -118)], [17, 17, 18, 18]),  # walls of the pharynx
        *both_tubes(
            [(56, 22, -50), (56, 6, -90), (46, -10, -140), (20, -24, -194)], [8, 10, 10, 7]
        ),  # sternocleidomastoid
        *(column(beside_cord(x, -3), (11, 12), (-240, -64)) for x in (35, -35)),  # levator, scalenes
        *(column(beside_cord(x, -27), (9, 5), (-190, -56)) for x in (9, -9)),  # in front of the spine
        *both_tubes([(5, -40, -130), (22, -14, -132)], [3.2, 3.2], stretch_z=6.0),  # over the thyroid cartilage
        *both_tubes([(12, -38, -110), (13, -32, -150), (12, -27, -196)], [5, 5, 6]),  # straps
        *both_tubes([(56, -32, -40), (53, -33, -62), (49, -30, -84)], [7, 9, 8]),  # masseters
        *both_tubes([(28, -27, -30), (31, -26, -60), (39, -24, -82)], [8, 8, 6]),  # pterygoids
        *both_tubes([(24, -34, -30), (44, -20, -34)], [8, 6]),
        *both((64, -18, -8), (8, 28, 26)),  # temporal muscles
        ellipsoid((0, -56, -72), (25, 31, 19)),  # tongue
        *both_tubes([(26, -40, -96), (8, -80, -102)], [7, 7]),  # floor of the mouth
        ellipsoid((0, -56, -96), (24, 30, 9)),
        tube([(0, -36, -47), (0, -25, -52), (0, -22, -62)], [3.5, 4, 3]),  # soft palate
    ]
    for shape in shapes:
        canvas.paint(shape, patient.muscle, inside=within)
    for side in (1, -1):  # the layers of the neck's back, each in a thin coat of fat
        for x, y, wide, deep in (
            (0.0, 33.0, 1.0, 18.0),
            (38.0, 17.0, 17.0, 19.0),
            (16.0, 34.0, 15.0, 15.0),
            (15.0, 22.0, 13.0, 9.0),
        ):
            line = beside_cord(side * x, y)
            canvas.paint(column(line, (wide, deep), (-200, -64)), patient.fat + 50, inside=within)
            if wide > 2:
                canvas.paint(column(line, (wide - 0.9, deep - 0.9), (-200, -64)), patient.muscle, inside=within)


def _paint_shoulders(canvas: Canvas, patient: Patient, within: np.ndarray) -> None:
    bone = patient.bone
    for shape in (ellipsoid((0, 62, -250), (200, 60, 88)), *both_tubes([(40, 52, -130), (110, 66, -188)], [22, 22])):
        canvas.paint(shape, patient.muscle, inside=within)
    canvas.paint(ellipsoid((0, 28, -250), (98, 62, 92)), patient.fat + 25, inside=within)  # chest
    for side in (1, -1):
        for z, y in ((-188.0, 60.0), (-206.0, 70.0), (-222.0, 78.0)):  # ribs around the lungs' tops
            reach = 30 + 0.9 * (-180 - z)
            arc = [
                on_side((float(46 + reach * np.sin(a)), float(y - 36 + 44 * np.cos(a)), z - 7 * (a / np.pi)), side)
                for a in np.linspace(-0.5, 2.6, 7)
            ]
            canvas.paint(tube(arc, [3.4] * 7), 550.0 * bone, inside=within)
        clavicle = [on_side(p, side) for p in ((14.0, -26.0, -204.0), (70.0, -12.0, -190.0), (128.0, 22.0, -182.0))]
        canvas.paint(tube(clavicle, [7, 5.5, 6]), 750.0 * bone, inside=within)
        blade = [on_side(p, side) for p in ((70.0, 96.0, -226.0), (110.0, 82.0, -205.0), (138.0, 50.0, -188.0))]
        canvas.paint(tube(blade, [4, 5, 8]), 600.0 * bone, inside=within)
        canvas.paint(ellipsoid(on_side((146, 36, -214), side), (22, 22, 24)), 400.0 * bone, inside=within)  # humerus
        canvas.paint(ellipsoid(on_side((45, 42, -258), side), (36, 42, 88)), -840.0, inside=within)  # lung
    canvas.paint(ellipsoid((0, -22, -232), (24, 6.5, 28)), 700.0 * bone, inside=within)  # breastbone
    canvas.paint(ellipsoid((0, -22, -232), (22, 4.5, 26)), 220.0 * bone, inside=within)
    canvas.paint(ellipsoid((0, 20, -245), (24, 30, 40)), patient.fat + 30, inside=within)  # between the lungs


def _paint_larynx(canvas: Canvas, patient: Patient, within: np.ndarray) -> None:
    """Paint throat and voice box: wide airway, epiglottis, cartilages, the cleft between the vocal cords, the ring below."""
    window, voice = column(lambda z: (0.0, -18.5), (14.5, 16.5), (-156, -122))(canvas)
    x, y, _ = canvas.coordinates(window)
    voice &= within[window] & (
        np.abs(x) < 3.5 + 0.62 * (y + 37)
    )  # narrow in front, between the plates of the cartilage
    canvas.hu[window][voice], canvas.labels[window][voice] = patient.muscle - 12, patient.label("Larynx")
    for shape, hu in (
        (ellipsoid((0, -28, -119), (8, 4, 7)), -60.0),  # fat before the epiglottis
        (column(lambda z: (0.0, -20.0), (11.5, 12), (-157, -146)), 190.0),  # cricoid
        *(
            (tube([(0, -36, -133), (s * 17, -10, -134)], [2.0, 2.0], stretch_z=5.0), 150.0) for s in (1, -1)
        ),  # thyroid cartilage
        *((ellipsoid((s * 5, -11, -142), (3, 3, 5)), 170.0) for s in (1, -1)),  # arytenoids
    ):
        window, mask = shape(canvas)
        canvas.hu[window][mask & within[window]] = hu
    throat = (
        ellipsoid((0, -24, -44), (11, 12, 15)),  # behind the nose
        tube([(0, -20, -56), (0, -20, -72)], [6.5, 6.0]),
        *both_tubes([(5, -19, -66), (6, -19, -108)], [6.0, 6.0]),
        *both_tubes([(5, -17, -106), (2, -17, -124)], [5.5, 3.5]),
        column(lambda z: (0.0, -19.0), (2.2, 8.5), (-143, -122)),  # between the cords
        column(lambda z: (0.0, -19.0), (7.5, 9), (-158, -143)),
    )
    for shape in throat:
        window, mask = shape(canvas)
        canvas.hu[window][mask & within[window]] = AIR
    window, mask = tube([(0, -29, -104), (0, -22, -120)], [1.6, 1.6])(canvas)
    canvas.hu[window][mask] = patient.muscle  # epiglottis
    for shape in both_tubes([(7, -27, -106), (5, -22, -120)], [1.4, 1.4]):
        window, mask = shape(canvas)
        canvas.hu[window][mask] = patient.muscle


def paint_spine(canvas: Canvas, patient: Patient, within: np.ndarray) -> None:
    """Paint vertebrae, discs, canal and cord. ``within``: bool (z, y, x)."""
    bone = patient.bone
    canvas.paint(
        column(beside_cord(0, -16), (12, 8), (-240, -66)), 95.0, inside=within
    )  # discs show between the bodies
    _paint_atlas(canvas, patient, within)
    for low, high in VERTEBRAE:
        top = low + high
        wide = float(np.interp(low, [-240, -160, -90], [15.5, 13.5, 11.5]))
        canvas.paint(column(beside_cord(0, -16), (wide, 8.5), (low, top)), 800 * bone, inside=within)
        canvas.paint(column(beside_cord(0, -16), (wide - 2, 6.8), (low + 1.5, top - 1.5)), 200 * bone, inside=within)
        middle = low + 0.5 * high
        for side in (1, -1):
            canvas.paint(ellipsoid(at_cord(side * 19, -2, middle), (6.5, 8, 8)), 600 * bone, inside=within)
            canvas.paint(ellipsoid(at_cord(side * 19, -2, middle), (4, 5.5, 5.5)), 350 * bone, inside=within)
            canvas.paint(
                tube([at_cord(side * 20, -6, middle), at_cord(side * 27, -9, middle - 1)], [3.5, 3]),
                450 * bone,
                inside=within,
            )
            lamina = [at_cord(side * 17, 4, middle), at_cord(side * 8, 13, middle - 3), at_cord(0, 16, middle - 5)]
            canvas.paint(tube(lamina, [4, 3, 3], stretch_z=1.6), 700 * bone, inside=within)
        length = 32.0 if low in (-87, -155, -174) or low < -175 else 24.0
        canvas.paint(
            tube([at_cord(0, 17, middle - 5), at_cord(0, length, middle - 11)], [3, 3.2], stretch_z=1.4),
            600 * bone,
            inside=within,
        )
    canvas.paint(column(beside_cord(0, 0), (11.0, 8.0), (-240, -54)), 10.0, inside=within)
    canvas.paint(column(beside_cord(0, 0), CORD_MM, (-240, -57)), CORD_HU, patient.label("SpinalCord"), inside=within)


def _paint_atlas(canvas: Canvas, patient: Patient, within: np.ndarray) -> None:
    """Paint the first vertebra, a ring, and the dens of the second one in it."""
    hard = 850 * patient.bone
    for side in (1, -1):
        canvas.paint(ellipsoid((side * 20, 9, -61), (8, 9, 8)), hard, inside=within)
        canvas.paint(ellipsoid((side * 20, 9, -61), (5, 6, 5)), 0.45 * hard, inside=within)
        canvas.paint(tube([(side * 24, 12, -62), (side * 38, 13, -62)], [4, 3]), 0.7 * hard, inside=within)
        ring: list[Point] = [(side * 16, 0, -60), (0, -7, -60)]
        back: list[Point] = [(side * 20, 16, -62), (side * 14, 32, -62), (0, 37, -62)]
        canvas.paint(tube(ring, [4, 4.5]), hard, inside=within)
        canvas.paint(tube(back, [3.5] * 3), 0.8 * hard, inside=within)
    canvas.paint(tube([(0, 2, -54), (0, 2, -74)], [4.5, 6]), hard, inside=within)  # dens
    canvas.paint(tube([(0, 2, -57), (0, 2, -74)], [2.2, 3.5]), 0.5 * hard, inside=within)
