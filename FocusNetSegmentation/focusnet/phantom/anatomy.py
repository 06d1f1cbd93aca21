"""The patient inside the phantom: which shapes make up a head and neck, where they lie and what HU they have. Synthetic.

Places are in the phantom's own millimetres: x to the patient's left, y to the back, z to the head; the origin lies between the
orbits' back ends, a little above the skull base. The order matters: what is painted later replaces what is below it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..image.organs import LEFT, RIGHT, without_side
from .shapes import Canvas, Point, Shape, column, ellipsoid, tube

AIR = -1000.0
SIDES = ((1, LEFT), (-1, RIGHT))  # the patient's left is +x


@dataclass(frozen=True)
class Patient:
    """One drawn patient: HU of tissues and relative sizes of organs (``grow``). ``value``: each organ's label."""

    value: dict[str, int]
    fat: float
    muscle: float
    brain: float
    bone: float  # factor on all bone
    vessel: float  # above muscle with contrast agent
    grow: dict[str, float]

    @classmethod
    def draw(cls, rng: np.random.Generator, value: dict[str, int]) -> Patient:
        """Draw a patient. ``value``: organ -> label."""
        both = {
            without_side(name): rng.uniform(0.95, 1.05) for name in sorted(value) if name.endswith(LEFT)
        }  # sides are alike
        grow = {name: float(both.get(without_side(name), 1.0) * rng.uniform(0.98, 1.02)) for name in value}
        contrast = float(rng.choice([0.0, 110.0]))
        return cls(
            value,
            fat=float(rng.uniform(-115, -90)),
            muscle=float(rng.uniform(48, 62)),
            brain=float(rng.uniform(32, 38)),
            bone=float(rng.uniform(0.9, 1.1)),
            vessel=45.0 + contrast,
            grow=grow,
        )


def paint_patient(canvas: Canvas, patient: Patient) -> np.ndarray:
    """Paint all tissues and organs; return the body's mask (z, y, x)."""
    body = _paint_body(canvas, patient)
    within = canvas.mask(*surface(3.0))  # nothing but skin and the nose lies outside
    for paint in (
        paint_neck,
        paint_spine,
        _paint_skull,
        _paint_brain,
        paint_face,
        _paint_jaw,
        _paint_glands_and_ears,
        _paint_orbits,
    ):
        paint(canvas, patient, within)
    return body


def _at(point: Point, side: int) -> Point:
    return (side * point[0], point[1], point[2])


def _arch(angle: float, width: float, length: float, z: float) -> Point:
    """Return a point of a jaw's arch on the left: angle 0 at its back end, pi / 2 in front."""
    return (width * float(np.cos(angle)), -10 - length * float(np.sin(angle)), z)


def _both(point: Point, radii: Point) -> tuple[Shape, Shape]:
    return ellipsoid(point, radii), ellipsoid(_at(point, -1), radii)


def _both_tubes(points: list[Point], radii: list[float]) -> tuple[Shape, Shape]:
    return tube(points, radii), tube([_at(p, -1) for p in points], radii)


def cord_y(z: np.ndarray) -> np.ndarray:
    """Return where the cord lies from front to back (mm) at heights ``z`` (mm, any shape): the neck's curve."""
    return np.asarray(40 + 6 * np.sin((z + 44) / 181 * np.pi))


def _beside_cord(x: float, y: float) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """Return a line along the neck, ``x`` to the left of the cord and ``y`` behind it."""
    return lambda z: (x, cord_y(z) + y)


def _upright(z: np.ndarray) -> tuple[float, float]:
    """Return the neck's own axis (x, y in mm)."""
    return 0.0, 22.0


