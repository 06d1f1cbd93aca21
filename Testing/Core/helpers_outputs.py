"""Small scans and segmentations on every kind of grid, for the tests of what FocusNet writes. No torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from focusnet.image.drawn_by import merged_identity
from focusnet.image.organs import Organ, find_organ
from focusnet.image.segmentation import OrganResult, Segmentation
from focusnet.image.volume import Geometry, Volume

NAMES = ("Brainstem", "SpinalCord", "Parotid_R", "Parotid_L", "Larynx")
MISSING = "Larynx"  # looked for and not found
PROVENANCE = {
    "model": "han7-test",
    "model_version": "1.2",
    "bundle_sha256": "ab" * 32,
    "focusnet_version": "0.1.0",
    "torch_version": "2.13.0",
    "python_version": "3.11.7",
    "device": "cpu",
    "precision": "bf16",
    "seconds": 12.5,
    "source": "C:\\scans\\new|patient ü",  # what a header must carry unharmed
    "created": "2026-01-02T03:04:05+0000",
    "notes": ["HU offset -1024 applied."],
}


CAUTION = "Trained on simulated CT only, research preview."
MERGED = {  # of two models, of which the second asks for caution
    **{key: value for key, value in PROVENANCE.items() if key not in ("model", "model_version", "bundle_sha256")},
    "models": [
        {
            "model": "han7-test",
            "model_version": "1.2",
            "bundle_sha256": "ab" * 32,
            "organs": {
                "Brainstem": "han7-test (DSC 0.80 on real CT) was taken before eyes22 (not measured).",
                "SpinalCord": "No other.",
            },
        },
        {
            "model": "eyes22",
            "model_version": "0",
            "bundle_sha256": "cd" * 32,
            "caution": CAUTION,
            "organs": {"Parotid_R": "No other.", "Parotid_L": "No other.", "Larynx": "No other."},
        },
    ],
}

MERGED |= merged_identity(MERGED["models"])  # type: ignore[arg-type]


def organ(name: str) -> Organ:
    found = find_organ(name)
    assert found is not None, name
    return found


def tilt(degrees_x: float, degrees_z: float) -> tuple[tuple[float, float, float], ...]:
    """Directions turned about the patient's x and z axes."""
    a, c = np.radians([degrees_x, degrees_z])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return tuple(tuple(float(v) for v in row) for row in about_z @ about_x)


UPRIGHT = Geometry((30, 36, 40), (2.0, 2.5, 4.0), (-41.5, 12.25, -300.0))
GRIDS = {  # name -> (geometry upright in the patient, axis order, flips) as for ``stored_as``
    "upright": (UPRIGHT, (0, 1, 2), (False, False, False)),
    "head first": (UPRIGHT, (0, 1, 2), (True, False, False)),  # a left-handed grid
    "mirrored x and y": (UPRIGHT, (0, 1, 2), (False, True, True)),
    "sagittal slices": (UPRIGHT, (2, 0, 1), (False, True, False)),
    "oblique": (replace(UPRIGHT, direction_xyz=tilt(17.0, -8.0)), (0, 1, 2), (False, False, False)),
    "oblique and flipped": (replace(UPRIGHT, direction_xyz=tilt(-5.0, 12.0)), (1, 2, 0), (True, False, True)),
}


