"""Whether two networks that agree are right: their agreement beside the true and the predicted DSC, and each bad organ by itself.

    python benchmarks/qa_agreement.py P_VAL P_VAL_OTHER PREDICTIONS.json

P_VAL, P_VAL_OTHER: what ``qa_predict.py`` wrote with two bundles. PREDICTIONS: of ``qa_fit.py --predictions``, for the first of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))

from qa_fit import BAD_DSC, auc

from focusnet.io.seg_nrrd import read_seg_nrrd
from focusnet.metrics import dice

WEIGHTS = (0.0, 0.1, 0.2, 0.5)  # of the agreement, beside the predicted DSC


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("predictions", type=Path)
    args = parser.parse_args()
    rows = []
    for row in json.loads(args.predictions.read_text())["rows"]:
        paths = [folder / f"{row['scan']}.seg.nrrd" for folder in (args.first, args.second)]
        if all(path.is_file() for path in paths):
            one, other = (read_seg_nrrd(path).mask(row["organ"]) for path in paths)
            rows.append({**row, "agreement": float(dice(one, other)) if other.any() else 0.0})
    dsc, predicted, agreement = (np.array([row[k] for row in rows]) for k in ("dsc", "predicted", "agreement"))
    bad = dsc < BAD_DSC
    print(
        f"{len(rows)} organs, {bad.sum()} with DSC below {BAD_DSC}; AUC of the agreement alone {auc(-agreement, bad):.2f}"
    )
    for weight in WEIGHTS:
        print(f"AUC of the predicted DSC + {weight} x agreement: {auc(-(predicted + weight * agreement), bad):.3f}")
    print("\n| scan | organ | DSC | predicted | agreement |\n|---|---|---|---|---|")
    for row in rows:
        if row["dsc"] < BAD_DSC:
            print(
                f"| {row['scan']} | {row['organ']} | {row['dsc']:.2f} | {row['predicted']:.2f} | {row['agreement']:.2f} |"
            )


if __name__ == "__main__":
    main()
