"""How far off a bundle's small organs are on a real head CT: distances to landmarks that were read off by eye.

    python benchmarks/real_landmarks.py BUNDLE [--scan Cranium.inv3] [--picture out.png]

Prints for each organ the distance in mm between what the bundle drew and the landmark (mean of two passes), the two passes' own distance,
and whether it lies on the patient's right side; for the globes also the DSC against a ball of the radius seen. An optic nerve is judged
where the landmark's coronal plane cuts it, every other organ by the centre of its largest part.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "FocusNetSegmentation"), str(ROOT / "benchmarks")]

from invesalius_ct import CRANIUM, read_inv3  # noqa: E402

import focusnet  # noqa: E402
from focusnet.image.segmentation import Segmentation  # noqa: E402
from focusnet.image.volume import Volume  # noqa: E402
from focusnet.wording import DISCLAIMER  # noqa: E402

LANDMARKS = ROOT / "Testing" / "Core" / "landmarks" / "invesalius_cranium.json"
NERVE_SLAB_MM = 3.0  # to either side of the landmark's coronal plane


@dataclass(frozen=True)
class Landmark:
    """``place`` (x, y, z, voxels): mean of the passes. ``spread_mm``: distance between the passes."""

    organ: str
    place: np.ndarray
    spread_mm: float


def read_landmarks(path: Path = LANDMARKS) -> tuple[list[Landmark], dict[str, Any]]:
    """Return the landmarks of a scan, and the file as it is."""
    about = json.loads(path.read_text(encoding="utf-8"))
    first, second = about["passes"]
    spacing = np.array(about["spacing_mm_xyz"])
    out = []
    for organ in first:
        a, b = np.array(first[organ]), np.array(second[organ])
        out.append(Landmark(organ, (a + b) / 2, float(np.linalg.norm((a - b) * spacing))))
    return out, about


def largest_part(mask: np.ndarray) -> np.ndarray:
    """Return the largest connected part of a mask (z, y, x)."""
    parts, count = ndimage.label(mask, np.ones((3, 3, 3)))
    return mask if count < 2 else np.asarray(parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:])))


def drawn_place(mask: np.ndarray, landmark: Landmark, spacing_mm_xyz: np.ndarray) -> np.ndarray | None:
    """Return where an organ was drawn (x, y, z, voxels), None where it was not: its centre; of a nerve, at the landmark's coronal plane."""
    if landmark.organ.startswith("OpticNrv"):
        y = landmark.place[1]
        reach = NERVE_SLAB_MM / spacing_mm_xyz[1]
        slab = np.zeros_like(mask)
        part = slice(max(0, round(y - reach)), round(y + reach) + 1)
        slab[:, part] = mask[:, part]
        if not slab.any():
            return None
        x, _, z = np.argwhere(largest_part(slab)).mean(axis=0)[::-1]
        return np.array([x, y, z])
    if not mask.any():
        return None
    return np.argwhere(largest_part(mask)).mean(axis=0)[::-1]


def globe_dsc(mask: np.ndarray, landmark: Landmark, spacing_mm_xyz: np.ndarray, radius_mm: float) -> float:
    """Return the DSC of a mask (z, y, x) and a ball about the landmark."""
    z, y, x = np.ogrid[tuple(slice(0, n) for n in mask.shape)]
    d = [(c - p) * s for c, p, s in zip((x, y, z), landmark.place, spacing_mm_xyz, strict=True)]
    ball = d[0] ** 2 + d[1] ** 2 + d[2] ** 2 <= radius_mm**2
    return float(2 * (mask & ball).sum() / (mask.sum() + ball.sum()))


def judge(result: Segmentation, landmarks: list[Landmark], about: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each landmark: organ, distance in mm (None: not drawn), the passes' spread, on_its_side, DSC of globes."""
    spacing = np.array(about["spacing_mm_xyz"])
    values = {organ.organ.name: organ.label for organ in result.results}
    middle = float(np.mean([mark.place[0] for mark in landmarks if mark.organ.startswith("Eye")]))
    rows = []
    for mark in landmarks:
        mask = result.labels == values[mark.organ] if mark.organ in values else np.zeros(result.labels.shape, bool)
        place = drawn_place(mask, mark, spacing)
        row: dict[str, Any] = {"organ": mark.organ, "spread_mm": mark.spread_mm, "voxels": int(mask.sum()), "mm": None}
        if place is not None:
            row["mm"] = float(np.linalg.norm((place - mark.place) * spacing))
            side = mark.organ[-2:]
            row["on_its_side"] = side not in ("_L", "_R") or (place[0] > middle) == (side == "_L")
        if mark.organ.startswith("Eye"):
            row["dsc"] = globe_dsc(mask, mark, spacing, about["globe_radius_mm"])
        rows.append(row)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| organ | off by, mm | between the two passes, mm | side | DSC with a ball |", "|---|---|---|---|---|"]
    for row in rows:
        off = "not drawn" if row["mm"] is None else f"{row['mm']:.1f}"
        side = "" if row["mm"] is None else "right" if row["on_its_side"] else "**wrong**"
        lines.append(f"| {row['organ']} | {off} | {row['spread_mm']:.1f} | {side} | {row.get('dsc', float('nan')):.2f} |".replace("nan", ""))  # fmt: skip
    near = sum(row["mm"] is not None and row["mm"] <= 5 for row in rows)
    return "\n".join([*lines, f"\n{near} of {len(rows)} within 5 mm."])


def picture(volume: Volume, result: Segmentation, landmarks: list[Landmark], path: Path) -> None:
    """Draw the axial slice through each landmark, 90 mm wide about it: what was drawn, and a cross where the landmark is."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    x_mm, y_mm, _ = volume.geometry.spacing_mm_xyz
    columns = (len(landmarks) + 1) // 2
    figure, axes = plt.subplots(2, columns, figsize=(3.2 * columns, 6.8))
    for axis in axes.ravel():
        axis.axis("off")
    for axis, mark in zip(axes.ravel(), landmarks, strict=False):
        x, y, z = mark.place
        level, width = (600, 2600) if mark.organ.startswith("Cochlea") else (40, 350)
        axis.imshow(
            volume.array[round(z)], cmap="gray", vmin=level - width / 2, vmax=level + width / 2, aspect=y_mm / x_mm
        )
        for organ in result.results:
            mask = result.labels[round(z)] == organ.label
            if mask.any():
                axis.contour(mask, [0.5], colors=[np.array(organ.organ.color_rgb) / 255], linewidths=1.0)
        axis.plot(x, y, "w+", markersize=7, markeredgewidth=0.7)
        axis.set_xlim(x - 45 / x_mm, x + 45 / x_mm)
        axis.set_ylim(y + 45 / y_mm, y - 45 / y_mm)
        axis.set_title(mark.organ, fontsize=9)
    figure.text(
        0.5,
        0.005,
        f"Real CT: {volume.source}. Contours: {result.provenance.get('model', '')}. {DISCLAIMER}",
        ha="center",
        fontsize=7,
    )
    figure.tight_layout(rect=(0, 0.02, 1, 1), pad=0.4)
    figure.savefig(path, dpi=70)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", help="name or folder of a bundle")
    parser.add_argument("--scan", type=Path, default=CRANIUM)
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    volume = read_inv3(args.scan)
    result = focusnet.segment(volume, focusnet.load_bundle(args.bundle), device="cpu")
    landmarks, about = read_landmarks()
    print(table(judge(result, landmarks, about)))
    if args.picture is not None:
        picture(volume, result, landmarks, args.picture)


if __name__ == "__main__":
    main()
