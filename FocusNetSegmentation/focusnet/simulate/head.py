"""Paint body, skull, brain, jaw and spine around the contoured organs, from large to small; later tissues replace earlier ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..image.volume import Geometry
from ..phantom.anatomy import Patient, outline, paint_face, paint_neck, paint_spine
from ..phantom.body import nape_mask
from ..phantom.shapes import Canvas, Point, column, ellipsoid
from .tissue import Tissues

COARSE_MM = 2.5  # grid of the distance maps: skull and skin are several mm thick
TEETH, LOWER_MM, UPPER_MM = 14, 3.0, 13.5  # crowns in a row, and the rows' middles above the mandible
BRIDGES = 0.2  # part of patients
MARGINS_MM = {  # of tissue around an organ, up to the skin
    "Brain": 15.0,
    "Bone_Mandible": 9.0,
    "Parotid": 6.0,
    "Glnd_Submand": 8.0,
    "Glnd_Lacrimal": 4.0,
    "Eye": 3.0,
    "Lens": 3.5,
    "Lung": 18.0,
    "SpinalCanal": 28.0,
}


@dataclass
class Scene:
    """The scene that all painters share. ``masks``: contoured organs, bool (z, y, x) on ``geometry``. ``field``: smooth noise of standard deviation 1.
    ``metal``: fillings, for the streaks. ``distances``: coarse distance maps that were made already. ``body``: all that is not outside air, once
    it is painted."""

    canvas: Canvas
    geometry: Geometry
    masks: dict[str, np.ndarray]
    tissues: Tissues
    rng: np.random.Generator
    field: np.ndarray
    metal: np.ndarray
    distances: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    body: np.ndarray | None = None

    @property
    def hu(self) -> np.ndarray:
        """Return the canvas's HU, float32 (z, y, x)."""
        return self.canvas.hu

    def mask(self, *names: str) -> np.ndarray:
        """Return the union of organs, bool (z, y, x); empty where none was contoured."""
        out = np.zeros(self.geometry.shape_zyx, bool)
        for name in names:
            if name in self.masks:
                out |= self.masks[name]
        return out

    def centre_mm(self, name: str) -> Point | None:
        """Centre of an organ in the canvas's mm (x, y, z); None where it was not contoured here."""
        mask = self.masks.get(name)
        if mask is None or not mask.any():
            return None
        canvas = self.canvas
        x, y, z = (float(np.mean(c[mask])) for c in (canvas.x_mm, canvas.y_mm, canvas.z_mm))
        return (x, y, z)

    def distance_mm(self, *names: str) -> np.ndarray:
        """Return every voxel's distance to the organs in mm (0 inside, large if there are none), from a coarse grid."""
        key = "+".join(names)
        if key not in self.distances:
            self.distances[key] = distance_mm(self.mask(*names), self.geometry)
        return self.distances[key]


