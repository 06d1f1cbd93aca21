"""Where each voxel of a variant comes from: pose, elastic bending, gaze, masses that push. Labels follow, because they are read at the
same places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..image.volume import Geometry
from .mouth import open_mouth
from .specimen import OUTSIDE, Specimen
from .variety import Variety

EYE_MM = 12.5  # radius of a globe: it turns as one
MOUTH_DEGREES = (4.0, 16.0)  # a bite block opens some 10 degrees
EYE_REACH_MM = 19.0  # beyond this nothing follows the globe


@dataclass(frozen=True)
class Mass:
    """A tumour: a ball that takes room. ``centre_mm_xyz`` in the specimen's mm, ``hu`` what it is made of."""

    centre_mm_xyz: np.ndarray
    radius_mm: float
    hu: float


@dataclass(frozen=True)
class Places:
    """``index_zyx`` float32 (3, D, H, W): the specimen's voxel that each voxel of the variant shows. ``inside_mass`` and ``open_mouth``: bool
    (D, H, W) or None.
    ``linear_xyz`` maps the variant's mm about its centre to the specimen's mm; ``mirrored``: left and right are exchanged."""

    index_zyx: np.ndarray
    inside_mass: np.ndarray | None
    open_mouth: np.ndarray | None
    mass: Mass | None
    linear_xyz: np.ndarray
    mirrored: bool


