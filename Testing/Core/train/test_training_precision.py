"""Training in fp16: gradients that would vanish or overflow do neither, and a stopped run goes on with the same steps."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from focusnet.cli.main import main
from focusnet.datasets.openkbp import OpenKBPDataset
from focusnet.errors import DatasetError
from focusnet.train.loop.checkpoint import load_checkpoint
from focusnet.train.loop.loop import StageOptions, train_stage
from focusnet.train.loop.precision import MOST_LEFT_OUT, ScaledOptimizer
from focusnet.train.settings import STAGE_ORDER, Settings
from focusnet.train.setup import plan
from focusnet.train.stages.augment import NO_AUGMENTATION
from focusnet.train.stages.model import TrainingNet
from focusnet.train.stages.stage import Stage, Update
from focusnet.train.stages.table import STAGES

from ..helpers_dataset import LABELS, TINY_TOML, write_dataset
from ..helpers_engine import small_config


def scaler(monkeypatch: pytest.MonkeyPatch, **options: float) -> None:
    """From here on losses are scaled as ``options`` of torch's GradScaler say."""
    monkeypatch.setattr(torch.amp, "GradScaler", partial(torch.amp.GradScaler, **options))


def new_model() -> TrainingNet:
    config = small_config(organs=tuple(LABELS), small_organs=("Brainstem",), has_sos=True, aae_width=0.0625)
    torch.manual_seed(0)
    return TrainingNet(config, with_aae=True)


def train(stage: Stage, dataset: Path, out: Path, steps: int, resume: bool = False, **settings: Any) -> Path:
    """Some steps of a stage in fp16; returns its last checkpoint."""
    model = new_model()
    chosen = Settings(steps=steps, precision="fp16", checkpoint_every=2, validate_every=100, **settings)
    options = StageOptions(model.config, chosen, NO_AUGMENTATION, out, resume)
    train_stage(model, stage, list(OpenKBPDataset(dataset).cases("train")), lambda _: {"score": 0.0}, options)
    return out / f"{stage.name}.last.safetensors"


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    return {k[len("model.") :]: v for k, v in load_checkpoint(checkpoint)[0].items() if k.startswith("model.")}


def moved(checkpoint: Path) -> set[str]:
    """The parts of the network whose weights are no longer those it began with; all must be numbers."""
    after = weights(checkpoint)
    assert all(bool(v.isfinite().all()) for v in after.values())
    return {name.split(".")[0] for name, p in new_model().named_parameters() if not torch.equal(after[name], p)}


def test_all_stages_train_in_fp16_and_a_cpu_without_it_says_that_it_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_dataset(tmp_path / "data", 1, 1)
    monkeypatch.setattr(plan, "cpu_has_fp16", lambda: False)
    config = tmp_path / "tiny.toml"
    config.write_text(TINY_TOML)
    status = main(
        ["train", "--dataset", str(dataset), "--out", str(tmp_path / "run"), "--config", str(config), "--device", "cpu",
         "--precision", "fp16", "--steps", "2"]
    )  # fmt: skip
    said = capsys.readouterr().err
    assert status == 0, said
    assert said.count("does not multiply fp16 itself") == 1
    assert (tmp_path / "run" / "bundle" / "bundle.json").is_file()
    for stage in STAGE_ORDER:
        rows = (tmp_path / "run" / f"{stage}.csv").read_text().splitlines()
        assert rows[-1].startswith("2,")


def test_both_turns_of_a_step_move_their_own_weights_in_fp16(dataset: Path, tmp_path: Path) -> None:
    last = train(STAGES["sos"], dataset, tmp_path, 4)
    assert moved(last) == {"sosnets", "aae"}


