"""Contour each scan with its doubt, for ``qa_rows.py``, as it is and made harder. One file a scan; a second run goes on.

    python benchmarks/qa_predict.py DATA/openkbp BUNDLE OUT --split val [--patients held_out.json] [--harder] [--passes 1]

OUT/<patient>.seg.nrrd: what ``focusnet segment --qa-passes`` writes. ``--harder``: of a copy of the scan that is noisy, blurred, too bright
or has fewer slices, a different one for each patient: networks make other mistakes there, and the reference contours still hold.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))

from focusnet.datasets.openkbp import OpenKBPDataset
from focusnet.image.volume import Volume
from focusnet.inference.segment import segment
from focusnet.io.seg_nrrd import write_seg_nrrd
from focusnet.nets.bundle import load_bundle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("bundle")
    parser.add_argument("out", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--patients", type=Path, help="a JSON list of those to run")
    parser.add_argument("--harder", action="store_true")
    parser.add_argument("--passes", type=int, default=0)
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), metavar=("N", "OF"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    bundle, dataset = load_bundle(options.bundle), OpenKBPDataset(options.data)
    wanted = json.loads(options.patients.read_text()) if options.patients else dataset.patients(options.split)
    for name in sorted(wanted)[options.part[0] :: options.part[1]]:
        path = options.out / f"{name}.seg.nrrd"
        if path.is_file():
            continue
        case = dataset.case(options.split, name)
        hu = harder(case.hu, name) if options.harder else case.hu
        started = time.process_time()
        result = segment(Volume(hu, case.geometry, name), bundle, device="cpu", qa_passes=options.passes)
        write_seg_nrrd(result, path)
        print(name, f"{time.process_time() - started:.1f} CPU s", flush=True)


def harder(hu: np.ndarray, name: str) -> np.ndarray:
    """Return HU (z, y, x) made harder in one or two ways that ``name`` chooses."""
    rng = np.random.default_rng([*name.encode()])
    out = hu.astype(np.float32)
    for way in rng.choice(["noise", "blur", "offset", "contrast", "slices", "tilt", "metal"], size=2, replace=False):
        if way == "noise":
            out = out + rng.normal(0, rng.uniform(50, 150), out.shape)
        elif way == "blur":
            out = ndimage.gaussian_filter(out, (0.7, 1.0, 1.0))
        elif way == "offset":
            out = out + rng.choice([-1, 1]) * rng.uniform(60, 150)
        elif way == "contrast":
            out = (out + 1024) * rng.uniform(0.85, 1.15) - 1024
        elif way == "slices":
            out = np.repeat(out[::3], 3, axis=0)[: len(out)]
        elif way == "tilt":
            out = ndimage.rotate(out, rng.choice([-1, 1]) * 4.0, axes=(1, 2), reshape=False, order=1, cval=-1024)
        else:  # bright streaks through a few slices, as from a filling
            z = rng.integers(len(out) // 3, 2 * len(out) // 3, 4)
            out[z] += 400 * ndimage.gaussian_filter(rng.normal(size=out.shape[1:]), (1, 8)) * 8
    return np.clip(out, -1024, 3071).astype(np.int16)


if __name__ == "__main__":
    main()
