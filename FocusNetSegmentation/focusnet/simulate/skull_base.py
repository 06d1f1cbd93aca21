"""Between and behind the orbits: air cells of the ethmoid, sphenoid sinus, sella with pituitary, cavernous sinus, cistern and chiasm.

Nobody contoured chiasm and pituitary in the label maps at hand. Their places and sizes are those of the SPL-PNL brain atlas (one real head):
from the midpoint of the eyes, the chiasm lies 51 mm back and 2.5 mm up, the pituitary 52 mm back and 8 mm down, the brainstem's centre 84 mm
back and 17.5 mm down. They are modelled, not contoured, and whoever trains on them must say so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ..phantom.shapes import Point, Window, ellipsoid, tube
from .head import Scene

STEM_BACK_MM, STEM_DOWN_MM = 83.6, 17.5  # from the midpoint of the eyes to the brainstem's centre
CHIASM_MM, PITUITARY_MM = (51.0, 2.5), (52.0, -8.0)  # back, up


@dataclass(frozen=True)
class BaseFrame:
    """A patient's own axes at the skull base: origin between the eyes, ``back`` runs to the brainstem as it does in the atlas.

    Lengths are those of the atlas; ``scale`` makes them this patient's. Everything in the canvas's mm.
    """

    eyes: np.ndarray
    stem: np.ndarray
    cosine: float
    sine: float
    scale: float

    def at(self, x: float, back: float, up: float) -> Point:
        """A point ``x`` mm to the left, ``back`` and ``up`` from the midpoint of the eyes."""
        y = self.eyes[1] + self.scale * (back * self.cosine - up * self.sine)
        z = self.eyes[2] + self.scale * (back * self.sine + up * self.cosine)
        middle = self.eyes[0] + (self.stem[0] - self.eyes[0]) * back / STEM_BACK_MM
        return (float(middle + self.scale * x), float(y), float(z))

    def coordinates(self, scene: Scene, window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, back and up (atlas mm) of a window's voxels."""
        x, y, z = scene.canvas.coordinates(window)
        dy, dz = (y - self.eyes[1]) / self.scale, (z - self.eyes[2]) / self.scale
        back, up = dy * self.cosine + dz * self.sine, -dy * self.sine + dz * self.cosine
        middle = self.eyes[0] + (self.stem[0] - self.eyes[0]) * back / STEM_BACK_MM
        return (x - middle) / self.scale, back, up


def base_frame(scene: Scene) -> BaseFrame | None:
    """None where an eye is missing."""
    left, right, stem_mm = (scene.centre_mm(name) for name in ("Eye_L", "Eye_R", "Brainstem"))
    if left is None or right is None:
        return None
    eyes = (np.array(left) + np.array(right)) / 2
    stem = np.array(stem_mm) if stem_mm is not None else eyes + np.array([0.0, STEM_BACK_MM, -STEM_DOWN_MM])
    dy, dz = stem[1] - eyes[1], stem[2] - eyes[2]
    angle = float(np.clip(np.arctan2(dz, dy) + np.arctan2(STEM_DOWN_MM, STEM_BACK_MM), -0.5, 0.5))
    scale = float(np.clip(np.hypot(dy, dz) / np.hypot(STEM_BACK_MM, STEM_DOWN_MM), 0.85, 1.15))
    return BaseFrame(eyes, stem, float(np.cos(angle)), float(np.sin(angle)), scale)


def paint_skull_base(scene: Scene) -> None:
    """Sinuses and bone first, then what lies in the sella and above it. Adds masks of ``OpticChiasm`` and ``Pituitary`` to the scene."""
    frame = base_frame(scene)
    if frame is None:
        return
    x, y, z = (float(v) for v in frame.eyes)
    window = scene.canvas.window((x - 40, y - 30, z - 50), (x + 40, y + 95, z + 45))
    free = (~scene.mask(*scene.masks) & (scene.hu > -900))[window]
    _paint_ethmoid(scene, frame, window, free)
    _paint_sphenoid(scene, frame, window, free)
    _paint_sella(scene, frame)
    _paint_chiasm(scene, frame)


def cells(
    points: np.ndarray, spacing_mm: float, wall_mm: float, filled: float, wall_hu: float, rng: np.random.Generator
) -> np.ndarray:
    """HU of air cells with bony walls at ``points`` (N, 3, mm): cells about ``spacing_mm`` wide, the share ``filled`` of them with mucosa."""
    low, high = points.min(axis=0) - 3, points.max(axis=0) + 3
    count = max(6, int(np.prod(high - low) / spacing_mm**3))
    seeds = rng.uniform(low, high, (count, 3))
    distance, which = cKDTree(seeds).query(points, k=2)
    content = np.where(rng.random(count) < filled, rng.uniform(10, 60, count), rng.uniform(-1000, -920, count))
    out = content[which[:, 0]]
    wall = np.clip(
        (wall_mm - (distance[:, 1] - distance[:, 0])) / wall_mm, 0, 1
    )  # thinner than a voxel: partial volume
    return np.asarray(out + (wall_hu - out) * np.minimum(1.0, 1.5 * wall) * rng.uniform(0.5, 1.0))


