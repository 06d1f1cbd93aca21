"""Measure the predicted DSC on results of a network that saw none of the patients, with trees that saw none of them either.

    python benchmarks/qa_cross.py --references ROWS --held-out ROWS_FOLD [...] --train ROWS[:WEIGHT] [...] [--folds 5]

ROWS: folders of ``qa_rows.py``; ``--held-out``: results on patients that the network was not trained on. For each fifth of these patients trees are
fitted on all other patients, in ``--train`` too. There are more bad organs than in val, of a network that is weaker than the shipped one.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from qa_fit import (
    BAD_DSC,
    Row,
    Settings,
    auc,
    fit,
    fit_usual,
    found_at,
    over_patients,
    predict,
    read_folder,
    rows_of,
    thinned,
)


def predicted_across(held_out: Sequence[Row], train: Sequence[Row], folds: int) -> tuple[list[Row], np.ndarray]:
    """Return the results among ``held_out`` and the DSC predicted for each by trees that saw nothing of its patient."""
    results = [r for r in held_out if r.what == "result"]
    scans = np.random.default_rng(1).permutation(sorted({r.scan for r in results}))
    predicted = np.zeros(len(results))
    for fold in range(folds):
        mine = set(scans[fold::folds])
        rows = [r for r in [*held_out, *train] if r.scan not in mine and not r.odd_reference]
        trees = fit(thinned(rows), Settings())
        at = [i for i, r in enumerate(results) if r.scan in mine and r.organ in trees.usual_dsc]
        predicted[at] = predict(trees, [results[i] for i in at])
    return results, predicted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--references", type=Path, required=True)
    parser.add_argument("--held-out", nargs="+", type=Path, required=True, metavar="ROWS")
    parser.add_argument("--train", nargs="+", default=[], metavar="ROWS[:WEIGHT]")
    parser.add_argument("--folds", type=int, default=5)
    options = parser.parse_args()
    usual = fit_usual([scan["reference"] for scan in read_folder(options.references)])
    held_out = [row for folder in options.held_out for scan in read_folder(folder) for row in rows_of(scan, usual)]
    train: list[Row] = []
    for named in options.train:
        folder, _, weight = named.partition(":")
        train += [row for scan in read_folder(Path(folder)) for row in rows_of(scan, usual, float(weight or 1))]
    results, predicted = predicted_across(held_out, train, options.folds)
    bad = np.array([r.dsc < BAD_DSC for r in results])
    print(f"{len(results)} organs of {len({r.scan for r in results})} patients, {bad.sum()} with DSC below {BAD_DSC}")
    print(f"AUC {over_patients(results, -predicted, auc)}")
    usual_dsc = {r.organ: np.mean([o.dsc for o in results if o.organ == r.organ]) for r in results}
    print(f"by the organ's name alone: AUC {auc(-np.array([usual_dsc[r.organ] for r in results]), bad):.2f}")
    for part in (0.05, 0.1):
        print(f"sensitivity at {100 * part:.0f} % false alarms {over_patients(results, -predicted, found_at(part))}")
    print("\n| organ | organs | bad | AUC |\n|---|---|---|---|")
    for organ in sorted({r.organ for r in results}):
        at = [i for i, r in enumerate(results) if r.organ == organ]
        print(f"| {organ} | {len(at)} | {bad[at].sum()} | {auc(-predicted[at], bad[at]):.2f} |")


if __name__ == "__main__":
    main()
