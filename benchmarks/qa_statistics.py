"""Write FocusNetSegmentation/focusnet/qa/statistics.json: statistics of real contours for ``focusnet qa``.

    python benchmarks/qa_statistics.py DATA FocusNetSegmentation/focusnet/qa/statistics.json

From OpenKBP ``train`` (170 patients, with CT) and tcia-oars ``train`` (20 patients, two annotators, no CT; docs/qa.md says how it was split).
Every patient also counts mirrored, so that the sides are alike. Limits that need contours which made no statistic (``position_limit``) come
from tcia-oars ``calibrate`` and OpenKBP patients left out in turn.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))

from openkbp_scores import reference

from focusnet.datasets.openkbp import OpenKBPDataset
from focusnet.datasets.tcia_oars import TciaOars
from focusnet.image.organs import LEFT, find_organ, mirrored, without_side
from focusnet.image.segmentation import Segmentation
from focusnet.qa.hu_scores import outside_fraction
from focusnet.qa.measure import Measured, measure_all
from focusnet.qa.reference_statistics import FORMAT_VERSION, MINIMUM, Spread, load_reference_statistics
from focusnet.qa.spatial_relations import TOUCHES, gap_mm, position_score

FOLDS = 5


class Case:
    """One annotated scan: its organs measured, and what needs more than one of them or the CT. Masks are dropped, the rest is kept."""

    def __init__(self, name: str, segmentation: Segmentation, hu: np.ndarray | None) -> None:
        self.name = name
        geometry = segmentation.geometry
        found = measure_all(segmentation.labels, geometry, segmentation)
        self.hu = {o: outside_fraction(m, hu) for o, m in found.items()} if hu is not None else {}
        self.touch = {
            (a, b): gap_mm(found[a], found[b], geometry) for a, b in TOUCHES.items() if a in found and b in found
        }
        self.missing = {o: len(m.missing_slices) * geometry.spacing_mm_zyx[0] for o, m in found.items()}
        self.organs: dict[str, Measured] = {o: replace(m, mask=np.zeros((0, 0, 0), bool)) for o, m in found.items()}

    def mirrored(self) -> Case:
        out = object.__new__(Case)
        swap = {o: mirror_name(o) for o in self.organs}
        out.name, out.hu, out.missing = self.name, {}, {}
        out.touch = {}
        out.organs = {
            swap[o]: replace(m, name=swap[o], center_mm_xyz=(-m.center_mm_xyz[0], *m.center_mm_xyz[1:]))
            for o, m in self.organs.items()
        }
        return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    openkbp = list(openkbp_cases(options.data / "openkbp", "train"))
    tcia = list(tcia_cases(options.data / "tcia-oars", "train"))
    calibrate = list(tcia_cases(options.data / "tcia-oars", "calibrate"))
    content = statistics(openkbp + tcia)
    content["made_by"] = "benchmarks/qa_statistics.py"
    content["sources"] = {"openkbp train": len(openkbp), "tcia-oars train (scans x annotators)": len(tcia)}
    limits = position_limits(openkbp, tcia, calibrate, options.out)
    for organ, limit in limits.items():
        content["organs"][organ]["position_limit"] = round(limit, 3)
    write(content, options.out)
    print(
        f"{len(content['organs'])} organs, {len(content['offsets'])} pairs, {options.out.stat().st_size / 1024:.0f} KiB"
    )


def openkbp_cases(folder: Path, split: str) -> Iterator[Case]:
    dataset = OpenKBPDataset(folder)
    for case in dataset.cases(split):
        yield Case(case.name, reference(case, dataset.organs), case.hu)


def tcia_cases(folder: Path, split: str) -> Iterator[Case]:
    for scan, _, segmentation in TciaOars(folder).segmentations(split):
        yield Case(scan, segmentation, None)


def statistics(cases: list[Case]) -> dict:
    names = sorted({o for c in cases for o in c.organs})
    organs = {o: entry(o, cases) for o in names if len({c.name for c in cases if o in c.organs}) >= MINIMUM}
    both = cases + [c.mirrored() for c in cases]
    offsets = {}
    for a, b in combinations(sorted(organs), 2):
        vectors = np.array(
            [
                np.subtract(c.organs[b].center_mm_xyz, c.organs[a].center_mm_xyz)
                for c in both
                if a in c.organs and b in c.organs
            ]
        )
        if len(vectors) >= 2 * MINIMUM:
            offsets[f"{a}|{b}"] = robust(vectors)
    return {
        "format": FORMAT_VERSION,
        "organs": organs,
        "offsets": offsets,
        "asymmetry": asymmetry(cases, organs),
        "touch": {f"{a}|{b}": round(upper([c.touch[a, b] for c in cases if (a, b) in c.touch]), 2) for a, b in TOUCHES.items()
                  if sum((a, b) in c.touch for c in cases) >= MINIMUM},
    }  # fmt: skip


def entry(organ: str, cases: list[Case]) -> dict:
    mine = [c for c in cases if organ in c.organs]
    sides = [
        c.organs[o] for c in cases for o in {organ, mirror_name(organ)} if o in c.organs
    ]  # both sides of a pair, pooled
    out: dict = {
        "n_patients": len({c.name for c in mine}),
        "volume_ml": Spread.of([m.volume_ml for m in sides]),
        "extent_mm": [Spread.of([m.extent_mm_xyz[axis] for m in sides]) for axis in range(3)],
        "extra_fraction_limit": round(max(0.01, upper([m.extra_fraction for m in sides])), 4),
        "gap_mm_limit": round(max(4.0, upper([m.gap_mm for m in sides])), 2),
        "hole_fraction_limit": round(max(0.01, upper([m.hole_fraction for m in sides])), 4),
        "missing_mm_limit": round(upper([c.missing[organ] for c in mine]), 2),
        "edge_fraction": round(float(np.mean([bool(m.edges) for m in sides])), 3),
    }
    hu = [c.hu[organ] for c in mine if organ in c.hu]
    if len(hu) >= MINIMUM:
        out["hu_outside_limit"] = round(max(0.02, upper(hu)), 4)
    return out


def upper(values: list[float]) -> float:
    """Return the 99th percentile; with fewer than 100 values near the largest."""
    return float(np.percentile(values, 99)) if values else 0.0


def asymmetry(cases: list[Case], organs: dict) -> dict[str, float]:
    out = {}
    for organ in organs:
        right = mirrored(organ)
        if organ.endswith(LEFT) and right in organs:
            ratios = [
                np.log(c.organs[organ].volume_ml / c.organs[right].volume_ml)
                for c in cases
                if organ in c.organs and right in c.organs
            ]
            out[without_side(organ)] = round(
                float(np.percentile(np.abs(ratios), 90)) * 2.576 / 1.645, 4
            )  # the 99th, from the 90th
    return out


def robust(vectors: np.ndarray) -> dict:
    """Return mean and covariance without the outermost tenth: some reference contours are another structure."""
    kept = vectors
    for _ in range(3):
        mean, covariance = kept.mean(axis=0), np.cov(kept.T) + np.eye(3) * 0.25
        distance = np.einsum("ni,ij,nj->n", vectors - mean, np.linalg.inv(covariance), vectors - mean)
        kept = vectors[distance <= np.quantile(distance, 0.9)]
    mean, covariance = (
        kept.mean(axis=0),
        np.cov(kept.T) * 1.3 + np.eye(3) * 0.25,
    )  # 1.3: what trimming a tenth took away
    upper_half = [covariance[i, j] for i in range(3) for j in range(i, 3)]
    return {
        "n": len(vectors) // 2,
        "mean": [round(float(v), 2) for v in mean],
        "cov": [round(float(v), 3) for v in upper_half],
    }


def position_limits(openkbp: list[Case], tcia: list[Case], calibrate: list[Case], scratch: Path) -> dict[str, float]:
    """Return the limit of ``position_score`` by organ: from its 90th percentile over cases that did not make the statistics."""
    found: dict[str, list[float]] = defaultdict(list)
    folds = [(openkbp[k::FOLDS], [c for i, c in enumerate(openkbp) if i % FOLDS != k] + tcia) for k in range(FOLDS)]
    for tested, trained in [*folds, (calibrate, openkbp + tcia)]:
        content = statistics(trained)
        for row in content["organs"].values():
            row["position_limit"] = 1.0
        path = scratch.with_suffix(".fold.json")
        write(content, path)
        load_reference_statistics.cache_clear()
        table = load_reference_statistics(path)
        for case in tested:
            for organ, m in case.organs.items():
                severity = position_score(m, case.organs, table).severity
                if severity is not None:
                    found[organ].append(severity)
        path.unlink()
    pooled = {o: found[o] + (found[mirror_name(o)] if mirror_name(o) != o else []) for o in found}
    # distances are close to log-normal: the 99th percentile from the 50th and the 90th, no less than what is ordinary
    return {
        o: max(1.5, float(np.median(v) * (np.percentile(v, 90) / np.median(v)) ** (2.326 / 1.282)))
        for o, v in pooled.items()
    }


def mirror_name(organ: str) -> str:
    found = find_organ(organ)
    assert found is not None
    return found.mirrored_name


def write(content: dict, path: Path) -> None:
    text = json.dumps(content, indent=None, separators=(",", ":"))
    path.write_text(text.replace('},"', '},\n"') + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
