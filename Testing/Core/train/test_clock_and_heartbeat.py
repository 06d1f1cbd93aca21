"""A run ends by the clock if asked to, says what it does at every moment, and validates on few scans where it is short."""

from __future__ import annotations

import json
import logging
import os
import platform
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from focusnet.datasets.openkbp import OpenKBPDataset
from focusnet.errors import ConfigError
from focusnet.train.clock import STAGE_WEIGHTS, StageClock, parse_duration, stage_seconds
from focusnet.train.heartbeat import STATE, RunState, heartbeat, read_state, tell
from focusnet.train.logger import LOGGER
from focusnet.train.loop.loss_check import KEPT, LossCheck
from focusnet.train.loop.schedule import rate_factor
from focusnet.train.loop.training_log import TrainingLog
from focusnet.train.settings import STAGE_ORDER, Settings
from focusnet.train.setup.request import TrainRequest
from focusnet.train.stages.losses import dice_loss, heatmap_loss, mean_of
from focusnet.train.status import status_text
from focusnet.train.validation import PlannedValidator, affordable_scans

from ..helpers_dataset import write_dataset
from ..helpers_engine import random_network, small_config


class Now:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90.0), ("10m", 600.0), ("1.5h", 5400.0), ("10", 600.0)])
def test_a_time_is_read_as_people_write_it(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-3m", "0", "nan", "m"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - argparse makes a sentence of it
        parse_duration(text)


def test_without_a_time_the_steps_decide() -> None:
    clock = StageClock(10, None, Now())
    assert [clock.over(step) for step in (0, 9, 10)] == [False, False, True]
    assert clock.planned(3) == 10


def test_a_stage_ends_by_the_clock_and_plans_its_steps_from_its_pace() -> None:
    now = Now()
    clock = StageClock(1000, 100.0, now)
    now.time += 45
    clock.made = 9
    assert clock.progress(9) == pytest.approx(0.5)  # of nine tenths: the rest is for validating
    assert clock.planned(9) == 18
    assert not clock.over(9)
    now.time += 45
    assert clock.over(18)


def test_a_stage_by_the_clock_makes_one_step_at_least_and_no_more_than_was_asked_for() -> None:
    now = Now()
    clock = StageClock(5, 1.0, now)
    now.time += 60
    assert not clock.over(0)
    assert clock.over(1)
    assert StageClock(5, 1e6, now).over(5)


def test_the_stages_share_a_runs_time_and_what_is_left_over_goes_on() -> None:
    left, whole = 600.0, []
    for number, stage in enumerate(STAGE_ORDER):
        whole.append(stage_seconds(stage, list(STAGE_ORDER[number:]), left))
        left -= whole[-1]
    assert left == pytest.approx(0)
    assert whole[0] / whole[1] == pytest.approx(STAGE_WEIGHTS["snet"] / STAGE_WEIGHTS["sol"])


def test_the_schedule_follows_the_clock_however_many_steps_there_are() -> None:
    cosine = Settings(schedule="cosine", steps=100_000)
    rates = [rate_factor(step, cosine, progress) for step, progress in ((0, 0.0), (3, 0.1), (15, 0.5), (30, 1.0))]
    assert rates[0] == pytest.approx(0.01)
    assert rates[1] > 0.9
    assert rates[2] == pytest.approx(0.5)
    assert rates[3] == pytest.approx(0.0)
    assert rate_factor(7, Settings(), 0.9) == 1.0


def test_a_time_budget_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="time above 0"):
        TrainRequest(Path("d"), Path("o"), time_budget_s=0.0)


