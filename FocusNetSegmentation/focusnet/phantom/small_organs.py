"""The phantom's ears, orbits and what lies above the sella: the small organs, painted last."""

from __future__ import annotations

import numpy as np

from .patient import AIR, SIDES, Patient, on_side
from .shapes import Canvas, Point, ellipsoid, tube

EYE: Point = (32.0, -65.0, 6.0)
COCHLEA: Point = (33.0, 6.0, -25.0)
CHIASM: Point = (0.0, -14.5, 1.0)
PITUITARY: Point = (0.0, -15.0, -9.5)
LENS_MM: Point = (4.8, 2.4, 4.8)  # radii
NERVE: list[Point] = [(-1, 12, -2), (-6, 24, -4), (-15, 36, -6), (-21, 41, -8)]  # outwards, back and up from the eye
NERVE_MM = [2.7, 2.6, 2.5, 2.4]  # radii
MUSCLES = (
    (-11.5, 0.5),
    (11.0, 0.0),
    (0.0, 10.5),
    (0.0, -11.0),
)  # x outwards and z of the straight muscles' front ends from the eye


def paint_ears(canvas: Canvas, patient: Patient, within: np.ndarray) -> None:
    """Paint inner and middle ears in the petrous bone, and the ear canals."""
    bone = patient.bone
    for side, suffix in SIDES:
        inner, middle, cochlea = ("Ear_Internal" + suffix, "Ear_Middle" + suffix, "Cochlea" + suffix)

        def at(dx: float, dy: float, dz: float, side: int = side) -> Point:
            return on_side((COCHLEA[0] + dx, COCHLEA[1] + dy, COCHLEA[2] + dz), side)

        canvas.paint(ellipsoid(at(3.5, 3, 0.5), (9.5, 8.5, 7.5)), 1250 * bone, inside=within)  # the hard capsule
        canvas.paint(tube([at(-3, 4, 0), at(-15, 9, 0)], [2.0, 3.2]), 25.0, inside=within)  # inner ear canal
        g = patient.size(inner)
        canvas.paint(
            ellipsoid(at(3.5, 2.5, 0.5), (6.5 * g, 6 * g, 5.5 * g)), 650.0, patient.label(inner), inside=within
        )
        for dx, dy, dz, r in ((3.5, 3.5, 0.5, 2.4), (6.5, 5.0, 2.5, 1.6), (6.5, 3.0, -1.5, 1.5), (4.5, 6.0, 1.0, 1.5)):
            canvas.tint(ellipsoid(at(dx, dy, dz), (r, r, r)), 300.0, patient.label(inner))  # vestibule and canals
        canvas.paint(
            ellipsoid(at(0, 0, 0), (2.6, 2.2, 2.6)),
            400.0,
            patient.label(cochlea) or patient.label(inner),
            inside=within,
        )
        canvas.paint(tube([at(44, 4, -2), at(20, 2, -2)], [3.5, 3.0]), AIR)  # ear canal
        g = patient.size(middle)
        canvas.paint(ellipsoid(at(14, 1, -1), (5 * g, 6 * g, 7.5 * g)), -700.0, patient.label(middle), inside=within)
        canvas.tint(ellipsoid(at(13.5, 1, 0.5), (1.6, 1.6, 2.5)), 500.0, patient.label(middle))  # ossicles


