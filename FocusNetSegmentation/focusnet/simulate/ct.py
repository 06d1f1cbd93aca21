"""Simulate a CT from label maps: paint tissues on thin slices, then model the scanner."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..image.volume import Geometry, Volume
from .frame import canvas_over
from .head import Scene, paint_head, smooth_field
from .organ_shapes import paint_organs
from .scanner import METAL_HU, add_streaks, blur, noise, thick_slices
from .tissue import Tissues

NOTE = "Simulated CT over real contours, not a patient's scan."
THIN_MM = 1.6  # slices are painted at most this thick, then averaged: partial volume along z


def thin_grid(geometry: Geometry) -> tuple[Geometry, int]:
    """Return the grid on which tissues are painted, and how many of its slices make one slice of ``geometry``."""
    thickness = geometry.spacing_mm_xyz[2]
    per_slice = max(1, int(np.ceil(thickness / THIN_MM)))
    thin = thickness / per_slice
    first = np.array([(1 - per_slice) / 2 / per_slice, 0.0, 0.0])  # of the first thin slice, in thick voxels
    x, y, z = geometry.index_to_mm(first)
    shape = (geometry.shape_zyx[0] * per_slice, *geometry.shape_zyx[1:])
    spacing = (geometry.spacing_mm_xyz[0], geometry.spacing_mm_xyz[1], thin)
    return replace(
        geometry, shape_zyx=shape, spacing_mm_xyz=spacing, origin_mm_xyz=(float(x), float(y), float(z))
    ), per_slice


def simulate_ct(
    thin_masks: dict[str, np.ndarray],
    geometry: Geometry,
    centres_mm: dict[str, np.ndarray],
    seed: int | tuple[int, ...],
    source: str,
) -> Volume:
    """Simulate a CT (int16 HU, (z, y, x)) on the upright ``geometry`` over organ masks.

    ``thin_masks``: organ name -> bool (z, y, x) on ``thin_grid(geometry)``. ``centres_mm``: centre (x, y, z, LPS mm) of each
    whole organ, also where the grid holds only a part of it; it says where the face is. The same seed and masks give the same
    voxels. Raises InputError where the contours do not say where the head is (``frame.REQUIRED``) or left and right are
    exchanged.
    """
    thin, per_slice = thin_grid(geometry)
    scene = painted_scene(thin_masks, thin, centres_mm, np.random.default_rng(seed))
    return Volume(_scan(scene, geometry, per_slice), geometry, f"{source}, simulated", notes=(NOTE,))


def painted_scene(
    masks: dict[str, np.ndarray], thin: Geometry, centres_mm: dict[str, np.ndarray], rng: np.random.Generator
) -> Scene:
    """Return the patient before the scan: tissues with their texture and metal, without blur, noise or streaks.

    ``masks``: organ name -> bool (z, y, x) on ``thin``, an upright grid. Raises as ``simulate_ct``.
    """
    present = {name: mask for name, mask in masks.items() if mask.any()}
    canvas = canvas_over(present, thin, centres_mm)
    scene = Scene(
        canvas, thin, present, Tissues.draw(rng), rng, smooth_field(thin, 6.0, rng), np.zeros(thin.shape_zyx, bool)
    )
    body = paint_head(scene)
    paint_organs(scene)
    hu = scene.hu
    soft = body & (hu > -250) & (hu < 250)
    hu[soft] += 5.0 * scene.field[soft]
    bone = hu >= 250
    hu[bone] *= 1 + 0.08 * scene.field[bone]
    hu[scene.metal] = METAL_HU
    scene.body = body
    return scene


def _scan(scene: Scene, geometry: Geometry, per_slice: int) -> np.ndarray:
    """Blur, slice thickness, streaks, noise; int16."""
    rng, hu = scene.rng, scene.hu
    out = thick_slices(blur(hu, scene.geometry.spacing_mm_zyx, float(rng.uniform(0.55, 0.85)), 0.6), per_slice)
    spacing_xy = (geometry.spacing_mm_xyz[0], geometry.spacing_mm_xyz[1])
    metal = np.asarray(scene.metal.reshape(-1, per_slice, *scene.metal.shape[1:]).any(axis=1))
    add_streaks(out, metal, spacing_xy, float(rng.uniform(60, 160)), rng)
    out += noise(out.shape, spacing_xy, float(rng.uniform(8, 15)), rng)
    out += rng.standard_normal(out.shape, dtype=np.float32) * 2.0
    return np.asarray(np.clip(np.rint(out), -1024, 3071), np.int16)
