"""Find where the slices of a DICOM series lie, and check that they make an evenly spaced, upright stack."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom

from ..errors import InputError
from ..image.volume import Geometry
from ..wording import counted

ORIENTATION_TOLERANCE = 1e-3
DUPLICATE_MM = 0.01
TILT_MM = 0.5  # how far a stack may drift sideways over its whole length; positions are often rounded to 0.1 mm
SPACING_TOLERANCE = (0.1, 0.05)  # mm, and as a part of the spacing; the larger counts


def series_geometry(folder: Path, headers: Sequence[pydicom.Dataset]) -> tuple[Geometry, list[int], list[str]]:
    """Return the geometry of the sorted stack, the order of the slices (indices into ``headers``), and notes.

    Raises InputError for mixed slices, duplicates, a tilted gantry, missing slices and uneven spacing.
    """
    _check_uniform(folder, headers)
    first = headers[0]
    row = np.array([float(v) for v in first.ImageOrientationPatient[:3]])
    column = np.array([float(v) for v in first.ImageOrientationPatient[3:]])
    normal = np.cross(row, column)
    positions = np.array([[float(v) for v in h.ImagePositionPatient] for h in headers])
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    along, positions = along[order], positions[order]
    steps = np.diff(along)
    _check_duplicates(folder, along, steps)
    _check_tilt(folder, headers, positions, along, normal)
    spacing_z = _slice_spacing(folder, along, steps)
    spacing_y, spacing_x = (float(v) for v in first.PixelSpacing)
    notes = []
    tilt = float(first.get("GantryDetectorTilt", 0) or 0)
    if abs(tilt) > 0.1:
        notes.append(f"The header speaks of a gantry tilt of {tilt:g} degrees, but the slices are stacked upright.")
    geometry = Geometry(
        (len(headers), int(first.Rows), int(first.Columns)),
        (spacing_x, spacing_y, spacing_z),
        tuple(positions[0]),
        tuple(tuple(r) for r in np.stack([row, column, normal], axis=1)),
    )
    return geometry, order.tolist(), notes


def _check_uniform(folder: Path, headers: Sequence[pydicom.Dataset]) -> None:
    first = headers[0]
    for tag, what in (
        ("Rows", "sizes"),
        ("Columns", "sizes"),
        ("PixelSpacing", "pixel spacings"),
        ("ImageOrientationPatient", "orientations"),
    ):
        reference = np.atleast_1d(np.array(first[tag].value, dtype=float))
        for header in headers:
            value = np.atleast_1d(np.array(header[tag].value, dtype=float))
            if value.shape != reference.shape or np.abs(value - reference).max() > ORIENTATION_TOLERANCE:
                raise InputError(
                    f"{folder}: the slices have different {what} ({tag} {first[tag].value} and {header[tag].value}); "
                    "one series of equal slices is expected. Remove the others, for example a localizer."
                )


def _check_duplicates(folder: Path, along: np.ndarray, steps: np.ndarray) -> None:
    same = np.flatnonzero(steps < DUPLICATE_MM)
    if len(same):
        raise InputError(
            f"{folder}: {counted(len(same), 'slice lies', 'slices lie')} where another one lies (first at {along[same[0]]:.1f} mm); "
            "the folder holds duplicates or two scans in one series. Keep one slice per position."
        )


def _check_tilt(
    folder: Path, headers: Sequence[pydicom.Dataset], positions: np.ndarray, along: np.ndarray, normal: np.ndarray
) -> None:
    drift = positions - positions[0] - np.outer(along - along[0], normal)
    sideways = float(np.linalg.norm(drift, axis=1).max())
    if sideways > TILT_MM:
        height = float(along[-1] - along[0])
        degrees = np.degrees(np.arctan2(sideways, height)) if height else 90.0
        raise InputError(
            f"{folder}: the gantry was tilted by about {degrees:.0f} degrees (slices drift sideways by {sideways:.1f} mm over {height:.0f} mm"
            f"{_gaps(along)}); read as a straight stack, organs would be sheared. Resample the series to an upright grid first, "
            "for example in 3D Slicer with 'Acquisition geometry regularization'."
        )


def _gaps(along: np.ndarray) -> str:
    steps = np.diff(along)
    if len(steps) and steps.max() - steps.min() > max(
        SPACING_TOLERANCE[0], SPACING_TOLERANCE[1] * float(np.median(steps))
    ):
        return f", with gaps from {steps.min():.1f} to {steps.max():.1f} mm"
    return ""


def _slice_spacing(folder: Path, along: np.ndarray, steps: np.ndarray) -> float:
    if len(steps) == 0:
        raise InputError(f"{folder} holds one slice; a whole head-and-neck CT is expected.")
    usual = float(np.median(steps))
    tolerance = max(SPACING_TOLERANCE[0], SPACING_TOLERANCE[1] * usual)
    odd = np.flatnonzero(np.abs(steps - usual) > tolerance)
    if len(odd) == 0:
        return float((along[-1] - along[0]) / len(steps))
    multiples = steps[odd] / usual
    missing = np.all(np.abs(multiples - np.round(multiples)) * usual <= tolerance) and np.all(multiples > 1.5)
    if missing:
        count = int(np.sum(np.round(multiples) - 1))
        places = ", ".join(f"{along[i]:.1f}" for i in odd[:5]) + (" ..." if len(odd) > 5 else "")
        raise InputError(
            f"{folder}: {counted(count, 'slice is', 'slices are')} missing (after {places} mm; slices are {usual:.2f} mm apart). Copy the whole series."
        )
    raise InputError(
        f"{folder}: the slices are unevenly spaced, {steps.min():.2f} to {steps.max():.2f} mm apart; an even stack is expected. "
        "Resample it first, for example in 3D Slicer with 'Acquisition geometry regularization'."
    )
