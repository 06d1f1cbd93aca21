"""The picture of docs/simulator.md: a simulated CT beside a real one, three planes each, one window.

python benchmarks/simulated_picture.py SIMULATED/ct.nrrd REAL/ct.nrrd -o docs/images/simulated.png [--at X,Y,Z X,Y,Z]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))

from focusnet.image.orientation import to_upright
from focusnet.io import read_volume

WINDOW_HU = (-160.0, 240.0)
FIELD_MM = 245.0  # side of each slice: all at one scale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("simulated", type=Path)
    parser.add_argument("real", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--at", nargs=2, default=("0.5,0.45,0.3", "0.5,0.45,0.72"), help="slices as shares of x, y, z")
    options = parser.parse_args()
    figure = Figure(figsize=(15, 2.85), dpi=110, facecolor="#101214")
    FigureCanvasAgg(figure)
    for scan, path in enumerate((options.simulated, options.real)):
        volume = read_volume(path)
        hu, geometry, _, _ = to_upright(volume.array, volume.geometry)
        z_mm, y_mm, x_mm = geometry.spacing_mm_zyx
        shares = [float(v) for v in options.at[scan].split(",")]
        for plane, (axis, row_mm, column_mm) in enumerate(((0, y_mm, x_mm), (1, z_mm, x_mm), (2, z_mm, y_mm))):
            index = int(shares[2 - axis] * (hu.shape[axis] - 1))
            image = np.take(hu, index, axis=axis)
            rows, columns = image.shape[0] * row_mm, image.shape[1] * column_mm
            axes = figure.add_axes((0.004 + 0.167 * (3 * scan + plane), 0.0, 0.16, 0.88), facecolor="black")
            low, high = WINDOW_HU
            extent = (0, columns, rows, 0) if axis == 0 else (0, columns, 0, rows)  # the head is up
            origin = "upper" if axis == 0 else "lower"
            axes.imshow(image, cmap="gray", vmin=low, vmax=high, extent=extent, origin=origin, interpolation="bicubic")
            across = shares[1 if axis == 2 else 0] * columns
            axes.set_xlim(across - FIELD_MM / 2, across + FIELD_MM / 2)
            first = shares[1] * rows - FIELD_MM / 2 if axis == 0 else rows - FIELD_MM
            axes.set_ylim((first + FIELD_MM, first) if axis == 0 else (first, first + FIELD_MM))
            axes.set_aspect("equal")
            axes.set_axis_off()
        text = "Simulated CT over real contours: not a patient's scan" if scan == 0 else "Real planning CT (OpenKBP)"
        figure.text(
            0.25 + 0.5 * scan, 0.94, text, color="#ffd866" if scan == 0 else "#e8eaed", ha="center", fontsize=12
        )
    figure.savefig(options.output)


if __name__ == "__main__":
    main()
