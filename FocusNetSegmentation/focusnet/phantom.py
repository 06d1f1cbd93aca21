"""A procedural head-and-neck CT with the paper's 22 organs: for tests, the demo and the docs, where nothing real may ship.

Synthetic. Sizes, places and HU are plausible, not anatomical: nothing about a model's quality can be learned from it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

from .organs import organ_set
from .phantom_shapes import Canvas, Point, column, ellipsoid, tube
from .segmentation import OrganResult, Segmentation
from .volume import Geometry, Volume

NAME = "synthetic phantom"
FIELD_MM = ((-150.0, 150.0), (-125.0, 155.0), (-225.0, 129.0))  # x, y, z: vertex to shoulders, a couch behind
AIR, FAT, MUSCLE, BRAIN, BONE, TEETH = -1000.0, -100.0, 55.0, 35.0, 900.0, 2200.0


def phantom(seed: int = 0, spacing_mm_xyz: tuple[float, float, float] = (1.0, 1.0, 3.0)) -> tuple[Volume, Segmentation]:
    """CT (int16 HU) and reference labels (uint8, values 1..22 in the order of ``organ_set("paper22")``).

    ``seed`` draws the patient's size, place, tissue HU and noise. Where organs touch, the one painted later wins: small organs are
    painted last, so that they lie over large ones.
    """
    rng = np.random.default_rng(seed)
    axes, geometry = _grid(spacing_mm_xyz)
    size = rng.uniform(0.95, 1.05, 3)
    shift = rng.uniform(-6, 6, 3) * (1, 1, 0.5)
    x, y, z = ((a - s) / k for a, s, k in zip(axes, shift, size, strict=True))
    canvas = Canvas.empty(x, y, z, AIR)
    organs = organ_set("paper22")
    value = {organ.name: label for label, organ in enumerate(organs, start=1)}
    _paint_body(canvas)
    _paint_skull_and_brain(canvas, value, rng)
    _paint_spine(canvas, value)
    _paint_airway(canvas)
    _paint_jaw(canvas, value)
    _paint_glands_and_ears(canvas, value, rng)
    _paint_orbits(canvas, value, rng)
    _paint_couch(canvas)
    hu = _as_scanned(canvas.hu, spacing_mm_xyz, rng)
    counts = np.bincount(canvas.labels.ravel(), minlength=len(organs) + 1)
    voxel_ml = float(np.prod(spacing_mm_xyz)) / 1000.0
    results = tuple(
        OrganResult(
            organ, value[organ.name], bool(counts[value[organ.name]]), float(counts[value[organ.name]]) * voxel_ml
        )
        for organ in organs
    )
    reference = Segmentation(
        canvas.labels, geometry, results, {"source": f"{NAME}, seed {seed}: reference by construction"}
    )
    return Volume(hu, geometry, f"{NAME}, seed {seed}", notes=("Synthetic phantom, not a patient.",)), reference


def write_phantom(
    folder: Path | str,
    seed: int = 0,
    dicom: bool = False,
    overwrite: bool = False,
    spacing_mm_xyz: tuple[float, float, float] = (1.0, 1.0, 3.0),
) -> list[Path]:
    """Write ``ct.nrrd``, ``reference.seg.nrrd`` and with ``dicom`` a series in ``dicom/``. Returns the paths, the CT first."""
    import SimpleITK as sitk

    from .io.output import atomic_path, check_output, ensure_folder
    from .io.seg_nrrd import write_seg_nrrd

    folder = Path(folder)
    ensure_folder(folder)
    ct, labels = folder / "ct.nrrd", folder / "reference.seg.nrrd"
    for path in (ct, labels):
        check_output(path, overwrite)
    volume, reference = phantom(seed, spacing_mm_xyz)
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.geometry.spacing_mm_xyz)
    image.SetOrigin(volume.geometry.origin_mm_xyz)
    with atomic_path(ct) as partial:
        sitk.WriteImage(image, str(partial), useCompression=True)
    write_seg_nrrd(reference, labels, overwrite)
    written = [ct, labels]
    if dicom:
        from .phantom_dicom import write_dicom_series

        written.append(write_dicom_series(volume, folder / "dicom", seed, overwrite))
    return written


def _grid(spacing_mm_xyz: tuple[float, float, float]) -> tuple[list[np.ndarray], Geometry]:
    axes = []
    for (low, high), spacing in zip(FIELD_MM, spacing_mm_xyz, strict=True):
        axes.append(low + spacing / 2 + spacing * np.arange(int((high - low) // spacing)))
    shape = (len(axes[2]), len(axes[1]), len(axes[0]))
    return axes, Geometry(shape, spacing_mm_xyz, (float(axes[0][0]), float(axes[1][0]), float(axes[2][0])))


def _mirrored(point: Point, side: int) -> Point:
    return (side * point[0], point[1], point[2])


SIDES = ((1, "_L"), (-1, "_R"))  # the patient's left is +x


def _paint_body(canvas: Canvas) -> None:
    """Skin, a layer of fat, muscle: each a little inside the one before."""
    for inset, hu in ((0.0, 20.0), (2.0, FAT), (7.0, MUSCLE)):
        canvas.paint(ellipsoid((0, 5, 18), (78 - inset, 98 - inset, 103 - inset)), hu)
        canvas.paint(ellipsoid((0, -32, -62), (60 - inset, 66 - inset, 58 - inset)), hu)
        canvas.paint(column(lambda z: (0 * z, 22 + 0 * z), (60 - inset, 64 - inset), (-226, -30)), hu)
        canvas.paint(ellipsoid((0, 38, -245), (190 - inset, 92 - inset, 68 - inset)), hu)
    canvas.paint(ellipsoid((0, -96, -28), (13, 14, 18)), MUSCLE)  # a nose tells front from back


def _paint_skull_and_brain(canvas: Canvas, value: dict[str, int], rng: np.random.Generator) -> None:
    above_base = canvas.z_mm[:, None, None] > -32
    cranium = canvas.mask(ellipsoid((0, 8, 26), (70, 88, 88))) & above_base
    canvas.hu[cranium] = BONE
    brain = canvas.mask(ellipsoid((0, 8, 26), (64, 82, 82))) & (canvas.z_mm[:, None, None] > -24)
    canvas.hu[brain] = BRAIN
    for side in (1, -1):
        canvas.paint(ellipsoid((side * 14, 8, 38), (7, 26, 9)), 10.0, inside=brain)  # ventricles
    for side, suffix in SIDES:
        grow = rng.uniform(0.94, 1.06)
        canvas.paint(
            ellipsoid((side * 40, -12, -2), (21 * grow, 36 * grow, 20 * grow)),
            38.0,
            value["Lobe_Temporal" + suffix],
            inside=brain,
        )
    canvas.paint(tube([(0, 24, 14), (0, 28, -20), (0, 37, -44)], [15, 12, 7.5]), 32.0, value["Brainstem"])


def _cord_y(z: np.ndarray) -> np.ndarray:
    """The neck's curve: where the cord lies from front to back."""
    return 40 + 6 * np.sin((z + 44) / 181 * np.pi)


