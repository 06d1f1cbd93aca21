"""Model what a CT scanner adds: blur, slice thickness, correlated noise, streaks from metal. HU arrays are (z, y, x)."""

from __future__ import annotations

import numpy as np
from scipy import fft, ndimage

METAL_HU = 3071.0
NOISE_PEAK = (
    0.28  # cycles per mm where the noise of a soft-tissue kernel is strongest (0.2 to 0.35 in published spectra)
)


def blur(hu: np.ndarray, spacing_mm_zyx: tuple[float, float, float], psf_mm: float, along_z_mm: float) -> np.ndarray:
    """Return ``hu`` (z, y, x) after a Gaussian point-spread function: sigma ``psf_mm`` in plane, ``along_z_mm`` along z."""
    z, y, x = spacing_mm_zyx
    return np.asarray(ndimage.gaussian_filter(hu, (along_z_mm / z, psf_mm / y, psf_mm / x)))


def thick_slices(hu: np.ndarray, per_slice: int) -> np.ndarray:
    """Return the mean of each ``per_slice`` thin slices of ``hu`` (z, y, x): partial volume along z with a box profile."""
    n = hu.shape[0] // per_slice
    return np.asarray(hu[: n * per_slice].reshape(n, per_slice, *hu.shape[1:]).mean(axis=1))


def noise(
    shape_zyx: tuple[int, int, int], spacing_mm_xy: tuple[float, float], sigma_hu: float, rng: np.random.Generator
) -> np.ndarray:
    """Return noise as after filtered back-projection, float32 (z, y, x).

    Its spectrum rises with frequency and is cut by the kernel, so grains have a size. Each slice is independent; its standard
    deviation is ``sigma_hu`` (HU).
    """
    fy = fft.fftfreq(shape_zyx[1], spacing_mm_xy[1])[:, None]
    fx = fft.rfftfreq(shape_zyx[2], spacing_mm_xy[0])[None, :]
    frequency = np.hypot(fy, fx)
    gain = np.sqrt(frequency * np.exp(-((frequency / NOISE_PEAK) ** 2) / 2)).astype(np.float32)
    out = np.empty(shape_zyx, np.float32)
    for k in range(shape_zyx[0]):
        white = rng.standard_normal(shape_zyx[1:], dtype=np.float32)
        out[k] = fft.irfft2(fft.rfft2(white) * gain, s=shape_zyx[1:])
        out[k] *= sigma_hu / max(float(out[k].std()), 1e-9)
    return out


def add_streaks(hu: np.ndarray, metal: np.ndarray, spacing_mm_xy: tuple[float, float], strength_hu: float, rng: np.random.Generator) -> None:  # fmt: skip
    """Add rays from every piece of metal, in place: bright and dark with the angle, weaker with the distance, worst between two pieces.

    A model of how streaks look, not of beam hardening: nothing is projected. ``metal`` bool (z, y, x); other slices stay as they
    are.
    """
    parts, count = ndimage.label(metal)
    if count == 0:
        return
    centres = np.array(ndimage.center_of_mass(metal, parts, range(1, count + 1))).reshape(count, 3)
    y, x = np.ogrid[: hu.shape[1], : hu.shape[2]]
    for k in np.flatnonzero(metal.any(axis=(1, 2))):
        here = [c for number, c in enumerate(centres, start=1) if (parts[k] == number).any()]
        rays = np.zeros(hu.shape[1:], np.float32)
        for _, cy, cx in here:
            dy, dx = (y - cy) * spacing_mm_xy[1], (x - cx) * spacing_mm_xy[0]
            angle, distance = np.arctan2(dy, dx), np.hypot(dy, dx)
            rays += _fan(angle, rng) * (strength_hu / (1.0 + distance / 18.0)).astype(np.float32)
            for _, oy, ox in here:  # dark band between two pieces
                if (oy, ox) != (cy, cx):
                    towards = np.arctan2((oy - cy) * spacing_mm_xy[1], (ox - cx) * spacing_mm_xy[0])
                    off = np.abs((angle - towards + np.pi) % (2 * np.pi) - np.pi)
                    rays -= (0.6 * strength_hu * np.exp(-((off / 0.08) ** 2)) / (1.0 + distance / 40.0)).astype(
                        np.float32
                    )
        hu[k] += rays


def _fan(angle: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a random function of the angle with a standard deviation of about 1, smooth at the finest ray of some 4 degrees."""
    ray = np.zeros(360, np.float32)
    ray[:] = ndimage.gaussian_filter1d(rng.standard_normal(360), 2.0, mode="wrap")
    ray /= max(float(ray.std()), 1e-9)
    return np.asarray(np.interp(angle, np.linspace(-np.pi, np.pi, 360), ray, period=2 * np.pi), np.float32)