def pose(variety: Variety, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    """Return a 3x3 map from the variant's mm to the specimen's (x, y, z): rotations, size, one stretch an axis, perhaps a reflection of x."""
    angles = np.deg2rad(rng.uniform(-1, 1, 3) * (variety.pitch, variety.turn, variety.turn))
    matrix = _rotation(angles)
    matrix = matrix @ np.diag(1 + rng.uniform(-1, 1, 3) * variety.stretch) / rng.uniform(*variety.scale)
    mirrored = variety.mirror and rng.random() < 0.5
    return (matrix @ np.diag([-1.0, 1.0, 1.0]) if mirrored else matrix), bool(mirrored)


def places(
    specimen: Specimen,
    shape_zyx: tuple[int, int, int],
    spacing_mm_zyx: tuple[float, float, float],
    centre_mm_xyz: np.ndarray,
    variety: Variety,
    rng: np.random.Generator,
) -> Places:
    """Return where the voxels of a grid come from whose middle shows ``centre_mm_xyz`` of the specimen."""
    linear, mirrored = pose(variety, rng)
    axes = [
        ((np.arange(n) - (n - 1) / 2) * s).astype(np.float32) for n, s in zip(shape_zyx, spacing_mm_zyx, strict=True)
    ]
    z, y, x = axes
    m = linear.astype(np.float32)
    mm = [
        (m[i, 2] * z)[:, None, None]
        + (m[i, 1] * y)[None, :, None]
        + (m[i, 0] * x)[None, None, :]
        + np.float32(centre_mm_xyz[i])
        for i in range(3)
    ]  # x, y, z of the specimen
    if variety.bend_mm > 0:
        amplitude = variety.bend_mm * rng.uniform(0, 1)
        for grain, share in ((40.0, 1.0), (12.0, 0.12)):
            for i in range(3):
                mm[i] += smooth_noise(shape_zyx, spacing_mm_zyx, grain, rng) * np.float32(amplitude * share)
    mass = _mass(specimen, centre_mm_xyz, variety, rng)
    inside = _push(mm, mass) if mass is not None else None
    if variety.gaze > 0:
        _turn_eyes(mm, specimen, variety, rng)
    mouth = None
    if variety.mouth > 0 and rng.random() < variety.mouth:
        mouth = open_mouth(mm, specimen, float(rng.uniform(*MOUTH_DEGREES)))
    g: Geometry = specimen.geometry
    index = [(mm[i] - np.float32(g.origin_mm_xyz[i])) / np.float32(g.spacing_mm_xyz[i]) for i in (2, 1, 0)]
    return Places(np.stack(index), inside, mouth, mass, linear, mirrored)


def smooth_noise(
    shape_zyx: tuple[int, int, int],
    spacing_mm_zyx: tuple[float, float, float],
    grain_mm: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return smooth noise of mean 0 and standard deviation about 1, float32 (z, y, x): random values ``grain_mm`` apart, cubic between."""
    counts = [int(np.ceil(n * s / grain_mm)) + 3 for n, s in zip(shape_zyx, spacing_mm_zyx, strict=True)]
    out = rng.standard_normal(counts).astype(np.float32) * 3.0  # cubic smoothing takes that much
    phase = rng.uniform(0, 1, 3)
    for axis, (n, s) in enumerate(zip(shape_zyx, spacing_mm_zyx, strict=True)):
        out = np.tensordot(_spline_matrix(n, s / grain_mm, phase[axis], counts[axis]), np.moveaxis(out, axis, 0), 1)
        out = np.moveaxis(out, 0, axis)
    return np.ascontiguousarray(out, np.float32)


def _spline_matrix(n: int, step: float, phase: float, count: int) -> np.ndarray:
    """Cubic B-spline weights (n, count) of points ``step`` knots apart."""
    place = np.minimum(np.arange(n) * step + phase + 1.0, count - 1.001)
    distance = np.abs(place[:, None] - np.arange(count)[None])
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.asarray(np.where(distance < 1, near, far), np.float32)


def _mass(specimen: Specimen, centre_mm_xyz: np.ndarray, variety: Variety, rng: np.random.Generator) -> Mass | None:
    """A tumour somewhere in the body near the middle of the variant."""
    if rng.random() >= variety.tumour:
        return None
    for _ in range(5):
        place = centre_mm_xyz + rng.uniform(-1, 1, 3) * (55.0, 50.0, 35.0)
        index = np.rint(specimen.geometry.mm_to_index(place)).astype(int)
        if (index < 0).any() or (index >= specimen.kind.shape).any() or specimen.kind[tuple(index)] == OUTSIDE:
            continue
        if specimen.labels[tuple(index)] == 0 or rng.random() < 0.3:
            return Mass(place, float(rng.uniform(4, 16)), float(rng.uniform(20, 90)))
    return None


def _push(mm: list[np.ndarray], mass: Mass) -> np.ndarray:
    """Move ``mm`` in place as if the mass had grown from a point: what was at its centre lies around it now. Returns what lies inside."""
    offset = [c - np.float32(p) for c, p in zip(mm, mass.centre_mm_xyz, strict=True)]
    distance2 = offset[0] ** 2 + offset[1] ** 2 + offset[2] ** 2
    distance = np.sqrt(distance2) + 1e-3
    r = np.float32(mass.radius_mm)
    inside = distance < r
    # outside, the pushed shell comes from nearer the centre; the push fades over two radii
    fade = np.exp(-((np.clip(distance - r, 0, None) / (1.2 * r)) ** 2))
    source = np.where(inside, 0.0, distance - 0.6 * r * fade)
    factor = (source / distance).astype(np.float32)
    for c, p, d in zip(mm, mass.centre_mm_xyz, offset, strict=True):
        c[...] = np.float32(p) + d * factor
    return np.asarray(inside)


def _turn_eyes(mm: list[np.ndarray], specimen: Specimen, variety: Variety, rng: np.random.Generator) -> None:
    """Turn each globe about its centre, lens and the nerve's front end with it; muscles and fat follow less with the distance."""
    both = rng.uniform(-1, 1, 2) * variety.gaze
    for name in ("Eye_L", "Eye_R"):
        centre = specimen.centres_mm_xyz.get(name)
        if centre is None:
            continue
        up, side = both + rng.normal(0, variety.gaze / 6, 2)
        turned = _rotation(np.deg2rad([up, 0.0, side])) - np.eye(3)
        offset = [c - np.float32(p) for c, p in zip(mm, centre, strict=True)]
        distance = np.sqrt(offset[0] ** 2 + offset[1] ** 2 + offset[2] ** 2)
        box = ndimage.find_objects((distance < EYE_REACH_MM).view(np.uint8))
        if not box:
            continue
        weight = np.clip((EYE_REACH_MM - distance[box[0]]) / (EYE_REACH_MM - EYE_MM), 0, 1)
        near = [o[box[0]] for o in offset]
        for i in range(3):
            move = sum(np.float32(turned[i, j]) * near[j] for j in range(3))
            mm[i][box[0]] += weight * move


def _rotation(angles_xyz: np.ndarray) -> np.ndarray:
    """Rotations about x, y and z, one after the other."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles_xyz):
        i, j = [a for a in range(3) if a != axis]
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return matrix
