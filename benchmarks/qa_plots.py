"""Plots of qa_corruptions.py."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SHOWN = {
    "all": "review (all scores)",
    "volume": "volume check alone",
    "shape_latent": "AAE: latent distance",
    "shape_dsc": "AAE: reconstruction DSC",
    "position": "place among neighbours",
}
PANELS = (
    "shift 3 mm",
    "shrink to 0.8",
    "grow to 1.2",
    "slice missing",
    "leak 4 mm",
    "blob 2 mm",
    "mirrored",
    "wrong organ",
)


def plot_aucs(rows: list[dict], path: Path) -> None:
    """Plot the AUCs: one row per corruption, one column per score."""
    from qa_corruptions import COLUMNS, auc

    kinds = list(dict.fromkeys(r["what"] for r in rows if r["what"] != "real"))
    values = np.array([[auc(rows, what, c) for c in COLUMNS] for what in kinds])
    figure, axes = plt.subplots(figsize=(9, 7.5), constrained_layout=True)
    image = axes.imshow(values, vmin=0.3, vmax=1, cmap="viridis", aspect="auto")
    axes.set_xticks(
        range(len(COLUMNS)), [SHOWN.get(c, c.replace("_", " ")) for c in COLUMNS], rotation=35, ha="right", fontsize=8
    )
    axes.set_yticks(range(len(kinds)), kinds, fontsize=8)
    for (y, x), value in np.ndenumerate(values):
        axes.text(
            x, y, f"{value:.2f}", ha="center", va="center", fontsize=7, color="white" if value < 0.72 else "black"
        )
    figure.colorbar(image, label="AUC: corrupted against real contours (0.5: chance)", shrink=0.8)
    axes.set_title("Which score finds which error: small organs of 8 held-out patients", fontsize=10)
    figure.savefig(path, dpi=110)


def plot_rocs(rows: list[dict], path: Path) -> None:
    """Plot ROC curves: false alarms on real contours against corrupted ones found."""
    figure, grid = plt.subplots(2, 4, figsize=(13, 6.6), constrained_layout=True, sharex=True, sharey=True)
    for panel, what in zip(grid.ravel(), PANELS, strict=True):
        for column, label in SHOWN.items():
            real = np.array([r[column] or 0.0 for r in rows if r["what"] == "real"])
            wrong = np.array([r[column] or 0.0 for r in rows if r["what"] == what])
            limits = np.unique(np.concatenate([real, wrong, [-1, 99]]))[::-1]
            panel.plot([(real >= t).mean() for t in limits], [(wrong >= t).mean() for t in limits], label=label, lw=1.4)
        panel.plot([0, 1], [0, 1], color="0.7", ls=":", lw=1)
        panel.set_title(what, fontsize=10)
    for panel in grid[1]:
        panel.set_xlabel("real contours scored as high", fontsize=8)
    for panel in grid[:, 0]:
        panel.set_ylabel("corrupted contours found", fontsize=8)
    grid[0, 0].legend(fontsize=7, loc="lower right")
    figure.savefig(path, dpi=110)