def _paint_ethmoid(scene: Scene, frame: BaseFrame, window: Window, free: np.ndarray) -> None:
    """Air cells between the orbits, the paper-thin walls to both, a septum; the nose's bone in front of them."""
    rng, tissues, hu = scene.rng, scene.tissues, scene.hu[window]
    x, back, up = frame.coordinates(scene, window)
    front, end = rng.uniform(-12, -5), rng.uniform(36, 42)
    half = rng.uniform(9.5, 13.5) + rng.uniform(0.0, 0.09) * np.clip(back, 0, 40)
    low, top = rng.uniform(-20, -12), rng.uniform(7, 13)
    box = (np.abs(x) < half + 1.2) & (back > front) & (back < end) & (up > low) & (up < top) & free
    box &= scene.distance_mm("Brain")[window] > 3.0
    if not box.any():
        return
    points = np.stack([x[box], back[box], up[box]], axis=1)
    filled = rng.choice([0.03, 0.15, 0.7], p=[0.6, 0.3, 0.1])
    values = cells(points, rng.uniform(5.5, 10.0), rng.uniform(0.8, 1.6), filled, rng.uniform(150, 600), rng)
    edge = np.abs(points[:, 0]) > (half[box] - 0.2)
    values[edge] = rng.uniform(250, 750)
    values[np.abs(points[:, 0]) < 0.8] = rng.uniform(60, 400)
    hu[box] = values
    nose = (
        (np.abs(x) < rng.uniform(5, 9))
        & (back > front - rng.uniform(8, 16))
        & (back <= front)
        & (up > -12)
        & (up < top + 4)
        & free
    )
    hu[nose & (np.abs(x) > 2.5)] = tissues.compact * rng.uniform(0.5, 0.9)
    hu[nose & (np.abs(x) <= 2.5)] = rng.choice([-950.0, 300.0])


def _paint_sphenoid(scene: Scene, frame: BaseFrame, window: Window, free: np.ndarray) -> None:
    """The body of the sphenoid, down to the clivus; in most heads a sinus of one to six cells in it."""
    rng, tissues, hu = scene.rng, scene.tissues, scene.hu[window]
    x, back, up = frame.coordinates(scene, window)
    slope = -0.9 * np.clip(back - 54, 0, 30)
    body = (np.abs(x) < 15) & (back > 36) & (back < 70) & (up < 0.5 + slope) & (up > -22 + slope) & free
    shell = body & ((up > -1.5 + slope) | (np.abs(x) > 13.5) | (back < 37.5))
    hu[body] = tissues.spongy * rng.uniform(0.5, 1.1) + 70 * scene.field[window][body]
    hu[shell] = tissues.compact * rng.uniform(0.6, 0.9)
    if rng.random() < 0.1:  # no sinus
        return
    half, depth, floor = rng.uniform(9, 14), rng.uniform(8, 20), rng.uniform(-18, -11)
    sinus = (
        (np.abs(x) < half) & (back > 36) & (back < 37 + depth) & (up < rng.uniform(-3.5, -1.5)) & (up > floor) & free
    )
    sinus &= ~((back > 44) & (up > -13) & (np.abs(x) < 12))  # the sella
    if sinus.any():
        points = np.stack([x[sinus], back[sinus], up[sinus]], axis=1)
        filled = rng.choice([0.0, 0.3, 1.0], p=[0.75, 0.15, 0.1])
        hu[sinus] = cells(points, rng.uniform(11, 20), rng.uniform(0.8, 1.4), filled, rng.uniform(300, 700), rng)


