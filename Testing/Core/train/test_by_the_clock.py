"""Whole runs: one that ends by the clock, and one that is no better than what it began with."""

from __future__ import annotations

import csv
import logging
from pathlib import Path

import pytest
import torch

from focusnet.errors import ConfigError
from focusnet.nets.bundle import load_bundle
from focusnet.train.clock import StageClock
from focusnet.train.loop.checkpoint import load_checkpoint
from focusnet.train.run import train_bundle
from focusnet.train.setup.request import TrainRequest


@pytest.mark.slow
def test_a_run_ends_by_the_clock_and_a_resumed_one_adds_to_it(dataset: Path, tmp_path: Path, config_file: Path) -> None:
    """Two stages; the second one is not left out because the first took all the time."""
    config_file.write_text(config_file.read_text().replace("steps = 6", "steps = 100000"))
    request = {"config_file": config_file, "stages": ("snet", "sol"), "device": "cpu"}
    train_bundle(TrainRequest(dataset, tmp_path / "run", time_budget_s=30.0, **request))  # type: ignore[arg-type]
    steps, spent_s = {}, 0.0
    for stage in ("snet", "sol"):
        _, state = load_checkpoint(tmp_path / "run" / f"{stage}.last.safetensors")
        assert state["finished"]
        assert 1 <= state["step"] < 100_000
        steps[stage] = state["step"]
        spent_s += state["spent_s"]
    assert spent_s < 45  # on a busy computer a step and a validation may take seconds
    again = TrainRequest(dataset, tmp_path / "run", time_budget_s=5.0, resume=True, **request)  # type: ignore[arg-type]
    assert load_bundle(train_bundle(again).folder).name == "tiny"
    assert load_checkpoint(tmp_path / "run" / "snet.last.safetensors")[1]["step"] == steps["snet"], "it was finished"


def test_the_last_step_is_saved_as_the_last_though_the_time_ran_out_just_after_one(
    dataset: Path, tmp_path: Path, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A validation or a checkpoint takes seconds: the clock may say one thing before it and another after it."""
    asked: list[int] = []
    monkeypatch.setattr(StageClock, "over", lambda clock, step: asked.append(step) or len(asked) > 2)
    request = TrainRequest(
        dataset, tmp_path / "run", config_file=config_file, stages=("snet",), device="cpu", time_budget_s=600.0
    )
    train_bundle(request)
    _, state = load_checkpoint(tmp_path / "run" / "snet.last.safetensors")
    assert state["finished"]
    assert state["step"] == asked[-1]


def test_a_stage_that_is_no_better_than_its_beginning_keeps_the_weights_it_began_with_and_says_so(
    dataset: Path, tmp_path: Path, config_file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "focusnet.train")
    first = train_bundle(
        TrainRequest(dataset, tmp_path / "first", config_file=config_file, stages=("snet",), device="cpu")
    )
    scores = iter([0.9, 0.2, 0.1])  # before the first step, after steps 3 and 6
    monkeypatch.setattr("focusnet.train.run.PlannedValidator", lambda *_: lambda model: {"score": next(scores)})
    more = TrainRequest(
        dataset, tmp_path / "more", config_file=config_file, stages=("snet",), init=first.folder, device="cpu"
    )
    second = train_bundle(more)
    assert "snet: no step was better than the beginning (score 0.9000, at the end 0.1000)" in caplog.text
    for name, value in first.build().state_dict().items():
        assert torch.equal(value, second.build().state_dict()[name]), name
    with (tmp_path / "more" / "snet.validation.csv").open(newline="") as handle:
        assert [row["step"] for row in csv.DictReader(handle)] == ["0", "3", "6"]


def test_several_processes_have_no_common_clock(
    dataset: Path, tmp_path: Path, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from focusnet.train import run
    from focusnet.train.loop.process_group import ProcessGroup

    monkeypatch.setattr(run, "join_process_group", lambda device: (ProcessGroup(0, 2), device))
    with pytest.raises(ConfigError, match="for one process"):
        train_bundle(TrainRequest(dataset, tmp_path / "run", config_file=config_file, time_budget_s=60, device="cpu"))
