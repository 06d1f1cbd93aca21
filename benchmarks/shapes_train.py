"""Pre-train the shape autoencoder on the small organs of tcia-oars: the weights of the bundle ``shapes-tcia-oars``.

    python benchmarks/shapes_train.py DATA/tcia-oars RUN [--steps N] [--width 0.25]

Train split only, by patient (focusnet/datasets/tcia_oars.py); validated on ``calibrate``, which chooses the step. Stopped at any moment it
goes on where it was.
``benchmarks/shapes_bundle.py`` makes the bundle from RUN.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))

from focusnet.datasets.organ_boxes import SMALL, Jitter, OrganShape, tcia_shapes
from focusnet.datasets.tcia_oars import TciaOars
from focusnet.nets.config import NetworkConfig, preset
from focusnet.train.logger import messages_on_stderr
from focusnet.train.loop.loop import StageOptions, train_stage
from focusnet.train.settings import Settings
from focusnet.train.stages.augment import NO_AUGMENTATION
from focusnet.train.stages.shape_samples import AAE_SHAPES, Shape, ShapeModel, ShapeSample, ShapeValidator
from focusnet.train.stages.table import StageContext

JITTER = Jitter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    options = parser.parse_args()
    config = shape_config(options.width)
    dataset = TciaOars(options.data)
    train, calibrate = tcia_shapes(dataset, "train"), tcia_shapes(dataset, "calibrate")
    print(f"{len(train)} shapes to train on, {len(calibrate)} to choose the step", file=sys.stderr, flush=True)
    settings = Settings(
        steps=options.steps, batch=options.batch, learning_rate=options.learning_rate, schedule="cosine", precision="auto",
        reconstruction_dice=1.0, ema_decay=0.98, checkpoint_every=20, validate_every=100, grad_clip=1.0,
    )  # fmt: skip
    torch.manual_seed(settings.seed)
    model = ShapeModel(config).to(memory_format=torch.channels_last_3d)
    chosen = [Shape(s.name, s.organ, s.draw(config)) for s in calibrate[::5]]
    how = StageOptions(config, settings, NO_AUGMENTATION, options.run, resume=True)
    with messages_on_stderr():
        train_stage(model, replace(AAE_SHAPES, draw=draw), train, ShapeValidator(chosen, config), how)
    (options.run / "settings.json").write_text(json.dumps({**asdict(settings), "width": options.width}, indent=1))


def shape_config(width: float) -> NetworkConfig:
    return preset("paper", organs=SMALL, small_organs=SMALL, aae_width=width)


def draw(shape: OrganShape, context: StageContext, rng: np.random.Generator) -> ShapeSample:
    mask = shape.draw(context.config, JITTER, rng)
    return ShapeSample(torch.from_numpy(mask.astype(np.float32))[None, None], (shape.organ,))


if __name__ == "__main__":
    main()
