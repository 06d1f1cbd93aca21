"""Small organs: eq. 4 to 8 by hand, who moves in whose update, crops that hold an organ whole, and Table 6 as configuration files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from focusnet.datasets.case import Case
from focusnet.datasets.openkbp import OpenKBPDataset
from focusnet.errors import DatasetError
from focusnet.inference.segment import segment
from focusnet.nets.solnet import gaussian_heatmap
from focusnet.train.loop.loop import StageOptions, train_stage
from focusnet.train.run import train_bundle
from focusnet.train.settings import Settings
from focusnet.train.setup.options import read_options
from focusnet.train.setup.plan import Plan, make_plan
from focusnet.train.setup.request import TrainRequest
from focusnet.train.stages.adversarial import aae_loss, organ_loss, shape_loss, sos_loss
from focusnet.train.stages.augment import NO_AUGMENTATION, Augmentation, Crops, Sample, join_crops
from focusnet.train.stages.losses import heatmap_loss
from focusnet.train.stages.model import TrainingNet
from focusnet.train.stages.small_organ_crops import draw_case_shapes, draw_whole_organs, fitting_roi
from focusnet.train.stages.stage import StageContext, set_trained
from focusnet.train.stages.table import STAGES, sol_loss

from ...paths import ROOT
from ..helpers_dataset import LABELS, write_dataset
from ..helpers_engine import head, small_config

TABLE6 = ROOT / "docs" / "configs" / "table6"
SMALL = ("Brainstem", "Parotid_L")


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    return list(OpenKBPDataset(write_dataset(tmp_path_factory.mktemp("data"))).cases("train"))


def config(**changes: Any) -> Any:
    return small_config(organs=tuple(LABELS), small_organs=SMALL, has_sos=True, aae_width=0.125, **changes)


def context(augmentation: Augmentation = NO_AUGMENTATION, **settings: Any) -> StageContext:
    return StageContext(config(), Settings(**settings), augmentation, torch.ones(4))


class ToyAutoencoder(nn.Module):
    """A test double that can be computed by hand: rebuilds half of the mask; the code is the mask's sum, the features are
    twice and three times the mask."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.5))

    def forward(self, mask: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        return self.gain * mask, mask.flatten(1).sum(1, keepdim=True), [2 * mask, 3 * mask]


class ToyModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.aae = ToyAutoencoder()


# two voxels: the truth is (1, 0), the prediction (0.5, 0.5): L_rec = mean((y / 2)^2) + mean((g / 2)^2)
TRUTH = torch.tensor([1.0, 0.0]).view(1, 1, 1, 1, 2)
FOUND = torch.tensor([0.5, 0.5]).view(1, 1, 1, 1, 2)


def test_the_shape_loss_of_two_voxels_by_hand() -> None:
    """Eq. 5: codes 1 and 1 do not differ; features differ by (1, -1) and (1.5, -1.5)."""
    toy = ToyAutoencoder()
    (_, code, levels), (_, found_code, found_levels) = toy(TRUTH), toy(FOUND)
    parts = (1.0, 0.2, 0.2)
    assert float(shape_loss((code, levels), (found_code, found_levels), parts)) == pytest.approx(0.2 * 1 + 0.2 * 2.25)
    assert float(shape_loss((code + 2, levels), (found_code, levels), parts)) == pytest.approx(4.0)
    relative = [shape_loss((k * code, levels), (k * (code + 2), levels), parts, relative=True) for k in (1, 100)]
    assert [float(r) for r in relative] == pytest.approx([4 / (1 + 9)] * 2), "scaling the code changes nothing"
    with_lambda = Settings().shape_lambda * np.array(Settings().shape_parts)
    np.testing.assert_allclose(with_lambda, (5.0, 1.0, 1.0))


def test_the_autoencoders_turn_minimises_reconstruction_minus_a_thousandth_of_the_shape_loss_by_hand() -> None:
    """Eq. 4 and 8: (0.5^2 + 0) / 2 + (0.25^2 + 0.25^2) / 2 - 0.001 * 0.65."""
    crops = Crops((Sample(torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 2).long(), torch.tensor([True]), {}),))
    crops.carried["masks"] = (FOUND, TRUTH)
    expected = 0.125 + 0.0625 - 0.001 * 0.65
    assert aae_loss(ToyModel(), crops, context()).item() == pytest.approx(expected, rel=1e-5)
    without = aae_loss(ToyModel(), crops, context(adversarial_lambda=0.0)).item()
    assert without == pytest.approx(0.1875, rel=1e-5)


