"""CPU seconds of one training step of S-Net for each crop, by batch: small networks on a CPU want more than one crop a step.

    python benchmarks/training_step.py [--width 0.25] [--crop 24 64 64] [--batches 1,2] [--repeats 3] [--draw DATA/openkbp]

Forward and backward pass in fp32 on one thread, random numbers for a CT, no data set. The ratio in one run is what counts.
--draw: also what cutting and augmenting a crop of voxels of 3 mm out of real scans costs, which a GPU would have to wait for.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))

from focusnet.datasets.openkbp import OpenKBPDataset
from focusnet.nets.config import preset
from focusnet.nets.snet import SNet
from focusnet.train.stages.augment import Augmentation, draw_sample


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--crop", type=int, nargs=3, default=(24, 64, 64), metavar=("Z", "Y", "X"))
    parser.add_argument("--batches", default="1,2")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--draw", type=Path, help="a data set in the OpenKBP layout")
    options = parser.parse_args()
    torch.set_num_threads(1)
    first = None
    for batch in map(int, options.batches.split(",")):
        seconds = seconds_per_crop(options.width, tuple(options.crop), batch, options.repeats)
        first = first or seconds
        print(f"batch {batch}: {seconds:.2f} CPU s a crop, {first / seconds:.1f} times as fast as the first")
    if options.draw:
        seconds = seconds_to_draw(options.draw, tuple(options.crop))
        print(
            f"drawing: {seconds:.3f} CPU s a crop, {(first or 0.0) / seconds:.0f} times as fast as a step of the first batch"
        )


def seconds_to_draw(data: Path, crop_zyx: tuple[int, int, int], cases: int = 10) -> float:
    """Mean over crops of the first cases of the split train, with every augmentation."""
    dataset = OpenKBPDataset(data)
    config = preset(
        "paper",
        organs=dataset.organs,
        spacing_mm_zyx=(3.0, 3.0, 3.0),
        crop_size_yx=crop_zyx[1:],
        chunk_slices=crop_zyx[0],
        stride=crop_zyx[0],
    )
    augmentation = Augmentation(mirror=True, noise_hu=20.0)
    loaded = [dataset.case("train", patient) for patient in dataset.patients("train")[:cases]]
    rng = np.random.default_rng(0)
    began = time.process_time()
    for case in loaded:
        draw_sample(case, config, augmentation, rng)
    return (time.process_time() - began) / len(loaded)


def seconds_per_crop(width: float, crop_zyx: tuple[int, int, int], batch: int, repeats: int) -> float:
    """Median of ``repeats`` steps after one to warm up."""
    torch.manual_seed(0)
    config = preset("paper", organs=tuple(f"Organ{i}" for i in range(7)), width=width)
    network = SNet(config).to(memory_format=torch.channels_last_3d).train()  # type: ignore[call-overload]
    ct = torch.randn(batch, 1, *crop_zyx).to(memory_format=torch.channels_last_3d)
    took = []
    for _ in range(repeats + 1):
        began = time.process_time()
        _, scores = network(ct)
        scores.softmax(dim=1).square().mean().backward()
        took.append(time.process_time() - began)
    return float(np.median(took[1:])) / batch


if __name__ == "__main__":
    main()
