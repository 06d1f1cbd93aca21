"""Crops drawn ahead by threads: the same steps, sooner."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
import torch

from focusnet.datasets.openkbp import OpenKBPDataset
from focusnet.errors import DatasetError
from focusnet.nets.focusnet import FocusNet
from focusnet.train.loop.checkpoint import load_checkpoint
from focusnet.train.loop.loop import StageOptions, train_stage
from focusnet.train.loop.prefetch import Prefetcher, worker_count
from focusnet.train.settings import Settings
from focusnet.train.stages.augment import Augmentation
from focusnet.train.stages.table import STAGES

from ..helpers_dataset import LABELS
from ..helpers_engine import small_config

CPU = torch.device("cpu")


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_draws_come_in_their_order_however_long_each_takes(workers: int) -> None:
    def draw(number: int) -> int:
        time.sleep(0.02 * (number % 3 == 0))
        return number * number

    numbers = range(4, 40, 2)
    with closing(Prefetcher(draw, numbers, workers)) as ahead:
        assert list(ahead) == [n * n for n in numbers]


def test_the_next_crop_is_drawn_while_the_network_computes_and_no_more_than_a_few() -> None:
    drawn, third = [], threading.Event()

    def draw(number: int) -> int:
        drawn.append(number)
        if number == 2:
            third.set()
        return number

    with closing(Prefetcher(draw, range(1000), 2)) as ahead:
        assert next(ahead) == 0
        assert third.wait(10)  # nobody has asked for it
        time.sleep(0.1)
        assert len(drawn) <= 4  # crops are large: two a thread
    assert len(drawn) <= 4


def test_a_run_that_ends_early_draws_nothing_more() -> None:
    drawn = []

    def draw(number: int) -> int:
        time.sleep(0.1)
        drawn.append(number)
        return number

    with closing(Prefetcher(draw, range(1000), 1)) as ahead:
        assert next(ahead) == 0
        next(ahead)
    count = len(drawn)
    time.sleep(0.4)
    assert len(drawn) == count


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_wrong_with_a_case_is_said_at_its_own_step(workers: int) -> None:
    def draw(number: int) -> int:
        if number == 3:
            raise DatasetError("pt_3 cannot be read")
        return number

    with closing(Prefetcher(draw, range(10), workers)) as ahead:
        assert [next(ahead) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(DatasetError, match="pt_3 cannot be read"):
            next(ahead)


def test_threads_are_for_gpus_unless_asked_for() -> None:
    assert worker_count(-1, CPU) == 0
    assert worker_count(-1, torch.device("cuda")) > 0
    assert worker_count(3, CPU) == 3
    with pytest.raises(DatasetError, match="workers is -2"):
        Settings(workers=-2)


def test_a_run_takes_the_same_steps_with_any_number_of_threads_and_may_change_it_half_way(
    dataset: Path, tmp_path: Path
) -> None:
    config = small_config(organs=tuple(LABELS), small_organs=("Brainstem",))
    cases = list(OpenKBPDataset(dataset).cases("train"))
    augmentation = Augmentation(10.0, 10.0, (0.9, 1.1), mirror=True, noise_hu=10.0)

    def run(name: str, steps: int, workers: int, resume: bool = False) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        settings = Settings(steps=steps, checkpoint_every=2, validate_every=100, accumulate=2, workers=workers)
        options = StageOptions(config, settings, augmentation, tmp_path / name, resume)
        train_stage(FocusNet(config), STAGES["snet"], cases, lambda _: {"score": 0.0}, options)
        return load_checkpoint(tmp_path / name / "snet.last.safetensors")[0]

    alone = run("alone", 5, workers=0)
    run("ahead", 2, workers=3)
    ahead = run("ahead", 5, workers=2, resume=True)
    assert alone.keys() == ahead.keys()
    for key, value in alone.items():
        assert torch.equal(value, ahead[key]), key
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("draw")]  # none is left behind
