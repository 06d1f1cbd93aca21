"""Fit the predicted DSC (``focusnet/qa/quality/quality.json``) and measure it on scans that it did not see.

    python benchmarks/qa_fit.py --references ROWS --train ROWS[:WEIGHT] ... --val ROWS [--out quality.json] [--images docs/images]

ROWS: folders of ``qa_rows.py``. Needs scikit-learn, which what ships does not.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))

from focusnet.qa.quality.features import organ_features
from focusnet.qa.quality.model import FORMAT_VERSION, LEAF, Tree
from focusnet.qa.quality.usual import Usual, fit_usual

BAD_DSC = 0.6
SAMPLES = 500
PEOPLE_LISTED = 0.05
LOWEST = (0.4, 0.9)  # prediction, part below BAD_DSC: so few real organs are predicted that low that they show no part
PLANTED_KEPT = 0.15
ODD_REFERENCE = 4.0  # robust standard deviations: such a reference contour is of something else


@dataclass
class Row:
    scan: str
    organ: str
    what: str  # "result", or what was planted
    dsc: float
    features: dict[str, float]
    weight: float = 1.0
    odd_reference: bool = False


def read_folder(folder: Path) -> list[dict]:
    return [json.loads(p.read_text()) for p in sorted(folder.glob("*.json"))]


def rows_of(scan: dict, usual: Usual, weight: float = 1.0, planted: bool = True) -> Iterator[Row]:
    """Yield the rows of one scan: results with and without their certainty, planted errors without and with that of the unchanged result."""
    found = scan["result"]
    measures = {name: row["measures"] for name, row in found.items() if row["measures"]}
    certainties = {
        name: (row.get("certainty") or row.get("doubt"))
        for name, row in found.items()
        if (row.get("certainty") or row.get("doubt"))
    }
    for name, row in found.items():
        if row["dsc"] is None or name not in measures or not usual.knows(name):
            continue
        odd = is_odd_reference(name, scan["reference"], usual)
        for what, sure in (("result", certainties), ("no certainty", {})):
            if planted or what == "result":
                features = organ_features(name, measures, usual, sure)
                yield Row(scan["scan"], name, what, row["dsc"], without_passes(features), weight, odd)
    if planted:
        for row in scan["planted"]:
            name = row["organ"]
            changed = {**measures, name: row["measures"]}
            features = organ_features(name, changed, usual, {})
            yield Row(scan["scan"], name, row["what"], row["dsc"], features, weight)


def without_passes(features: dict[str, float]) -> dict[str, float]:
    """Return the features without those of ``--qa-passes``, which is off by default."""
    return {key: value for key, value in features.items() if "mirrored" not in key}


def is_odd_reference(name: str, reference: dict[str, dict[str, float]], usual: Usual) -> bool:
    """Return whether the reference contour itself is unlike all others of its organ: in size, HU inside, or place among its neighbours.

    A DSC against it says nothing of the result; such rows teach nothing and are left out of fitting.
    """
    if name not in reference:
        return True
    own = organ_features(name, reference, usual, {})
    return any(
        abs(own.get(key, 0.0)) > ODD_REFERENCE
        for key in ("log_ml", "area_mm2", "hu", "off_x_mm", "off_y_mm", "off_z_mm")
    )


@dataclass
class Settings:
    """How the trees are grown; chosen by cross-validation on training patients."""

    rounds: int = 120
    rate: float = 0.05
    depth: int = 3
    leaf: int = 20
    columns: float = 0.3  # part of the features that a split chooses among
    smoothing: float = 1.0


WEIGHTS = {"result": 1.0, "no certainty": 0.3}
PLANTED_WEIGHT = 0.1


@dataclass
class Fitted:
    features: tuple[str, ...]
    usual_dsc: dict[str, float]
    base: float
    trees: list[Tree] = field(default_factory=list)


def fit(rows: Sequence[Row], settings: Settings) -> Fitted:
    """Fit boosted trees of the DSC on named features, and return them in the form that ships."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    results = [r for r in rows if r.what == "result"]
    organs = sorted({r.organ for r in results})
    usual_dsc = {o: round(float(np.mean([r.dsc for r in results if r.organ == o])), 4) for o in organs}
    names = ("usual_dsc", *sorted({key for r in rows for key in r.features}))
    model = HistGradientBoostingRegressor(
        max_iter=settings.rounds, learning_rate=settings.rate, max_depth=settings.depth, min_samples_leaf=settings.leaf,
        l2_regularization=settings.smoothing, max_features=settings.columns, random_state=0,
    )  # fmt: skip
    weights = [r.weight * WEIGHTS.get(r.what, PLANTED_WEIGHT) for r in rows]
    model.fit(matrix(rows, names, usual_dsc), [r.dsc for r in rows], sample_weight=weights)
    trees = [tree_of(predictors[0].nodes) for predictors in model._predictors]
    return Fitted(names, usual_dsc, float(model._baseline_prediction.ravel()[0]), trees)


