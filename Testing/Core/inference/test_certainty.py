"""How sure the network was of each organ: from its probabilities, slab by slab, and from a pass on the mirrored scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from focusnet.errors import InputError
from focusnet.image.organs import find_organ
from focusnet.image.segmentation import DRAWN_AT, OrganResult
from focusnet.inference.backends import ChunkOutput
from focusnet.inference.certainty import SlicewiseSums, agreement, certainty_of, mirrored_winners, winning
from focusnet.inference.options import SegmentOptions
from focusnet.inference.segment import segment
from focusnet.io.segment_tags import from_tag, to_tag

from ..helpers_engine import head, random_bundle, small_config


def probabilities() -> Tensor:
    """One organ (channel 1) in four slices of 2 x 2: absent, 0.8 in two voxels, 1 in all four, 0.4 in two."""
    p = np.zeros((4, 2, 2), np.float32)
    p[1, 0] = 0.8
    p[2] = 1.0
    p[3, 1] = 0.4
    return torch.from_numpy(np.stack([1 - p, p]))


def test_expected_overlap_and_what_lies_beyond_the_ends_are_as_computed_by_hand() -> None:
    sums = SlicewiseSums()
    sums.add(probabilities()[:, :2])
    sums.add(probabilities()[:, 2:])
    found = certainty_of(sums.organ(0), slice_mm=3.0)
    assert found["expected_dsc"] == pytest.approx(2 * 5.6 / (6 + 6.4))  # 6 voxels won with 5.6 of 6.4 in all
    assert found["sure"] == pytest.approx(4 / 6)
    assert found["more"] == pytest.approx(0.8 / 6)
    assert (found["below_mm"], found["above_mm"]) == pytest.approx((0.0, 0.8 / 3 * 3))  # median area 3 voxels


def test_a_sure_network_expects_full_overlap_and_an_absent_organ_has_no_certainty() -> None:
    sure = torch.zeros(2, 3, 2, 2)
    sure[1, 1:], sure[0, 0] = 1.0, 1.0
    sums = SlicewiseSums()
    sums.add(sure)
    assert certainty_of(sums.organ(0), 3.0)["expected_dsc"] == 1.0
    sums = SlicewiseSums()
    sums.add(torch.stack([torch.ones(3, 2, 2), torch.zeros(3, 2, 2)]))
    assert certainty_of(sums.organ(0), 3.0) == {}


def test_winning_is_the_arg_max_and_background_wins_ties() -> None:
    p = torch.from_numpy(np.random.default_rng(0).random((4, 3, 5, 6)).astype(np.float32))
    assert torch.equal(winning(p), p.argmax(dim=0).to(torch.uint8))
    assert winning(torch.full((3, 1, 1, 1), 1 / 3)).item() == 0


def test_agreement_is_the_dsc_of_each_organ() -> None:
    assert agreement(torch.tensor([[0, 1, 1, 2]]), torch.tensor([[1, 1, 0, 2]]), 3) == [0.5, 1.0, 0.0]


class SideBackend:
    """Test double: what is bright on the right of the picture it calls the right parotid, on the left the left one."""

    name = "side"
    torch_device = torch.device("cpu")

    def run(self, ct: Tensor) -> ChunkOutput:
        half = ct.shape[2] // 2
        right, left = ct.clone(), ct.clone()
        right[:, :, half:], left[:, :, :half] = 0, 0
        return ChunkOutput(torch.stack([1 - ct, right, left]), None, None)

    def small_organ(self, organ: str, features: object, ct: object) -> Tensor:
        raise AssertionError("not called")


def test_the_mirrored_pass_gives_left_and_right_organs_back_on_their_own_sides() -> None:
    config = small_config(organs=("Parotid_R", "Parotid_L"), small_organs=())
    ct = torch.zeros(8, 4, 6)
    ct[:, 1, 1] = ct[:, 2, 4] = 1.0
    plain = winning(SideBackend().run(ct).probabilities)
    assert set(plain.unique().tolist()) == {0, 1, 2}
    assert torch.equal(mirrored_winners(ct, SideBackend(), config, 8), plain)


def test_a_result_keeps_its_certainty_in_its_tag_until_it_is_edited() -> None:
    larynx = find_organ("Larynx")
    assert larynx is not None
    result = OrganResult(organ=larynx, label=1, found=True, volume_ml=0.5, certainty={"sure": 0.75})
    text = to_tag(result, voxels=10)
    assert from_tag(text, larynx, 1, 10, 0.05) == result
    assert from_tag(text, larynx, 1, 11, 0.05).certainty is None


def test_segment_says_how_sure_it_was_and_with_a_pass_how_the_mirrored_scan_agrees(tmp_path: Path) -> None:
    bundle = random_bundle(tmp_path, small_config())
    scan = head((24, 48, 44), (6.0, 6.0, 6.0))
    plain, checked = (segment(scan, bundle, device="cpu", qa_passes=n) for n in (0, 1))
    assert np.array_equal(plain.labels, checked.labels)
    for one, other in zip(plain.results, checked.results, strict=True):
        if one.certainty is None:
            assert other.certainty is None
        else:
            assert other.certainty is not None
            assert set(other.certainty) - set(one.certainty) == {"mirrored"}
            assert set(DRAWN_AT) <= set(one.certainty)
            assert 0 <= one.certainty["expected_dsc"] <= 1
    assert any(r.certainty for r in plain.results)


def test_other_numbers_of_passes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 or 1 is expected"):
        SegmentOptions(random_bundle(tmp_path, small_config()), device="cpu", qa_passes=2)
