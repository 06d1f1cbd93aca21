"""The networks are the paper's: sizes, shapes, where a heat map's maximum is, what an ROI holds, who lies over whom."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from focusnet.errors import DatasetError
from focusnet.inference.overlay import SmallOrgan, overlay
from focusnet.nets.backbones import BACKBONES, make_backbone
from focusnet.nets.config import ARCHS, NetworkConfig, choices_of, preset
from focusnet.nets.focusnet import FocusNet
from focusnet.nets.folding import fold_batch_norms
from focusnet.nets.roi import roi_around
from focusnet.nets.shape_autoencoder import ShapeAutoencoder
from focusnet.nets.snet import SNet
from focusnet.nets.solnet import gaussian_heatmap, heatmap_peak
from focusnet.nets.sosnet import SOSNet

from ..helpers_engine import random_network, small_config

PAPER_ORGANS = tuple(f"Organ{i}" for i in range(22))


def millions(module: torch.nn.Module) -> float:
    return sum(p.numel() for p in module.parameters()) / 1e6


def gigaflops(config: NetworkConfig) -> float:
    with torch.device("meta"):
        network = make_backbone(config)
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 1, 40, 240, 240))
    return counter.get_total_flops() / 1e9


def test_snet_has_the_size_and_cost_that_table_10_leads_to() -> None:
    plain = NetworkConfig(organs=PAPER_ORGANS)
    with_skip_conv = NetworkConfig(organs=PAPER_ORGANS, skip_conv=True)
    assert millions(SNet(plain)) == pytest.approx(2.316, abs=0.001)
    assert gigaflops(plain) == pytest.approx(1819, abs=1)
    assert millions(SNet(with_skip_conv)) == pytest.approx(2.41, abs=0.005)
    assert gigaflops(with_skip_conv) == pytest.approx(2018, abs=1)


def test_sos_net_and_the_autoencoder_have_the_papers_size() -> None:
    config = NetworkConfig(organs=PAPER_ORGANS)
    inputs_of_the_reference = SOSNet(config, feature_channels=64)  # 65 input channels with the CT
    assert millions(inputs_of_the_reference) == pytest.approx(0.144, abs=0.001)
    assert millions(ShapeAutoencoder(config)) == pytest.approx(31.1, abs=0.05)


@pytest.mark.parametrize("down_samplings", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["paper", "authors"])
def test_every_preset_and_depth_keeps_the_scans_size(name: str, down_samplings: int) -> None:
    config = preset(
        name, organs=("Brainstem", "Larynx"), small_organs=("Larynx",), has_sos=True, width=0.125, crop_size_yx=(32, 32),
        down_samplings=down_samplings, roi_size_zyx=(8, 16, 16),
    )  # fmt: skip
    with torch.no_grad():
        out = FocusNet(config).eval()(torch.zeros(1, 1, 16, 32, 32))
    assert out.scores.shape == (1, 3, 16, 32, 32)
    assert out.heatmaps is not None
    assert out.heatmaps.shape == (1, 1, 16, 32, 32)
    assert out.small["Larynx"].shape == (1, 1, 8, 16, 16)


def test_the_autoencoder_returns_a_mask_of_the_rois_size_a_code_and_two_scales() -> None:
    config = NetworkConfig(organs=("Larynx",), aae_width=0.0625)
    with torch.no_grad():
        mask, code, features = ShapeAutoencoder(config).eval()(torch.zeros(2, 1, 8, 64, 64))
    assert mask.shape == (2, 1, 8, 64, 64)
    assert code.shape == (2, 32)
    assert [tuple(f.shape[2:]) for f in features] == [(2, 16, 16), (4, 32, 32)]
    assert 0 <= float(mask.min()) <= float(mask.max()) <= 1


@pytest.mark.parametrize("center", [(3, 7, 11), (0, 0, 0), (9, 19, 29)])
def test_a_heat_maps_maximum_is_found_to_the_voxel(center: tuple[int, int, int]) -> None:
    heat = gaussian_heatmap((10, 20, 30), center, sigma_voxels=5.0)
    value, place = heatmap_peak(heat)
    assert place == center
    assert value == pytest.approx(1.0)


def test_a_heat_map_follows_a_centre_between_voxels_and_the_released_codes_window_cuts_it() -> None:
    heat = gaussian_heatmap((9, 9, 9), (4.0, 4.0, 4.5), 2.0)
    assert float(heat[4, 4, 4]) == pytest.approx(float(heat[4, 4, 5]))
    cut = gaussian_heatmap((9, 9, 9), (4.0, 4.0, 4.0), 2.0, z_window=1)
    assert float(cut[2].abs().max()) == 0.0
    assert float(cut[3].max()) > 0.0


def test_an_roi_at_every_border_stays_inside_and_holds_the_centre() -> None:
    scan, size = (12, 20, 24), (8, 16, 16)
    volume = torch.arange(12 * 20 * 24, dtype=torch.float32).reshape(1, 1, *scan)
    for center in [(z, y, x) for z in (0, 6, 11) for y in (0, 10, 19) for x in (0, 12, 23)]:
        box = roi_around(center, size, scan).crop(volume)
        assert box.shape == (1, 1, *size)
        assert bool((box == volume[(0, 0, *center)]).any())


def test_an_roi_in_a_scan_smaller_than_itself_is_padded_and_pasted_back_whole() -> None:
    scan = torch.rand(1, 1, 5, 10, 40)
    roi = roi_around((2, 5, 39), (8, 16, 16), (5, 10, 40))
    box = roi.crop(scan)
    assert box.shape == (1, 1, 8, 16, 16)
    assert float(box[..., 5:, :, :].abs().max()) == 0.0
    back = roi.paste(box, torch.zeros_like(scan))
    assert torch.equal(back[..., 24:40], scan[..., 24:40])
    assert float(back[..., :24].abs().max()) == 0.0


def test_small_organs_lie_over_large_ones_and_the_smaller_of_two_small_ones_wins() -> None:
    labels = torch.ones(1, 1, 6, dtype=torch.uint8)
    globe = SmallOrgan(2, (slice(0, 1), slice(0, 1), slice(0, 5)), torch.tensor([[[0.9, 0.99, 0.99, 0.99, 0.4]]]))
    lens = SmallOrgan(3, (slice(0, 1), slice(0, 1), slice(2, 6)), torch.tensor([[[0.6, 0.7, 0.2, 0.2]]]))
    for order in ([globe, lens], [lens, globe]):
        assert overlay(labels.clone(), order).tolist() == [[[2, 2, 3, 3, 1, 1]]]


def test_forward_of_one_chunk_finds_small_organs_where_the_heat_map_says() -> None:
    config = small_config(has_sos=True)
    network = random_network(config)
    with torch.no_grad():
        out = network(torch.randn(1, 1, 16, 32, 32))
    assert out.heatmaps is not None
    for i, organ in enumerate(config.small_organs):
        _, (z, y, x) = heatmap_peak(out.heatmaps[0, i])
        assert all(s.start <= c < s.stop for s, c in zip(out.rois[organ].inside, (z, y, x), strict=True))


def test_a_configuration_that_cannot_work_is_refused_in_words() -> None:
    with pytest.raises(DatasetError, match="multiples of 4"):
        NetworkConfig(organs=("Larynx",), crop_size_yx=(30, 30))
    with pytest.raises(DatasetError, match="small_organs"):
        NetworkConfig(organs=("Larynx",), small_organs=("Brainstem",))
    with pytest.raises(DatasetError, match="paper or authors"):
        preset("other", organs=("Larynx",))


def test_a_configuration_survives_json() -> None:
    config = small_config(has_sos=True)
    assert NetworkConfig.from_json(config.to_json()) == config
    with pytest.raises(DatasetError, match="colour"):
        NetworkConfig.from_json({**config.to_json(), "colour": 1})


def test_sol_net_takes_s_nets_scores_only_where_the_configuration_says_so() -> None:
    for inputs, differs in (("features", False), ("features+scores", True)):
        network = random_network(small_config(sol_inputs=inputs))
        assert network.solnet is not None
        features = torch.randn(1, network.snet.feature_channels, 4, 16, 16)
        scores = torch.randn(1, len(network.config.organs) + 1, 4, 16, 16)
        with torch.no_grad():
            one, other = network.solnet(features, scores), network.solnet(features, -scores)
        assert bool((one != other).any()) is differs


def test_a_heat_map_bias_begins_with_nearly_empty_maps() -> None:
    network = FocusNet(small_config(heatmap_bias=-4.6))
    assert network.solnet is not None
    features = 40 * torch.randn(1, network.snet.feature_channels, 4, 16, 16)  # as large as those of a trained S-Net
    with torch.no_grad():
        maps = network.solnet(features, torch.zeros(1, len(network.config.organs) + 1, 4, 16, 16))
    assert float(maps.min()) > 0.005
    assert float(maps.max()) < 0.02


def dilations(network: torch.nn.Module) -> set[tuple[int, ...]]:
    """Dilations of the convolutions of S-Net's two deepest blocks that are dilated at all."""
    convolutions = [m for m in network.snet.dilated.modules() if isinstance(m, torch.nn.Conv3d)]  # type: ignore[union-attr, operator]
    assert len(convolutions) == 4
    return {m.dilation for m in convolutions} - {(1, 1, 1)}


