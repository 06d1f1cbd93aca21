"""The page of docs/learning.md about corrections: OpenKBP's validation scans, with a stand-in for a model that gets better.

    python benchmarks/corrections_report.py ../shared/data/openkbp OUT

What a model drew is made up: the clinical contours, grown in the plane by a voxel (4 to 5 mm here) in a part of an organ's slices: of the left parotid in
30 to 60 % of them under version 1 and up to 10 % under version 2, of the others in 15 to 50 % of every second case. What was approved are the clinical
contours. OUT/set is the training set, OUT/corrections.html its page and, where Chromium and playwright are there, OUT/corrections.png a picture of it.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))

from focusnet.collect.folder import KEEP_BOTH, open_set, put_case, start_set
from focusnet.collect.new_case import new_case
from focusnet.datasets.open_dataset import open_dataset
from focusnet.image.organs import find_organ
from focusnet.image.segmentation import OrganResult, Segmentation
from focusnet.image.volume import Volume
from focusnet.io.review_tags import OrganReview
from focusnet.reports.corrections_page import report_corrections

NAMED = {"model": "han7-stand-in", "bundle_sha256": "0" * 64}
WIDTH, HEIGHT = 1000, 2140  # of the picture, pixels


def drawn_by_a_model(labels: np.ndarray, organs: tuple[str, ...], version: int, rng: np.random.Generator) -> np.ndarray:
    """Return the labels (z, y, x) as a model of this version might have drawn them: too wide in a run of slices of some organs."""
    drawn = labels.copy()
    plane = ndimage.generate_binary_structure(3, 1)
    plane[[0, 2]] = False
    for value, name in enumerate(organs, start=1):
        low, high = ((0.3, 0.6), (0.0, 0.1))[version - 1] if name == "Parotid_L" else (0.15, 0.5)
        part = rng.uniform(low, high) * (name == "Parotid_L" or rng.integers(0, 2))
        slices = np.flatnonzero((labels == value).any(axis=(1, 2)))
        wrong = slices[: round(part * len(slices))]
        wider = ndimage.binary_dilation(labels == value, plane)
        kept = np.zeros_like(wider)
        kept[wrong] = wider[wrong]
        drawn[kept & (drawn == 0)] = value
    return drawn


def main(data: Path, out: Path) -> None:
    dataset, rng = open_dataset(data), np.random.default_rng(0)
    names = dataset.patients("val")
    for number, name in enumerate(names):
        case, version = dataset.case("val", name), 1 if number < len(names) // 2 else 2
        results = tuple(
            OrganResult(organ=organ, label=value, found=True, volume_ml=1.0)
            for value, known in enumerate(dataset.organs, start=1)
            if known in case.centroids_mm_xyz and (organ := find_organ(known)) is not None
        )
        kept = np.where(np.isin(case.labels, [r.label for r in results]), case.labels, 0).astype(np.uint8)
        about = {**NAMED, "model_version": str(version)}
        approved = Segmentation(kept, case.geometry, results, about)
        drawn = replace(approved, labels=drawn_by_a_model(kept, dataset.organs, version, rng))
        changed = {r.organ.name: int((drawn.mask(r.organ.name) ^ approved.mask(r.organ.name)).sum()) for r in results}
        reviews = {
            organ: OrganReview("approved", active_s=float(20 + 0.5 * voxels * rng.uniform(0.7, 1.3)) if voxels else 8.0)
            for organ, voxels in changed.items()
        }
        collected = new_case(Volume(case.hu, case.geometry), approved, reviews, drawn, patient=name)
        open_set(out / "set") or start_set(out / "set", "option")
        put_case(out / "set", collected, KEEP_BOTH)
    page = out / "corrections.html"
    print(report_corrections(out / "set", page, overwrite=True))
    picture(page, out / "corrections.png")


def picture(page: Path, path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        shown = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        shown.goto(page.resolve().as_uri())
        shown.screenshot(path=str(path))
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
