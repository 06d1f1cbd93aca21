"""The pipeline is FocusNet: for a scan of one chunk both stages give what ``FocusNet.forward`` gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from focusnet.image.volume import Geometry
from focusnet.inference.backends import TorchBackend
from focusnet.inference.overlay import NEAR_MM
from focusnet.inference.two_stage import FIRST_NETWORKS, Grids, TwoStage
from focusnet.metrics import dice
from focusnet.nets.focusnet import FocusNet, Prediction

from ..helpers_engine import random_network, small_config

GRID = Geometry((16, 32, 32), (6.0, 6.0, 6.0), (0.0, 0.0, 0.0))


def example(seed: int, **config: object) -> tuple[FocusNet, torch.Tensor]:
    """A network of random weights with SOS-Nets, and a scan of noise on GRID."""
    network = random_network(small_config(has_sos=True, roi_size_zyx=(8, 16, 16), **config), seed)
    return network, torch.from_numpy(np.random.default_rng(seed).normal(size=GRID.shape_zyx).astype(np.float32))


def labels_of(out: Prediction, network: FocusNet) -> np.ndarray:
    """Section 3.1 on one chunk, voxel by voxel: S-Net's organs, the small ones erased and drawn again by their SOS-Nets. An organ of which
    its SOS-Net draws nothing stays as S-Net drew it (not in the paper)."""
    config = network.config
    probabilities = out.scores[0].softmax(dim=0).numpy()
    labels = probabilities.argmax(axis=0)
    small = [config.organs.index(organ) + 1 for organ in config.small_organs]
    without_small = probabilities.copy()
    without_small[0] += probabilities[small].sum(axis=0)
    without_small[small] = 0
    first, drawn_at_all = labels, []
    labels = np.where(np.isin(labels, small), without_small.argmax(axis=0), labels)
    masks = {}
    for organ, value in zip(config.small_organs, small, strict=True):
        masks[value] = np.zeros(labels.shape, bool)
        masks[value][out.rois[organ].inside] = out.small[organ][0, 0].sigmoid().numpy() > 0.5
    for value in sorted(small, key=lambda value: -masks[value].sum()):  # the smaller lies over the larger
        labels[masks[value]] = value
        if masks[value].any():
            drawn_at_all.append(value)
    for value in set(small) - set(drawn_at_all):
        labels[first == value] = value
    return labels


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("arch", ["two-block", "encoder-decoder"])
def test_for_one_chunk_the_pipeline_equals_the_networks_own_forward(arch: str, seed: int) -> None:
    network, ct = example(seed, sos_arch=arch)
    config = network.config
    with torch.inference_mode():
        out = network(ct[None, None])

    backend = TorchBackend(network)
    chunk = backend.run(ct)
    labels, locations = TwoStage(config, backend, 16).segment(ct, Grids(GRID, GRID))

    np.testing.assert_array_equal(chunk.probabilities, out.scores[0].softmax(dim=0).numpy())
    assert out.heatmaps is not None
    np.testing.assert_array_equal(chunk.heatmaps, out.heatmaps[0].numpy())
    for organ in config.small_organs:
        location, roi = locations[organ], out.rois[organ]
        assert location.roi == roi
        assert location.features is not None
        drawn = backend.small_organ(organ, location.features, roi.crop(ct[None, None]))
        np.testing.assert_allclose(drawn, out.small[organ][0, 0].sigmoid().numpy(), atol=1e-6)
    np.testing.assert_array_equal(labels, labels_of(out, network))
    drawn_values = set(np.unique(labels.numpy())) & {config.organs.index(organ) + 1 for organ in config.small_organs}
    assert drawn_values, "random weights draw some small organ"


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_both_networks_drew_of_a_small_organ_is_compared(seed: int) -> None:
    network, ct = example(seed, location_threshold=0.0)
    config = network.config
    backend = TorchBackend(network)
    first = backend.run(ct).probabilities.argmax(dim=0).numpy()
    labels, locations = TwoStage(config, backend, 16).segment(ct, Grids(GRID, GRID))
    compared = 0
    for organ in config.small_organs:
        value, location = config.organs.index(organ) + 1, locations[organ]
        if location.both_networks_dsc is None:
            continue
        assert location.both_networks_dsc == pytest.approx(dice(first == value, labels.numpy() == value))
        assert location.roi is not None
        middle = np.array([(s.start + s.stop - 1) / 2 for s in location.roi.inside])
        half = np.array([(s.stop - 1 - s.start) / 2 for s in location.roi.inside])
        away = np.clip(np.abs(np.argwhere(first == value) - middle) - half, 0, None) * GRID.spacing_mm_zyx
        near = np.linalg.norm(away, axis=1) <= NEAR_MM
        beyond = (near & (away > 0).any(axis=1)).sum() / max(1, near.sum())
        assert location.beyond_roi == pytest.approx(beyond)
        compared += 1
    assert compared, "random weights draw some small organ"


def test_where_a_person_says_an_organ_is_s_net_did_not_draw_and_nothing_is_compared() -> None:
    network, ct = example(0)
    organ = network.config.small_organs[0]
    stages = TwoStage(network.config, TorchBackend(network), 16)
    _, locations = stages.segment_at_seeds(ct, Grids(GRID, GRID), {organ: (8, 16, 16)})
    assert (locations[organ].both_networks_dsc, locations[organ].beyond_roi) == (None, None)


def test_an_organ_below_the_smallest_peak_keeps_what_s_net_drew() -> None:
    network = random_network(small_config(has_sos=True))
    ct = torch.from_numpy(np.random.default_rng(0).normal(size=GRID.shape_zyx).astype(np.float32))
    backend = TorchBackend(network)
    kept, _ = TwoStage(network.config, backend, 16, smallest_peak=1.01).segment(ct, Grids(GRID, GRID))
    np.testing.assert_array_equal(kept, backend.run(ct).probabilities.argmax(dim=0))


class DrawsNothing(TorchBackend):
    """A stand-in for a SOS-Net of one organ that finds nothing in its ROI."""

    organ = ""

    def small_organ(self, organ: str, features: torch.Tensor, ct: torch.Tensor) -> torch.Tensor:
        probability = super().small_organ(organ, features, ct)
        return torch.zeros_like(probability) if organ == self.organ else torch.ones_like(probability)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_organ_of_which_its_sos_net_draws_nothing_keeps_what_s_net_drew_and_it_is_said(seed: int) -> None:
    network, ct = example(seed, location_threshold=0.0)
    config = network.config
    backend = DrawsNothing(network)
    by_s_net = backend.run(ct).probabilities.argmax(dim=0)
    values = {organ: config.organs.index(organ) + 1 for organ in config.small_organs}
    backend.organ = max(values, key=lambda organ: int((by_s_net == values[organ]).sum()))
    assert (by_s_net == values[backend.organ]).any(), "S-Net with random weights draws that organ"
    labels, locations = TwoStage(config, backend, 16).segment(ct, Grids(GRID, GRID))
    # the other organs' SOS-Nets fill their ROIs, and do not draw over it
    np.testing.assert_array_equal(labels == values[backend.organ], by_s_net == values[backend.organ])
    assert FIRST_NETWORKS in locations[backend.organ].remark
    assert not any(FIRST_NETWORKS in locations[organ].remark for organ in values if organ != backend.organ)


def test_what_is_not_looked_at_is_not_computed() -> None:
    network = random_network(small_config(has_sos=True))
    ct = torch.zeros(GRID.shape_zyx)
    bare = TorchBackend(network, localizes=False, segments_small=False).run(ct)
    assert (bare.heatmaps, bare.features) == (None, None)
    localized = TorchBackend(network, segments_small=False).run(ct)
    assert localized.heatmaps is not None
    assert localized.features is None
