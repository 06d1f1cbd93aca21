"""Measure results, reference contours and planted errors of each scan for the predicted DSC: one JSON a scan; a second run goes on.

    python benchmarks/qa_rows.py DATA/openkbp PREDICTED OUT --split val
    python benchmarks/qa_rows.py DATA/openkbp - OUT --split train        (reference contours only)

PREDICTED: what ``qa_predict.py`` wrote. OUT/<patient>.json: ``reference``, ``result`` (measures by organ, with its true ``dsc`` where it was
contoured), ``planted``: the same of results that were made wrong in a known way.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))

from qa_planted import planted_errors
from qa_predict import harder

from focusnet.datasets.case import Case
from focusnet.datasets.openkbp import OpenKBPDataset
from focusnet.image.label_boxes import label_boxes
from focusnet.image.orientation import to_upright
from focusnet.image.segmentation import Segmentation
from focusnet.io.seg_nrrd import read_seg_nrrd
from focusnet.metrics import dice
from focusnet.qa.quality.coarse_scan import CoarseScan, coarse_scan
from focusnet.qa.quality.features import certainty_measures
from focusnet.qa.quality.measures import measure_organ, measure_organs, surface_mm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("predicted", type=Path, help="a folder, or - to measure the reference contours alone")
    parser.add_argument("out", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--harder", action="store_true", help="the results are of qa_predict.py --harder")
    parser.add_argument("--plain", action="store_true", help="no planted errors: they take most of the time")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    dataset = OpenKBPDataset(options.data)
    alone = str(options.predicted) == "-"
    for name in dataset.patients(options.split):
        path, target = options.predicted / f"{name}.seg.nrrd", options.out / f"{name}.json"
        if target.is_file() or not (alone or path.is_file()):
            continue
        case = dataset.case(options.split, name)
        hu = harder(case.hu, name) if options.harder else case.hu
        rows = (
            reference_rows(case, dataset.organs)
            if alone
            else scan_rows(case, hu, dataset.organs, read_seg_nrrd(path), not options.plain)
        )
        target.write_text(json.dumps(rows))
        print(name, flush=True)


def reference_rows(case: Case, organs: tuple[str, ...]) -> dict:
    truth, upright, _, _ = to_upright(np.asarray(case.labels, np.uint8), case.geometry)
    scan = coarse_scan(truth, to_upright(case.hu, case.geometry)[0], upright)
    contoured = {v: n for v, n in enumerate(organs, start=1) if n in case.contoured}
    return {"scan": case.name, "reference": measure_organs(scan, contoured)}


def scan_rows(case: Case, given_hu: np.ndarray, organs: tuple[str, ...], predicted: Segmentation, plant: bool) -> dict:
    labels, upright, _, _ = to_upright(predicted.labels, case.geometry)
    truth = to_upright(np.asarray(case.labels, np.uint8), case.geometry)[0]
    hu = to_upright(given_hu, case.geometry)[0]
    names = dict(enumerate(organs, start=1))
    assert names == {r.label: r.organ.name for r in predicted.results}
    contoured = {v: n for v, n in names.items() if n in case.contoured}
    started = time.process_time()
    scan = coarse_scan(labels, hu, upright)
    measured = measure_organs(scan, names)
    seconds = time.process_time() - started
    planted = planted_rows(scan, labels, truth, upright.spacing_mm_zyx, contoured, hu, case.name) if plant else ()
    result = {}
    for r in predicted.results:
        name = r.organ.name
        dsc = dice(labels == r.label, truth == r.label) if name in case.contoured else None
        result[name] = {"dsc": dsc, "measures": measured.get(name), "certainty": certainty_measures(r)}
    return {
        "scan": case.name,
        "seconds": seconds,
        "spacing": list(upright.spacing_mm_zyx),
        "reference": measure_organs(coarse_scan(truth, hu, upright), contoured),
        "result": result,
        "planted": list(planted),
    }


def planted_rows(
    scan: CoarseScan, labels: np.ndarray, truth: np.ndarray, spacing_mm_zyx: tuple[float, ...],
    contoured: dict[int, str], hu: np.ndarray, case: str,
) -> Iterator[dict]:  # fmt: skip
    """Each organ whose result is good, made wrong in each way, among the unchanged others."""
    boxes = label_boxes(scan.labels)
    surfaces = {}
    for value, name in contoured.items():
        if value <= len(boxes) and boxes[value - 1] is not None:
            surfaces[name] = surface_mm(scan, scan.labels[boxes[value - 1]] == value, boxes[value - 1])
    for what, value, mask in planted_errors(labels, truth, hu, np.array(spacing_mm_zyx), contoured, case):
        steps = [max(1, n // m) for n, m in zip(labels.shape, scan.labels.shape, strict=True)]
        coarse = mask[tuple(slice(s // 2, m * s, s) for s, m in zip(steps, scan.labels.shape, strict=True))]
        box = label_boxes(coarse.astype(np.uint8))
        if not box or box[0] is None or coarse.sum() < 8:
            continue
        others = {n: tree for n, tree in surfaces.items() if n != contoured[value]}
        yield {
            "organ": contoured[value],
            "what": what,
            "dsc": dice(mask, truth == value),
            "measures": measure_organ(scan, coarse[box[0]], box[0], others),
        }


if __name__ == "__main__":
    main()
