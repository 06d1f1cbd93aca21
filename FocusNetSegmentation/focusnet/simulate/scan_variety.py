"""Scanners of many kinds: HU that stray, kernels soft and sharp, noise coarse and fine, slices thin and thick, rings, streaks, shading."""

from __future__ import annotations

import numpy as np
from scipy import fft, ndimage

from .deform import smooth_noise
from .scanner import add_streaks
from .variety import Variety

Spacing = tuple[float, float, float]

# Painted HU and how far (SD) each of them may stray. Air is air for every scanner.
CURVE_HU = (-1024.0, -800.0, -300.0, -100.0, 0.0, 25.0, 40.0, 60.0, 150.0, 400.0, 1200.0, 3071.0)
CURVE_SD = (8.0, 40.0, 40.0, 14.0, 10.0, 7.0, 7.0, 9.0, 25.0, 70.0, 200.0, 0.0)


def stray_hu(hu: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Return HU through a random rising curve: tissues keep their order, contrasts change. ``strength`` 0 changes nothing."""
    if strength <= 0:
        return hu
    steps = np.diff(np.array(CURVE_HU) + rng.normal(0, 1, len(CURVE_HU)) * np.array(CURVE_SD) * strength)
    least = np.diff(CURVE_HU) * 0.25  # no two tissues become one
    start = CURVE_HU[0] + abs(rng.normal(0, CURVE_SD[0])) * strength
    knots = start + np.concatenate([[0.0], np.cumsum(np.maximum(steps, least))])
    return np.interp(hu, CURVE_HU, knots + rng.normal(0, 6) * strength).astype(np.float32)


def scan(
    hu: np.ndarray, metal: np.ndarray, fine_mm_zyx: Spacing, per_slice: int, variety: Variety, rng: np.random.Generator
) -> np.ndarray:
    """Return the scan (float32) of a thin-sliced head (z, y, x): of each ``per_slice`` slices, one. ``metal`` bool, as ``hu``.

    Slices of a scanner are as thick as it likes and lie where they happen to lie; they are interpolated linearly onto the grid, as
    resampling does to a real scan.
    """
    kernel = rng.uniform(*variety.kernel_mm)
    out = ndimage.gaussian_filter(hu, (0, kernel / fine_mm_zyx[1], kernel / fine_mm_zyx[2]))
    out = _slices(out, fine_mm_zyx[0], per_slice, float(np.exp(rng.uniform(*np.log(variety.slice_mm)))), rng)
    if rng.random() < variety.sharpen:
        sigma = rng.uniform(0.7, 1.2)
        out += rng.uniform(0.3, 1.2) * (out - ndimage.gaussian_filter(out, (0, sigma, sigma)))
    spacing = (fine_mm_zyx[0] * per_slice, fine_mm_zyx[1], fine_mm_zyx[2])
    n = out.shape[0]
    metal = np.asarray(metal[: n * per_slice].reshape(n, per_slice, *metal.shape[1:]).any(axis=1))
    if metal.any() and rng.random() < 0.8:
        add_streaks(out, metal, (spacing[2], spacing[1]), float(rng.uniform(30, 250)), rng)
    if rng.random() < variety.streaks:
        out += _bands(out.shape, rng) * rng.uniform(3, 25)
    if variety.shading_hu > 0:
        out += smooth_noise(out.shape, spacing, 60.0, rng) * np.float32(rng.uniform(0, variety.shading_hu))
    if rng.random() < variety.rings:
        _add_rings(out, spacing, rng)
    low, high = variety.noise_hu
    if high > 0:
        out += coloured_noise(out.shape, spacing, float(np.exp(rng.uniform(np.log(max(low, 0.1)), np.log(high)))), rng)
    return np.asarray(out, np.float32)


def _slices(hu: np.ndarray, fine_mm: float, per_slice: int, thick_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Slices ``thick_mm`` thick at a random phase, interpolated at the middles of each ``per_slice`` thin ones."""
    fine = np.arange(hu.shape[0])
    wanted = (np.arange(hu.shape[0] // per_slice) + 0.5) * per_slice - 0.5  # in thin slices
    step = thick_mm / fine_mm
    centres = np.arange(rng.uniform(-1, 0) * step, hu.shape[0] + step, step)
    # how much of each thin slice lies in each thick one; where it is thinner, linear interpolation between two thin ones
    half = max(step, 1.0) / 2
    share = np.clip(np.minimum(fine[None] + 0.5, centres[:, None] + half) - np.maximum(fine[None] - 0.5, centres[:, None] - half), 0, None)  # fmt: skip
    if step < 1:
        share = np.clip(1 - np.abs(np.clip(centres, 0, len(fine) - 1)[:, None] - fine[None]), 0, None)
    total = share.sum(axis=1)
    centres, share = centres[total > 0.3 * total.max()], share[total > 0.3 * total.max()]
    share /= share.sum(axis=1, keepdims=True)
    onto = np.clip(np.interp(wanted, centres, np.arange(len(centres))), 0, len(centres) - 1)
    reach = max(1.0, per_slice / step)  # a grid coarser than the slices averages them
    weights = np.clip(reach - np.abs(onto[:, None] - np.arange(len(centres))[None]), 0, None)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.tensordot((weights @ share).astype(np.float32), hu, 1)


def coloured_noise(
    shape_zyx: tuple[int, ...], spacing_mm_zyx: Spacing, sigma_hu: float, rng: np.random.Generator
) -> np.ndarray:
    """Return noise with a spectrum between that of a soft and of a bone kernel, of standard deviation ``sigma_hu``; float32 (z, y, x)."""
    fy = fft.fftfreq(shape_zyx[1], spacing_mm_zyx[1])[:, None]
    fx = fft.rfftfreq(shape_zyx[2], spacing_mm_zyx[2])[None]
    frequency = np.hypot(fy, fx)
    peak, rise = rng.uniform(0.1, 0.6), rng.uniform(0.0, 1.2)
    gain = ((frequency + 0.01) ** rise * np.exp(-((frequency / peak) ** 2) / 2)).astype(np.float32)
    white = rng.standard_normal(shape_zyx, dtype=np.float32)
    out = fft.irfft2(fft.rfft2(white, axes=(1, 2)) * gain, s=shape_zyx[1:], axes=(1, 2)).astype(np.float32)
    return np.asarray(out * (sigma_hu / max(float(out.std()), 1e-9)), np.float32)


def _bands(shape_zyx: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Streaks across the head, as between two petrous bones or shoulders: noise drawn out along x or, rarely, along some other angle."""
    out = np.empty(shape_zyx, np.float32)
    tilt = rng.normal(0, 12)
    for k in range(shape_zyx[0]):
        lines = ndimage.gaussian_filter(
            rng.standard_normal(shape_zyx[1:], dtype=np.float32), (rng.uniform(0.8, 2.5), 40.0)
        )
        out[k] = ndimage.rotate(lines, tilt, reshape=False, order=1, mode="reflect") if abs(tilt) > 8 else lines
        out[k] *= rng.uniform(0, 1) / max(float(out[k].std()), 1e-9)
    return out


def _add_rings(hu: np.ndarray, spacing_mm_zyx: Spacing, rng: np.random.Generator) -> None:
    """Circles about the scanner's axis, the same in neighbouring slices; in place."""
    y, x = np.ogrid[: hu.shape[1], : hu.shape[2]]
    cy, cx = rng.uniform(-0.5, 1.5) * hu.shape[1], rng.uniform(-0.5, 1.5) * hu.shape[2]
    radius = np.hypot((y - cy) * spacing_mm_zyx[1], (x - cx) * spacing_mm_zyx[2])
    profile = rng.standard_normal(int(radius.max()) + 2) * (rng.random(int(radius.max()) + 2) < 0.15)
    hu += np.interp(radius, np.arange(len(profile)), profile).astype(np.float32) * np.float32(rng.uniform(5, 30))
