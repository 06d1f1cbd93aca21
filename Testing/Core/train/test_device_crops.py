"""Crops that are cut on the device are those of the CPU: same places, same interpolation, noise of the same strength."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from focusnet.datasets.case import Case
from focusnet.datasets.openkbp import OpenKBPDataset
from focusnet.train.settings import Settings
from focusnet.train.stages.augment import Augmentation, draw_sample
from focusnet.train.stages.device_crops import add_noise, tensors_on
from focusnet.train.stages.small_organ_crops import draw_whole_organs
from focusnet.train.stages.stage import StageContext

from ..helpers_engine import small_config

CPU = torch.device("cpu")
CONFIG = small_config(organs=("Brainstem", "Parotid_R", "Parotid_L"), small_organs=("Brainstem",))
TURNED = Augmentation(shift_mm=20.0, mirror=True)


@pytest.fixture(scope="module")
def case(dataset: Path) -> Case:
    return next(iter(OpenKBPDataset(dataset).cases("train")))


@pytest.mark.parametrize("seed", range(8))
def test_a_crop_is_the_same_wherever_it_is_cut(case: Case, seed: int) -> None:
    here = draw_sample(case, CONFIG, TURNED, np.random.default_rng(seed))
    there = draw_sample(case, CONFIG, TURNED, np.random.default_rng(seed), device=CPU)
    np.testing.assert_array_equal(here.labels, there.labels)
    np.testing.assert_allclose(here.ct, there.ct, atol=1e-5)
    assert here.centers_zyx == there.centers_zyx
    assert torch.equal(here.known, there.known)
    assert here.labels.max() > 0 or seed not in (0, 1)


def test_crops_of_whole_organs_are_the_same_too(case: Case) -> None:
    contexts = [StageContext(CONFIG, Settings(), TURNED, torch.ones(4), draws_on) for draws_on in (None, CPU)]
    here, there = (draw_whole_organs(case, context, np.random.default_rng(3)) for context in contexts)
    np.testing.assert_array_equal(here.labels, there.labels)
    assert here.rois == there.rois


def test_the_noise_is_as_strong_and_comes_back_with_its_number() -> None:
    still = torch.zeros(40, 40, 40)
    noisy = [float(add_noise(still, 50.0, np.random.default_rng(seed)).std()) for seed in range(200)]
    assert np.mean(noisy) == pytest.approx(25.0, rel=0.15)  # uniform from 0 to 50
    assert max(noisy) < 51
    again = [add_noise(still, 50.0, np.random.default_rng(7)) for _ in range(2)]
    assert torch.equal(*again)


def test_a_case_goes_to_the_device_once(case: Case) -> None:
    first, second = tensors_on(case, CPU), tensors_on(case, CPU)
    assert first[0] is second[0]
    assert first[1].dtype == torch.uint8