def _paint_spine(canvas: Canvas, value: dict[str, int]) -> None:
    span = (-226.0, -42.0)
    canvas.paint(column(lambda z: (0 * z, _cord_y(z) - 20), (17, 13), span), 600.0)
    canvas.paint(column(lambda z: (0 * z, _cord_y(z) - 20), (15, 11), span), 220.0)
    for z0 in np.arange(-215, -45, 19.0):  # discs
        canvas.paint(column(lambda z: (0 * z, _cord_y(z) - 20), (17, 13), (z0, z0 + 5)), 90.0)
    canvas.paint(column(lambda z: (0 * z, _cord_y(z) + 2), (17, 15), span), 500.0)  # arches
    for z0 in np.arange(-210, -45, 19.0):
        canvas.paint(column(lambda z: (0 * z, _cord_y(z) + 22), (4, 14), (z0, z0 + 10)), 500.0)  # spinous processes
    canvas.paint(column(lambda z: (0 * z, _cord_y(z)), (9.5, 8.5), (-226, -38)), 10.0)
    canvas.paint(column(lambda z: (0 * z, _cord_y(z)), (6.0, 5.2), (-226, -44)), 38.0, value["SpinalCord"])


def _paint_airway(canvas: Canvas) -> None:
    canvas.paint(ellipsoid((0, -58, -24), (10, 34, 16)), AIR)  # nose
    for side in (1, -1):
        canvas.paint(ellipsoid((side * 27, -58, -30), (14, 16, 15)), AIR)  # maxillary sinuses
    canvas.paint(ellipsoid((0, -26, -9), (12, 11, 8)), AIR)  # sphenoid sinus
    canvas.paint(tube([(0, -18, -34), (0, -8, -70), (0, -8, -112)], [8, 8, 7]), AIR)
    canvas.paint(ellipsoid((0, -10, -128), (20, 19, 22)), 110.0)  # thyroid cartilage
    canvas.paint(ellipsoid((0, -10, -128), (17, 16, 20)), 40.0)
    canvas.paint(tube([(0, -8, -112), (0, -10, -132), (0, 2, -226)], [7, 5, 9]), AIR)