def distance_mm(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Return the distance to ``mask`` (z, y, x) in mm on the same grid, computed at COARSE_MM; float32."""
    steps = [max(1, round(COARSE_MM / s)) for s in geometry.spacing_mm_zyx]
    coarse = (
        ndimage.maximum_filter(mask, size=steps)[tuple(slice(s // 2, None, s) for s in steps)]
        if max(steps) > 1
        else mask
    )
    if not coarse.any():
        return np.full(mask.shape, 1e6, np.float32)
    sampling = [s * n for s, n in zip(geometry.spacing_mm_zyx, steps, strict=True)]
    signed = ndimage.distance_transform_edt(~coarse, sampling=sampling)
    return enlarge(signed.astype(np.float32), steps, mask.shape)


def enlarge(coarse: np.ndarray, steps: list[int], shape_zyx: tuple[int, ...]) -> np.ndarray:
    """Interpolate linearly a grid (z, y, x) that took every n-th voxel, beginning with n // 2."""
    offset = [-(s // 2) / s for s in steps]
    return np.asarray(
        ndimage.affine_transform(coarse, [1 / s for s in steps], offset, shape_zyx, order=1, mode="nearest")
    )


def smooth_field(geometry: Geometry, grain_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Return smooth noise (z, y, x) of mean 0 and standard deviation 1, with grains of about ``grain_mm``."""
    steps = [max(1, round(grain_mm / 2 / s)) for s in geometry.spacing_mm_zyx]
    coarse_shape = [n // s + 2 for n, s in zip(geometry.shape_zyx, steps, strict=True)]
    sigma = [grain_mm / 2.5 / (s * n) for s, n in zip(geometry.spacing_mm_zyx, steps, strict=True)]
    coarse = ndimage.gaussian_filter(rng.standard_normal(coarse_shape, dtype=np.float32), sigma)
    return enlarge(coarse / max(float(coarse.std()), 1e-9), steps, geometry.shape_zyx)


def body_mask(scene: Scene) -> np.ndarray:
    """Return the body, bool (z, y, x): the phantom's outline, bent to this patient, and a margin around the contoured organs."""
    body = scene.canvas.mask(*outline())
    for organ, margin in MARGINS_MM.items():
        names = [name for name in (organ, f"{organ}_L", f"{organ}_R") if name in scene.masks]
        if names:
            body |= scene.distance_mm(*names) <= margin
    soft = ndimage.gaussian_filter(
        body.astype(np.float32), [4.0 / s for s in scene.geometry.spacing_mm_zyx], truncate=2.0
    )
    return np.asarray(soft > 0.5) | scene.mask(*scene.masks)


def paint_head(scene: Scene) -> np.ndarray:
    """Paint everything but glands, ears and orbits; return the body's mask (z, y, x)."""
    hu, tissues = scene.hu, scene.tissues
    body = body_mask(scene)
    depth = distance_mm(~body, scene.geometry)
    hu[body] = tissues.skin
    hu[body & (depth > 2.5)] = tissues.fat
    deep = body & (depth > 7.0 + 2.0 * scene.field)
    below = scene.canvas.z_mm < -48
    hu[deep] = np.where(below[deep], tissues.fat + 15, tissues.muscle)
    hu[nape_mask(scene.canvas, body, depth)] = tissues.muscle
    patient = _as_phantom(scene)
    within = body & (depth > 3.0)
    paint_neck(scene.canvas, patient, within)
    paint_face(scene.canvas, patient, within)
    paint_spine(scene.canvas, patient, within)
    _paint_skull(scene, body)
    _paint_brain(scene)
    _paint_canal(scene)
    lungs = scene.mask("Lung_L", "Lung_R")
    hu[lungs] = tissues.lung + 25 * scene.field[lungs]
    _paint_jaw(scene, within)
    return body


def _as_phantom(scene: Scene) -> Patient:
    """Return this patient's tissues as the phantom's Patient."""
    tissues, rng = scene.tissues, scene.rng
    contrast = float(rng.choice([0.0, 90.0, 130.0]))
    return Patient(
        {"SpinalCord": 1}, tissues.fat, tissues.muscle, tissues.grey, tissues.compact / 1200, 45.0 + contrast, {}
    )


def _paint_skull(scene: Scene, body: np.ndarray) -> None:
    """Paint fluid, inner table, spongy bone and outer table around the contoured brain, open where the cord leaves."""
    hu, tissues = scene.hu, scene.tissues
    distance = scene.distance_mm("Brain", "Brainstem")
    thick = 5.6 + 0.9 * scene.field
    bone = body & (distance > 1.6) & (distance <= 1.6 + thick)
    hu[bone] = tissues.compact
    spongy = bone & (distance > 3.2) & (distance < thick)
    hu[spongy] = tissues.spongy + 80 * scene.field[spongy]
    hu[body & (distance <= 1.6)] = tissues.fluid
    stem = scene.distance_mm("Brainstem", "SpinalCord", "SpinalCanal") < 5.0
    hu[stem & bone] = tissues.fluid  # foramen magnum


def _paint_brain(scene: Scene) -> None:
    hu, tissues, canvas = scene.hu, scene.tissues, scene.canvas
    brain = scene.mask("Brain")
    depth = distance_mm(~brain, scene.geometry)
    hu[brain] = tissues.grey
    inner = brain & (depth > 6.0 + 2.5 * scene.field)
    hu[inner] = tissues.white
    sulci = brain & (depth < 9.0) & (scene.field > 1.15)
    hu[sulci] = tissues.fluid + 6
    canvas.paint(ellipsoid((0, 12, 62), (0.9, 88, 54)), tissues.grey + 15, inside=brain)  # falx
    for side in (1, -1):
        canvas.paint(ellipsoid((side * 10, 8, 29), (4.5, 26, 7)), tissues.fluid, inside=brain)  # ventricles
    canvas.paint(ellipsoid((0, -13, 2), (14, 10, 6)), tissues.fluid, inside=brain)  # suprasellar cistern
    stem = scene.mask("Brainstem")
    ring = (scene.distance_mm("Brainstem") < 1.8) & (scene.field > -0.3) & brain
    hu[ring & ~stem] = tissues.fluid
    hu[stem] = tissues.brainstem


def _paint_canal(scene: Scene) -> None:
    """Paint fluid in the contoured canal and the cord in it."""
    hu, tissues, canvas = scene.hu, scene.tissues, scene.canvas
    canal, cord = scene.mask("SpinalCanal"), scene.mask("SpinalCord")
    if not canal.any():
        canal = scene.distance_mm("SpinalCord") < 3.5 if cord.any() else canal
    hu[canal & (canvas.z_mm < -20)] = tissues.fluid - 4
    hu[cord] = tissues.cord


def _paint_jaw(scene: Scene, within: np.ndarray) -> None:
    """Paint compact bone around marrow in the contoured mandible, and teeth on its arch, some of them filled."""
    hu, tissues = scene.hu, scene.tissues
    jaw = scene.mask("Bone_Mandible")
    if not jaw.any():
        return
    window = ndimage.find_objects(jaw.view(np.uint8))[0]
    part = jaw[window]
    depth = ndimage.distance_transform_edt(np.pad(part, 1), sampling=scene.geometry.spacing_mm_zyx)[1:-1, 1:-1, 1:-1]
    values = np.where(depth > 2.6, tissues.jaw_marrow + 60 * scene.field[window], tissues.jaw_compact)
    hu[window][part] = values[part]
    _paint_teeth(scene, jaw, within)


def _paint_teeth(scene: Scene, jaw: np.ndarray, within: np.ndarray) -> None:
    canvas, rng, tissues = scene.canvas, scene.rng, scene.tissues
    free = within & ~scene.mask(*scene.masks)
    x, y, z = canvas.x_mm[jaw], canvas.y_mm[jaw], canvas.z_mm[jaw]
    centre_y = float(np.percentile(y, 60))
    angle = np.arctan2(centre_y - y, x)  # 0 at the patient's left, pi at the right
    filled = rng.random() < 0.6
    bridge = _bridge(rng.spawn(1)[0])  # a generator of its own: whatever else this seed draws stays as it is
    for number, a in enumerate(np.linspace(0.16, 0.84, TEETH) * np.pi):
        near = np.abs(angle - a) < 0.09
        if near.sum() < 8 or rng.random() < 0.12:  # a gap
            continue
        top = float(np.percentile(z[near], 92 if 0.3 < a / np.pi < 0.7 else 60))
        cx, cy = float(np.median(x[near])), float(np.median(y[near]))
        for height in (LOWER_MM, UPPER_MM):
            crown = column(_at(cx * 0.96, cy), (3.4, 3.6), (top + height - 4.5, top + height + 4.5))
            canvas.paint(crown, tissues.tooth, inside=free)
            if (height, number) in bridge:
                window, mask = crown(canvas)
                scene.metal[window] |= mask & free[window]
            if filled and rng.random() < 0.14:
                window, mask = ellipsoid((cx * 0.96, cy, top + height + 1.0), (2.2, 2.2, 2.5))(canvas)
                scene.metal[window] |= mask & free[window]


def _bridge(rng: np.random.Generator) -> set[tuple[float, int]]:
    """Return the crowns (row, number) that are metal: in a fifth of patients two to five neighbours in one of the rows."""
    if rng.random() >= BRIDGES:
        return set()
    first, length = int(rng.integers(0, TEETH - 2)), int(rng.integers(2, 6))
    row = LOWER_MM if rng.random() < 0.5 else UPPER_MM
    return {(row, number) for number in range(first, min(TEETH, first + length))}


def _at(x_mm: float, y_mm: float) -> Callable[[np.ndarray], tuple[float, float]]:
    """Return an upright line, for ``column``."""
    return lambda z: (x_mm, y_mm)
