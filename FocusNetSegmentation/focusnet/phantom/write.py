"""A procedural head-and-neck CT with the paper's 22 organs, for tests, the demo and the docs, where no patient's scan may ship.

Synthetic phantom. Sizes, places and HU are plausible, not anatomical: nothing about a model's quality can be learned from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ..image.organs import ORGAN_SETS, organ_set
from ..image.segmentation import OrganResult, Segmentation
from ..image.volume import Geometry, Volume
from .anatomy import AIR, Patient, as_organs, organ_names, paint_patient, part_numbers
from .shapes import Canvas

NAME = "synthetic phantom"
FIELD_MM = ((-150.0, 150.0), (-125.0, 155.0), (-225.0, 129.0))  # x, y, z: vertex to shoulders, a couch behind
NECK_MM = np.array([0.0, 40.0, -60.0])  # the patient is turned about this point, the top of the neck
_ORGANS = {organ.name: organ for organs in map(organ_set, ORGAN_SETS) for organ in organs}
TURN_DEGREES = (3.5, 2.0, 5.0)  # at most, about x (nod), y (tilt to a shoulder), z (turn)


def phantom(
    seed: int = 0,
    spacing_mm_xyz: tuple[float, float, float] = (1.0, 1.0, 3.0),
    organs: Sequence[str] | None = None,
) -> tuple[Volume, Segmentation]:
    """Return a CT (int16 HU) and reference labels (uint8, values 1..22 in the order of ``organ_set("paper22")``), both (z, y, x).

    ``organs``: names of the organs in the reference instead, in this order (values 1..); those that the phantom lacks are left out.
    ``seed`` draws the patient's size, place, tilt, organ sizes, tissue HU, contrast agent and noise. Each voxel has the label of
    the tissue that gave it its HU: where structures touch, the one painted later replaces the earlier one, and small organs are
    painted last, so that they lie over large ones (lens over eye, chiasm over optic nerve); teeth are no part of the mandible.
    Voxels up to 2 x 2 x 3 mm show all 22 organs; on coarser grids a lens can fall between them. Takes about 5 seconds and 0.9 GB
    at 1 x 1 x 3 mm.
    """
    rng = np.random.default_rng(seed)
    geometry, from_index = _placed(spacing_mm_xyz, rng)
    canvas = Canvas.empty(geometry.shape_zyx, from_index, AIR)
    body = paint_patient(canvas, Patient.draw(rng, part_numbers()))
    _paint_couch(canvas, geometry, body)
    hu = _as_scanned(canvas.hu, spacing_mm_xyz, rng)
    names = organ_names(organs) if organs is not None else [organ.name for organ in organ_set("paper22")]
    reference = _reference(as_organs(canvas.labels, names), names, geometry, seed)
    return Volume(hu, geometry, f"{NAME}, seed {seed}", notes=("Synthetic phantom, not a patient.",)), reference


def _reference(labels: np.ndarray, names: Sequence[str], geometry: Geometry, seed: int) -> Segmentation:
    counts = np.bincount(labels.ravel(), minlength=len(names) + 1)
    results = tuple(
        OrganResult(
            organ=_ORGANS[name],
            label=label,
            found=bool(counts[label]),
            volume_ml=float(counts[label]) * geometry.voxel_ml,
        )
        for label, name in enumerate(names, start=1)
    )
    return Segmentation(labels, geometry, results, {"source": f"{NAME}, seed {seed}: reference by construction"})


def write_phantom(
    folder: Path | str,
    seed: int = 0,
    dicom: bool = False,
    overwrite: bool = False,
    spacing_mm_xyz: tuple[float, float, float] = (1.0, 1.0, 3.0),
    organs: Sequence[str] | None = None,
) -> list[Path]:
    """Write a synthetic phantom: ``ct.nrrd``, ``reference.seg.nrrd`` and with ``dicom`` a CT series in ``dicom/``. Return the paths.

    The CT comes first. ``organs``: as for ``phantom``. Raises OutputError, before anything is written, if one of them exists and
    ``overwrite`` is not set, or if ``dicom/`` holds something else.
    """
    import SimpleITK as sitk

    from ..files.atomic_write import atomic_path, check_output, ensure_folder
    from ..io.image_read import SIMULATED_KEY
    from ..io.itk_write import write_checked
    from ..io.seg_nrrd import write_seg_nrrd
    from .dicom import check_series_folder, write_dicom_series

    folder = Path(folder)
    ensure_folder(folder)
    ct, labels = folder / "ct.nrrd", folder / "reference.seg.nrrd"
    for path in (ct, labels):
        check_output(path, overwrite)
    if dicom:
        check_series_folder(folder / "dicom", overwrite)
    volume, reference = phantom(seed, spacing_mm_xyz, organs)
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.geometry.spacing_mm_xyz)
    image.SetOrigin(volume.geometry.origin_mm_xyz)
    image.SetMetaData(SIMULATED_KEY, volume.notes[0])
    with atomic_path(ct) as partial:
        write_checked(image, partial)
    write_seg_nrrd(reference, labels, overwrite)
    written = [ct, labels]
    if dicom:
        written.append(write_dicom_series(volume, folder / "dicom", seed, overwrite))
    return written


def _placed(spacing_mm_xyz: tuple[float, float, float], rng: np.random.Generator) -> tuple[Geometry, np.ndarray]:
    """Return the scan's grid, and the 3x4 map from its voxel indices (x, y, z, 1) to the millimetres of a patient placed at random."""
    low = np.array([field[0] for field in FIELD_MM])
    spacing = np.array(spacing_mm_xyz, dtype=float)
    nx, ny, nz = (int((high - first) // step) for (first, high), step in zip(FIELD_MM, spacing_mm_xyz, strict=True))
    origin = low + spacing / 2
    geometry = Geometry((nz, ny, nx), spacing_mm_xyz, (float(origin[0]), float(origin[1]), float(origin[2])))
    size = rng.uniform(0.95, 1.05, 3)
    shift = rng.uniform(-6, 6, 3) * (1, 1, 0.5)
    turn = Rotation.from_euler("xyz", rng.uniform(-1, 1, 3) * TURN_DEGREES, degrees=True).as_matrix()
    to_patient = np.diag(1 / size) @ turn.T  # undo the turn, then the size
    offset = to_patient @ (origin - shift - NECK_MM) + NECK_MM
    return geometry, np.column_stack([to_patient * spacing, offset])


def _paint_couch(canvas: Canvas, geometry: Geometry, body: np.ndarray) -> None:
    """Paint a flat couch and a foam headrest, which do not tilt with the patient."""
    x, y, z = (
        first + step * np.arange(n)
        for first, step, n in zip(
            geometry.origin_mm_xyz, geometry.spacing_mm_xyz, geometry.shape_zyx[::-1], strict=True
        )
    )
    across, y, z = np.abs(x)[None, None, :], y[None, :, None], z[:, None, None]
    foam = (across < 95) & (y > np.where(across > 75, 40, 70)) & (y < 128) & (z > -90)
    shell, core = (np.broadcast_to((y > low) & (y < high), body.shape) for low, high in ((128, 142), (130, 140)))
    for mask, hu in ((foam, -955.0), (shell, -250.0), (core, -930.0)):
        canvas.hu[mask & ~body] = hu


def _as_scanned(hu: np.ndarray, spacing_mm_xyz: tuple[float, float, float], rng: np.random.Generator) -> np.ndarray:
    """Return the HU as scanned, int16: a blur of 0.7 mm in plane and half a slice along z, texture, noise."""
    sigma = (0.5, 0.7 / spacing_mm_xyz[1], 0.7 / spacing_mm_xyz[0])
    out = ndimage.gaussian_filter(hu, sigma)
    body = hu > -500
    texture = ndimage.gaussian_filter(rng.standard_normal(hu.shape, dtype=np.float32), 2.0)
    out += np.where(body, texture * (6.0 / max(float(texture.std()), 1e-6)), 0.0)
    out += rng.standard_normal(hu.shape, dtype=np.float32) * rng.uniform(9, 14)
    return np.clip(np.round(out), -1024, 3071).astype(np.int16)
