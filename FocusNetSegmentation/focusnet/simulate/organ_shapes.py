"""Paint glands, ears and orbits of the simulator: the surroundings of the small organs, and the small organs themselves."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..image.organs import without_side
from ..phantom.anatomy import AIR
from ..phantom.shapes import Point, ellipsoid, tube
from .head import Scene

BORDER_NOISE = (
    0.16  # of a blurred mask: the tissue's border strays from the contour by about half a voxel, as two observers' do
)

THINNEST = 0.7  # share of its own tissue that an organ has at least inside its contour


def paint_organs(scene: Scene) -> None:
    """Paint glands first, then ears and orbits."""
    tissues = scene.tissues
    for side in ("_L", "_R"):
        soft_organ(scene, f"Parotid{side}", tissues.parotid, blur_mm=1.2, spread=16.0)
        soft_organ(scene, f"Glnd_Submand{side}", tissues.submandibular, blur_mm=1.2, spread=8.0)
        _paint_ear(scene, side)
        _paint_orbit(scene, side)


def soft_organ(scene: Scene, name: str, mean_hu: float, blur_mm: float, spread: float) -> None:
    """Paint an organ that fades into its surroundings over ``blur_mm``, with a border that strays a little from the contour.

    ``mean_hu``: its mean. ``spread``: standard deviation inside it, HU.
    """
    mask = scene.masks.get(name)
    if mask is None or not mask.any():
        return
    window = _around(scene, mask, 6.0)
    sigma = [blur_mm / s for s in scene.geometry.spacing_mm_zyx]
    weight = ndimage.gaussian_filter(mask[window].astype(np.float32), sigma)
    weight = np.clip((weight + BORDER_NOISE * scene.field[window] * (weight > 0.02) - 0.5) * 2.5 + 0.5, 0, 1)
    weight = np.maximum(weight, THINNEST * mask[window])  # so that a gland thinner than the blur stays visible
    own = mean_hu + spread * scene.field[window]
    hu = scene.hu[window]
    hu[...] = (1 - weight) * hu + weight * own


def _paint_ear(scene: Scene, side: str) -> None:
    """Paint petrous bone with many hollows, of which the contoured cochlea is one; cells of the mastoid; the ear canal."""
    cochlea = scene.masks.get(f"Cochlea{side}")
    if cochlea is None or not cochlea.any():
        return
    canvas, tissues, rng = scene.canvas, scene.tissues, scene.rng
    out = 1.0 if side == "_L" else -1.0
    x, y, z = (float(np.mean(c[cochlea])) for c in (canvas.x_mm, canvas.y_mm, canvas.z_mm))
    free = ~scene.mask("Brain", "Brainstem", "SpinalCanal", "SpinalCord", "Bone_Mandible", "Parotid_L", "Parotid_R")
    free &= scene.hu > -500  # not in the outside air

    def at(dx: float, dy: float, dz: float) -> Point:
        return (x + out * dx, y + dy, z + dz)

    canvas.paint(ellipsoid(at(4, 0, 0), (19, 10, 8.5)), tissues.petrous, inside=free)
    canvas.paint(ellipsoid(at(19, 13, -8), (9, 11, 14)), tissues.spongy + 150, inside=free)  # mastoid
    for _ in range(60):
        place = at(*(rng.normal(0, 1, 3) * (4.0, 5.5, 7.5) + (19, 13, -8)))
        radius = rng.uniform(1.2, 3.0)
        canvas.paint(ellipsoid(place, (radius, radius, radius)), rng.choice([-750.0, -400.0, 60.0]), inside=free)
    canvas.paint(ellipsoid(at(13, 0, 0), (3.6, 4.0, 5.5)), -820.0, inside=free)  # middle ear
    canvas.paint(tube([at(18, -1, -1), at(50, -2, -1)], [3.2, 3.6]), AIR, inside=free)  # ear canal
    # vestibule, semicircular canals, internal auditory canal: as dark as the cochlea, and close to it
    for dx, dy, dz, radius in ((4.5, 4.0, 1.5, 2.2), (7.5, 6.0, 3.0, 1.3), (8.0, 3.5, -1.5, 1.2), (5.5, 7.5, 0.5, 1.2)):
        canvas.paint(
            ellipsoid(at(dx, dy, dz), (radius, radius, radius)), tissues.cochlea + rng.normal(0, 90), inside=free
        )
    canvas.paint(tube([at(-3, 2.5, 0), at(-14, 5, 1)], [2.0, 2.8]), tissues.fluid + 30, inside=free)
    soft_organ(scene, f"Cochlea{side}", tissues.cochlea, blur_mm=0.9, spread=170.0)


def _paint_orbit(scene: Scene, side: str) -> None:
    """Paint a cone of fat in thin bone behind the contoured eye, four muscles, the nerve; then lacrimal gland, eye and lens."""
    canvas, tissues = scene.canvas, scene.tissues
    eye = scene.masks.get(f"Eye{side}")
    if eye is None or not eye.any():
        return
    centre = _place(scene, eye)
    nerve = scene.masks.get(f"OpticNrv{side}")
    out = 1.0 if side == "_L" else -1.0
    back: Point = (centre[0] - out * 17.0, centre[1] + 42.0, centre[2] + 5.0)
    if nerve is not None and nerve.any():
        deep = nerve & (canvas.y_mm > np.percentile(canvas.y_mm[nerve], 80))
        back = _place(scene, deep)
        back = back if back[1] > centre[1] + 25 else (back[0], centre[1] + 25.0, back[2])
    middle: Point = tuple(centre[i] + 0.5 * (back[i] - centre[i]) for i in range(3))  # type: ignore[assignment]
    rim: Point = (centre[0], centre[1] - 1.0, centre[2])
    others = [name for name in scene.masks if without_side(name) not in ("Eye", "Lens", "OpticNrv", "Glnd_Lacrimal")]
    free = ~scene.mask(*others) & (scene.hu > -900)
    canvas.paint(
        tube([rim, middle, back], [19.0, 14.0, 5.5]),
        tissues.compact * 0.75,
        inside=free & (scene.distance_mm("Brain") > 0),
    )
    canvas.paint(tube([rim, middle, back], [17.5, 12.0, 4.0]), tissues.fat, inside=free)
    for dx, dz in ((-10.5, 0.0), (10.5, 0.0), (0.0, 10.5), (0.0, -10.5)):
        mid: Point = (middle[0] + 0.55 * dx, middle[1], middle[2] + 0.55 * dz)
        front: Point = (centre[0] + dx, centre[1] + 5.0, centre[2] + dz)
        canvas.paint(tube([back, mid, front], [1.6, 2.4, 1.6]), tissues.muscle, inside=free)
    lid: list[Point] = [(centre[0] - 12, centre[1] - 13, centre[2]), (centre[0] + 12, centre[1] - 12, centre[2])]
    canvas.paint(tube(lid, [2.5, 2.5], 4.0), tissues.muscle - 15, inside=free & ~eye & (scene.hu > -300))
    if nerve is not None:
        soft_organ(scene, f"OpticNrv{side}", tissues.nerve, blur_mm=0.6, spread=6.0)
    soft_organ(scene, f"Glnd_Lacrimal{side}", tissues.lacrimal, blur_mm=1.6, spread=9.0)
    _paint_eye(scene, eye, f"Lens{side}")


def _paint_eye(scene: Scene, eye: np.ndarray, lens: str) -> None:
    """Paint the sclera as thick as a voxel, the vitreous body in it, the lens in that."""
    window = _around(scene, eye, 3.0)
    part = eye[window]
    depth = ndimage.distance_transform_edt(np.pad(part, 1), sampling=scene.geometry.spacing_mm_zyx)[1:-1, 1:-1, 1:-1]
    values = np.where(depth > 1.3, scene.tissues.vitreous + 3 * scene.field[window], scene.tissues.sclera)
    scene.hu[window][part] = values[part]
    soft_organ(scene, lens, scene.tissues.lens, blur_mm=0.5, spread=5.0)


def _place(scene: Scene, mask: np.ndarray) -> Point:
    """Return the centre of a mask in the phantom's millimetres."""
    x, y, z = (float(np.mean(c[mask])) for c in (scene.canvas.x_mm, scene.canvas.y_mm, scene.canvas.z_mm))
    return (x, y, z)


def _around(scene: Scene, mask: np.ndarray, margin_mm: float) -> tuple[slice, ...]:
    """Return the box of a mask and a margin."""
    box = ndimage.find_objects(mask.view(np.uint8))[0]
    return tuple(
        slice(max(0, part.start - round(margin_mm / s)), min(n, part.stop + round(margin_mm / s)))
        for part, n, s in zip(box, mask.shape, scene.geometry.spacing_mm_zyx, strict=True)
    )