def surface(inset: float) -> list[Shape]:
    """Return the body's outline ``inset`` mm below the skin: skull, lower and middle face, jaw, neck, shoulders."""
    return [
        ellipsoid((0, 5, 18), (78 - inset, 98 - inset, 103 - inset)),
        ellipsoid((0, -32, -68), (62 - inset, 60 - inset, 54 - inset)),
        ellipsoid((0, -34, -40), (62 - inset, 59 - inset, 42 - inset)),
        ellipsoid((0, 8, -58), (69 - inset, 62 - inset, 52 - inset)),
        column(_upright, (61 - inset, 64 - inset), (-240, -30)),
        ellipsoid((0, 38, -245), (190 - inset, 92 - inset, 68 - inset)),
    ]


def outline() -> list[Shape]:
    """Return the skin's outline: head, neck and shoulders with nose and ears."""
    nose = [tube([(0, -86, 8), (0, -100, -22)], [6, 9]), ellipsoid((0, -86, -24), (16, 18, 14))]
    ears = [s for x, y, z in ((68.0, 20, -22), (72.0, 28, -16)) for s in _both((x, y, z), (9, 12, 24))]
    return [*surface(0.0), *nose, *ears]


def _paint_body(canvas: Canvas, patient: Patient) -> np.ndarray:
    """Paint skin, a layer of fat, and what lies below, each a little inside the one before; nose and ears."""
    body = canvas.mask(*outline())
    canvas.hu[body] = 15.0
    canvas.hu[canvas.mask(*surface(2.0))] = patient.fat
    deep = canvas.mask(*surface(7.0))
    canvas.hu[deep] = np.where(canvas.z_mm[deep] < -48, patient.fat + 15, patient.muscle)
    return body


def paint_neck(canvas: Canvas, patient: Patient, within: np.ndarray) -> None:
    """Paint the neck: muscles, vessels, glands, airway, cartilage, shoulders. ``within``: bool (z, y, x)."""
    muscles: list[Shape] = [
        *_both_tubes([(58, 36, -46), (44, 14, -120), (22, -18, -212)], [9, 11, 8]),  # sternocleidomastoid
        *(column(_beside_cord(x, 19), (25, 19), (-226, -48)) for x in (20, -20)),  # muscles of the neck's back
        *(column(_beside_cord(x, -27), (12, 9), (-226, -50)) for x in (15, -15)),  # in front of the spine
        *_both_tubes([(34, 24, -100), (70, 28, -226)], [9, 16]),  # scalenes
        *_both_tubes([(10, -33, -106), (13, -30, -210)], [6, 7]),  # straps
        *_both((58, -18, -64), (6, 16, 27)),  # masseters
        *_both((34, -14, -58), (9, 15, 22)),  # pterygoids
        *_both((70, -14, 0), (5, 28, 30)),  # temporal muscles
        tube([(0, -26, -34), (0, -12, -60), (0, -14, -118)], [12, 13, 12]),  # walls of the pharynx
        ellipsoid((0, -42, -74), (25, 30, 14)),  # tongue
        ellipsoid((0, -40, -92), (22, 30, 10)),  # floor of the mouth
        *_both_tubes([_arch(a, 47, 68, -66) for a in np.linspace(0.1, np.pi / 2, 7)], [5.5] * 7),  # lips and cheeks
        ellipsoid((0, 55, -245), (150, 60, 60)),  # shoulders
    ]
    for shape in muscles:
        canvas.paint(shape, patient.muscle, inside=within)
    canvas.paint(tube([(0, -1, -150), (0, 0, -226)], [6, 7]), patient.muscle - 15, inside=within)  # oesophagus
    for shapes, hu in (
        (_both_tubes([(24, 8, -56), (25, 2, -215)], [3.5, 4.5]), patient.vessel + 20),  # carotid arteries
        (_both_tubes([(33, 16, -56), (34, 6, -215)], [5, 7]), patient.vessel),  # jugular veins
        (_both((26, -24, -100), (9, 14, 11)), 30.0),  # submandibular glands
        (_both((16, -12, -166), (8, 11, 20)), 105.0),  # thyroid
        (_both_tubes([(14, -32, -206), (90, -6, -206), (140, 26, -212)], [6, 5, 6]), 800.0 * patient.bone),  # clavicles
        (_both((138, 45, -226), (22, 22, 22)), 400.0 * patient.bone),  # heads of the humerus
        (_both((46, 36, -252), (38, 46, 44)), -830.0),  # lungs
        (_both_tubes([(18, -18, -104), (0, -36, -104)], [2.2, 2.6]), 500.0 * patient.bone),  # hyoid
    ):
        for shape in shapes:
            canvas.paint(shape, hu, inside=within)
    canvas.paint(ellipsoid((0, -16, -128), (19, 18, 21)), 120.0)  # thyroid cartilage
    canvas.paint(ellipsoid((0, -15, -128), (16.5, 15.5, 21)), patient.muscle - 10)
    canvas.paint(tube([(0, -30, -36), (0, -18, -50), (0, -14, -72), (0, -16, -112)], [7, 7, 7, 6]), AIR)
    canvas.paint(tube([(0, -16, -112), (0, -18, -132), (0, -16, -150), (0, -15, -228)], [6, 3.5, 8, 8.5]), AIR)


