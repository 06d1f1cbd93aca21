"""Draw what ``qa_fit.py --predictions`` wrote: predicted and true DSC, calibration, and the ROC curve.

python benchmarks/qa_quality_plots.py PREDICTIONS.json docs/images/qa-predicted.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

BAD_DSC = 0.6


def main() -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("predictions", type=Path)
    parser.add_argument("image", type=Path)
    options = parser.parse_args()
    content = json.loads(options.predictions.read_text())
    rows = content["rows"]
    predicted, dsc = (np.array([r[key] for r in rows]) for key in ("predicted", "dsc"))
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.2), constrained_layout=True)
    for organ in sorted({r["organ"] for r in rows}):
        mine = np.array([r["organ"] == organ for r in rows])
        left.scatter(predicted[mine], dsc[mine], s=16, label=organ)
    left.axvline(content["limit"], color="0.4", lw=1, ls="--")
    left.axhline(BAD_DSC, color="0.7", lw=1)
    left.set(
        xlabel="predicted (left of the dashed line: look at)", ylabel="true DSC", title="Every organ of OpenKBP val"
    )
    left.legend(fontsize=7, loc="upper left")
    at, bad, low, high = np.array(content["calibration"]).T
    middle.fill_between(at, at + low, at + high, alpha=0.3, label="interval that is told (80 %)")
    groups = np.array_split(np.argsort(predicted), 5)
    middle.errorbar(
        [predicted[g].mean() for g in groups], [dsc[g].mean() for g in groups],
        yerr=[1.96 * dsc[g].std() / len(g) ** 0.5 for g in groups], fmt="o", label="mean true DSC of a fifth",
    )  # fmt: skip
    middle.plot(at, bad, color="tab:red", label=f"part with DSC < {BAD_DSC}")
    middle.set(xlabel="predicted", ylabel="true DSC, or part", title="Calibration", ylim=(0, 1), xlim=(0.55, 0.9))
    middle.legend(fontsize=8, loc="center left")
    wrong = dsc < BAD_DSC
    order = np.argsort(predicted)
    right.step(np.cumsum(~wrong[order]) / (~wrong).sum(), np.cumsum(wrong[order]) / wrong.sum(), where="post")
    right.plot([0, 1], [0, 1], color="0.6", ls=":")
    right.set(xlabel="part of the good organs listed", ylabel=f"part with DSC < {BAD_DSC} listed", title="ROC")
    figure.savefig(options.image, dpi=90)


if __name__ == "__main__":
    main()