def _paint_sella(scene: Scene, frame: BaseFrame) -> None:
    """Cavernous sinuses with the carotids, clinoids, dorsum; the pituitary in its fossa."""
    canvas, rng, tissues = scene.canvas, scene.rng, scene.tissues
    free = ~scene.mask("Brainstem", "OpticNrv_L", "OpticNrv_R", "Eye_L", "Eye_R")
    back, up = PITUITARY_MM
    contrast = float(rng.choice([0.0, 30.0, 110.0], p=[0.6, 0.2, 0.2]))
    width = rng.uniform(6.5, 9.5)
    canvas.paint(
        ellipsoid(frame.at(0, back, up - 0.5), (width + 2, 8.5, 6.5)), tissues.compact * 0.8, inside=free
    )  # floor
    canvas.paint(
        ellipsoid(frame.at(0, back + 1, up + 6), (width + 5, 9.0, 4.5)), tissues.fluid, inside=free
    )  # open above
    for side in (1, -1):
        canvas.paint(
            ellipsoid(frame.at(side * 11.5, back, up + 0.5), (4.2, 9, 5)), tissues.muscle + contrast * 0.7, inside=free
        )
        siphon = [
            frame.at(side * s, back + b, up + u)
            for s, b, u in ((10, 9, -4), (11, 3, -1), (10, -6, 0), (9.5, -4, 6), (10, 1, 9))
        ]
        canvas.paint(tube(siphon, [2.3] * 5), tissues.muscle - 8 + contrast, inside=free)
        if rng.random() < 0.35:
            canvas.paint(
                ellipsoid(siphon[int(rng.integers(1, 4))], (1.6, 1.6, 1.6)), rng.uniform(250, 800), inside=free
            )
        clinoid = [frame.at(side * 17, back - 10, up + 9.5), frame.at(side * 11.5, back - 3, up + 9.0)]
        canvas.paint(tube(clinoid, [3.0, 1.8]), tissues.compact * 0.8, inside=free)
    plate = [frame.at(x, back + rng.uniform(7, 8.5), up + u) for x, u in ((-6, 3.5), (6, 3.5), (6, -3), (-6, -3))]
    canvas.paint(tube([*plate, plate[0]], [1.5] * 5), tissues.compact * rng.uniform(0.5, 0.9), inside=free)
    size = (width * rng.uniform(0.75, 0.95), rng.uniform(4.2, 5.6), rng.uniform(2.6, 4.2))
    place = frame.at(0, back, up + rng.uniform(-0.5, 0.7))
    canvas.paint(ellipsoid(place, (size[0] + 0.8, size[1] + 0.8, size[2] + 0.8)), tissues.fluid + 10, inside=free)
    gland = canvas.mask(ellipsoid(place, size)) & free
    scene.hu[gland] = tissues.muscle - 5 + contrast * 0.8 + 4 * scene.field[gland]
    scene.masks["Pituitary"] = gland
    stalk = [frame.at(0, back + 2, up + 3), frame.at(0, CHIASM_MM[0] + 3.5, CHIASM_MM[1] - 1.5)]
    canvas.paint(tube(stalk, [1.0, 1.4]), tissues.muscle - 8 + contrast * 0.7, inside=free & ~gland)


def _paint_chiasm(scene: Scene, frame: BaseFrame) -> None:
    """A star of fluid with the chiasm in it: an X whose front arms end at the contoured nerves; the tracts behind it."""
    canvas, rng, tissues = scene.canvas, scene.rng, scene.tissues
    nerves = scene.mask("OpticNrv_L", "OpticNrv_R")
    free = ~nerves & ~scene.mask("Brainstem") & (scene.hu < 250)
    back, up = CHIASM_MM[0] + rng.uniform(-1, 2), CHIASM_MM[1] + rng.uniform(-0.5, 1.5)
    ends = [_nerve_end(scene, f"OpticNrv{side}") for side in ("_L", "_R")]
    middle: Point = frame.at(0, back, up)
    if all(end is not None for end in ends):  # the nerves say better than the atlas how high the chiasm lies
        end = np.mean([e for e in ends if e is not None], axis=0)
        y = max(middle[1], float(end[1]) + 4.0)
        z = 0.5 * middle[2] + 0.5 * (float(end[2]) + 0.12 * (y - float(end[1])))
        middle = (0.5 * (middle[0] + float(end[0])), y, z)
    mx, my, mz = middle
    for reach in ((11, 8, 4.5), (17, 4, 3.5), (4, 14, 4)):  # suprasellar cistern
        canvas.paint(ellipsoid((mx, my + 3, mz - 0.5), reach), tissues.fluid, inside=free)
    thick = rng.uniform(1.7, 2.4)
    shapes = []
    for side, end in zip((1, -1), ends, strict=True):
        front: Point = (mx + side * 6.0, my - 6.0, mz - 0.5)
        if end is not None and np.hypot(end[0] - front[0], end[1] - front[1]) < 25:
            front = (float(end[0]), float(end[1]), float(end[2]))
        tract: Point = (mx + side * 9.0, my + 9.0, mz + 2.0)
        shapes.append(tube([front, (mx + side * 1.5, my, mz), tract], [thick, thick + 0.4, thick - 0.2]))
    shapes.append(ellipsoid(middle, (4.5, 2.8, thick + 0.3)))
    cross = canvas.mask(*shapes) & ~nerves
    hu = tissues.grey + rng.uniform(-4, 8)
    scene.hu[cross & free] = hu
    core = canvas.mask(ellipsoid(middle, (9.0, 5.0, 4.5)))
    scene.masks["OpticChiasm"] = cross & core & (scene.hu < 300)


def _nerve_end(scene: Scene, name: str) -> np.ndarray | None:
    """The back end of a contoured nerve: the middle of its last tenth."""
    mask = scene.masks.get(name)
    if mask is None or not mask.any():
        return None
    canvas = scene.canvas
    y = canvas.y_mm[mask]
    deep = y >= np.percentile(y, 90)
    return np.array([float(c[mask][deep].mean()) for c in (canvas.x_mm, canvas.y_mm, canvas.z_mm)])