def paint_spine(canvas: Canvas, patient: Patient, within: np.ndarray) -> None:
    """Paint vertebrae, discs, canal and cord. ``within``: bool (z, y, x)."""
    top, bottom, level = -50.0, -240.0, 19.0
    canvas.paint(column(_beside_cord(0, -20), (15, 11), (bottom, top)), 90.0)  # discs show between the bodies
    for z0 in map(float, np.arange(bottom, top, level)):
        body, arch = (z0, min(z0 + 14, top)), (z0 - 2, min(z0 + 10, top))
        canvas.paint(column(_beside_cord(0, -20), (17, 13), body), 650.0 * patient.bone)
        canvas.paint(column(_beside_cord(0, -20), (14.5, 10.5), (body[0] + 1.5, body[1] - 1.5)), 230.0 * patient.bone)
        canvas.paint(column(_beside_cord(0, 1), (16, 14), arch), 550.0 * patient.bone)
        for x in (21.0, -21.0):  # transverse processes
            canvas.paint(column(_beside_cord(x, -10), (8, 4), (z0 + 2, z0 + 8)), 450.0 * patient.bone)
        canvas.paint(column(_beside_cord(0, 22), (3.5, 13), (z0, z0 + 7)), 500.0 * patient.bone)
    canvas.paint(column(_beside_cord(0, 0), (9.5, 8.5), (bottom, top + 6)), 8.0)
    canvas.paint(column(_beside_cord(0, 0), (6.0, 5.2), (bottom, top + 4)), 36.0, patient.value["SpinalCord"])


