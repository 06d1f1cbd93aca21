"""Each loss has a value computed by hand and the identity it turns into at its limit."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from focusnet.nets.solnet import gaussian_heatmap
from focusnet.train.settings import Settings
from focusnet.train.stages.losses import (
    binary_dice_loss,
    binary_focal_loss,
    class_weights,
    dice_loss,
    focal_loss,
    heatmap_loss,
    marginal_probabilities,
    penalty_reduced_focal_loss,
    segmentation_loss,
)

ALL_KNOWN = torch.tensor([[True, True, True]])


def voxels(*rows: tuple[float, float, float]) -> torch.Tensor:
    """Probabilities of three classes, one row a voxel -> (1, 3, 1, 1, N)."""
    return torch.tensor(rows).T[None, :, None, None, :]


def test_focal_loss_of_two_voxels_by_hand() -> None:
    p = voxels((0.5, 0.25, 0.25), (0.1, 0.8, 0.1))
    target = torch.tensor([0, 1])[None, None, None]
    alpha = torch.tensor([1.0, 2.0, 1.0])
    expected = (-1 * 0.5**2 * math.log(0.5) - 2 * 0.2**2 * math.log(0.8)) / 2
    assert float(focal_loss(p, target, alpha, gamma=2.0)) == pytest.approx(expected, rel=1e-5)


def test_focal_loss_without_focus_is_cross_entropy() -> None:
    scores = torch.randn(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    target = torch.randint(0, 3, (2, 4, 5, 6), generator=torch.Generator().manual_seed(1))
    ours = focal_loss(scores.softmax(1), target, torch.ones(3), gamma=0.0)
    assert float(ours) == pytest.approx(float(F.cross_entropy(scores, target)), rel=1e-5)


def test_dice_loss_by_hand_and_at_its_limits() -> None:
    p = voxels((0.2, 0.8, 0.0), (0.6, 0.4, 0.0), (1.0, 0.0, 0.0))
    target = torch.tensor([1, 0, 0])[None, None, None]
    # organ 1: 2 * 0.8 / (1.2 + 1); organ 2 is absent and skipped
    assert float(dice_loss(p, target, ALL_KNOWN)) == pytest.approx(1 - 1.6 / 2.2, rel=1e-4)
    perfect = F.one_hot(target, 3).permute(0, 4, 1, 2, 3).float()
    assert float(dice_loss(perfect, target, ALL_KNOWN)) == pytest.approx(0.0, abs=1e-5)
    assert float(dice_loss(p, torch.zeros_like(target), ALL_KNOWN)) == 0.0


def test_an_organ_that_nobody_contoured_costs_nothing_wherever_it_is_predicted() -> None:
    """Unknown is not background: moving probability between background and the unknown organ changes no loss."""
    known = torch.tensor([[True, True, False]])
    target = torch.tensor([0, 1])[None, None, None]
    alpha = torch.ones(3)
    as_background = voxels((0.9, 0.05, 0.05), (0.1, 0.85, 0.05)).log()
    as_unknown = voxels((0.05, 0.05, 0.9), (0.05, 0.85, 0.1)).log()
    assert float(segmentation_loss(as_background, target, known, alpha, Settings())) == pytest.approx(
        float(segmentation_loss(as_unknown, target, known, alpha, Settings())), rel=1e-5
    )
    both_known = segmentation_loss(as_unknown, target, ALL_KNOWN, alpha, Settings())
    assert float(both_known) > float(segmentation_loss(as_unknown, target, known, alpha, Settings())) + 0.1


def test_marginal_probabilities_still_sum_to_one() -> None:
    scores = torch.randn(1, 3, 2, 2, 2)
    p = marginal_probabilities(scores, torch.tensor([[True, False, True]]))
    assert torch.allclose(p.sum(1), torch.ones(1, 2, 2, 2))
    assert float(p[:, 1].abs().max()) == 0.0


def test_class_weights_are_inversely_proportional_to_size() -> None:
    alpha = class_weights(torch.tensor([1000.0, 100.0, 10.0]))
    assert float(alpha[2] / alpha[1]) == pytest.approx(10.0)
    assert float(alpha.mean()) == pytest.approx(1.0)


def test_binary_focal_and_dice_by_hand() -> None:
    p, t = torch.tensor([[0.9, 0.2]]), torch.tensor([[1.0, 0.0]])
    expected = (-0.5 * 0.1**2 * math.log(0.9) - 0.5 * 0.2**2 * math.log(0.8)) / 2
    assert float(binary_focal_loss(p, t)) == pytest.approx(expected, rel=1e-4)
    no_focus = binary_focal_loss(p, t, gamma=0.0)
    assert float(no_focus) == pytest.approx(0.5 * float(F.binary_cross_entropy(p, t)), rel=1e-4)
    assert float(binary_dice_loss(p, t)) == pytest.approx(1 - 1.8 / 2.1, rel=1e-4)


def test_the_heat_map_loss_counts_only_organs_that_were_contoured() -> None:
    predicted = torch.zeros(1, 2, 1, 1, 4)
    wanted = torch.stack([torch.ones(1, 1, 4), torch.full((1, 1, 4), 0.5)])[None]
    assert float(heatmap_loss(predicted, wanted, torch.tensor([[True, False]]))) == pytest.approx(1.0)
    assert float(heatmap_loss(predicted, wanted, torch.tensor([[True, True]]))) == pytest.approx(0.625)
    assert float(heatmap_loss(predicted, wanted, torch.tensor([[False, False]]))) == 0.0


def test_the_penalty_reduced_focal_loss_has_the_value_of_its_formula() -> None:
    predicted = torch.tensor([0.9, 0.2, 0.1]).reshape(1, 1, 1, 1, 3)
    wanted = torch.tensor([1.0, 0.5, 0.0]).reshape(1, 1, 1, 1, 3)
    expected = -(0.1**2) * math.log(0.9) - 0.5**4 * 0.2**2 * math.log(0.8) - 0.1**2 * math.log(0.9)
    assert float(penalty_reduced_focal_loss(predicted, wanted)) == pytest.approx(expected, rel=1e-4)
    assert float(heatmap_loss(predicted, wanted, torch.tensor([[True]]), "focal")) == pytest.approx(expected, rel=1e-4)


def test_the_focal_heat_map_loss_rewards_the_centre_and_forgives_its_neighbours() -> None:
    wanted = gaussian_heatmap((5, 21, 21), (2.2, 10.4, 10.0), 3.0)[None, None]
    at = {}
    for place in ((2, 10, 10), (2, 10, 12), (2, 2, 2)):
        predicted = torch.full_like(wanted, 0.01)
        predicted[0, 0][place] = 0.9
        at[place] = float(penalty_reduced_focal_loss(predicted, wanted))
    assert at[2, 10, 10] < at[2, 10, 12] < at[2, 2, 2]
    far = gaussian_heatmap((5, 21, 21), (2.0, 60.0, 10.0), 3.0)[None, None]  # centre outside: nothing to find
    empty, full = torch.full_like(far, 0.01), torch.full_like(far, 0.5)
    assert float(penalty_reduced_focal_loss(empty, far)) < float(penalty_reduced_focal_loss(full, far))