def matrix(rows: Sequence[Row], names: Sequence[str], usual_dsc: dict[str, float]) -> np.ndarray:
    return np.array(
        [[({**r.features, "usual_dsc": usual_dsc[r.organ]}).get(n, np.nan) for n in names] for r in rows], float
    )


def tree_of(nodes: np.ndarray) -> Tree:
    """Return scikit-learn's tree with a value in every node: in a split the mean of what lies below."""
    value = nodes["value"].astype(float).copy()

    def below(n: int) -> float:
        if not nodes["is_leaf"][n]:
            parts = [int(nodes[side][n]) for side in ("left", "right")]
            value[n] = np.average([below(p) for p in parts], weights=[nodes["count"][p] for p in parts])
        return float(value[n])

    below(0)
    leaf = nodes["is_leaf"].astype(bool)
    return Tree(
        tuple(int(LEAF if end else f) for end, f in zip(leaf, nodes["feature_idx"], strict=True)),
        tuple(0.0 if end else round(float(t), 4) for end, t in zip(leaf, nodes["num_threshold"], strict=True)),
        tuple(int(v) for v in nodes["left"]),
        tuple(int(v) for v in nodes["right"]),
        tuple(int(v) for v in nodes["missing_go_to_left"]),
        tuple(round(float(v), 5) for v in value),
    )


def predict(fitted: Fitted, rows: Sequence[Row]) -> np.ndarray:
    """Return the predicted DSC of each row, by the code that ships."""
    x = matrix(rows, fitted.features, fitted.usual_dsc)
    return np.array([fitted.base + sum(t.value[t.path(row)[-1]] for t in fitted.trees) for row in x])


