"""How many planted errors, and how many contours that are right, the whole review list puts under "look at".

    python benchmarks/qa_planted_list.py DATA/openkbp PREDICTED [--scans 12]

PREDICTED: results of val by ``qa_predict.py``. Each error is planted in one good organ of a result (``qa_planted.py``); the file's other organs
stay. Also: reference contours of all val scans, as contours of unknown origin.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))

from qa_planted import planted_errors

from focusnet.datasets.openkbp import OpenKBPDataset
from focusnet.image.orientation import to_upright
from focusnet.image.volume import Volume
from focusnet.io.seg_nrrd import read_seg_nrrd
from focusnet.nets.bundle import load_bundle
from focusnet.qa.organ_scores import LOOK_AT
from focusnet.qa.ranking import rank_organs

SHOWN = (
    ("Parotid_L", "moved 10 mm"), ("Parotid_R", "moved 10 mm"), ("Larynx", "moved 15 mm"), ("Larynx", "moved 10 mm"),
    ("SpinalCord", "bottom 30 mm missing"), ("SpinalCord", "top 30 mm missing"), ("Bone_Mandible", "with the teeth"),
    ("Brainstem", "moved 10 mm"), ("Parotid_L", "half of it"), ("Parotid_L", "with a neighbour's part"),
    ("Esophagus", "moved 15 mm"), ("Parotid_R", "the other side"),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("predicted", type=Path)
    parser.add_argument("--scans", type=int, default=12)
    options = parser.parse_args()
    dataset, bundle = OpenKBPDataset(options.data), load_bundle("han7-openkbp")
    names = dict(enumerate(dataset.organs, start=1))
    planted: Counter[tuple[str, str, bool]] = Counter()
    real: Counter[tuple[str, bool]] = Counter()
    for number, name in enumerate(dataset.patients("val")):
        case = dataset.case("val", name)
        volume = Volume(case.hu, case.geometry, name)
        result = read_seg_nrrd(options.predicted / f"{name}.seg.nrrd")
        truth = np.asarray(case.labels, np.uint8)
        bare = tuple(replace(r, certainty=None, peak=None) for r in result.results)
        for entry in rank_organs(replace(result, labels=truth, results=bare, provenance={}), volume).organs:
            if entry.organ.name in case.contoured:
                real[entry.organ.name, entry.group == LOOK_AT] += 1
        if number < options.scans:
            upright = to_upright(result.labels, case.geometry)
            assert upright[1].shape_zyx == case.geometry.shape_zyx  # OpenKBP is stored upright
            contoured = {v: n for v, n in names.items() if n in case.contoured}
            spacing = np.array(case.geometry.spacing_mm_zyx)
            for what, value, mask in planted_errors(result.labels, truth, case.hu, spacing, contoured, name):
                if (names[value], what) in SHOWN:
                    labels = np.where(result.labels == value, 0, result.labels).astype(np.uint8)
                    labels[mask] = value
                    changed = tuple(r if r.label != value else replace(r, certainty=None) for r in result.results)
                    wrong = rank_organs(replace(result, labels=labels, results=changed), volume, bundle)
                    planted[names[value], what, wrong.organ(names[value]).group == LOOK_AT] += 1
    print("| planted in | error | listed |\n|---|---|---|")
    for organ, what in SHOWN:
        found, missed = planted[organ, what, True], planted[organ, what, False]
        print(f"| {organ} | {what} | {found} of {found + missed} |")
    print("\n| reference contours of | listed |\n|---|---|")
    for organ in dataset.organs:
        print(f"| {organ} | {real[organ, True]} of {real[organ, True] + real[organ, False]} |")
    print(f"| all | {sum(n for (_, look), n in real.items() if look)} of {sum(real.values())} |")


if __name__ == "__main__":
    main()