def test_a_loss_scale_that_is_too_large_skips_the_step_and_is_halved(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaler(monkeypatch, init_scale=2.0**100)
    last = train(STAGES["snet"], dataset, tmp_path, 2)
    assert moved(last) == set()
    tensors, state = load_checkpoint(last)
    assert state["scaling"]["S-Net"]["scale"] == 2.0**98
    assert not any(key.startswith("optimizer.") for key in tensors), "Adam has taken no step"


def test_the_scale_of_one_turn_leaves_the_other_turn_alone(dataset: Path, tmp_path: Path) -> None:
    """The autoencoder's update overflows in every step; the SOS-Nets learn on."""
    g, d = STAGES["sos"].updates
    steep = Update(d.name, d.trained, lambda *given: d.loss(*given) * 1e30, d.active)
    stage = Stage("sos", (g, steep), STAGES["sos"].draw, STAGES["sos"].usable)
    last = train(stage, dataset, tmp_path, 2)
    assert moved(last) == {"sosnets"}
    scaling = load_checkpoint(last)[1]["scaling"]
    assert scaling[g.name]["scale"] == 2.0**16
    assert scaling[d.name]["scale"] == 2.0**14


def test_a_resumed_run_in_fp16_takes_the_same_steps_and_skips_the_same(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scale begins too high and grows back after every good step: which steps are skipped hangs on it."""
    scaler(monkeypatch, init_scale=2.0**40, backoff_factor=2.0**-10, growth_factor=2.0**10, growth_interval=1)
    whole = train(STAGES["sos"], dataset, tmp_path / "whole", 6)
    train(STAGES["sos"], dataset, tmp_path / "parts", 4)
    parts = train(STAGES["sos"], dataset, tmp_path / "parts", 6, resume=True)
    (a, a_state), (b, b_state) = load_checkpoint(whole), load_checkpoint(parts)
    assert a_state == b_state
    assert a.keys() == b.keys()
    assert [key for key, value in a.items() if not torch.equal(value, b[key])] == []
    taken = {int(value) for key, value in a.items() if key.endswith(".step")}
    assert taken
    assert max(taken) < 6, "some steps were skipped"


def test_gradients_are_clipped_as_they_are_and_not_as_they_were_scaled() -> None:
    places = []
    for precision in ("fp32", "fp16"):
        weight = torch.nn.Parameter(torch.tensor([5.0]))
        steps = ScaledOptimizer(torch.optim.SGD([weight], lr=1.0), torch.device("cpu"), precision)
        steps.begin(0.5)
        steps.backward((3.0 * weight).sum())
        assert steps.step([weight], grad_clip=1.0)
        places.append(float(weight.detach()))
    assert places == pytest.approx([4.5, 4.5], abs=1e-5)


def test_a_step_with_nothing_to_learn_from_is_no_error_in_fp16() -> None:
    weight = torch.nn.Parameter(torch.tensor([5.0]))
    steps = ScaledOptimizer(torch.optim.Adam([weight]), torch.device("cpu"), "fp16")
    steps.begin(0.5)
    assert steps.step([weight], grad_clip=1.0)
    assert float(weight.detach()) == 5.0


def test_gradients_that_are_no_numbers_at_any_scale_end_the_run_in_one_line(dataset: Path, tmp_path: Path) -> None:
    """The root of zero: a loss of 0 whose slope is not a number. Skipped steps alone would go on for ever and teach nothing."""
    update = Update("S-Net", ("snet",), lambda model, *_: (model.snet.head.bias * 0.0).sum().sqrt())
    with pytest.raises(DatasetError, match=r"step 3\d, case pt_\d: the gradients are not numbers") as caught:
        train(Stage("snet", (update,)), dataset, tmp_path, 60)
    assert "bf16 or fp32" in str(caught.value)


def test_a_loss_that_is_not_a_number_stops_fp16_too_and_names_the_way_out(dataset: Path, tmp_path: Path) -> None:
    update = Update("S-Net", ("snet",), lambda model, *_: model.snet.head.bias.sum() * float("nan"))
    with pytest.raises(DatasetError, match=r"step 0, case pt_\d: the loss is nan.*bf16 or fp32"):
        train(Stage("snet", (update,)), dataset, tmp_path, 2)


def test_a_precision_that_nobody_knows_is_refused() -> None:
    with pytest.raises(DatasetError, match="expected fp32, bf16, fp16, auto"):
        Settings(precision="fp8")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_on_the_cpu_whose_gradients_are_not_numbers_is_left_out_unless_they_never_are(precision: str) -> None:
    """PyTorch's bf16 convolutions give one now and then; a single one would spoil every weight."""
    weight = torch.nn.Parameter(torch.ones(3))
    steps = ScaledOptimizer(torch.optim.SGD([weight], lr=1.0), torch.device("cpu"), precision)

    def step(factor: float) -> bool:
        steps.begin(0.5)
        steps.backward((factor * weight).sum())
        return steps.step([weight], 5.0)

    assert step(math.nan)
    assert torch.equal(weight, torch.ones(3))
    assert step(1.0)
    assert torch.equal(weight, torch.full((3,), 0.5))
    assert [step(math.nan) for _ in range(MOST_LEFT_OUT)] == [True] * (MOST_LEFT_OUT - 1) + [False]
    assert torch.equal(weight, torch.full((3,), 0.5))