def stored_as(
    array: np.ndarray, geometry: Geometry, axes: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> tuple[np.ndarray, Geometry]:
    """The same voxels in the same places of the patient: array axis i is the old axis ``axes[i]``, reversed if
    ``flips[i]``."""
    view = np.transpose(array, axes)[tuple(slice(None, None, -1 if f else 1) for f in flips)]
    corner = np.zeros(3)
    for new, old in enumerate(axes):
        corner[old] = array.shape[old] - 1 if flips[new] else 0
    direction = np.asarray(geometry.direction_xyz)
    columns = {2 - new: direction[:, 2 - old] * (-1 if flips[new] else 1) for new, old in enumerate(axes)}
    spacing = {2 - new: geometry.spacing_mm_xyz[2 - old] for new, old in enumerate(axes)}
    stored = Geometry(
        view.shape,
        (spacing[0], spacing[1], spacing[2]),
        tuple(geometry.index_to_mm(corner)),
        tuple(tuple(row) for row in np.stack([columns[i] for i in range(3)], axis=1)),
    )
    return np.ascontiguousarray(view), stored


def scan_and_organs(grid: str = "upright") -> tuple[Volume, Segmentation]:
    """A lopsided head with four organs of different sizes, the right parotid twice the left, and no larynx."""
    geometry, axes, flips = GRIDS[grid]
    z, y, x = np.ogrid[:30, :36, :40]
    head = ((z - 14) / 14.5) ** 2 + ((y - 18) / 16) ** 2 + ((x - 20) / 17) ** 2 < 1
    hu = np.where(head, 40, -1000).astype(np.int16)
    hu[5:25, 22:25, 19:22] = 700
    labels = np.zeros(hu.shape, np.uint8)
    labels[18:26, 19:24, 17:23] = 1  # brainstem
    labels[2:18, 20:22, 19:21] = 2  # cord
    labels[10:18, 14:22, 5:9] = 3  # right: small x
    labels[10:16, 14:20, 32:35] = 4
    hu, stored = stored_as(hu, geometry, axes, flips)
    labels, _ = stored_as(labels, geometry, axes, flips)
    return Volume(hu, stored), segmentation(labels, stored)


def segmentation(labels: np.ndarray, geometry: Geometry, names: tuple[str, ...] = NAMES) -> Segmentation:
    """Labels 1, 2, ... as a model's result, with a warning for what is not there and a peak for the brainstem."""
    counts = np.bincount(labels.ravel(), minlength=len(names) + 1)
    voxel_ml = float(np.prod(geometry.spacing_mm_xyz)) / 1000.0
    results = []
    for label, name in enumerate(names, start=1):
        there = bool(counts[label])
        result = OrganResult(organ=organ(name), label=label, found=there, volume_ml=float(counts[label]) * voxel_ml)
        if name == "Brainstem":
            result = replace(result, peak=0.875, peak_mm_xyz=(1.5, -2.25, 3.0))
        if not there:
            result = replace(result, warnings=("Not found in this scan.", 'A "second | sentence", ü.'))
        results.append(result)
    return Segmentation(labels, geometry, tuple(results), dict(PROVENANCE))


def full_result(name: str, label: int) -> OrganResult:
    """A result of an organ that says something in each of its fields, nothing of it a default."""
    return OrganResult(
        organ=organ(name),
        label=label,
        found=True,
        volume_ml=1.5,
        peak=0.875,
        peak_mm_xyz=(1.5, -2.25, 3.0),
        second_peak=0.5,
        second_mm_xyz=(-4.0, 5.25, 6.5),
        spread_mm=2.75,
        place_from="S-Net",
        place_likelihood=0.9375,
        warnings=('Two places are likely: "left | right".', "C:\\new ü"),
        notes=("1 separate part | removed.",),
        alarms=("C:\\new ü",),
        certainty={"sure": 0.75},
    )


def openkbp_case(data: Path, case: str) -> tuple[Volume, Segmentation]:
    """A real scan and its clinical contours, e.g. case "val/pt_201"."""
    names = ("Brainstem", "SpinalCord", "Parotid_R", "Parotid_L", "Esophagus", "Larynx", "Bone_Mandible")
    image = sitk.ReadImage(str(data / "openkbp" / case / "ct.nrrd"))
    label = sitk.ReadImage(str(data / "openkbp" / case / "label.nrrd"))
    direction = np.asarray(image.GetDirection()).reshape(3, 3)
    hu = sitk.GetArrayFromImage(image)
    geometry = Geometry(hu.shape, image.GetSpacing(), image.GetOrigin(), tuple(map(tuple, direction)))
    return Volume(hu, geometry), segmentation(sitk.GetArrayFromImage(label).astype(np.uint8), geometry, names)