def test_the_state_is_there_from_the_first_second_and_true_when_the_stage_changes(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with heartbeat(out):
        tell("reading the data set, 3 of 170 cases")
        assert status_text(out).splitlines()[0] == f"{out}: reading the data set, 3 of 170 cases"
        tell("snet: starting", "snet", 0, 50)
        state = read_state(out)
        assert state is not None
        assert (state.stage, state.steps, state.alive) == ("snet", 50, True)
        (out / "training.json").write_text("{}")
    state = read_state(out)
    assert state is not None
    assert (state.doing, state.ended) == ("done", True)


def test_a_long_silence_is_broken_with_what_is_being_done(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER.name)
    with heartbeat(tmp_path / "run", quiet_s=0.2):
        tell("snet step 2/50, loss 0.5", "snet", 2, 50)
        tell("validating, scan 1 of 8")
        time.sleep(1.0)
    assert any(text.startswith("snet step 2/50: validating, scan 1 of 8 (for") for text in caplog.messages)


def failing_run(out: Path, message: str, wrote: bool) -> None:
    with heartbeat(out):
        tell("reading the data set")
        if wrote:
            (out / "snet.last.safetensors").write_bytes(b"")
        raise ConfigError(message)


def test_a_run_that_was_refused_leaves_nothing_and_one_that_failed_says_why(tmp_path: Path) -> None:
    refused, failed = tmp_path / "refused", tmp_path / "failed"
    with pytest.raises(ConfigError):
        failing_run(refused, "no", wrote=False)
    assert not refused.exists()
    with pytest.raises(ConfigError):
        failing_run(failed, "The disk is full.", wrote=True)
    assert json.loads((failed / STATE).read_text())["doing"] == "stopped: The disk is full."


def test_the_status_of_a_killed_run_says_that_it_is_gone(tmp_path: Path) -> None:
    pid = 2**22 + 1  # more than Linux gives out
    state = RunState("snet step 7/50, loss 0.5", "snet", 7, 50, time.time() - 300, pid, platform.node())
    (tmp_path / STATE).write_text(json.dumps(state.__dict__))
    assert not state.alive
    assert "the process ended without a word, 5 min ago, while: snet step 7/50" in status_text(tmp_path)
    assert replace(state, pid=os.getpid()).alive
    assert replace(state, host="elsewhere").alive, "of another computer nothing is known"


def test_the_pace_does_not_count_validations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = Now()
    monkeypatch.setattr("focusnet.train.loop.training_log.time.monotonic", now)
    log = TrainingLog(tmp_path, "snet", ("S-Net",), 0, 20)
    with log.pausing("validating"):
        now.time += 1000  # before the first step: it will not come again
    for step in range(1, 11):
        now.time += 2
        log.add("S-Net", 0.5)
        log.tick(step)
    with log.pausing("validating"):
        now.time += 100
    log.report(10)
    log.close()
    assert (tmp_path / "snet.csv").read_text().splitlines()[1] == "10,0.5,2.0"
    assert log._left(10) == "2.00 s/step, 2 min left", "but the time left counts them: 20 s of steps and 100 s more"


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list:
    folder = write_dataset(tmp_path_factory.mktemp("data"))
    case = OpenKBPDataset(folder).case("val", OpenKBPDataset(folder).patients("val")[0])
    return [case] * 33


def test_a_run_of_few_steps_validates_on_few_scans_and_a_long_one_on_all(cases: list) -> None:
    config = small_config()
    few = affordable_scans(cases, config, Settings(steps=6), 6)
    assert few == 1
    assert affordable_scans(cases, config, Settings(steps=100_000), 100_000) == 33
    counts = [affordable_scans(cases, config, Settings(steps=n), n) for n in (6, 100, 300, 1000)]
    assert counts == sorted(counts)


def test_the_validator_says_that_it_takes_few_and_an_explicit_number_is_obeyed(
    cases: list, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, LOGGER.name)
    config = small_config()
    short = PlannedValidator("snet", "dice", cases, config, Settings(steps=6))
    short.plan(6)
    short(random_network(config))
    assert len(short._validator.items) == 1
    assert "snet: validating on 1 of 33 scans" in caplog.text
    asked = PlannedValidator("snet", "dice", cases, config, Settings(steps=6, validate_cases=2))
    asked(random_network(config))
    assert len(asked._validator.items) == 2


def test_losses_are_means_over_what_counts_without_asking_what_does() -> None:
    values = torch.tensor([[1.0, 2.0, 7.0]], requires_grad=True)
    assert float(mean_of(values, torch.tensor([[True, True, False]]))) == 1.5
    nothing = mean_of(values, torch.zeros(1, 3, dtype=torch.bool))
    assert float(nothing) == 0.0
    nothing.backward()
    assert values.grad is not None
    assert float(values.grad.abs().sum()) == 0.0


def test_no_loss_makes_a_gpu_wait() -> None:
    """Tensors without content refuse to be looked at: a loss that asks for a value fails here."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        probabilities = torch.rand(2, 4, 4, 8, 8, requires_grad=True)
        target, known = torch.zeros(2, 4, 8, 8, dtype=torch.long), torch.ones(2, 4, dtype=torch.bool)
        dice_loss(probabilities, target, known).backward()
        for kind in ("l2", "cross-entropy", "focal"):
            heat = torch.rand(2, 3, 4, 8, 8, requires_grad=True)
            heatmap_loss(heat, torch.rand(2, 3, 4, 8, 8), torch.ones(2, 3, dtype=torch.bool), kind).backward()  # type: ignore[arg-type]


def test_losses_of_a_gpu_are_read_twenty_at_a_time() -> None:
    check = LossCheck(waits=True)
    due = [check.add(torch.tensor(float(i)), "S-Net", "pt_1", i) for i in range(KEPT)]
    assert due == [False] * (KEPT - 1) + [True]
    assert check.fetch() == [(float(i), "S-Net", "pt_1", i) for i in range(KEPT)]
    assert check.fetch() == []
    assert LossCheck(waits=False).add(torch.tensor(0.0), "S-Net", "pt_1", 0)
