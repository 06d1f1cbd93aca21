"""Surroundings of a head on the couch: a thermoplastic mask on the skin, a headrest behind, the couch's top."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .deform import smooth_noise
from .variety import Variety

AIR_HU = -1000.0


def add_surroundings(
    hu: np.ndarray,
    outside: np.ndarray,
    spacing_mm_zyx: tuple[float, float, float],
    variety: Variety,
    rng: np.random.Generator,
) -> None:
    """Draw mask, headrest and couch into the outside air, in place. ``hu`` float32, ``outside`` bool, both (z, y, x)."""
    if not outside.any() or outside.all():
        return
    if rng.random() < variety.mask:
        _mask(hu, outside, spacing_mm_zyx, rng)
    if rng.random() < variety.rest:
        _rest(hu, outside, spacing_mm_zyx, rng)
    if rng.random() < variety.couch:
        _couch(hu, outside, spacing_mm_zyx, rng)


def _mask(
    hu: np.ndarray, outside: np.ndarray, spacing_mm_zyx: tuple[float, float, float], rng: np.random.Generator
) -> None:
    """A sheet with holes about the skin, slice by slice, touching it or some mm away."""
    gap, thick = rng.uniform(0.0, 3.0), rng.uniform(1.2, 3.0)
    level = rng.uniform(-350, 150)
    distance = np.stack([_distance_mm(part, spacing_mm_zyx[1:]) for part in outside])
    holes = smooth_noise(hu.shape, spacing_mm_zyx, 6.0, rng) > rng.uniform(0.2, 1.5)
    sheet = outside & (distance > gap) & (distance <= gap + thick) & ~holes
    hu[sheet] = level


def _distance_mm(outside: np.ndarray, spacing_mm: tuple[float, float]) -> np.ndarray:
    if outside.all():
        return np.full(outside.shape, 1e3)
    return np.asarray(ndimage.distance_transform_edt(outside, sampling=spacing_mm))


def _rest(
    hu: np.ndarray, outside: np.ndarray, spacing_mm_zyx: tuple[float, float, float], rng: np.random.Generator
) -> None:
    """A curved or flat shell behind the head; in some, foam between it and the head."""
    rows = np.flatnonzero((~outside).any(axis=(0, 2)))
    _, height, width = hu.shape
    y = np.arange(height)[:, None] * spacing_mm_zyx[1]
    x = (np.arange(width)[None] - width * rng.uniform(0.3, 0.7)) * spacing_mm_zyx[2]
    bottom = float(rows[-1] * spacing_mm_zyx[1] + rng.uniform(-2, 25))
    shell = bottom - x**2 / rng.uniform(150, 600) * (rng.random() < 0.7)
    thick = rng.uniform(1.5, 5.0)
    place = (y > shell) & (y < shell + thick)
    inner = rng.uniform(-980, -850) if rng.random() < 0.4 else AIR_HU
    foam = (y <= shell) & (y > shell - rng.uniform(10, 50))
    level = rng.uniform(-400, 600)
    for part, free in zip(hu, outside, strict=True):
        part[free & foam & (part <= AIR_HU + 30)] = inner
        part[free & place] = level


def _couch(
    hu: np.ndarray, outside: np.ndarray, spacing_mm_zyx: tuple[float, float, float], rng: np.random.Generator
) -> None:
    """The couch's top across the picture: carbon fibre above and below a board of foam. It lies at least a headrest below the head."""
    rows = np.flatnonzero((~outside).any(axis=(0, 2)))
    y = np.arange(hu.shape[1])[:, None] * spacing_mm_zyx[1]
    top = float(rows[-1] * spacing_mm_zyx[1] + rng.uniform(8, 60))
    board, sheet = rng.uniform(18, 55), rng.uniform(0.8, 3.0)
    foam, fibre = rng.uniform(-985, -900), rng.uniform(-700, 100)
    inside = np.broadcast_to((y > top) & (y < top + board), hu.shape[1:])
    sheets = np.broadcast_to(
        ((y > top) & (y < top + sheet)) | ((y > top + board - sheet) & (y < top + board)), hu.shape[1:]
    )
    for part, free in zip(hu, outside, strict=True):
        part[free & inside] = foam
        part[free & sheets] = fibre
