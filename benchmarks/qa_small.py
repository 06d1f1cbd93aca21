"""What the review list finds among small organs on held-out **simulated** heads, and how well the agreement of S-Net and SOS-Net tells bad from good.

    python benchmarks/qa_small.py PAINTED_TEST BUNDLE [--varieties ordinary,mild] [--seeds 0] [--rows ROWS.json]

Simulated CT: it says how the list behaves, not how often real contours are wrong. Bad: DSC below 0.4, organs that were not drawn left out (the
list always names those). ROWS.json keeps what was computed; start it again to go on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "FocusNetSegmentation"), str(ROOT / "benchmarks")]

from qa_fit import auc  # noqa: E402
from synthetic_scores import VARIETIES, whole_variant  # noqa: E402

import focusnet  # noqa: E402
from focusnet.image.segmentation import BOTH_NETWORKS  # noqa: E402
from focusnet.metrics import dice  # noqa: E402
from focusnet.nets.bundle import ModelBundle  # noqa: E402
from focusnet.qa import load_shape_model, rank_organs  # noqa: E402
from focusnet.qa.organ_scores import LOOK_AT  # noqa: E402
from focusnet.simulate.specimen import load_specimen  # noqa: E402

BAD_DSC = 0.4  # the paper's small organs have 0.6 to 0.8; below this a contour helps nobody
Row = dict[str, Any]


def rows_of(head_file: Path, bundle: ModelBundle, variety: str, seed: int, shape_model: Any) -> list[Row]:
    """Return a row for each small organ that the head shows and the model drew."""
    volume, masks = whole_variant(load_specimen(head_file), VARIETIES[variety](), seed)
    result = focusnet.segment(volume, bundle, device="cpu")
    ranked = {o.organ.name: o for o in rank_organs(result, volume, bundle=bundle, shape_model=shape_model).organs}
    out = []
    for r in result.results:
        name = r.organ.name
        if name not in bundle.config.small_organs or not masks[name].any() or not r.volume_ml:
            continue
        out.append(
            {
                "head": head_file.stem, "variety": variety, "seed": seed, "organ": name, "dsc": float(dice(result.mask(name), masks[name])),
                "both": (r.certainty or {}).get(BOTH_NETWORKS), "sure": r.place_certainty, "expected": (r.certainty or {}).get("expected_dsc"),
                "listed": ranked[name].group == LOOK_AT, "severity": ranked[name].severity,
                "scores": {s.id: s.severity for s in ranked[name].scores if s.counts and s.severity is not None},
            }
        )  # fmt: skip
    return out


def report(rows: Sequence[Row]) -> None:
    dsc = np.array([r["dsc"] for r in rows])
    bad, listed = dsc < BAD_DSC, np.array([r["listed"] for r in rows])
    print(
        f"{len(rows)} small organs of {len({r['head'] for r in rows})} simulated heads, {bad.sum()} with DSC below {BAD_DSC}"
    )
    print(f"listed: {(listed & bad).sum()} of {bad.sum()} bad, {(listed & ~bad).sum()} of {(~bad).sum()} good")
    measures: dict[str, Callable[[Row], float | None]] = {
        "the list's severity": lambda r: r["severity"],
        "overlap of both networks": lambda r: None if r["both"] is None else -r["both"],
        "certainty of the place": lambda r: None if r["sure"] is None else -r["sure"],
        "S-Net's expected overlap": lambda r: None if r["expected"] is None else -r["expected"],
    }
    for what, measure in measures.items():
        known = [i for i, r in enumerate(rows) if measure(r) is not None]
        values = np.array([measure(rows[i]) for i in known], float)
        print(f"{what}: AUC {auc(values, bad[known]):.2f} ({len(known)} organs, {bad[known].sum()} bad)")
    ids = sorted({key for r in rows for key in r["scores"]})
    print("\n| score past its limit | bad | good |\n|---|---|---|")
    for key in ids:
        past = np.array([r["scores"].get(key, 0.0) >= 1 for r in rows])
        print(f"| `{key}` | {(past & bad).sum()} | {(past & ~bad).sum()} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("painted", type=Path)
    parser.add_argument("bundle")
    parser.add_argument("--varieties", default="ordinary,mild")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--rows", type=Path, help="keep what was computed here")
    args = parser.parse_args()
    bundle, shape_model = focusnet.load_bundle(args.bundle), load_shape_model()
    rows: list[Row] = json.loads(args.rows.read_text()) if args.rows and args.rows.is_file() else []
    done = {(r["head"], r["variety"], r["seed"]) for r in rows}
    for variety in args.varieties.split(","):
        for seed in map(int, args.seeds.split(",")):
            for head in sorted(args.painted.glob("*.npz")):
                if (head.stem, variety, seed) not in done:
                    rows += rows_of(head, bundle, variety, seed, shape_model)
                    if args.rows:
                        args.rows.write_text(json.dumps(rows))
    report(rows)


if __name__ == "__main__":
    main()
