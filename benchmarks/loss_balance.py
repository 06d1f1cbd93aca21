"""Eq. 2 as a mean over organs (ours) or as the paper's sum: how heavy is Dice against focal loss, and which segments better?

    python benchmarks/loss_balance.py DATA/openkbp [--steps 150] [--cases 16] [--validate 6] [--weights 1,7] [--seed 0]

Trains S-Net once for each Dice weight (quarter width, 5 mm voxels, fp32, the same crops and start) and prints, along the way of
each, the losses and the norms of their gradients with respect to S-Net's weights; at the end the mean
Dice of the first validation cases. A weight of the number of organs stands for the paper's sum.
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
from focusnet.train.settings import Settings
from focusnet.train.stages.augment import Augmentation, join_crops
from focusnet.train.stages.losses import class_weights, dice_loss, focal_loss, marginal_probabilities
from focusnet.train.stages.model import TrainingNet
from focusnet.train.stages.organ_volumes import mean_class_voxels
from focusnet.train.stages.stage import StageContext, draw_crop
from focusnet.train.validation import make_validator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a data set in the OpenKBP layout")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--cases", type=int, default=16)
    parser.add_argument("--validate", type=int, default=6)
    parser.add_argument("--weights", default="1,7", help="Dice weights to compare (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the crops")
    options = parser.parse_args()
    torch.set_num_threads(1)
    dataset = OpenKBPDataset(options.data)
    train = [dataset.case("train", name) for name in dataset.patients("train")[: options.cases]]
    val = [dataset.case("val", name) for name in dataset.patients("val")[: options.validate]]
    config = preset(
        "paper", organs=dataset.organs, width=0.25, spacing_mm_zyx=(5.0, 5.0, 5.0), crop_size_yx=(56, 48), chunk_slices=24, stride=24
    )  # fmt: skip
    settings = Settings(steps=options.steps, pictures=False, seed=options.seed)
    alpha = class_weights(mean_class_voxels(train, config), settings.alpha_power)
    context = StageContext(config, settings, Augmentation(shift_mm=20.0), alpha)
    validate = make_validator("dice", val, config, settings)
    for weight in (float(w) for w in options.weights.split(",")):
        began = time.process_time()
        print(
            f"Dice weight {weight:g}, {len(train)} cases, alpha from {float(alpha.min()):.4f} to {float(alpha.max()):.2f}"
        )
        model = trained(train, context, weight)
        scores = validate(model.eval())
        organs = ", ".join(f"{name} {value:.3f}" for name, value in scores.items() if name != "score")
        print(f"  mean Dice {scores['score']:.3f} ({organs}); {time.process_time() - began:.0f} CPU s", flush=True)


def trained(train: list, context: StageContext, weight: float) -> TrainingNet:
    """S-Net after all steps at one Dice weight; prints losses and gradient norms on the way."""
    torch.manual_seed(context.settings.seed)
    model = TrainingNet(context.config, with_aae=False).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    parameters = list(model.snet.parameters())
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    model.train()
    for step in range(context.settings.steps):
        rng = np.random.default_rng([context.settings.seed, step])
        order = rng.integers(len(train), size=2)
        crops = join_crops([draw_crop(train[i], context, rng) for i in order])
        probabilities = marginal_probabilities(model.snet(crops.ct)[1], crops.known)
        focal = focal_loss(probabilities, crops.labels, context.alpha)
        dice = dice_loss(probabilities, crops.labels, crops.known)
        if step in (0, 10, 50) or step == context.settings.steps - 1:
            norms = [gradient_norm(loss, parameters) for loss in (focal, dice)]
            print(
                f"  step {step}: focal {float(focal.detach()):.4f}, Dice {float(dice.detach()):.3f}; gradient norms {norms[0]:.4f} and {norms[1]:.4f}, "
                f"Dice over focal {norms[1] / norms[0]:.1f}",
                flush=True,
            )
        optimizer.zero_grad()
        (focal + weight * dice).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
    return model


def gradient_norm(loss: torch.Tensor, parameters: list[torch.nn.Parameter]) -> float:
    if not loss.requires_grad:
        return 0.0
    grads = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return float(torch.sqrt(sum((g**2).sum() for g in grads if g is not None)))


if __name__ == "__main__":
    main()