def _skull_base_z(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the height of the skull's floor: the roof of the orbits in front, the sella, the deep fossa at the back."""
    middle = np.interp(y, [-85, -32, -20, -14, -3, 6, 16, 40, 75], [16, 10, 3, -9, -9, -4, -34, -38, -26])
    lateral = np.interp(y, [-85, -54, -46, -30, 6, 22, 40, 75], [16, 14, -14, -22, -23, -34, -38, -26])
    weight = np.clip((np.abs(x) - 14) / 10, 0, 1)
    hollow = np.clip(np.abs(np.abs(x) - 38) / 20, 0, 1.5) ** 2 * 5  # the fossae are round
    return np.asarray((1 - weight) * middle + weight * (lateral + hollow * (y > -46)))


def _paint_skull(canvas: Canvas, patient: Patient, within: np.ndarray) -> None:
    """Paint two hard tables with softer bone between, open below; the floor and the foramen magnum."""
    outer = canvas.mask(ellipsoid((0, 8, 26), (70, 88, 88)))
    floor = np.full(canvas.hu.shape, np.inf, np.float32)
    floor[outer] = _skull_base_z(canvas.x_mm[outer], canvas.y_mm[outer])
    bone = outer & (canvas.z_mm > floor - 4.5)
    canvas.hu[bone], canvas.labels[bone] = 1150 * patient.bone, 0
    for radii, hu in (((68.2, 86.2, 86.2), 600.0), ((66, 84, 84), 1150.0)):
        inner = canvas.mask(ellipsoid((0, 8, 26), radii)) & bone
        canvas.hu[inner] = hu * patient.bone
    fluid = canvas.mask(ellipsoid((0, 8, 26), (64, 82, 82))) & (canvas.z_mm > floor)
    canvas.hu[fluid] = 9.0
    for side in (1, -1):
        canvas.paint(
            ellipsoid((side * 45, 26, -27), (19, 12, 10)), 1150.0 * patient.bone, inside=within
        )  # petrous bone
        canvas.paint(ellipsoid((side * 57, 38, -38), (9, 11, 15)), 600.0 * patient.bone, inside=within)  # mastoid
        canvas.paint(ellipsoid((side * 57, 38, -36), (6, 8, 11)), -250.0, inside=within)  # its cells
    canvas.paint(tube([(0, 33, -30), (0, 39, -52)], [14, 12]), 9.0)  # foramen magnum


def _paint_brain(canvas: Canvas, patient: Patient, within: np.ndarray) -> None:
    value, grow = patient.value, patient.grow
    brain = canvas.mask(ellipsoid((0, 8, 26), (62, 80, 80))) & (canvas.hu == 9.0)
    brain &= canvas.z_mm > _skull_base_z(canvas.x_mm, canvas.y_mm) + 1.5
    canvas.hu[brain] = patient.brain + 2
    canvas.paint(ellipsoid((0, 8, 26), (50, 66, 66)), patient.brain - 6, inside=brain)  # white matter
    canvas.paint(ellipsoid((0, 8, 66), (0.9, 90, 60)), 55.0, inside=brain)  # falx
    for side in (1, -1):
        canvas.paint(ellipsoid((side * 10, 6, 38), (5, 26, 8)), 8.0)  # ventricles
    for side, suffix in SIDES:
        g = grow["Lobe_Temporal" + suffix]
        lobe = ellipsoid((side * 40, -12, -4), (22 * g, 39 * g, 21 * g))
        canvas.paint(lobe, patient.brain + 2, value["Lobe_Temporal" + suffix], inside=brain)
    canvas.paint(ellipsoid((0, -7, 6), (15, 12, 7)), 8.0)  # cisterns: fluid around brainstem and chiasm
    stem: list[Point] = [(0, 22, 14), (0, 25, -6), (0, 31, -24), (0, 37.5, -44)]
    canvas.paint(tube(stem, [15, 17, 14, 11]), 9.0)
    g = grow["Brainstem"]
    canvas.paint(tube(stem, [12 * g, 13.5 * g, 10.5 * g, 7]), patient.brain - 2, value["Brainstem"])
    canvas.paint(column(_beside_cord(0, 0), (6.0, 5.2), (-70, -47)), 36.0, value["SpinalCord"])


def paint_face(canvas: Canvas, patient: Patient, within: np.ndarray) -> None:
    """Paint nose, sinuses, palate and cheek bones: air in thin bone. ``within``: bool (z, y, x)."""
    bone = patient.bone
    for shape in _both((27, -56, -32), (16, 18, 18)):
        canvas.paint(shape, 700.0 * bone, inside=within)
    canvas.paint(ellipsoid((0, -54, -26), (15, 30, 20)), 500.0 * bone, inside=within)
    canvas.paint(ellipsoid((0, -50, -47), (23, 26, 2.5)), 800.0 * bone, inside=within)  # palate
    canvas.paint(tube([(0, -84, 10), (0, -90, -4)], [4, 3]), 800.0 * bone, inside=within)  # nasal bone
    for shape in _both((27, -56, -32), (14, 16, 16)):  # maxillary sinuses
        canvas.paint(shape, AIR)
    canvas.paint(ellipsoid((0, -56, -27), (13, 28, 17)), AIR, inside=within)
    for side in (1, -1):
        canvas.paint(tube([_at((7, -74, -34), side), _at((7, -40, -34), side)], [4, 4]), 50.0)  # turbinates
        canvas.paint(tube([_at((7, -68, -21), side), _at((7, -42, -21), side)], [3, 3]), 50.0)
        canvas.paint(tube([_at((5, -94, -34), side), _at((6, -78, -38), side)], [3, 4]), AIR)  # nostrils
        cheek = [_at(p, side) for p in ((60.0, -2.0, -22.0), (60.0, -30.0, -27.0), (45.0, -62.0, -28.0))]
        canvas.paint(tube(cheek, [3, 3, 5]), 1000.0 * bone, inside=within)
    canvas.paint(ellipsoid((0, -56, -28), (1.0, 28, 17)), 150.0 * bone, inside=within)  # septum
    for center, radii in (((0, -24, -13), (13, 10, 8)), ((0, -75, 15), (15, 6, 8))):  # sphenoid and frontal sinus
        canvas.paint(ellipsoid(center, (radii[0] + 1.5, radii[1] + 1.5, radii[2] + 1.5)), 900.0 * bone, inside=within)
        canvas.paint(ellipsoid(center, radii), AIR, inside=within)
    canvas.paint(ellipsoid((0, -46, -58), (20, 26, 3)), AIR)  # above the tongue


def _paint_jaw(canvas: Canvas, patient: Patient, within: np.ndarray) -> None:
    angles = np.linspace(0, np.pi / 2, 9)
    for side, suffix in SIDES:
        value = patient.value["Bone_Mandible" + suffix]
        canvas.paint(
            tube([_at(_arch(a, 36, 60, -54), side) for a in angles[2:]], [5.5] * 7), 700.0 * patient.bone, inside=within
        )
        ramus = tube([_at(p, side) for p in ((49.0, 1.0, -28.0), (48.0, -3.0, -54.0), (46.0, -8.0, -84.0))], [4, 4, 6])
        coronoid = tube([_at(p, side) for p in ((46.0, -22.0, -36.0), (46.5, -12.0, -62.0))], [3, 4.5])
        body: list[Point] = [_at(_arch(a, 46, 63, -84 - 7 * np.sin(a)), side) for a in angles]
        half = canvas.mask(ramus, coronoid, tube(body, [5] * 9, stretch_z=2.0)) & (side * canvas.x_mm >= 0) & within
        canvas.hu[half], canvas.labels[half] = 1250 * patient.bone, value
        canvas.tint(tube(body, [2.8] * 9, stretch_z=2.4), 400 * patient.bone, value)
        canvas.tint(
            tube([_at((48.0, -3.0, -54.0), side), _at((46.0, -8.0, -82.0), side)], [2, 3.5]), 400 * patient.bone, value
        )
        for t in np.linspace(0.28, 0.97, 7) * np.pi / 2:
            canvas.paint(ellipsoid(_at(_arch(t, 41, 60, -75), side), (3.2, 3.2, 6)), 2200.0, inside=within)
            canvas.paint(ellipsoid(_at(_arch(t, 39, 61, -63), side), (3.2, 3.2, 5.5)), 2200.0, inside=within)
        g = patient.grow["Joint_TM" + suffix]
        canvas.paint(
            ellipsoid((side * 49, 1, -24), (8 * g, 8 * g, 7)), 90.0, patient.value["Joint_TM" + suffix]
        )  # disc and capsule
        for z, r in ((-27.0, 4.5), (-18.0, 4.0)):  # the jaw's head and the roof of its socket
            canvas.tint(
                ellipsoid((side * 49, 1, z), (r + 2, r, r)), 850 * patient.bone, patient.value["Joint_TM" + suffix]
            )


def _paint_glands_and_ears(canvas: Canvas, patient: Patient, within: np.ndarray) -> None:
    soft = within & (canvas.hu < 300) & (canvas.hu > -300)
    for side, suffix in SIDES:
        g = patient.grow["Parotid" + suffix]
        gland = ellipsoid((side * 52, 14, -58), (9.5 * g, 18 * g, 25 * g))
        canvas.paint(gland, (patient.fat + 2 * patient.muscle) / 3 + 5, patient.value["Parotid" + suffix], inside=soft)
        g = patient.grow["Ear_Internal" + suffix]
        canvas.paint(
            ellipsoid((side * 36, 26, -26), (6.5 * g, 6 * g, 6)), 150.0, patient.value["Ear_Internal" + suffix]
        )
        canvas.paint(tube([_at((86, 24, -26), side), _at((58, 26, -26), side)], [3.5, 3.0]), AIR)  # ear canal
        g = patient.grow["Ear_Middle" + suffix]
        canvas.paint(ellipsoid((side * 51, 26, -26), (6.5 * g, 6 * g, 7)), -700.0, patient.value["Ear_Middle" + suffix])
        canvas.tint(
            ellipsoid((side * 50, 26, -25), (1.6, 1.6, 2.5)), 500.0, patient.value["Ear_Middle" + suffix]
        )  # ossicles


def _paint_orbits(canvas: Canvas, patient: Patient, within: np.ndarray) -> None:
    """Paint a cone of fat in thin bone, open in front; eye, lens, muscles and nerve in it; chiasm and pituitary behind."""
    value = patient.value
    behind_rim = within & (canvas.y_mm > -68)
    for side, suffix in SIDES:
        cone: list[Point] = [_at(p, side) for p in ((31.0, -68.0, -4.0), (25.0, -44.0, -2.0), (14.0, -26.0, 2.0))]
        canvas.paint(tube(cone, [19.5, 14, 5.5]), 900.0 * patient.bone, inside=behind_rim)
        canvas.paint(tube(cone, [17.5, 12, 4]), patient.fat, inside=within)
        for x, z in ((20.5, -4.0), (43.0, -4.0), (31.5, 8.0), (31.5, -16.0)):
            muscle = tube(
                [_at((16.0, -30.0, 1.0), side), _at(((x + 25) / 2, -48, z), side), _at((x, -63, z), side)],
                [1.5, 2.4, 1.6],
            )
            canvas.paint(muscle, patient.muscle)
        canvas.paint(ellipsoid((side * 41, -70, 7), (4, 6, 3.5)), 38.0, inside=within)  # lacrimal gland
        g, eye = patient.grow["Eye" + suffix], (side * 32.0, -67.0, -4.0)
        canvas.paint(ellipsoid(eye, (12.2 * g, 12.2 * g, 12.2 * g)), 45.0, value["Eye" + suffix])
        canvas.tint(ellipsoid(eye, (10.9 * g, 10.9 * g, 10.9 * g)), 10.0, value["Eye" + suffix])
        canvas.paint(ellipsoid((side * 32, -67 - 8.5 * g, -4), (4.8, 2.4, 4.8)), 90.0, value["Lens" + suffix])
        nerve = [_at(p, side) for p in ((31.0, -55.5, -4.0), (23.0, -36.0, 0.0), (7.0, -14.0, 5.0))]
        canvas.paint(tube(nerve, [2.6, 2.4, 2.3]), 42.0, value["OpticNrv" + suffix])
    for side in (1, -1):  # an X, as seen from above
        arms = [_at(p, side) for p in ((6.5, -13.5, 5.2), (0.0, -9.0, 6.0), (8.5, -2.0, 7.2))]
        canvas.paint(tube(arms, [2.1, 2.5, 2.0]), 42.0, value["OpticChiasm"])
    g = patient.grow["Pituitary"]
    canvas.paint(ellipsoid((0, -8, -4), (6.5 * g, 5 * g, 4.2 * g)), 65.0, value["Pituitary"])
