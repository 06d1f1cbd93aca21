"""A folder of bit masks as tcia-oars has it, drawn with ellipsoids: small, fast, and nobody's head."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk

GRID_ZYX = (96, 78, 66)
SPACING_XYZ = (3.0, 3.0, 3.0)
ORIGIN_XYZ = (-97.5, -105.0, -170.0)
# name -> centre (x, y, z) and radii, mm; the patient's left is +x
SHAPES: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "Brain": ((0, 8, 32), (62, 80, 62)),
    "Brainstem": ((0, 25, -12), (13, 12, 26)),
    "Spinal-Canal": ((0, 42, -100), (12, 11, 64)),
    "Spinal-Cord": ((0, 42, -100), (6, 6, 64)),
    "Mandible": ((0, -38, -78), (46, 36, 11)),
}
PAIRS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "Orbit": ((32, -67, -4), (13, 13, 13)),
    "Lens": ((32, -76, -4), (6, 4, 6)),
    "Optic-Nerve": ((24, -42, -1), (4, 18, 4)),
    "Lacrimal": ((44, -64, 10), (5, 8, 6)),
    "Cochlea": ((36, 26, -26), (4, 4, 5)),
    "Parotid": ((52, 14, -58), (11, 18, 24)),
    "Submandibular": ((30, -22, -98), (9, 12, 12)),
}
ALL = {
    **SHAPES,
    **{f"{name}-Lt": shape for name, shape in PAIRS.items()},
    **{f"{name}-Rt": ((-c[0], c[1], c[2]), r) for name, (c, r) in PAIRS.items()},
}


def bit_masks(leave_out: tuple[str, ...] = (), mirror: bool = False) -> sitk.Image:
    """One case; bit k is the k-th name of ``ALL``. ``mirror``: left and right names exchanged."""
    z, y, x = (
        origin + step * np.arange(n, dtype=float)
        for origin, step, n in zip(ORIGIN_XYZ[::-1], SPACING_XYZ[::-1], GRID_ZYX, strict=True)
    )
    x = -x if mirror else x
    bits = np.zeros(GRID_ZYX, np.uint32)
    for bit, (name, ((cx, cy, cz), (rx, ry, rz))) in enumerate(ALL.items()):
        if name in leave_out:
            continue
        inside = ((x - cx) / rx) ** 2 + ((y[:, None] - cy) / ry) ** 2 + ((z[:, None, None] - cz) / rz) ** 2 <= 1
        if name == "Mandible":  # an arch, open to the back
            inside &= ~(
                ((x / 36) ** 2 + ((y[:, None] + 28) / 34) ** 2 <= 1) & (y[:, None] > -200) & (z[:, None, None] < 1e9)
            )
        bits[inside] |= np.uint32(1 << bit)
    image = sitk.GetImageFromArray(bits)
    image.SetSpacing(SPACING_XYZ)
    image.SetOrigin(ORIGIN_XYZ)
    return image


def write_bit_masks(folder: Path, cases: dict[str, list[str]] | None = None, **options: object) -> Path:
    """A whole folder; by default three patients, one of them with two scans, one for validation."""
    cases = cases or {"validation": ["p01"], "test": ["p02a", "p02b", "p03", "p04", "p05"]}
    (folder / "oncologist").mkdir(parents=True)
    index = {"bits": {name: bit for bit, name in enumerate(ALL)}, "cases": cases}
    (folder / "dataset.json").write_text(json.dumps(index))
    image = bit_masks(**options)  # type: ignore[arg-type]
    for names in cases.values():
        for name in names:
            sitk.WriteImage(image, str(folder / "oncologist" / f"{name}.nrrd"), useCompression=True)
    return folder
