"""Fine-tuning: a run that starts from somebody's bundle keeps what it knows, organ by organ."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from focusnet.errors import DatasetError, ModelError
from focusnet.nets.bundle import AAE_WEIGHTS, ModelBundle, load_bundle, save_bundle
from focusnet.nets.shape_autoencoder import ShapeAutoencoder
from focusnet.train.run import train_bundle
from focusnet.train.setup.fine_tune import copy_weights
from focusnet.train.setup.request import TrainRequest
from focusnet.train.stages.model import TrainingNet

from ..helpers_dataset import TINY_TOML, write_dataset
from ..helpers_engine import random_network, small_config

# the data set's organs are Brainstem, Parotid_R, Parotid_L: the bundle has them in another order, lacks one and has one more
OLD_ORGANS = ("Larynx", "Parotid_L", "Brainstem")


def old_bundle(
    folder: Path, organs: tuple[str, ...] = OLD_ORGANS, small: tuple[str, ...] = ("Brainstem",)
) -> ModelBundle:
    config = small_config(organs=organs, small_organs=small, has_sos=True, aae_width=0.0625)
    autoencoder = ShapeAutoencoder(config).state_dict()
    return save_bundle(folder / "old", "old", random_network(config), {"data": "a test"}, autoencoder=autoencoder)


def test_every_organ_takes_its_own_weights_along_and_new_ones_are_named(tmp_path: Path) -> None:
    bundle = old_bundle(tmp_path)
    config = small_config(
        organs=("Brainstem", "Parotid_R", "Parotid_L"), small_organs=("Brainstem", "Parotid_R"), has_sos=True,
        aae_width=0.0625,
    )  # fmt: skip
    model, old = TrainingNet(config, with_aae=True), bundle.build()
    fresh = {k: v.clone() for k, v in model.state_dict().items()}
    lines = copy_weights(model, bundle)
    head, before = model.snet.head.weight, old.snet.head.weight
    assert torch.equal(head[0], before[0]), "background"
    assert torch.equal(head[1], before[3]), "Brainstem"
    assert torch.equal(head[3], before[2]), "Parotid_L"
    assert torch.equal(head[2], fresh["snet.head.weight"][2]), "Parotid_R is new"
    assert torch.equal(model.solnet.head.bias[0], old.solnet.head.bias[0])  # type: ignore[union-attr]
    assert torch.equal(model.sosnets["Brainstem"].head.weight, old.sosnets["Brainstem"].head.weight)
    assert torch.equal(model.snet.stem.weight, old.snet.stem.weight)
    assert torch.equal(model.aae.to_latent.bias, shape_weights(bundle)["to_latent.bias"])  # type: ignore[union-attr]
    assert lines == [
        "S-Net's outputs for Parotid_R are new",
        "SOL-Net's outputs for Parotid_R are new",
        "this data set does not have the bundle's Larynx",
        "the SOS-Net of Parotid_R is new",
    ]


def shape_weights(bundle: ModelBundle) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(bundle.folder / AAE_WEIGHTS)


def test_a_bundle_of_another_width_is_refused(tmp_path: Path) -> None:
    bundle = old_bundle(tmp_path)
    wide = small_config(organs=OLD_ORGANS, small_organs=("Brainstem",), width=0.25, has_sos=True)
    with pytest.raises(ModelError, match=r"width 0\.125 \(here 0\.25\)\. Leave --width"):
        copy_weights(TrainingNet(wide, with_aae=False), bundle)


def test_fine_tuning_needs_one_stage_only_and_says_where_it_started(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The joint stage alone: the bundle stands in for the stages before it."""
    dataset = write_dataset(tmp_path / "data")
    bundle = old_bundle(tmp_path)
    config = tmp_path / "tiny.toml"
    config.write_text(TINY_TOML.replace("width = 0.125\n", ""))  # the network is the bundle's
    caplog.set_level(logging.INFO, "focusnet.train")
    tuned = train_bundle(
        TrainRequest(dataset, tmp_path / "run", config_file=config, stages=("joint",), init=bundle.folder)
    )
    assert "Starting from old: S-Net's outputs for Parotid_R are new." in caplog.messages
    assert tuned.config.width == bundle.config.width
    assert tuned.manifest["training"]["started_from"] == f"old {bundle.digest}"
    assert set(tuned.manifest["sha256"]) == {"weights.safetensors", AAE_WEIGHTS}
    assert load_bundle(tuned.folder).config.organs == ("Brainstem", "Parotid_R", "Parotid_L")
    with pytest.raises(DatasetError, match=r"Stage joint needs snet\.best\.safetensors"):
        train_bundle(
            TrainRequest(dataset, tmp_path / "other", config_file=config, stages=("joint",), network={"width": 0.125})
        )