def paint_orbits(canvas: Canvas, patient: Patient, within: np.ndarray) -> None:
    """Paint a cone of fat in thin bone, open in front; eye, lens, muscles, nerve and gland in it; then pituitary and chiasm."""
    for side, suffix in SIDES:

        def at(dx: float, dy: float, dz: float, side: int = side) -> Point:
            return on_side((EYE[0] + dx, EYE[1] + dy, EYE[2] + dz), side)

        cone = [at(-1, 2, 0), at(-3, 14, -0.5), at(-9, 26, -1.5), at(-16, 38, -3.5)]
        front = canvas.mask(tube(cone, [19.5, 17.5, 12, 6])) & within
        wall = front & (canvas.y_mm > EYE[1] - 4) & (canvas.hu < 1200 * patient.bone) & (canvas.hu > -1200)
        canvas.hu[wall] = 800 * patient.bone
        canvas.paint(tube(cone, [17.3, 15.5, 10, 4]), patient.fat, inside=within)
        lids = canvas.mask(tube([at(0, -9, 0), at(0, -9, 0.1)], [17.0, 17.0])) & within & (canvas.y_mm < EYE[1] - 7)
        canvas.hu[lids] = 30.0
        for dx, dz in MUSCLES:
            points = [at(-15, 36, -3.5), at(0.8 * dx - 5, 19, 0.85 * dz - 1), at(dx, 3, dz)]
            canvas.paint(tube(points, [1.5, 2.4, 1.4]), patient.muscle, inside=within)
        gland = ellipsoid(at(12.5, 4, 4), (4.0, 6.8, 8.5))
        canvas.paint(gland, patient.muscle - 12, patient.label("Glnd_Lacrimal" + suffix), inside=within)
        g = 0.6 + 0.4 * patient.size("Eye" + suffix)  # adults' eyes differ little
        eye, lens = patient.label("Eye" + suffix), patient.label("Lens" + suffix)
        canvas.paint(ellipsoid(at(0, 0, 0), (12.8 * g, 12.8 * g, 12.8 * g)), 45.0, eye)
        canvas.tint(ellipsoid(at(0, 0, 0), (11.5 * g, 11.5 * g, 11.5 * g)), 9.0, eye)
        canvas.paint(ellipsoid(at(0, -8.2 * g, 0), LENS_MM), 85.0, lens)
        canvas.paint(tube([at(*p) for p in NERVE], NERVE_MM), 42.0, patient.label("OpticNrv" + suffix))
    _paint_sella(canvas, patient)


def _paint_sella(canvas: Canvas, patient: Patient) -> None:
    _, y0, z0 = CHIASM
    canvas.paint(ellipsoid((0, -15, -9.5), (9, 7, 6)), 45.0)  # the fossa: dura, and the sinuses beside the gland
    soft = (canvas.hu < 300) & (canvas.labels == 0)
    for radii in ((11.0, 8.0, 4.5), (17.0, 4.0, 3.5), (4.0, 14.0, 4.0)):  # the star of fluid in which the chiasm lies
        canvas.paint(ellipsoid((0, y0 + 3, z0 - 0.5), radii), 7.0, inside=soft)
        canvas.tint(ellipsoid((0, y0 + 3, z0 - 0.5), radii), 7.0, patient.label("Brain"))
    for side in (1, -1):
        canvas.paint(
            ellipsoid((side * 12, -14, -8), (4.5, 8, 5)), patient.muscle + 0.5 * (patient.vessel - 45)
        )  # cavernous sinus
        siphon: list[Point] = [
            on_side(p, side)
            for p in ((11.0, -6.0, -13.0), (11.5, -17.0, -11.0), (10.5, -19.0, -3.0), (10.0, -12.0, 0.0))
        ]
        canvas.paint(tube(siphon, [2.3] * 4), patient.vessel)  # carotid artery
        canvas.paint(tube([on_side((11.5, -25.0, -1.5), side), on_side((7.5, y0 - 5.5, z0), side)], [2.1, 2.1]), 42.0)
        arms: list[Point] = [
            on_side(p, side) for p in ((7.5, y0 - 5.5, z0), (0.0, y0, z0 + 0.5), (9.0, y0 + 8.0, z0 + 2.0))
        ]
        canvas.paint(tube(arms, [2.1, 2.6, 2.0]), 42.0)
        window, cross = tube(arms, [2.1, 2.6, 2.0])(canvas)
        x, y, z = canvas.coordinates(window)
        cross &= (x / 9) ** 2 + ((y - y0) / 6) ** 2 + (
            (z - z0) / 4.5
        ) ** 2 <= 1  # the tracts behind it are no part of it
        canvas.labels[window][cross] = patient.label("OpticChiasm")
    g = patient.size("Pituitary")
    canvas.paint(ellipsoid(PITUITARY, (6.8 * g, 5.2 * g, 4.4 * g)), 65.0, patient.label("Pituitary"))
    canvas.paint(tube([(0, -14, -4), (0, y0, z0 - 2.5)], [1.0, 1.2]), 50.0)  # its stalk