def calibration(predicted: np.ndarray, dsc: np.ndarray, knots: int = 6) -> list[list[float]]:
    """Return rows (prediction, part below BAD_DSC, 10th, 90th percentile of true less predicted DSC), each over a window of neighbours in
    rank. The part is made not to rise as the prediction rises; to the left of the windows a row is set by hand.
    """
    order = np.argsort(predicted)
    p, d = predicted[order], dsc[order]
    width = max(20, len(p) // 5)
    starts = np.linspace(0, len(p) - width, knots).astype(int)
    rows = [
        [
            np.median(p[s : s + width]),
            np.mean(d[s : s + width] < BAD_DSC),
            *np.percentile((d - p)[s : s + width], [10, 90]),
        ]
        for s in starts
    ]
    table = np.array(rows)
    table[:, 1] = np.minimum.accumulate(table[:, 1])
    table = np.vstack([[LOWEST[0], max(LOWEST[1], table[0, 1]), *table[0, 2:]], table])
    return [[round(float(v), 4) for v in row] for row in table]


def auc(score: np.ndarray, bad: np.ndarray) -> float:
    """Return the chance that a bad organ has a higher score than a good one."""
    if not bad.any() or bad.all():
        return float("nan")
    return float((score[bad][:, None] > score[~bad]).mean() + 0.5 * (score[bad][:, None] == score[~bad]).mean())


def over_patients(rows: Sequence[Row], score: np.ndarray, measure: Callable[[np.ndarray, np.ndarray], float]) -> str:
    """Return ``measure(score, bad)`` with a 95 % bootstrap interval over patients."""
    bad = np.array([r.dsc < BAD_DSC for r in rows])
    scans = sorted({r.scan for r in rows})
    places = {s: [i for i, r in enumerate(rows) if r.scan == s] for s in scans}
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(SAMPLES):
        chosen = [i for s in rng.choice(scans, len(scans)) for i in places[s]]
        samples.append(measure(score[chosen], bad[chosen]))
    low, high = np.nanpercentile(samples, [2.5, 97.5])
    return f"{measure(score, bad):.2f} ({low:.2f} to {high:.2f})"


def found_at(part_of_good: float) -> Callable[[np.ndarray, np.ndarray], float]:
    def sensitivity(score: np.ndarray, bad: np.ndarray) -> float:
        if not bad.any() or bad.all():
            return float("nan")
        return float(np.mean(score[bad] > np.quantile(score[~bad], 1 - part_of_good)))

    return sensitivity


def look_at_limit(predicted: np.ndarray, bad: np.ndarray, part_of_good: float) -> float:
    """Return the prediction below which ``part_of_good`` of the good organs lie."""
    return float(np.quantile(predicted[~bad], part_of_good))


def as_json(
    fitted: Fitted, usual: Usual, predicted: np.ndarray, dsc: np.ndarray, part_of_good: float, of_people: np.ndarray
) -> dict:
    """Return the file that ships; calibrated on ``predicted`` and true ``dsc`` of patients that the trees did not see.

    ``of_people``: predictions of their reference contours, of which PEOPLE_LISTED may be listed.
    """
    return {
        "format": FORMAT_VERSION,
        "name": "quality-openkbp",
        "version": "1",
        "made_by": "benchmarks/qa_fit.py",
        "data": "OpenKBP (Babier et al. 2021, MIT): 170 training scans; limits and calibration from the 33 of val",
        "models": ["han7-openkbp"],
        "organs": sorted(fitted.usual_dsc),
        "look_at": round(look_at_limit(predicted, dsc < BAD_DSC, part_of_good), 4),
        "look_at_unknown": round(float(np.quantile(of_people, PEOPLE_LISTED)), 4),
        "calibration": calibration(predicted, dsc),
        "usual_dsc": fitted.usual_dsc,
        "base": round(fitted.base, 5),
        "features": list(fitted.features),
        "usual": usual.to_json(),
        "trees": [[t.feature, t.limit, t.left, t.right, t.missing_left, t.value] for t in fitted.trees],
    }


def report(rows: Sequence[Row], predicted: np.ndarray, limit: float) -> None:
    """Print what the predictions find of real mistakes, by organ."""
    score, bad = -predicted, np.array([r.dsc < BAD_DSC for r in rows])
    dsc = np.array([r.dsc for r in rows])
    print(f"{len(rows)} organs of {len({r.scan for r in rows})} patients, {bad.sum()} with DSC below {BAD_DSC}")
    print(f"AUC {over_patients(rows, score, auc)}")
    for part in (0.05, 0.1):
        print(f"sensitivity at {100 * part:.0f} % false alarms {over_patients(rows, score, found_at(part))}")
    print(
        f"mean absolute error of the predicted DSC {np.abs(predicted - dsc).mean():.3f}, correlation {np.corrcoef(predicted, dsc)[0, 1]:.2f}"
    )
    print(
        f"listed at the limit {limit:.3f}: {np.sum(predicted[bad] < limit)} of {bad.sum()} bad, {100 * np.mean(predicted[~bad] < limit):.0f} % of the good"
    )
    print("\n| organ | organs | bad | AUC | bad ones listed | good ones listed |\n|---|---|---|---|---|---|")
    for organ in sorted({r.organ for r in rows}):
        mine = np.array([r.organ == organ for r in rows])
        low = predicted < limit
        print(
            f"| {organ} | {mine.sum()} | {(mine & bad).sum()} | {auc(score[mine], bad[mine]):.2f} | {(mine & bad & low).sum()} | "
            f"{(mine & ~bad & low).sum()} of {(mine & ~bad).sum()} |"
        )


def report_planted(rows: Sequence[Row], predicted: np.ndarray, limit: float) -> None:
    """Print how many planted errors that left a DSC below BAD_DSC are listed, by kind."""
    print("\n| planted error | organs | mean DSC | listed | of those with DSC below 0.6 |\n|---|---|---|---|---|")
    for what in sorted({r.what for r in rows}):
        mine = [i for i, r in enumerate(rows) if r.what == what]
        low, dsc = predicted[mine] < limit, np.array([rows[i].dsc for i in mine])
        bad = dsc < BAD_DSC
        print(
            f"| {what} | {len(mine)} | {dsc.mean():.2f} | {100 * low.mean():.0f} % | {np.sum(low & bad)} of {bad.sum()} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--references", type=Path, required=True)
    parser.add_argument("--train", nargs="+", required=True, metavar="ROWS[:WEIGHT]")
    parser.add_argument("--val", type=Path, required=True)
    parser.add_argument("--val-planted", type=Path, help="rows of val with planted errors")
    parser.add_argument("--out", type=Path, help="write what ships")
    parser.add_argument("--predictions", type=Path, help="write each prediction on val, for qa_quality_plots.py")
    parser.add_argument(
        "--good-listed", type=float, default=0.1, help="part of the good organs that the limit may list"
    )
    options = parser.parse_args()
    usual = fit_usual([scan["reference"] for scan in read_folder(options.references)])
    train: list[Row] = []
    for named in options.train:
        folder, _, weight = named.partition(":")
        for scan in read_folder(Path(folder)):
            train += rows_of(scan, usual, float(weight or 1))
    val = [row for scan in read_folder(options.val) for row in rows_of(scan, usual, planted=False)]
    fitted = fit(thinned([r for r in train if not r.odd_reference]), Settings())
    predicted, dsc = predict(fitted, val), np.array([r.dsc for r in val])
    people = [
        Row(scan["scan"], name, "reference", 1.0, organ_features(name, scan["reference"], usual, {}))
        for scan in read_folder(options.val)
        for name in scan["reference"]
    ]
    content = as_json(fitted, usual, predicted, dsc, options.good_listed, predict(fitted, people))
    if options.out:
        options.out.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")
    report(val, predicted, content["look_at"])
    sound = np.array([not r.odd_reference for r in val])
    kept = [r for r in val if not r.odd_reference]
    print(
        f"\nwithout {np.sum(~sound)} odd reference contours ({np.sum(dsc[~sound] < BAD_DSC)} of them with a DSC below {BAD_DSC}): "
        f"AUC {over_patients(kept, -predicted[sound], auc)}"
    )
    bare = [row for scan in read_folder(options.val) for row in rows_of(scan, usual) if row.what == "no certainty"]
    print("without the network's certainty: AUC", over_patients(bare, -predict(fitted, bare), auc))
    if options.val_planted:
        planted = [
            row for scan in read_folder(options.val_planted) for row in rows_of(scan, usual) if row.what not in WEIGHTS
        ]
        report_planted(planted, predict(fitted, planted), content["look_at"])
    if options.predictions:
        rows = [
            {"scan": r.scan, "organ": r.organ, "dsc": r.dsc, "predicted": float(p)}
            for r, p in zip(val, predicted, strict=True)
        ]
        options.predictions.write_text(
            json.dumps({"limit": content["look_at"], "calibration": content["calibration"], "rows": rows})
        )


def thinned(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with a part of the planted ones, which are many and alike."""
    rng = np.random.default_rng(0)
    return [r for r in rows if r.what in WEIGHTS or rng.random() < PLANTED_KEPT]


if __name__ == "__main__":
    main()
