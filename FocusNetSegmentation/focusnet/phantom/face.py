"""The phantom's face: nose, sinuses, palate and cheek bones; lower jaw with teeth and joints; parotid glands."""

from __future__ import annotations

import numpy as np

from .patient import AIR, SIDES, Patient, both, both_tubes, on_side
from .shapes import Canvas, Point, Shape, ellipsoid, paint_cells, tube

BODY: list[Point] = [
    (47, -24, -80),
    (45, -38, -84),
    (38, -58, -88),
    (28, -76, -92),
    (15, -88, -96),
    (0, -92, -98),
]  # of the jaw
RAMUS: list[Point] = [(45, -24, -46), (45, -26, -62), (47, -26, -80)]
CONDYLE: Point = (49, -15, -30)


def paint_face(canvas: Canvas, patient: Patient, within: np.ndarray) -> None:
    """Paint nose, sinuses, palate and cheek bones: air in thin bone. ``within``: bool (z, y, x)."""
    bone = patient.bone
    hard: list[tuple[Shape, float]] = [
        *(
            (shape, 550.0) for shape in (*both((28, -55, -24), (16.5, 17.5, 14)), *both((24, -56, -37), (13, 16.5, 11)))
        ),  # upper jaw
        (ellipsoid((0, -52, -16), (15, 30, 25)), 450.0),  # walls of the nose and of the ethmoid's cells
        (ellipsoid((0, -61, -45), (17, 25, 2.0)), 350.0),  # palate
        (tube([(0, -80, 8), (0, -90, -8)], [4, 2.5]), 600.0),  # nasal bone
        *(
            (tube([on_side(a, s) for a in arch()], [5.5] * 6, stretch_z=1.5), 750.0) for s in (1, -1)
        ),  # upper jaw's arch
        *(
            (shape, 900.0)
            for shape in both_tubes([(62, -6, -22), (64, -26, -26), (55, -50, -27), (42, -64, -27)], [3, 3, 4.5, 6])
        ),
        (ellipsoid((0, -76, 18), (30, 9, 9)), 900.0),  # brow
    ]
    for shape, hu in hard:
        canvas.paint(shape, hu * bone, inside=within)
    air: list[Shape] = [
        *both((28, -55, -24), (14.8, 15.8, 12.3)),  # maxillary sinuses
        *both((24, -55, -36), (11.0, 14.5, 9.5)),
        *both((4.5, -56, -30), (3.6, 30, 12)),  # nasal passages
        *both_tubes([(5, -92, -34), (5, -80, -37)], [3, 4]),
        *both((6.5, -22, -10), (6.0, 9, 8)),  # sphenoid sinuses
        *both_tubes([(7, -79, 14), (15, -77, 20)], [5.0, 4.5]),  # frontal sinuses
    ]
    for shape in air:
        canvas.paint(shape, AIR, inside=within)
    paint_cells(canvas, ellipsoid((0, -53, -1), (12.5, 22, 12)), within, 3.6, 300.0 * bone)  # ethmoid
    for side in (1, -1):
        for points, radius in (([(7, -74, -36), (7, -40, -36)], 3.2), ([(6, -68, -25), (6, -42, -25)], 2.6)):
            turbinate: list[Point] = [on_side(p, side) for p in points]
            canvas.paint(tube(turbinate, [radius] * 2), 45.0, inside=within)
    canvas.paint(ellipsoid((0, -58, -28), (1.0, 28, 14)), 150.0 * bone, inside=within)  # septum
    canvas.paint(ellipsoid((0, -46, -52), (14, 20, 2.5)), AIR, inside=within)  # above the tongue


def arch() -> list[Point]:
    """Return the upper jaw's arch on the left, from the last molar to the middle."""
    return [(27, -42, -56), (27, -54, -57), (24, -68, -58), (18, -80, -58), (9, -88, -58), (0, -90, -58)]


def paint_jaw(canvas: Canvas, patient: Patient, within: np.ndarray) -> None:
    """Paint the lower jaw in two labelled halves, its joints, and the teeth."""
    for side, suffix in SIDES:
        name, joint = "Bone_Mandible" + suffix, "Joint_TM" + suffix
        label, bone = patient.label(name), patient.bone

        def here(points: list[Point], side: int = side) -> list[Point]:
            return [on_side(p, side) for p in points]

        half = canvas.mask(
            tube(here(BODY), [5.6] * 6, stretch_z=2.7),
            tube(here([(44, -16, -36), *RAMUS]), [4, 5, 5, 5.5]),
            tube(here([(44, -34, -50), (46, -34, -66), (47, -32, -80)]), [4, 4.6, 5]),
            tube(here([(43, -38, -36), (44, -36, -52)]), [2.6, 4]),  # coronoid process
            tube(here([CONDYLE, (45, -20, -46)]), [5, 4]),
        )
        half &= (side * canvas.x_mm >= 0) & within & (canvas.z_mm > -118)
        canvas.hu[half], canvas.labels[half] = 1250 * bone, label
        canvas.tint(tube(here(BODY), [3.4] * 6, stretch_z=3.4), 450 * bone, label)
        canvas.tint(tube(here([(45, -24, -52), (46, -26, -80)]), [2.2, 3]), 450 * bone, label)
        g = patient.size(joint)
        canvas.paint(
            ellipsoid(on_side((49.5, -15, -26.5), side), (9 * g, 7.5 * g, 7.5 * g)),
            90.0,
            patient.label(joint),
            inside=within,
        )
        for z, r in ((-29.5, 4.5), (-19.5, 3.0)):  # the jaw's head and the roof of its socket
            canvas.tint(ellipsoid(on_side((49.5, -15, z), side), (r + 2.5, r, r)), 850 * bone, patient.label(joint))
        _paint_teeth(canvas, side, within)


def _paint_teeth(canvas: Canvas, side: int, within: np.ndarray) -> None:
    for t in np.linspace(0.04, 0.96, 8):
        for points, dz, high in ((arch(), -9.0, 6.0), (arch(), -19.5, 6.0)):
            x, y, _ = (float(np.interp(t * 5, range(6), [p[axis] for p in points])) for axis in range(3))
            wide = 4.0 if t < 0.4 else 3.0
            lower = dz < -15
            place = on_side(
                (x * (1.08 if lower else 1.0), y + (1.5 if lower else 0.0), -57 + dz + 3.0 * (t - 0.5)), side
            )
            canvas.paint(ellipsoid(place, (wide, wide, high)), 1900.0, inside=within)


def paint_parotids(canvas: Canvas, patient: Patient, within: np.ndarray) -> None:
    """Paint both glands behind and over the jaw's ramus: a large outer and a small deep part. ``within``: bool (z, y, x)."""
    soft = within & (canvas.hu < 250) & (canvas.hu > -300)
    hu = (patient.fat + 2 * patient.muscle) / 3
    for side, suffix in SIDES:
        g, label = patient.size("Parotid" + suffix), patient.label("Parotid" + suffix)
        for center, radii in (
            ((60, -5, -60), (10.5, 15.5, 25)),
            ((50, -2, -62), (9, 10, 17)),
            ((62, -18, -56), (5, 11, 14)),
            ((57, -7, -80), (9, 11, 12)),
            ((63, -9, -44), (8, 12, 14)),
        ):
            rx, ry, rz = radii
            part = ellipsoid(on_side(center, side), (rx * g, ry * g, rz * g))
            canvas.paint(part, hu, label, inside=soft)
