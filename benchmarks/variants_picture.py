"""A real head CT above painted heads and their variants, at the same places: orbits, sella, petrous bones.

    python benchmarks/variants_picture.py PAINTED.npz PAINTED.npz -o docs/images/variants.png [--scan Cranium.inv3]

PAINTED are heads that ``python benchmarks/synthetic_train.py paint`` or ``focusnet simulate --variants`` wrote.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import matplotlib
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "FocusNetSegmentation"), str(ROOT / "benchmarks")]

from invesalius_ct import CRANIUM, read_inv3  # noqa: E402
from real_landmarks import read_landmarks  # noqa: E402

from focusnet.image.organs import find_organ  # noqa: E402
from focusnet.simulate.specimen import Specimen, load_specimen  # noqa: E402
from focusnet.simulate.variant import draw_variant  # noqa: E402
from focusnet.simulate.variety import Variety  # noqa: E402

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

SHAPE_ZYX, SPACING_ZYX = (3, 128, 136), (1.5, 1.0, 1.0)
PLACES = (
    ("Eye_L", "Eye_R", 32.0),
    ("OpticNrv_L", "OpticNrv_R", 8.0),
    ("OpticChiasm", "OpticChiasm", -18.0),
    ("Cochlea_L", "Cochlea_R", -20.0),
)  # mm back
WINDOWS = ((40.0, 350.0), (40.0, 350.0), (40.0, 350.0), (600.0, 2600.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("painted", nargs="+", type=Path)
    parser.add_argument("--scan", type=Path, default=CRANIUM)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    heads = [load_specimen(path) for path in args.painted]
    columns = len(PLACES)
    rows = 1 + 2 * len(heads)
    figure, axes = plt.subplots(rows, columns, figsize=(3.4 * columns, 3.25 * rows), facecolor="black")
    _real(args.scan, list(axes[0]))
    for number, head in enumerate(heads):
        for k, (variety, text) in enumerate(
            ((Variety.ordinary(), "simulated"), (Variety(), "simulated, everything varied"))
        ):
            for column, axis in enumerate(axes[1 + 2 * number + k]):
                _simulated(head, column, variety, axis, f"{text}", seed=10 * number + column + 1)
    figure.tight_layout(pad=0.3)
    figure.savefig(args.output, dpi=60, facecolor="black")


def _real(path: Path, axes: list[plt.Axes]) -> None:
    volume = read_inv3(path)
    marks = {mark.organ: mark.place for mark in read_landmarks()[0]}
    x_mm, y_mm, _ = volume.geometry.spacing_mm_xyz
    for axis, (left, right, back), window in zip(axes, PLACES, WINDOWS, strict=True):
        x, y, z = (marks[left] + marks[right]) / 2
        part = volume.array[round(z)]
        _show(axis, part, window, "real CT")
        axis.set_aspect(y_mm / x_mm)
        axis.set_xlim(x - 68 / x_mm, x + 68 / x_mm)
        axis.set_ylim(y + (back + 64) / y_mm, y + (back - 64) / y_mm)


def _simulated(head: Specimen, column: int, variety: Variety, axis: plt.Axes, text: str, seed: int) -> None:
    left, right, back = PLACES[column]
    centre = (np.array(head.centres_mm_xyz[left]) + np.array(head.centres_mm_xyz[right])) / 2 + (0.0, back, 0.0)
    variant = draw_variant(head, SHAPE_ZYX, SPACING_ZYX, centre, variety, np.random.default_rng(seed))
    middle = SHAPE_ZYX[0] // 2
    _show(axis, variant.hu[middle], WINDOWS[column], text)
    for value, name in enumerate(head.organs, start=1):
        organ, mask = find_organ(name), variant.labels[middle] == value
        if organ is not None and mask.any() and name not in ("Brain", "Brainstem"):
            axis.contour(mask, [0.5], colors=[np.array(organ.color_rgb) / 255], linewidths=0.8)


def _show(axis: plt.Axes, part: np.ndarray, window: tuple[float, float], text: str) -> None:
    level, width = window
    axis.imshow(part, cmap="gray", vmin=level - width / 2, vmax=level + width / 2, interpolation="bicubic")
    axis.text(0.02, 0.03, text, color="white", fontsize=9, transform=axis.transAxes)
    axis.axis("off")


if __name__ == "__main__":
    main()