def test_the_segmentation_turn_adds_five_times_the_shape_loss(cases: list[Case]) -> None:
    """Eq. 7, against its two terms computed apart; "none" leaves the segmentation loss of eq. 3."""
    torch.manual_seed(0)
    model = TrainingNet(config(), with_aae=True).eval()
    sample = draw_whole_organs(cases[0], context(), np.random.default_rng(0))
    assert set(sample.rois) == set(SMALL)
    crops = join_crops([sample])
    whole = sos_loss(model, crops, context()).item()
    found, truth = crops.carried["masks"]
    segmentation = float(organ_loss(found, truth, Settings()))
    with torch.no_grad():
        (_, a, b), (_, c, d) = model.aae(truth), model.aae(found)
    assert whole == pytest.approx(segmentation + 5 * float(shape_loss((a, b), (c, d), (1.0, 0.2, 0.2))), rel=1e-5)
    assert sos_loss(model, join_crops([sample]), context(aae_mode="none")).item() == pytest.approx(
        segmentation, rel=1e-6
    )


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in model.state_dict().items()}


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """Parts of which anything moved, batch statistics included."""
    return {k.split(".")[0] for k in before if not torch.equal(before[k], after[k])}


def moves_by_update(stage_name: str, cases: list[Case], out: Path, **settings: Any) -> list[set[str]]:
    """Train two steps and tell which parts moved in each update."""
    torch.manual_seed(0)
    model = TrainingNet(config(), with_aae=True)
    marks: list[dict[str, Tensor]] = []

    def marking(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def marked(*args: Any) -> Tensor:
            marks.append(snapshot(model))
            return loss(*args)

        return marked

    stage = STAGES[stage_name]
    stage = replace(stage, updates=tuple(replace(t, loss=marking(t.loss)) for t in stage.updates))
    options = StageOptions(config(), Settings(steps=2, checkpoint_every=9, **settings), NO_AUGMENTATION, out)
    train_stage(model, stage, cases, lambda _: {"score": 0.0}, options)
    marks.append(snapshot(model))
    return [moved(a, b) for a, b in pairwise(marks)]


@pytest.mark.parametrize(
    ("stage", "mode", "expected"),
    [
        ("sos", "adversarial", [{"sosnets"}, {"aae"}] * 2),
        ("sos", "frozen", [{"sosnets"}] * 2),
        ("sos", "none", [{"sosnets"}] * 2),
        ("joint", "adversarial", [{"snet", "solnet", "sosnets"}, {"aae"}] * 2),
        ("joint", "frozen", [{"snet", "solnet", "sosnets"}] * 2),
        ("aae", "adversarial", [{"aae"}] * 2),
    ],
)
def test_each_turn_moves_its_own_weights_and_no_others(
    stage: str, mode: str, expected: list[set[str]], cases: list[Case], tmp_path: Path
) -> None:
    assert moves_by_update(stage, cases, tmp_path, aae_mode=mode) == expected


def test_an_organ_that_nobody_contoured_teaches_its_networks_nothing(cases: list[Case]) -> None:
    """The second case has no left parotid: its SOS-Net has no gradient, its row of SOL-Net's head a zero one."""
    torch.manual_seed(0)
    model = TrainingNet(config(), with_aae=True)
    sample = draw_whole_organs(cases[1], context(), np.random.default_rng(0))
    assert set(sample.rois) == {"Brainstem"}
    set_trained(model, ("sosnets",))
    sos_loss(model, join_crops([sample]), context()).backward()
    assert all(p.grad is None for p in model.sosnets["Parotid_L"].parameters())
    assert float(model.sosnets["Brainstem"].head.weight.grad.abs().sum()) > 0
    set_trained(model, ("solnet",))
    sol_loss(model, join_crops([sample]), context()).backward()
    rows = model.solnet.head.weight.grad.abs().flatten(1).sum(1)  # type: ignore[union-attr, operator]
    assert rows[0] > 0
    assert rows[1] == 0


@pytest.mark.parametrize("stage", ["snet", "sol", "sos", "joint"])
def test_a_step_of_two_crops_has_the_mean_loss_of_its_crops(stage: str, cases: list[Case]) -> None:
    """In eval mode, where crops do not meet in batch statistics; the dice loss of organs that both crops hold is a mean too."""
    torch.manual_seed(0)
    model = TrainingNet(config(), with_aae=True).eval()
    where, loss = context(), STAGES[stage].updates[0].loss
    drawn = [draw_whole_organs(cases[number], where, np.random.default_rng(number)) for number in (0, 2)]
    assert all(set(sample.rois) == set(SMALL) for sample in drawn)
    alone = [loss(model, join_crops([sample]), where).item() for sample in drawn]
    assert alone[0] != pytest.approx(alone[1], rel=1e-3)
    assert loss(model, join_crops(drawn), where).item() == pytest.approx(np.mean(alone), rel=1e-4)


def test_cross_entropy_pulls_an_empty_heat_map_up_where_l2_hardly_does() -> None:
    """Both are lowest for the Gaussian itself; of a map that is empty, L2 sees a fiftieth of the slope at the organ's centre."""
    wanted = gaussian_heatmap((8, 16, 16), (4, 8, 8), 3.0)[None, None]
    known, slopes = torch.tensor([[True]]), {}
    for kind in ("l2", "cross-entropy"):
        logits = torch.full_like(wanted, -5.0).requires_grad_()
        heatmap_loss(logits.sigmoid(), wanted, known, kind).backward()
        slopes[kind] = -float(logits.grad[0, 0, 4, 8, 8])  # type: ignore[index]
        exact = torch.logit(wanted.clamp(1e-5, 1 - 1e-5)).requires_grad_()
        heatmap_loss(exact.sigmoid(), wanted, known, kind).backward()
        assert float(exact.grad.abs().max()) < 1e-4 * slopes[kind]  # type: ignore[union-attr]
    assert slopes["cross-entropy"] > 50 * slopes["l2"] > 0


def test_crops_for_small_organs_hold_them_whole(cases: list[Case]) -> None:
    """Whatever the random place: all of the organ's voxels lie in its ROI, and the ROI moves."""
    rng, starts = np.random.default_rng(0), set()
    for _ in range(20):
        sample = draw_whole_organs(cases[0], context(roi_jitter_zyx=(3, 6, 6), crop_slices=14), rng)
        assert set(sample.rois) == set(SMALL)
        for organ, roi in sample.rois.items():
            mask = (sample.labels == LABELS[organ])[None, None].float()
            assert int(mask.sum()) > 0
            assert not mask[0, 0, [0, -1]].any(), "the chunk cuts the organ"
            assert int(roi.crop(mask).sum()) == int(mask.sum()), "the ROI cuts the organ"
            starts.add((organ, roi.start_zyx))
    assert len({s for o, s in starts if o == "Brainstem"}) > 5


def test_crops_under_augmentation_keep_the_roi_on_the_organ(cases: list[Case]) -> None:
    augmentation = Augmentation(15.0, 10.0, (0.8, 1.2), mirror=True)
    drawn = [draw_whole_organs(cases[2], context(augmentation), np.random.default_rng(seed)) for seed in range(12)]
    assert sum(len(sample.rois) for sample in drawn) > 12
    for sample in drawn:
        for organ, roi in sample.rois.items():
            mask = (sample.labels == LABELS[organ])[None, None].float()
            assert int(roi.crop(mask).sum()) == int(mask.sum()) > 0


def test_shapes_of_a_case_are_its_masks_in_their_rois(cases: list[Case]) -> None:
    sample = draw_case_shapes(cases[0], context(roi_jitter_zyx=(0, 0, 0)), np.random.default_rng(0))
    assert sample.organs == SMALL
    assert sample.masks.shape == (2, 1, 8, 16, 16)
    for organ, mask in zip(sample.organs, sample.masks, strict=True):
        case_voxels = int((cases[0].labels == LABELS[organ]).sum())
        assert int(mask.sum()) == pytest.approx(case_voxels, rel=0.35), "same spacing, half a voxel aside"
        center = torch.nonzero(mask[0]).float().mean(0)
        np.testing.assert_allclose(center, [3.5, 7.5, 7.5], atol=0.7)


def test_an_roi_is_the_papers_unless_organs_are_larger() -> None:
    organ = np.array([[10.0, 10.0, 6.0]])
    fine = small_config(spacing_mm_zyx=(3.0, 1.0, 1.0), crop_size_yx=(240, 240), chunk_slices=40)
    assert fitting_roi(organ, fine) == (8, 64, 64)
    assert fitting_roi(np.array([[30.0, 30.0, 60.0]]), fine) == (24, 64, 64)
    assert fitting_roi(np.array([[30.0, 30.0, 500.0]]), fine) == (40, 64, 64), "no longer than a chunk"


def plan(file: Path, cases: list[Case]) -> Plan:
    return make_plan(TrainRequest(Path("data"), Path("run")), read_options(file), tuple(LABELS), cases)


def test_every_row_of_table_6_is_a_configuration_file(cases: list[Case]) -> None:
    plans = {path.stem: plan(path, cases) for path in sorted(TABLE6.glob("*.toml"))}
    alone = ("snet",)
    for depth in (1, 2, 3, 4):
        row = plans[f"unet-d{depth}"]
        settings = row.settings["snet"]
        assert (row.stages, row.config.down_samplings, row.config.aspp) == (alone, depth, False)
        assert (settings.gamma, settings.alpha_power, settings.focal_weight, settings.dice_weight) == (0, 0, 1, 0)
    both = plans["unet-d2-fl-dl"].settings["snet"]
    assert (both.gamma, both.alpha_power, both.focal_weight, both.dice_weight) == (2, 1, 1, 1)
    assert not plans["unet-d2-fl-dl"].config.aspp
    assert (plans["snet"].stages, plans["snet"].config.aspp) == (alone, True)
    assert plans["focusnetv1"].stages == ("snet", "sol", "sos", "joint")
    assert not plans["focusnetv1"].with_aae
    for name in ("no-concat", "origin-ae", "focusnetv2"):
        assert plans[name].stages == ("snet", "sol", "aae", "sos", "joint")
    assert plans["no-aae"].stages == ("snet", "sol", "sos", "joint")
    assert plans["no-aae"].config.roi_size_zyx == plans["focusnetv2"].config.roi_size_zyx
    assert plans["no-concat"].config.sos_inputs == "features"
    assert plans["origin-ae"].settings["sos"].aae_mode == "frozen"
    assert plans["focusnetv2"].settings["sos"] == Settings()


def test_an_roi_that_an_autoencoder_cannot_halve_three_times_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"roi_size_zyx is \(8, 20, 16\).*multiples of 8"):
        TrainingNet(config(roi_size_zyx=(8, 20, 16)), with_aae=True)


TINY_NETWORK = {
    "width": 0.125, "aae_width": 0.0625, "aspp_rates": (1, 2), "spacing_mm_zyx": (6.0, 6.0, 6.0), "crop_size_yx": (32, 32),
    "chunk_slices": 16, "stride": 16,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("row", sorted(path.stem for path in TABLE6.glob("*.toml")))
def test_every_row_of_table_6_trains_and_its_bundle_segments(row: str, tmp_path: Path) -> None:
    bundle = train_bundle(TrainRequest(
        write_dataset(tmp_path / "data", 2, 1), tmp_path / "run", config_file=TABLE6 / f"{row}.toml",
        network=TINY_NETWORK, settings={"steps": 1, "pictures": False}, device="cpu"))  # fmt: skip
    assert bundle.name == f"table6-{row}"
    result = segment(head((24, 36, 32), (6.0, 6.0, 6.0)), bundle, device="cpu")
    assert len(result.results) == len(LABELS)