@pytest.mark.parametrize("name", ["paper", "authors"])
def test_the_deepest_blocks_are_dilated_in_plane_alone_as_the_paper_says(name: str) -> None:
    config = preset(name, organs=("Larynx",), width=0.125)
    assert config.dilation_zyx == (1, 2, 2)
    assert dilations(FocusNet(config)) == {(1, 2, 2)}


def test_a_configuration_from_before_the_dilation_was_a_key_keeps_dilating_along_z() -> None:
    old = small_config().to_json()
    del old["dilation_zyx"]
    config = NetworkConfig.from_json(old)
    assert config.dilation_zyx == (2, 2, 2)
    assert dilations(FocusNet(config)) == {(2, 2, 2)}
    assert NetworkConfig.from_json(small_config().to_json()).dilation_zyx == (1, 2, 2)


def test_dilation_along_z_changes_what_is_seen_and_not_what_is_stored() -> None:
    paper, before = (random_network(small_config(dilation_zyx=d)) for d in ((1, 2, 2), (2, 2, 2)))
    before.load_state_dict(paper.state_dict())
    with torch.no_grad():
        ct = torch.randn(1, 1, 16, 32, 32)
        assert not torch.equal(paper(ct).scores, before(ct).scores)
    with pytest.raises(DatasetError, match="dilation_zyx"):
        small_config(dilation_zyx=(0, 2, 2))


