"""The systems that the paper compares with: sizes, borders, bundles old and new, one loop and one command for all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from focusnet.cli.main import main
from focusnet.datasets.case import Case
from focusnet.datasets.openkbp import OpenKBPDataset
from focusnet.errors import DatasetError
from focusnet.inference.segment import segment
from focusnet.nets.backbones import BACKBONES, make_backbone
from focusnet.nets.bundle import MANIFEST, load_bundle
from focusnet.nets.config import ARCHS, NetworkConfig
from focusnet.nets.focusnet import FocusNet
from focusnet.nets.shape_autoencoder import ShapeAutoencoder
from focusnet.train.settings import Settings
from focusnet.train.setup.systems import with_own_rois
from focusnet.train.stages.adversarial import sos_loss
from focusnet.train.stages.augment import NO_AUGMENTATION, join_crops
from focusnet.train.stages.model import TrainingNet
from focusnet.train.stages.small_organ_crops import draw_whole_organs
from focusnet.train.stages.stage import StageContext

from ..helpers_dataset import LABELS, TINY_TOML
from ..helpers_engine import head, random_bundle, random_network, small_config
from ..helpers_images import small_scan, write_image
from ..nets.test_networks import gigaflops, millions

ONE_STAGE = ("anatomynet", "deeplabv3plus")
PAPER_ORGANS = tuple(f"Organ{i}" for i in range(22))


def config_of(arch: str, **changes: Any) -> NetworkConfig:
    """A tiny one of each system."""
    small = {} if ARCHS[arch].two_stage else {"small_organs": ()}
    width = 0.03 if arch == "deeplabv3plus" else 0.125
    rois = {"roi_sizes_zyx": ((4, 10, 14), (8, 16, 12)), "has_sos": True} if arch == "focusnetv1" else {}
    return small_config(arch=arch, **{"width": width, **small, **rois, **changes})


@pytest.mark.parametrize(
    ("arch", "parameters_m", "gflop"),
    [("anatomynet", 0.739, 526), ("deeplabv3plus", 93.879, 1744)],
)
def test_backbones_have_the_size_and_cost_that_the_docs_state(arch: str, parameters_m: float, gflop: float) -> None:
    config = NetworkConfig(organs=PAPER_ORGANS, arch=arch)
    with torch.device("meta"):
        assert millions(make_backbone(config)) == pytest.approx(parameters_m, abs=0.001)
    assert gigaflops(config) == pytest.approx(gflop, abs=1)


def test_the_whole_network_with_six_small_organs_has_the_size_that_the_docs_state() -> None:
    config = NetworkConfig(organs=PAPER_ORGANS, small_organs=PAPER_ORGANS[:6], has_sos=True)
    with torch.device("meta"):
        assert millions(FocusNet(config)) == pytest.approx(3.062, abs=0.001)


def test_every_system_has_a_backbone() -> None:
    assert set(BACKBONES) == set(ARCHS)


@pytest.mark.parametrize("arch", list(ARCHS))
@pytest.mark.parametrize("slices", [1, 2, 4])
def test_the_smallest_input_that_a_system_says_it_takes_comes_back_whole(arch: str, slices: int) -> None:
    config = config_of(arch)
    side = config.in_plane_multiple
    ct = torch.randn(1, 1, slices * config.z_multiple, side, 3 * side)
    with torch.no_grad():
        _, scores = make_backbone(config).eval()(ct)
    assert scores.shape == (1, len(config.organs) + 1, *ct.shape[2:])


@pytest.mark.parametrize("arch", ONE_STAGE)
def test_one_step_of_training_reaches_every_weight(arch: str) -> None:
    """Batch 1, as the paper trains: no layer may need a second item for its statistics."""
    config = config_of(arch)
    torch.manual_seed(0)
    network = make_backbone(config).train()
    _, scores = network(torch.randn(1, 1, 8, 32, 32))
    scores.square().mean().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("arch", ONE_STAGE)
@pytest.mark.parametrize("slices", [5, 16, 19])
def test_a_scan_of_any_length_is_segmented(arch: str, slices: int, tmp_path: Path) -> None:
    bundle = random_bundle(tmp_path, config_of(arch))
    scan = head((slices, 40, 36), (5.0, 5.0, 6.0))
    result = segment(scan, bundle, device="cpu", precision="fp32")
    assert result.labels.shape == scan.array.shape
    assert all(r.peak is None for r in result.results)


@pytest.mark.parametrize("arch", [a for a in ARCHS if a != "focusnetv2"])
def test_a_bundle_of_each_system_segments_the_phantom_through_the_command(arch: str, tmp_path: Path) -> None:
    bundle = random_bundle(tmp_path, config_of(arch))
    assert load_bundle(bundle.folder).config.arch == arch
    scan, out = write_image(small_scan(), tmp_path / "scan.nrrd"), tmp_path / "out.seg.nrrd"
    assert main(["segment", str(scan), "-o", str(out), "--model", str(bundle.folder), "--device", "cpu"]) == 0
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(out)))
    assert labels.shape[:3] == small_scan().array.shape
    assert len(np.unique(labels)) > 2


def test_bundles_from_before_there_was_a_choice_are_focusnetv2(tmp_path: Path) -> None:
    folder = random_bundle(tmp_path).folder
    manifest = json.loads((folder / MANIFEST).read_text())
    for new in ("arch", "roi_sizes_zyx"):
        del manifest["network"][new]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    bundle = load_bundle(folder)
    assert bundle.config.arch == "focusnetv2"
    assert bundle.build().sosnets is not None


def test_a_configuration_with_rois_of_their_own_survives_json() -> None:
    config = config_of("focusnetv1")
    assert NetworkConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_v1s_organs_are_segmented_in_rois_of_their_own_sizes() -> None:
    config = config_of("focusnetv1")
    with torch.no_grad():
        out = random_network(config)(torch.randn(1, 1, 16, 32, 32))
    assert {o: tuple(s.shape[2:]) for o, s in out.small.items()} == {"Brainstem": (4, 10, 14), "Larynx": (8, 16, 12)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"arch": "unet"}, "arch is unet; expected focusnetv2, focusnetv1, anatomynet or deeplabv3plus"),
        ({"arch": "anatomynet"}, "anatomynet has no second stage"),
        ({"roi_sizes_zyx": ((8, 8, 8),)}, "one size for each small organ"),
        ({"arch": "deeplabv3plus", "small_organs": (), "crop_size_yx": (40, 40)}, "multiples of 16"),
    ],
)
def test_a_system_that_cannot_be_built_is_refused_in_words(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        small_config(**changes)


def test_an_autoencoder_over_rois_of_different_sizes_is_refused() -> None:
    with pytest.raises(DatasetError, match="needs one ROI size"):
        ShapeAutoencoder(config_of("focusnetv1"))


def v1_cases(dataset: Path) -> tuple[NetworkConfig, list[Case]]:
    config = small_config(
        arch="focusnetv1", organs=tuple(LABELS), small_organs=("Brainstem", "Parotid_L"), has_sos=True
    )
    return config, list(OpenKBPDataset(dataset).cases("train"))


def test_v1s_rois_are_three_times_the_organs_mean_size(dataset: Path) -> None:
    config, cases = v1_cases(dataset)
    fitted = with_own_rois(config, cases)
    for organ, size in zip(fitted.small_organs, fitted.roi_sizes_zyx, strict=True):
        boxes = []
        for case in cases:
            if organ in case.contoured:
                index = np.argwhere(case.labels == config.organs.index(organ) + 1)
                extent_mm = (index.max(axis=0) - index.min(axis=0) + 1) * case.geometry.spacing_mm_zyx
                boxes.append(extent_mm / config.spacing_mm_zyx)
        wanted = np.minimum(np.ceil(3 * np.mean(boxes, axis=0)), (16, 32, 32))
        assert size == tuple(wanted)
    assert len(set(fitted.roi_sizes_zyx)) == 2


def test_sos_nets_learn_in_rois_of_different_sizes(dataset: Path) -> None:
    config, cases = v1_cases(dataset)
    config = small_config(**{**config.to_json(), "roi_sizes_zyx": ((8, 12, 12), (10, 14, 10))})
    context = StageContext(config, Settings(aae_mode="none"), NO_AUGMENTATION, torch.ones(4))
    sample = draw_whole_organs(cases[0], context, np.random.default_rng(0))
    assert {o: roi.size_zyx for o, roi in sample.rois.items()} == {"Brainstem": (8, 12, 12), "Parotid_L": (10, 14, 10)}
    model = TrainingNet(config, with_aae=False)
    loss = sos_loss(model, join_crops([sample]), context)
    loss.backward()
    for organ in config.small_organs:
        assert float(model.sosnets[organ].head.weight.grad.abs().sum()) > 0


@pytest.mark.parametrize("arch", [a for a in ARCHS if a != "focusnetv2"])
def test_the_train_command_makes_a_bundle_of_each_system(
    arch: str, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "tiny.toml"
    config.write_text(TINY_TOML.replace("roi_size_zyx = [8, 16, 16]\n", ""))
    command = ["train", "--dataset", str(dataset), "--out", str(tmp_path / "run"), "--config", str(config)]
    width = "0.03" if arch == "deeplabv3plus" else "0.125"
    command += ["--stages", "snet,sol,sos"]
    assert main([*command, "--arch", arch, "--width", width, "--steps", "2", "--device", "cpu"]) == 0
    bundle = load_bundle(tmp_path / "run" / "bundle")
    said = capsys.readouterr().err
    assert bundle.config.arch == arch
    assert isinstance(bundle.build(), FocusNet)
    stages = set(bundle.manifest["training"]["stages"])
    if ARCHS[arch].two_stage:
        assert stages == {"snet", "sol", "sos"}
        assert len(bundle.config.roi_sizes_zyx) == 1
    else:
        assert stages == {"snet"}
        assert f"{arch} has no second stage: Brainstem" in said


def test_v1_with_an_autoencoder_is_refused_in_one_line(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "tiny.toml"
    config.write_text(TINY_TOML.replace("[settings]", '[settings]\naae_mode = "adversarial"'))
    command = ["train", "--dataset", str(dataset), "--out", str(tmp_path / "run"), "--config", str(config)]
    assert main([*command, "--arch", "focusnetv1"]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert "focusnetv1 has no shape autoencoder" in said[-1]
    assert not (tmp_path / "run").exists()
    assert main([*command, "--arch", "unet"]) == 2
    assert "arch is 'unet'" in capsys.readouterr().err
