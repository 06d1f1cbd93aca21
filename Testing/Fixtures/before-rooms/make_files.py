"""Write the fixtures of this folder with the code of before the rooms; see README.md. ``python make_files.py OUT engine|scene``"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from Testing.Core.helpers_outputs import scan_and_organs

SECOND = {"second_peak": 0.5, "second_mm_xyz": (-4.0, 5.25, 6.5), "spread_mm": 2.75}


def engine(out: Path) -> None:
    """A bundle of random weights, a run folder of a tiny data set, and a .seg.nrrd with all that an organ's result can say."""
    from Testing.Core.helpers_dataset import TINY_TOML, write_dataset
    from Testing.Core.helpers_engine import random_bundle, small_config

    from focusnet.io.seg_nrrd import write_seg_nrrd

    random_bundle(out, small_config(), "bundle")
    _, result = scan_and_organs("oblique")
    first, *others = result.results
    told = replace(first, **SECOND, warnings=("Two places are likely: left | right.",))
    write_seg_nrrd(replace(result, results=(told, *others)), out / "organs.seg.nrrd")
    data, config = out.parent / "data", out.parent / "tiny.toml"
    write_dataset(data)
    config.write_text(TINY_TOML)
    train = [sys.executable, "-m", "focusnet", "train", "--dataset", str(data), "--out", str(out / "run")]
    subprocess.run([*train, "--config", str(config), "--device", "cpu", "--stages", "snet"], check=True)


def scene(out: Path) -> None:
    """An .mrb with a CT, a result and its review: one organ approved, one edited, scores and times; and the .seg.nrrd that Slicer saves."""
    from FocusNetSegmentationLib.review_scores import scores_from
    from Testing.Slicer.helpers_nodes import World, erase_a_bit, paint, save_segmentation
    from Testing.Slicer.helpers_review import SCORED, Clock

    from FocusNetSegmentationLib.review import Review

    world = World()
    _, imported, _ = world.result("oblique")
    clock = Clock()
    review = Review(imported.node, clock=clock)
    review.set_scores(scores_from(SCORED))
    paint(imported.node, "Parotid_L", erase_a_bit)
    review.check()
    review.approve("Parotid_R", "Dr. Ü | Müller")
    review.touch("Brainstem")
    clock.now += 12
    review.touch(None)
    review.close()
    assert world.scene.WriteToMRB(str(out / "scene.mrb"))
    save_segmentation(imported.node, out / "reviewed.seg.nrrd")


if __name__ == "__main__":
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    {"engine": engine, "scene": scene}[sys.argv[2]](folder)