@pytest.mark.parametrize(
    ("key", "wrong", "expected"),
    [
        ("arch", "unet", "focusnetv2, focusnetv1, anatomynet or deeplabv3plus"),
        ("sos_arch", "three-block", "two-block or encoder-decoder"),
        ("sos_inputs", "nothing", r"features\+ct, ct or features"),
        ("aae_output", "tanh", "sigmoid or relu"),
    ],
)
def test_a_choice_that_does_not_exist_is_refused_with_those_that_do(key: str, wrong: str, expected: str) -> None:
    with pytest.raises(DatasetError, match=f"{key} is {wrong}; expected {expected}"):
        small_config(**{key: wrong})


def test_every_arch_has_its_entry() -> None:
    assert set(choices_of(NetworkConfig)["arch"]) == set(ARCHS) == set(BACKBONES)


@pytest.mark.parametrize("arch", ["focusnetv2", "deeplabv3plus", "anatomynet"])
def test_folded_batch_norms_change_no_result(arch: str) -> None:
    two_stage = {"has_sos": True} if arch == "focusnetv2" else {"small_organs": (), "has_sos": False}
    network = random_network(small_config(arch=arch, **two_stage))
    ct = torch.randn(1, 1, 16, 32, 32)
    with torch.no_grad():
        before = network(ct)
        count = fold_batch_norms(network)
        after = network(ct)
    torch.testing.assert_close(after.scores, before.scores, atol=1e-4, rtol=1e-4)
    assert fold_batch_norms(network) == 0
    if arch == "focusnetv2":
        norms = sum(isinstance(m, torch.nn.BatchNorm3d) for m in network.modules())
        assert count == norms, "one of each block's two norms is left"


def test_a_network_in_training_is_not_folded() -> None:
    with pytest.raises(ValueError, match="eval"):
        fold_batch_norms(random_network(small_config()).train())
