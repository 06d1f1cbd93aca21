"""The shape autoencoder learns from masks alone, without a CT, and survives being stopped like every other stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from focusnet.errors import DatasetError
from focusnet.nets.config import NetworkConfig
from focusnet.train.loop.checkpoint import load_checkpoint
from focusnet.train.loop.loop import StageOptions, train_stage
from focusnet.train.settings import Settings
from focusnet.train.stages.augment import NO_AUGMENTATION
from focusnet.train.stages.shape_samples import AAE_SHAPES, Shape, ShapeModel, ShapeValidator

from ..helpers_engine import small_config

SIZE = (8, 16, 16)


def config() -> NetworkConfig:
    return small_config(roi_size_zyx=SIZE, aae_width=0.125)


def ellipsoids(count: int, first: int = 0) -> list[Shape]:
    axes = np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in SIZE], indexing="ij")
    shapes = []
    for number in range(first, first + count):
        radii = np.random.default_rng(number).uniform((1.5, 3, 3), (3.5, 7, 7))
        mask = sum((a / r) ** 2 for a, r in zip(axes, radii, strict=True)) <= 1
        shapes.append(Shape(f"pt_{number}", ("Lens_L", "Lens_R")[number % 2], mask.astype(np.uint8)))
    return shapes


def train(out: Path, steps: int, resume: bool = False, **changes: object) -> ShapeModel:
    torch.manual_seed(0)
    model = ShapeModel(config())
    defaults = {"steps": steps, "batch": 4, "learning_rate": 2e-3, "checkpoint_every": 3, "validate_every": 20}
    settings = Settings(**{**defaults, **changes})  # type: ignore[arg-type]
    options = StageOptions(config(), settings, NO_AUGMENTATION, out, resume)
    train_stage(model, AAE_SHAPES, ellipsoids(8), ShapeValidator(ellipsoids(4, 8), config()), options)
    return model


def test_shapes_alone_teach_the_autoencoder_to_give_them_back(tmp_path: Path) -> None:
    train(tmp_path, 80)
    tensors, state = load_checkpoint(tmp_path / "aae.best.safetensors")
    assert state["scores"]["score"] > 0.8
    assert set(state["scores"]) == {"score", "Lens_L", "Lens_R"}
    assert all(key.startswith("model.aae.") for key in tensors)


def test_a_resumed_autoencoder_is_bit_for_bit_the_one_that_was_never_stopped(tmp_path: Path) -> None:
    train(tmp_path / "whole", 6)
    train(tmp_path / "parts", 3)
    train(tmp_path / "parts", 6, resume=True)
    whole, parts = (load_checkpoint(tmp_path / n / "aae.last.safetensors")[0] for n in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    wrong = [Shape("pt_1", "Lens_L", np.ones((8, 16, 8), np.uint8))]
    options = StageOptions(config(), Settings(steps=1), NO_AUGMENTATION, tmp_path)
    with pytest.raises(DatasetError, match=r"pt_1: the mask of Lens_L is \(8, 16, 8\)"):
        train_stage(ShapeModel(config()), AAE_SHAPES, wrong, lambda _: {"score": 0.0}, options)