def _paint_jaw(canvas: Canvas, value: dict[str, int]) -> None:
    for side in (1, -1):
        maxilla = [_mirrored(p, side) for p in ((36.0, -42.0, -58.0), (26.0, -68.0, -58.0), (0.0, -82.0, -58.0))]
        canvas.paint(tube(maxilla, [6, 6, 6]), 650.0)
    for side, suffix in SIDES:
        points: list[Point] = [(49, 0, -28), (47, -4, -78), (36, -44, -92), (20, -72, -95), (0, -82, -95)]
        jaw = [_mirrored(p, side) for p in points]
        half = canvas.mask(tube(jaw, [4.5, 5.5, 5, 5, 5], stretch_z=1.9)) & (side * canvas.x_mm[None, None, :] >= 0)
        marrow = canvas.mask(tube(jaw, [2.5, 3.5, 3, 3, 3], stretch_z=1.9)) & half
        canvas.hu[half], canvas.hu[marrow] = 1100.0, 350.0
        canvas.labels[half] = value["Bone_Mandible" + suffix]
        for t in np.linspace(0.1, 0.95, 7):
            at = (36 * np.cos(t * np.pi / 2), -42 - 38 * np.sin(t * np.pi / 2), -74.0)
            canvas.paint(ellipsoid(_mirrored(at, side), (3.2, 3.2, 8)), TEETH)
        canvas.paint(ellipsoid((side * 49, 0, -24), (8, 8, 7)), 420.0, value["Joint_TM" + suffix])


def _paint_glands_and_ears(canvas: Canvas, value: dict[str, int], rng: np.random.Generator) -> None:
    for side, suffix in SIDES:
        grow = rng.uniform(0.92, 1.08)
        canvas.paint(ellipsoid((side * 51, 14, -58), (9 * grow, 18 * grow, 25 * grow)), 5.0, value["Parotid" + suffix])
        canvas.paint(ellipsoid((side * 44, 26, -26), (20, 13, 10)), 1000.0)  # petrous bone
        canvas.paint(ellipsoid((side * 36, 26, -26), (6.5, 6, 6)), 150.0, value["Ear_Internal" + suffix])
        canvas.paint(ellipsoid((side * 52, 26, -26), (6.5, 6, 7)), -650.0, value["Ear_Middle" + suffix])


def _paint_orbits(canvas: Canvas, value: dict[str, int], rng: np.random.Generator) -> None:
    for side, suffix in SIDES:
        eye: Point = (side * 32, -68, -4)
        canvas.paint(ellipsoid((side * 29, -50, -3), (17, 26, 16)), -80.0)  # the orbit's fat
        canvas.paint(ellipsoid(eye, (12.2, 12.2, 12.2)), 45.0, value["Eye" + suffix])
        canvas.paint(ellipsoid(eye, (11.0, 11.0, 11.0)), 12.0)
        nerve = [_mirrored(p, side) for p in ((31.0, -57.0, -4.0), (22.0, -34.0, 0.0), (7.0, -14.0, 5.0))]
        canvas.paint(tube(nerve, [2.6, 2.4, 2.3]), 42.0, value["OpticNrv" + suffix])
        canvas.paint(ellipsoid((side * 32, -77, -4), (4.8, 2.4, 4.8)), 85.0, value["Lens" + suffix])
    canvas.paint(ellipsoid((0, -10, 6), (8.5, 4.5, 3.2)), 44.0, value["OpticChiasm"])
    grow = rng.uniform(0.92, 1.08)
    canvas.paint(ellipsoid((0, -8, -4), (6.5 * grow, 5 * grow, 4.2 * grow)), 65.0, value["Pituitary"])


def _paint_couch(canvas: Canvas) -> None:
    y = canvas.y_mm[None, :, None]
    outer = np.broadcast_to((y > 128) & (y < 142), canvas.hu.shape)
    inner = np.broadcast_to((y > 130) & (y < 140), canvas.hu.shape)
    canvas.hu[outer & (canvas.hu < -900)] = -250.0
    canvas.hu[inner & (canvas.hu < -200)] = -930.0


def _as_scanned(hu: np.ndarray, spacing_mm_xyz: tuple[float, float, float], rng: np.random.Generator) -> np.ndarray:
    """Partial volume by a blur of 0.7 mm in plane and half a slice along z, texture, noise; int16."""
    sigma = (0.5, 0.7 / spacing_mm_xyz[1], 0.7 / spacing_mm_xyz[0])
    out = ndimage.gaussian_filter(hu, sigma)
    body = hu > -500
    texture = ndimage.gaussian_filter(rng.standard_normal(hu.shape, dtype=np.float32), 2.0)
    out += np.where(body, texture * (12.0 / max(float(texture.std()), 1e-6)), 0.0)
    out += rng.standard_normal(hu.shape, dtype=np.float32) * rng.uniform(10, 18)
    return np.clip(np.round(out), -1024, 3071).astype(np.int16)
