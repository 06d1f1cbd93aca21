"""Training reads partial contours, learns, survives being stopped, and ends in a bundle."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from focusnet.datasets.openkbp import OpenKBPDataset
from focusnet.errors import ConfigError, DatasetError, OutputError
from focusnet.image.organs import mirrored
from focusnet.image.resample import resample_ct, resample_labels
from focusnet.inference.preprocess import network_grid, normalise
from focusnet.nets.bundle import load_bundle
from focusnet.nets.config import NetworkConfig
from focusnet.nets.focusnet import FocusNet
from focusnet.train.loop.checkpoint import load_checkpoint, save_checkpoint
from focusnet.train.loop.loop import StageOptions, train_stage
from focusnet.train.loop.sampling_order import case_index
from focusnet.train.loop.schedule import rate_factor
from focusnet.train.run import train_bundle
from focusnet.train.settings import Settings
from focusnet.train.setup.options import read_options
from focusnet.train.setup.request import TrainRequest
from focusnet.train.stages import table as stages
from focusnet.train.stages.augment import NO_AUGMENTATION, Augmentation, draw_sample, swap_sides
from focusnet.train.stages.table import STAGES
from focusnet.train.validation import Validator

from ..helpers_dataset import LABELS, write_dataset
from ..helpers_engine import small_config


def tiny_config() -> NetworkConfig:
    return small_config(organs=tuple(LABELS), small_organs=("Brainstem",))


def test_the_reader_knows_what_was_contoured_and_where_organs_are(dataset: Path) -> None:
    source = OpenKBPDataset(dataset)
    assert source.organs == ("Brainstem", "Parotid_R", "Parotid_L")
    case = source.case("train", "pt_2")
    assert case.contoured == {"Brainstem", "Parotid_R"}
    assert set(case.centroids_mm_xyz) == {"Brainstem", "Parotid_R"}
    assert case.centroids_mm_xyz["Parotid_R"][0] < 0 < source.case("train", "pt_1").centroids_mm_xyz["Parotid_L"][0]


def test_a_crop_without_augmentation_is_what_inference_sees(dataset: Path) -> None:
    case, config = OpenKBPDataset(dataset).case("train", "pt_1"), tiny_config()
    grid = network_grid(case.geometry, np.array(case.center_mm_xyz), config)
    sample = draw_sample(case, config, NO_AUGMENTATION, np.random.default_rng(0), slices=grid.shape_zyx[0])
    np.testing.assert_allclose(sample.ct[0], normalise(resample_ct(case.hu, case.geometry, grid), config), atol=1e-3)
    assert np.array_equal(sample.labels, resample_labels(case.labels, case.geometry, grid))


def test_centres_move_with_their_organs_under_augmentation(dataset: Path) -> None:
    case, config = OpenKBPDataset(dataset).case("train", "pt_1"), tiny_config()
    augmentation = Augmentation(20.0, 10.0, (0.8, 1.2), mirror=True)
    apart = []
    for seed in range(24):
        sample = draw_sample(case, config, augmentation, np.random.default_rng(seed), slices=40)
        center = torch.nonzero(sample.labels == 1).float().mean(dim=0)
        apart.append(center.numpy() - sample.centers_zyx["Brainstem"])
    assert np.abs(apart).max() < 0.6, "voxels are whole, places are not"
    assert np.abs(np.mean(apart, axis=0)).max() < 0.2, "and not to one side"


def test_mirroring_exchanges_left_and_right_and_nothing_else() -> None:
    organs = ("Brainstem", "Parotid_R", "Parotid_L")
    assert [mirrored(o) for o in organs] == ["Brainstem", "Parotid_L", "Parotid_R"]
    assert swap_sides(np.array([0, 1, 2, 3]), organs).tolist() == [0, 1, 3, 2]


def test_a_mirrored_crop_still_has_the_right_parotid_on_the_patients_right(dataset: Path) -> None:
    case, config = OpenKBPDataset(dataset).case("train", "pt_1"), tiny_config()
    mirror = Augmentation(0.0, 0.0, (1.0, 1.0), mirror=True)
    for seed in range(6):
        labels = draw_sample(case, config, mirror, np.random.default_rng(seed), slices=24).labels.numpy()
        assert np.argwhere(labels == 2)[:, 2].mean() < np.argwhere(labels == 3)[:, 2].mean()


def test_organs_that_nobody_contoured_are_unknown_in_a_sample_mirrored_or_not(dataset: Path) -> None:
    case, config = OpenKBPDataset(dataset).case("train", "pt_2"), tiny_config()
    seen = set()
    for seed in range(10):
        sample = draw_sample(case, config, Augmentation(0, 0, (1, 1), mirror=True), np.random.default_rng(seed))
        seen.add(tuple(sample.known.tolist()))
    assert seen == {(True, True, True, False), (True, True, False, True)}


def test_a_few_steps_lower_the_loss(dataset: Path, tmp_path: Path) -> None:
    source, config = OpenKBPDataset(dataset), tiny_config()
    cases = list(source.cases("train"))
    torch.manual_seed(0)
    model = FocusNet(config)
    settings = Settings(steps=60, learning_rate=3e-3, checkpoint_every=20, validate_every=30)
    validator = Validator(list(source.cases("val")), config, "fp32")
    options = StageOptions(config, settings, NO_AUGMENTATION, tmp_path)
    train_stage(model, STAGES["snet"], cases, validator, options)
    rows = (tmp_path / "snet.csv").read_text().splitlines()[1:]
    first, last = (float(row.split(",")[1]) for row in (rows[0], rows[-1]))
    assert last < 0.7 * first
    scores = (tmp_path / "snet.validation.csv").read_text().splitlines()
    assert float(scores[-1].split(",")[1]) > 0.5


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(path)[0]


@pytest.mark.parametrize("stop_at", [2, 4])
def test_a_resumed_run_takes_the_same_steps_as_one_that_was_never_stopped(
    dataset: Path, tmp_path: Path, stop_at: int
) -> None:
    source, config = OpenKBPDataset(dataset), tiny_config()
    cases = list(source.cases("train"))
    augmentation = Augmentation(10.0, 10.0, (0.9, 1.1), mirror=True, noise_hu=10.0)

    def run(out: Path, steps: int, resume: bool) -> None:
        torch.manual_seed(0)
        settings = Settings(steps=steps, checkpoint_every=2, validate_every=100, ema_decay=0.9)
        options = StageOptions(config, settings, augmentation, out, resume)
        train_stage(FocusNet(config), STAGES["snet"], cases, lambda _: {"score": 0.0}, options)

    run(tmp_path / "whole", 6, resume=False)
    run(tmp_path / "parts", stop_at, resume=False)
    run(tmp_path / "parts", 6, resume=True)
    whole, parts = (weights(tmp_path / name / "snet.last.safetensors") for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    for key, value in whole.items():
        assert torch.equal(value, parts[key]), key


def test_training_ends_in_a_bundle_that_says_where_it_came_from(
    dataset: Path, tmp_path: Path, config_file: Path
) -> None:
    bundle = train_bundle(TrainRequest(dataset, tmp_path / "run", config_file=config_file))
    assert load_bundle(tmp_path / "run" / "bundle").digest == bundle.digest
    assert bundle.small_organs == ("Brainstem",)
    training = bundle.manifest["training"]
    assert training["cases"] == {"train": 3, "val": 2}
    assert list(training["stages"]) == ["snet", "sol", "aae", "sos", "joint"]
    assert bundle.manifest["volume_statistics"]["Parotid_L"]["n"] == 2
    network = bundle.build()
    best, _ = load_checkpoint(tmp_path / "run" / "joint.best.safetensors")
    assert torch.equal(network.snet.head.weight, best["model.snet.head.weight"])
    with pytest.raises(DatasetError, match="holds a run already"):
        train_bundle(TrainRequest(dataset, tmp_path / "run", config_file=config_file))


def test_the_bundle_holds_the_network_that_scored_best_and_not_the_last_one(
    dataset: Path, tmp_path: Path, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.9, 0.1])  # after steps 3 and 6
    monkeypatch.setattr("focusnet.train.run.PlannedValidator", lambda *_: lambda model: {"score": next(scores)})
    bundle = train_bundle(TrainRequest(dataset, tmp_path / "run", config_file=config_file, stages=("snet",)))
    best, state = load_checkpoint(tmp_path / "run" / "snet.best.safetensors")
    assert bundle.manifest["training"]["stages"]["snet"]["best_step"] == state["step"] == 3
    for name, tensor in bundle.build().snet.state_dict().items():
        assert torch.equal(tensor, best[f"model.snet.{name}"]), name


def test_the_sol_stage_leaves_s_net_as_it_is(dataset: Path, tmp_path: Path, config_file: Path) -> None:
    train_bundle(TrainRequest(dataset, tmp_path / "run", config_file=config_file, stages=("snet", "sol")))
    before, _ = load_checkpoint(tmp_path / "run" / "snet.best.safetensors")
    after, _ = load_checkpoint(tmp_path / "run" / "sol.best.safetensors")
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed
    assert all(key.startswith("model.solnet.") for key in changed)


def test_a_loss_that_is_not_a_number_stops_and_names_the_case(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, config = OpenKBPDataset(dataset), tiny_config()
    update = stages.Update("S-Net", ("snet",), lambda model, sample, context: model.snet.head.bias.sum() * float("nan"))
    broken = stages.Stage("snet", (update,))
    options = StageOptions(config, Settings(steps=2), NO_AUGMENTATION, tmp_path)
    with pytest.raises(ConfigError, match=r"step 0, case pt_\d: the loss is nan"):
        train_stage(FocusNet(config), broken, list(source.cases("train")), lambda _: {"score": 0.0}, options)


def test_every_case_comes_once_per_epoch() -> None:
    assert sorted(case_index(0, "snet", step, 7) for step in range(7, 14)) == list(range(7))


def test_the_cosine_schedule_warms_up_and_ends_at_zero() -> None:
    settings = Settings(steps=1000, schedule="cosine")
    assert rate_factor(0, settings) == pytest.approx(0.01)
    assert rate_factor(500, settings) == pytest.approx(0.5)
    assert rate_factor(1000, settings) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_a_checkpoint_that_cannot_be_written_leaves_the_last_good_one(tmp_path: Path) -> None:
    import resource

    path = tmp_path / "a.safetensors"
    save_checkpoint(path, {"x": torch.ones(2)}, {"step": 1})
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # writes beyond 1000 bytes fail, as on a full disk
    try:
        with pytest.raises(OutputError, match="last good one is kept"):
            save_checkpoint(path, {"x": torch.zeros(2000)}, {"step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert load_checkpoint(path)[1] == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: (d / "dataset.json").unlink(), "no dataset.json"),
        (lambda d: (d / "dataset.json").write_text("{"), "dataset.json"),
        (lambda d: (d / "train" / "pt_1" / "label.nrrd").unlink(), "label.nrrd is missing"),
        (lambda d: (d / "train" / "pt_1" / "ct.nrrd").write_text("not an image"), "cannot be read as an image"),
        (
            lambda d: (d / "dataset.json").write_text(json.dumps({"labels": {"A": 1, "B": 3}, "contoured": {}})),
            "without a gap",
        ),
    ],
)
def test_a_data_set_that_cannot_be_used_is_refused_in_one_line(tmp_path: Path, spoil: object, words: str) -> None:
    folder = write_dataset(tmp_path / "data", 1, 1)
    spoil(folder)  # type: ignore[operator]
    with pytest.raises(DatasetError, match=words) as caught:
        list(OpenKBPDataset(folder).cases("train"))
    assert "\n" not in str(caught.value)


def test_settings_that_nobody_knows_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("[settings]\nlearning_speed = 3\n")
    with pytest.raises(DatasetError, match="learning_speed"):
        read_options(path)
    path.write_text("[settings\n")
    with pytest.raises(DatasetError, match="not valid TOML"):
        read_options(path)
